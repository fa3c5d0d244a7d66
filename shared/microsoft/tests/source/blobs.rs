//! Content blobs: several at once, streamed, each with one end.

use std::time::{Duration, Instant};

use collector::ports::{Blob, BlobEnd, Fetched, Source as _, SourceError};
use microsoft::Tuning;
use serde_json::json;

use crate::support::{Outcome, Reply, Server, Stage, confirmed, fast, gzip};

async fn impatient(change: impl FnOnce(&mut Tuning)) -> Stage {
    let mut tuning = Tuning { attempt_timeout: Duration::from_secs(2), ..fast() };
    change(&mut tuning);
    let mut stage = Stage::unsubscribed(tuning).await;
    stage.prepare(confirmed()).await.unwrap();
    stage
}

#[tokio::test]
async fn records_come_byte_for_byte_and_each_blob_ends_once() {
    let mut stage = Stage::feed([]).await;
    let table: [(&str, &str, &[&str]); 5] = [
        (
            "b/plain",
            "[{\"Id\":\"1\"},{\"Id\" : \"é\\u00e9\"}]",
            &["{\"Id\":\"1\"}", "{\"Id\" : \"é\\u00e9\"}"],
        ),
        ("b/empty", "[]", &[]),
        ("b/spaces", "\u{feff} [\r\n 1 ,\n\"a\"\t] \n", &["1", "\"a\""]),
        ("b/nested", "[[],{}]", &["[]", "{}"]),
        ("b/one", "[null]", &["null"]),
    ];
    for (path, body, _) in table {
        stage.api.answers_to(path, [Reply::body(body)]);
    }
    let blobs = table.map(|(path, ..)| stage.blob(path));
    let outcomes = stage.fetch(blobs.to_vec()).await.unwrap();
    for (outcome, (path, _, records)) in outcomes.iter().zip(table) {
        assert_eq!(*outcome, Outcome::complete(records), "{path}");
    }
    let seen = stage.api.seen();
    assert!(seen.iter().all(|seen| seen.line().ends_with("?PublisherIdentifier=contoso HTTP/1.1")));
    assert!(seen.iter().all(|seen| seen.header("authorization") == Some("Bearer t0ken")));
    assert_eq!((seen.len(), stage.source.stats().requests, stage.login.count()), (5, 5, 1));
}

#[tokio::test]
async fn nothing_to_fetch_has_ended() {
    let mut stage = Stage::feed([]).await;
    assert!(stage.fetch(Vec::new()).await.unwrap().is_empty());
    let until = stage.deadline(1000);
    assert!(matches!(stage.source.fetched(until).await, Ok(Fetched::AllEnded)));
}

