//! Courses as an operator sees them: what was answered, what was sent, how it ended.

use serde_json::{Value, json};

use super::*;
use crate::backfill::answer::Payload;

const FROM: &str = "2026-11-01T00:00:00Z";
const MIDDLE: &str = "2026-11-04T00:00:00Z";
const TO: &str = "2026-11-08T00:00:00Z";

/// What came of one invocation.
enum Reply {
    Answered(Answer),
    Broken(Failure),
}

fn answered(status: &str, more: &Value) -> Reply {
    let mut members = json!({"status": status, "devo_pulling_id": "1763632800000"});
    for (name, value) in more.as_object().unwrap() {
        members[name] = value.clone();
    }
    match Payload::read(members.to_string().as_bytes()) {
        Payload::Answer(answer) => Reply::Answered(*answer),
        other => panic!("{other:?}"),
    }
}

fn plain(status: &str) -> Reply {
    answered(status, &json!({}))
}

/// `more` after a window from here to there.
fn more(from: &str, to: &str) -> Reply {
    answered("more", &json!({"window": {"from": from, "to": to}}))
}

/// An answer of an invocation that never began to pull.
fn idle(status: &str) -> Reply {
    answered(status, &json!({"devo_pulling_id": null}))
}

fn failed(error_type: &str, message: &str) -> Reply {
    let error = FunctionError { error_type: error_type.to_owned(), message: message.to_owned() };
    Reply::Broken(Failure::Failed(error))
}

fn lost() -> Reply {
    Reply::Broken(Failure::Unanswered("aws: Read timeout on endpoint URL".to_owned()))
}

fn not_run() -> Reply {
    Reply::Broken(Failure::NotRun("aws: TooManyRequestsException".to_owned()))
}

fn course(resend: bool) -> Course {
    let wanted = Backfill { from: FROM.parse().unwrap(), to: TO.parse().unwrap(), resend };
    Course::new(wanted, Duration::from_secs(5))
}

/// Plays the replies until one of them ends the course, which must be the last. Gives what was sent, `b` for the
/// backfill and `t` for a tick, with a dot for each wait, and the end.
fn play(resend: bool, replies: Vec<Reply>) -> (String, Next) {
    let mut course = course(resend);
    let mut sent = String::new();
    let count = replies.len();
    for (index, reply) in replies.into_iter().enumerate() {
        sent.push(if course.event() == Event::Tick { 't' } else { 'b' });
        let next = match reply {
            Reply::Answered(answer) => course.after_answer(&answer),
            Reply::Broken(failure) => course.after_failure(failure),
        };
        match next {
            Next::Go => {}
            Next::Wait(..) => sent.push('.'),
            end => {
                assert_eq!(index + 1, count, "it ended before its last reply: {end:?}");
                return (sent, end);
            }
        }
    }
    panic!("it did not end after {sent}")
}

fn check_complete(resend: bool, replies: Vec<Reply>, sent: &str) {
    assert_eq!(play(resend, replies), (sent.to_owned(), Next::Complete));
}

fn check_given_up(resend: bool, replies: Vec<Reply>, sent: &str, reason: &str) {
    match play(resend, replies) {
        (seen, Next::GiveUp(words)) => {
            assert_eq!(seen, sent, "{words}");
            assert!(words.contains(reason), "{words}");
        }
        (seen, end) => panic!("{seen}: {end:?}"),
    }
}

#[test]
fn a_backfill_is_asked_for_until_it_is_complete_and_never_once_more() {
    check_complete(false, vec![plain("up_to_date")], "b");
    check_complete(false, vec![more(FROM, MIDDLE), more(MIDDLE, TO), plain("up_to_date")], "bbb");
    check_complete(false, vec![idle("locked"), idle("throttled"), plain("up_to_date")], "b.b.b");
    check_complete(
        false,
        vec![not_run(), lost(), failed("ApiError", "[498] x"), plain("up_to_date")],
        "b.b.b.b",
    );
    check_complete(true, vec![plain("up_to_date")], "b");
}

#[test]
fn a_resend_that_the_function_has_noted_is_gone_on_with_by_ticks_which_begin_nothing_anew() {
    check_complete(true, vec![idle("locked"), idle("not_due")], "b.t");
    check_complete(true, vec![more(FROM, MIDDLE), idle("not_due")], "bt");
    check_complete(
        true,
        vec![more(FROM, MIDDLE), idle("locked"), more(MIDDLE, TO), plain("up_to_date")],
        "bt.tt",
    );
    check_complete(true, vec![idle("throttled"), idle("throttled"), plain("up_to_date")], "b.t.t");
    check_complete(true, vec![failed("DeliveryError", "[602] x"), lost(), plain("up_to_date")], "b.t.t");
}

