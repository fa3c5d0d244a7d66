//! Flattened records as events: the bytes of each member's value by its name.
//!
//! What an event must have is worked out by the tests a second time; here is what they share: taking texts apart, and what
//! arrived, without the two members that every event has at its end.

use std::collections::BTreeMap;

use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::parties::Arrival;
use super::{World, contract};

/// An event: the bytes of each member's value by its name.
pub type Event = BTreeMap<String, String>;

/// The members of an object's text.
pub fn raw_members(text: &str) -> Event {
    let members: BTreeMap<String, &RawValue> = serde_json::from_str(text).unwrap();
    members.into_iter().map(|(name, value)| (name, contract::on_one_line(value.get()))).collect()
}

/// The events that arrived under this tag, in an order that does not depend on how they came.
pub fn arrived(world: &World, tag: &str) -> Vec<Event> {
    let event = |arrival: &Arrival| {
        assert_eq!(arrival.tag, tag);
        let mut event = raw_members(&arrival.message);
        assert_eq!(event.remove("@devo_environment"), Some(format!("\"{}\"", world.id)));
        assert!(event.remove("@devo_pulling_id").is_some());
        // Nothing is there twice: what was parsed has as many members as the text.
        let names: serde_json::Map<String, Value> = serde_json::from_str(&arrival.message).unwrap();
        assert_eq!(names.len(), event.len() + 2);
        event
    };
    sorted(world.records().iter().map(event).collect())
}

/// The same events in that order.
pub fn sorted(mut events: Vec<Event>) -> Vec<Event> {
    events.sort_unstable();
    events
}

/// The answer delivered so many records as so many events, and its tables count events.
pub fn assert_counts(answer: &Value, tag: &str, records: usize, events: usize) {
    assert_eq!(answer["status"], "up_to_date", "{answer}");
    assert_eq!((&answer["received"], &answer["delivered"]), (&json!(records), &json!(records)), "{answer}");
    assert_eq!(answer["sent"], events, "{answer}");
    assert_eq!(answer["tables"], json!({tag: events}), "{answer}");
}