#[tokio::test]
async fn a_large_compressed_blob_comes_in_small_parts() {
    let records: Vec<String> =
        (0..20_000).map(|index| json!({"Id": index, "Text": "x".repeat(500)}).to_string()).collect();
    let body = gzip(format!("[{}]", records.join(",")).as_bytes());
    let mut stage = Stage::feed([Reply::new(200, &[("content-encoding", "gzip")], body)]).await;
    let deadline = stage.deadline(60_000);
    stage.source.fetch(vec![stage.blob("b/large")], deadline);
    let mut received = 0;
    loop {
        match stage.source.fetched(deadline).await.unwrap() {
            Fetched::Part { records: part, .. } => {
                let bytes: usize = part.iter().map(|record| record.len()).sum();
                assert!(bytes < 600_000, "a part of {bytes} bytes");
                for record in part {
                    assert_eq!(record, records[received]);
                    received += 1;
                }
            }
            Fetched::Ended { end, .. } => {
                assert_eq!(end, BlobEnd::Complete);
                break;
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(received, records.len());
}

#[tokio::test]
async fn one_record_may_be_as_large_as_the_limit_and_not_larger() {
    let record = format!("\"{}\"", "x".repeat(1_000_000));
    let body = format!("[1,{record},2]");
    let mut stage = Stage::feed([]).await;
    stage.api.answers_to("b/huge", [Reply::body(&body)]);
    let outcomes = stage.fetch(vec![stage.blob("b/huge")]).await.unwrap();
    assert_eq!(outcomes[0], Outcome::complete(&["1", &record, "2"]));

    let mut narrow = impatient(|tuning| tuning.body_limit = 200_000).await;
    narrow.api.answers_to("b/huge", [Reply::body(&body)]);
    let outcomes = narrow.fetch(vec![narrow.blob("b/huge")]).await.unwrap();
    assert!(outcomes[0].reason().contains("200000 bytes"), "{outcomes:?}");
    assert_eq!((outcomes[0].records.len(), narrow.api.count()), (1, 1), "it would be as large again");
}

#[tokio::test]
async fn a_record_beyond_the_limit_is_given_up_as_soon_as_it_is_known() {
    let mut stage = impatient(|tuning| tuning.body_limit = 140_000).await;
    let body = format!("[\"{}\"]", "x".repeat(1_000_000));
    let sent = 210_000;
    stage.api.answers_to("b/huge", [Reply::body(&body).stalled_by(body.len() - sent)]);
    let outcomes = stage.fetch(vec![stage.blob("b/huge")]).await.unwrap();
    assert!(outcomes[0].reason().contains("larger than 140000 bytes"), "{outcomes:?}");
    assert_eq!(stage.api.count(), 1);
}

#[tokio::test]
async fn eight_are_open_at_once_and_no_more() {
    let mut stage = Stage::feed([]).await;
    stage.api.answers_to("b/", [Reply::silence()]);
    let blobs: Vec<Blob> = (0..12).map(|index| stage.blob(&format!("b/{index}"))).collect();
    let (until, deadline) = (stage.deadline(2_000), stage.deadline(60_000));
    stage.source.fetch(blobs, deadline);
    assert!(matches!(stage.source.fetched(until).await, Ok(Fetched::NotYet)));
    assert_eq!(stage.api.count(), 8);
}

#[tokio::test]
async fn what_may_pass_is_tried_once_more_behind_the_others() {
    let whole = || Reply::body("[1,2]");
    let stumbles = [
        Reply::error(500, "AF50000", "An internal error occurred."),
        Reply::error(503, "", ""),
        Reply::hang_up(),
        Reply::body("{\"Id\":1}"),
        Reply::body("<html>"),
        Reply::body("[{'Id':1}]"),
        Reply::body(""),
    ];
    for stumble in stumbles {
        let mut stage = Stage::feed([]).await;
        stage.api.answers_to("b/bad", [stumble.clone(), whole()]);
        stage.api.answers_to("b/good", [whole()]);
        let blobs = vec![stage.blob("b/bad"), stage.blob("b/good")];
        let outcomes = stage.fetch(blobs).await.unwrap();
        assert_eq!(outcomes[0], Outcome::complete(&["1", "2"]), "{stumble:?}");
        assert_eq!((stage.api.count_of("b/bad"), stage.api.count_of("b/good")), (2, 1), "{stumble:?}");
    }
}

#[tokio::test]
async fn what_fails_twice_is_told_with_status_code_and_request_id() {
    let table = [
        (
            Reply::error(500, "AF50000", "An internal error occurred."),
            "500 AF50000: An internal error occurred. (request id r-1)",
        ),
        (Reply::error(200, "AF50001", "odd"), "200 AF50001: odd (request id r-1)"),
        (Reply::new(500, &[], "{'error':{'code':'AF50000','message':'Don't.'}}"), "500 AF50000: Don't."),
        (Reply::body("<html>"), "200: an HTML or XML page"),
        (Reply::body("{\"Id\":1}"), "no array"),
        (Reply::body("[{'Id':1}]"), "not JSON in the record that begins at byte 1"),
        (Reply::body("[1,2").clone(), "the array ends early at byte 4"),
        (Reply::body(""), "the array ends early at byte 0"),
        (Reply::body("[1,2]").cut_by(2), "the body broke off"),
        (Reply::hang_up(), "the connection broke off"),
    ];
    for (reply, words) in table {
        let mut stage = Stage::feed([reply.clone(), reply.clone()]).await;
        let outcomes = stage.fetch(vec![stage.blob("b/x")]).await.unwrap();
        assert!(outcomes[0].reason().contains(words), "{outcomes:?} should say {words}");
        assert_eq!(stage.api.count(), 2, "{reply:?}");
    }
}

#[tokio::test]
async fn what_came_whole_before_a_break_is_given() {
    for broken in [Reply::body("[1,2,3]").cut_by(2), Reply::body("[1,2,{\"a"), Reply::body("[1,2,'a']")] {
        let mut stage = Stage::feed([broken.clone(), broken.clone()]).await;
        let outcomes = stage.fetch(vec![stage.blob("b/x")]).await.unwrap();
        // Each of the two attempts gives them; the run loop knows them the second time.
        assert_eq!(outcomes[0].records, ["1", "2", "1", "2"], "{broken:?}");
        assert!(matches!(outcomes[0].end, Some(BlobEnd::Failed(_))));
    }
}

#[tokio::test]
async fn a_body_that_stops_coming_is_not_waited_for() {
    let mut stage = impatient(|_| ()).await;
    stage.api.answers_to("b/x", [Reply::body("[1,2,3]").stalled_by(3)]);
    stage.api.answers_to("b/silent", [Reply::silence()]);
    let outcomes = stage.fetch(vec![stage.blob("b/x"), stage.blob("b/silent")]).await.unwrap();
    for outcome in &outcomes {
        assert!(outcome.reason().contains("no complete answer within 2 s"), "{outcome:?}");
    }
    assert_eq!(outcomes[0].records, ["1", "1"]);
    assert_eq!(stage.api.count(), 4);
}

#[tokio::test]
async fn what_is_not_there_is_not_asked_for_again() {
    let table = [
        (Reply::error(404, "AF20050", "The specified content does not exist."), "failed 404 AF20050"),
        (Reply::error(404, "", ""), "failed 404"),
        (Reply::error(400, "AF20052", "Content ID is invalid."), "failed 400 AF20052"),
        (Reply::error(400, "", "odd"), "failed 400: odd"),
        (Reply::error(400, "AF20051", "Content requested has already expired."), "gone 400 AF20051"),
        (Reply::error(410, "", ""), "gone 410"),
    ];
    for (reply, expected) in table {
        let mut stage = Stage::feed([reply]).await;
        let outcomes = stage.fetch(vec![stage.blob("b/x")]).await.unwrap();
        let told = match outcomes[0].end.clone().unwrap() {
            BlobEnd::Failed(reason) => format!("failed {reason}"),
            BlobEnd::Gone(reason) => format!("gone {reason}"),
            BlobEnd::Complete => "complete".to_owned(),
        };
        assert!(told.starts_with(expected) && told.contains("r-1"), "{told}");
        assert_eq!(stage.api.count(), 1);
    }
}

#[tokio::test]
async fn a_foreign_content_link_is_never_asked_and_its_host_is_named() {
    let foreign = Server::start().await;
    let mut stage = Stage::feed([]).await;
    stage.api.answers_to("b/own", [Reply::body("[1]")]);
    let mut blobs = vec![stage.blob("b/foreign"), stage.blob("b/own"), stage.blob("b/none")];
    blobs[0].uri = format!("{}/b/foreign", foreign.url);
    blobs[2].uri = "audit/1".to_owned();
    let outcomes = stage.fetch(blobs).await.unwrap();
    assert!(outcomes[0].reason().contains(&foreign.url), "{outcomes:?}");
    assert_eq!(outcomes[1], Outcome::complete(&["1"]));
    assert!(outcomes[2].reason().contains("no absolute URL"), "{outcomes:?}");
    assert_eq!((foreign.count(), stage.api.count()), (0, 1));
}

#[tokio::test]
async fn a_refused_token_is_renewed_once_for_all() {
    let mut stage = Stage::feed([]).await;
    stage.login.answers([Reply::token("fresh")]);
    let blobs: Vec<Blob> = (0..8).map(|index| stage.blob(&format!("b/{index}"))).collect();
    for index in 0..8 {
        stage.api.answers_to(&format!("b/{index}"), [Reply::error(401, "", ""), Reply::body("[1]")]);
    }
    let outcomes = stage.fetch(blobs).await.unwrap();
    assert!(outcomes.iter().all(|outcome| *outcome == Outcome::complete(&["1"])));
    // Those that came after the new token was there were refused with it, and nobody logs in for a second time for them.
    assert_eq!(stage.login.count(), 2);
    let last = stage.api.seen().pop().unwrap();
    assert_eq!(last.header("authorization"), Some("Bearer fresh"));
}

#[tokio::test]
async fn a_refusal_that_is_not_the_blobs_matter_ends_the_fetch() {
    let table = [
        (Reply::error(401, "", ""), "[102] ", "ActivityFeed.Read"),
        (Reply::error(403, "AF10001", "no"), "[102] ", "ActivityFeed.Read"),
        (Reply::error(400, "AF20011", "no"), "[102] ", "turn on auditing"),
    ];
    for (reply, begin, words) in table {
        let mut stage = Stage::feed([]).await;
        stage.login.answers([Reply::token("fresh")]);
        stage.api.answers_to("b/x", [reply]);
        match stage.fetch(vec![stage.blob("b/x")]).await.unwrap_err() {
            SourceError::Fatal(error) => {
                let text = error.to_string();
                assert!(text.starts_with(begin) && text.contains(words), "{text}");
                assert!(!text.contains("Publisher"), "{text}");
            }
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn a_redirect_or_a_refusal_of_one_blob_alone_is_its_own_matter() {
    let mut stage = Stage::feed([]).await;
    stage.login.answers([Reply::token("fresh")]);
    stage.api.answers_to("b/good", [Reply::body("[1]")]);
    stage.api.answers_to("b/moved", [Reply::new(302, &[("location", "https://x.example")], "")]);
    stage.api.answers_to("b/refused", [Reply::error(401, "", "")]);
    let good = vec![stage.blob("b/good")];
    assert_eq!(stage.fetch(good).await.unwrap(), [Outcome::complete(&["1"])]);
    let odd = vec![stage.blob("b/moved"), stage.blob("b/refused")];
    let outcomes = stage.fetch(odd).await.unwrap();
    assert!(
        outcomes[0].reason().starts_with("302") && outcomes[1].reason().starts_with("401"),
        "{outcomes:?}"
    );
}

#[tokio::test]
async fn however_many_blobs_fail_the_others_are_had() {
    let mut stage = Stage::feed([]).await;
    stage.api.answers_to("good", [Reply::body("[1]")]);
    stage.api.answers_to("bad", [Reply::error(500, "AF50000", "An internal error occurred.")]);
    let blobs: Vec<Blob> = (0..60)
        .map(|index| stage.blob(&format!("b/{}/{index}", if index % 30 == 29 { "good" } else { "bad" })))
        .collect();
    let outcomes = stage.fetch(blobs).await.unwrap();
    let complete = outcomes.iter().filter(|outcome| outcome.end == Some(BlobEnd::Complete)).count();
    let failed: Vec<_> = outcomes.iter().filter(|outcome| outcome.end != Some(BlobEnd::Complete)).collect();
    assert!(failed.iter().all(|outcome| outcome.reason().contains("AF50000")));
    assert_eq!((complete, failed.len()), (2, 58));
}

#[tokio::test]
async fn a_missing_permission_is_told_whatever_its_status() {
    for status in [400, 401, 403, 404] {
        let mut stage = Stage::feed([]).await;
        stage.login.answers([Reply::token("fresh"), Reply::token("granted")]);
        stage
            .api
            .answers_to("b/x", [Reply::error(status, "AF10001", "The permission set () is not enough.")]);
        match stage.fetch(vec![stage.blob("b/x")]).await.unwrap_err() {
            SourceError::Fatal(error) => {
                assert!(
                    error.message.contains("grant the application permission ActivityFeed.Read"),
                    "{error}"
                );
            }
            other => panic!("{other:?}"),
        }
        let logins = stage.login.count();
        stage.prepare(confirmed()).await.unwrap();
        assert_eq!(stage.login.count(), logins + 1, "a grant is part of a later token only: {status}");
    }
}

#[tokio::test]
async fn one_forbidden_blob_holds_up_no_other_and_costs_no_login() {
    let mut stage = Stage::feed([]).await;
    stage.api.answers_to("b/bad", [Reply::error(403, "Forbidden", "Blocked.")]);
    stage.api.answers_to("b/good", [Reply::body("[1]")]);
    let mut blobs = vec![stage.blob("b/bad")];
    blobs.extend((0..20).map(|index| stage.blob(&format!("b/good/{index}"))));
    let outcomes = stage.fetch(blobs).await.unwrap();
    assert!(outcomes[0].reason().starts_with("403 Forbidden: Blocked."), "{outcomes:?}");
    assert!(outcomes[1..].iter().all(|outcome| *outcome == Outcome::complete(&["1"])));
    assert_eq!((stage.api.count(), stage.login.count()), (21, 1));
}

#[tokio::test]
async fn a_failure_that_says_when_to_come_back_is_not_repeated_before() {
    let failure = |wish| Reply::new(500, &[("retry-after", wish)], "");
    let mut soon = impatient(|tuning| tuning.retry_cap = Duration::from_secs(30)).await;
    soon.api.answers([failure("1"), Reply::body("[1]")]);
    let begin = Instant::now();
    assert_eq!(soon.fetch(vec![soon.blob("b/x")]).await.unwrap(), [Outcome::complete(&["1"])]);
    assert!(begin.elapsed() >= Duration::from_secs(1), "{:?}", begin.elapsed());

    for (wish, longest) in [("59", 30), ("60", 300), ("3600", 30)] {
        let mut late = impatient(|tuning| tuning.retry_cap = Duration::from_secs(longest)).await;
        late.api.answers([failure(wish)]);
        let outcomes = late.fetch(vec![late.blob("b/x")]).await.unwrap();
        assert!(outcomes[0].reason().starts_with("500"), "{outcomes:?}");
        assert_eq!(late.api.count(), 1, "the retry queue waits better");
    }
}

#[tokio::test]
async fn what_follows_the_array_and_what_lacks_of_its_compression_is_a_failure() {
    let compressed = gzip(format!("[{}0]", "1,".repeat(500_000)).as_bytes());
    let half = &compressed[..compressed.len() - 20];
    let table = [
        (Reply::body("[1,2]<html>"), "something follows the array at byte 5"),
        (Reply::body("[1,2][3]"), "something follows the array at byte 5"),
        (Reply::body("[]{}"), "something follows the array at byte 2"),
        (Reply::new(200, &[("content-encoding", "gzip")], half), "the body broke off"),
        (Reply::new(200, &[("content-encoding", "gzip")], "[1,2]"), "the body broke off"),
        (Reply::body("[1,,2]"), "not JSON in the record that begins at byte 3"),
        (Reply::body("[1,2,]"), "the array ends early at byte 6"),
        (Reply::body("[1 2]"), "neither , nor ] after a record at byte 3"),
    ];
    for (reply, words) in table {
        let mut stage = Stage::feed([reply.clone(), reply]).await;
        let outcomes = stage.fetch(vec![stage.blob("b/x")]).await.unwrap();
        assert!(outcomes[0].reason().contains(words), "{:?} should say {words}", outcomes[0].end);
    }
}

#[tokio::test]
async fn the_publisher_is_added_once_and_the_rest_of_a_link_stays_as_it_is() {
    let table = [
        ("a$1$Audit_X", "a$1$Audit_X?PublisherIdentifier=contoso"),
        ("a?x=1%2B2&y", "a?x=1%2B2&y&PublisherIdentifier=contoso"),
        ("a?publisheridentifier=other", "a?publisheridentifier=other"),
        ("a?", "a?PublisherIdentifier=contoso"),
        ("a#part", "a?PublisherIdentifier=contoso"),
    ];
    for (path, asked) in table {
        let mut stage = Stage::feed([Reply::body("[1]")]).await;
        stage.fetch(vec![stage.blob(path)]).await.unwrap();
        assert_eq!(stage.api.seen()[0].line(), format!("GET /{asked} HTTP/1.1"));
    }
}