#[test]
fn a_resend_that_may_not_have_been_noted_is_asked_for_again_where_nothing_was_begun() {
    let login_took_too_long = || plain("more");
    let login_was_throttled = || plain("throttled");
    check_complete(true, vec![login_took_too_long(), login_was_throttled(), plain("up_to_date")], "bb.b");
    check_complete(true, vec![not_run(), not_run(), plain("up_to_date")], "b.b.b");
}

#[test]
fn a_resend_whose_invocation_may_have_run_is_not_tried_again() {
    check_given_up(true, vec![lost()], "b", "--resend");
    check_given_up(
        true,
        vec![failed("Sandbox.Timedout", "Task timed out after 240.00 seconds")],
        "b",
        "--resend",
    );
    check_given_up(true, vec![not_run(), failed("ApiError", "[498] x")], "b.b", "--resend");
}

#[test]
fn what_passes_by_itself_is_tried_again_a_bounded_number_of_times() {
    let six = |make: fn() -> Reply| (0..=MOST_FAILURES).map(|_| make()).collect::<Vec<_>>();
    check_given_up(false, six(lost), "b.b.b.b.b.b", "6 times in a row");
    check_given_up(true, six(not_run), "b.b.b.b.b.b", "6 times in a row");
    let timeout = || failed("", "2026-11-20T10:00:00Z Task timed out after 240.00 seconds");
    check_given_up(false, six(timeout), "b.b.b.b.b.b", "6 times in a row");
    let mut with_an_answer_between = six(lost);
    with_an_answer_between.insert(3, more(FROM, MIDDLE));
    with_an_answer_between.push(plain("up_to_date"));
    check_complete(false, with_an_answer_between, "b.b.b.bb.b.b.b");
}

#[test]
fn what_does_not_pass_by_itself_ends_it_with_its_words() {
    let cases = [
        (plain("disabled"), "switched off"),
        (plain("retired"), "retired"),
        (plain("dry_run"), "`dry_run`"),
        (idle("not_due"), "`not_due`"),
        (failed("SetupError", "[101] the client secret has expired"), "SetupError [101] the client secret"),
        (failed("InitVariablesError", "[1] event.backfill: x"), "InitVariablesError [1]"),
        (failed("DeliveryError", "[601] certificate"), "DeliveryError [601]"),
        (Reply::Broken(Failure::Refused("aws: ResourceNotFoundException".to_owned())), "ResourceNotFound"),
    ];
    for (reply, reason) in cases {
        check_given_up(false, vec![reply], "b", reason);
    }
    assert_eq!(
        play(false, vec![Reply::Broken(Failure::Unusable("no aws".to_owned()))]),
        ("b".to_owned(), Next::Unusable("no aws".to_owned()))
    );
    assert_eq!(play(true, vec![Reply::Broken(Failure::Interrupted)]), ("b".to_owned(), Next::Interrupted));
}

#[test]
fn a_round_that_begins_again_shows_that_a_tick_completed_the_one_before() {
    check_complete(
        false,
        vec![more(FROM, MIDDLE), more(MIDDLE, TO), idle("locked"), more(FROM, MIDDLE)],
        "bbb.b",
    );
    // The same window again is no new round: its link may have expired.
    check_complete(false, vec![more(FROM, MIDDLE), more(FROM, MIDDLE), plain("up_to_date")], "bbb");
}

#[test]
fn a_feed_that_is_not_served_yet_is_not_taken_for_a_backfill_that_is_complete() {
    let words = "the subscription to Audit.Exchange is enabled but not served yet";
    let unread = answered("up_to_date", &json!({"warnings": [words]}));
    check_given_up(false, vec![unread], "b", "gives nothing yet");
    let old = answered("up_to_date", &json!({"warnings": ["records from a to b cannot be had"]}));
    check_complete(false, vec![old], "b");
    let window = json!({"from": FROM, "to": TO});
    let read = answered("up_to_date", &json!({"warnings": [words], "window": window}));
    check_complete(false, vec![read], "b");
}

#[test]
fn waits_grow_to_a_minute_and_begin_again_once_the_function_has_worked() {
    let mut course = course(false);
    let mut wait = |reply: Reply| {
        let Reply::Answered(answer) = reply else { panic!("no answer") };
        match course.after_answer(&answer) {
            Next::Wait(time, _) => time.as_secs(),
            Next::Go => 0,
            end => panic!("{end:?}"),
        }
    };
    let seconds: Vec<u64> = (0..6).map(|_| wait(idle("locked"))).collect();
    assert_eq!(seconds, [5, 10, 20, 40, 60, 60]);
    assert_eq!(wait(more(FROM, MIDDLE)), 0);
    assert_eq!(wait(idle("throttled")), 5);
}

#[test]
fn an_operator_of_a_resend_is_told_where_to_look_before_asking_again() {
    let words = course(true).words_for_later();
    assert!(words.contains("request#2026-11-01T00:00:00Z#2026-11-08T00:00:00Z#resend"), "{words}");
    assert!(course(false).words_for_later().contains("the same command goes on"));
}
