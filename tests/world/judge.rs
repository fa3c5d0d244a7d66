//! What every test says of an answer and of what arrived: complete, once, byte for byte, under the promised tag.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::{World, contract, feeds};

/// The answer has every key of the contract in order, its counts add up, and it delivered so many records.
pub fn assert_answer(answer: &Value, function: &str, delivered: u64) {
    let keys: Vec<&str> = answer.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(keys, contract::ANSWER_KEYS, "{function}");
    assert_eq!(answer["service"], function);
    assert_eq!(answer["status"], "up_to_date", "{function}: {answer}");
    let count = |name: &str| answer[name].as_u64().unwrap();
    assert_eq!(count("delivered"), delivered, "{function}: {answer}");
    assert_eq!(count("received"), count("duplicates") + count("delivered") + count("failed"), "{answer}");
    let by_table: u64 = answer["tables"].as_object().unwrap().values().filter_map(Value::as_u64).sum();
    assert_eq!((count("sent"), by_table), (delivered, delivered), "{function}: {answer}");
}

/// Each distinct one of these records arrived once, byte for byte, under its tag and the function's name (a feed's
/// may come by way of its retry service), and nothing else did.
pub fn assert_arrived(world: &World, emitted: &[String]) {
    let function = world.service.function;
    let mut found: BTreeMap<(String, String), usize> = BTreeMap::new();
    for arrival in world.records() {
        let pulling_id = arrival.json()["@devo_pulling_id"].as_str().unwrap().to_owned();
        assert!(pulling_id.parse::<u64>().is_ok(), "{pulling_id}");
        let record = contract::record_of(&arrival.message);
        assert_eq!(arrival.message, contract::message(&record, &world.id, &pulling_id), "{function}");
        assert!(
            [function, feeds::URI_RETRY].contains(&arrival.host.as_str()),
            "{function}: {}",
            arrival.host
        );
        *found.entry((record, arrival.tag)).or_default() += 1;
    }
    let expected: BTreeSet<(String, String)> = emitted
        .iter()
        .map(|record| {
            let tag = world.promise.tag(&serde_json::from_str(record).unwrap(), &world.id);
            (contract::on_one_line(record), tag)
        })
        .collect();
    for wanted in &expected {
        let copies = found.remove(wanted).unwrap_or(0);
        assert_eq!(copies, 1, "{function} {}: copies of {wanted:?}", world.id);
    }
    assert!(found.is_empty(), "{function} {}: never emitted, or under another tag: {found:?}", world.id);
}
