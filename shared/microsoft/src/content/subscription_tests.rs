//! Lists of subscriptions as they come, and when one may be started.

use serde_json::json;

use super::*;

fn at(minutes: i64) -> Timestamp {
    let noon: Timestamp = "2026-11-20T12:00:00Z".parse().unwrap();
    noon + SignedDuration::from_mins(minutes)
}

#[test]
fn the_list_is_read_whatever_the_case_and_with_or_without_status() {
    let table = [
        (json!([]), Standing::Missing),
        (json!([{"contentType": "Audit.General", "status": "enabled"}]), Standing::Missing),
        (json!([{"contentType": "Audit.Exchange", "status": "enabled", "webhook": null}]), Standing::Enabled),
        (json!([{"contentType": "audit.EXCHANGE", "status": "Enabled"}]), Standing::Enabled),
        (json!([{"contentType": "Audit.Exchange"}]), Standing::Enabled),
        (
            json!([{"contentType": "Audit.Exchange", "status": "disabled"}]),
            Standing::Off("disabled".to_owned()),
        ),
        (
            json!([{"contentType": "audit.exchange", "status": "disabled"}, {"contentType": "Audit.Exchange"}]),
            Standing::Enabled,
        ),
        (json!([{"status": "enabled"}, 5, null]), Standing::Missing),
    ];
    for (list, expected) in table {
        assert_eq!(standing(list.to_string().as_bytes(), "Audit.Exchange").unwrap(), expected, "{list}");
    }
    for no_list in ["{}", "", "<html>", "[{"] {
        assert!(standing(no_list.as_bytes(), "Audit.Exchange").is_err(), "{no_list}");
    }
}

#[test]
fn starts_are_a_quarter_of_an_hour_apart() {
    let attempted = Subscription { attempted_at: Some(at(0)), ..Subscription::default() };
    let table =
        [(0, Some(at(15))), (14, Some(at(15))), (15, None), (-14, Some(at(15))), (-15, None), (9000, None)];
    for (minutes, not_before) in table {
        assert_eq!(attempted.start_not_before(at(minutes)), not_before, "after {minutes} minutes");
    }
    assert_eq!(Subscription::default().start_not_before(at(0)), None);
}

#[test]
fn a_confirmation_holds_for_six_hours_and_a_start_is_young_for_twelve() {
    let known =
        Subscription { started_at: Some(at(0)), confirmed_at: Some(at(0)), ..Subscription::default() };
    for (minutes, is_confirmed, is_young) in
        [(0, true, true), (360, true, true), (361, false, true), (719, false, true), (720, false, false)]
    {
        assert_eq!(known.is_confirmed(at(minutes)), is_confirmed, "{minutes}");
        assert_eq!(known.fresh_since(at(minutes)).is_some(), is_young, "{minutes}");
    }
    assert!(!Subscription::default().is_confirmed(at(0)));
}

#[test]
fn what_is_left_behind_is_read_again_and_the_later_instant_counts() {
    let known = Subscription {
        attempted_at: Some(at(1)),
        confirmed_at: Some(at(2)),
        refused: Some("not yet".to_owned()),
        ..Subscription::default()
    };
    let mut memo = Map::new();
    known.write(&mut memo);
    assert_eq!(Subscription::read(&memo), known);
    let other =
        Subscription { attempted_at: Some(at(3)), started_at: Some(at(0)), ..Subscription::default() };
    let both = Subscription { confirmed_at: Some(at(2)), ..other.clone() };
    assert_eq!((known.joined(&other), other.joined(&known)), (both.clone(), both));

    let mut nothing = Map::new();
    Subscription::default().write(&mut nothing);
    assert!(nothing.is_empty());
    for odd in [json!({"subscription": 5}), json!({"subscription": {"attempted_at": "soon"}}), json!({})] {
        assert_eq!(Subscription::read(odd.as_object().unwrap()), Subscription::default(), "{odd}");
    }
}
