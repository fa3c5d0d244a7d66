//! Counts of what belongs to a record.

use collector::ports::{Related, RelatedRequest, Source as _, SourceError};
use collector::service::{Enrichment, Query, Service};
use collector::settings::Setting;
use jiff::SignedDuration;

use crate::support::{Reply, Stage, fast, template};

static MACHINES: Service = Service {
    name: "machines",
    query: Query::Snapshot { path: "/api/machines", page_size: Some(4000) },
    permission: "Machine.Read.All",
    ..template()
};

static USERS: Enrichment = Enrichment {
    switch: Setting::named("request_machine_logon_users"),
    member: "related_logon_users",
    path: "/api/machines/{id}/logonusers",
    permission: "User.Read.All",
};

async fn count(stage: &mut Stage, id: &str) -> Result<Related, SourceError> {
    let deadline = stage.deadline(60_000);
    stage.source.related(&RelatedRequest { enrichment: &USERS, id: id.to_owned(), deadline }).await
}

async fn counted(replies: impl IntoIterator<Item = Reply>) -> Result<Related, SourceError> {
    count(&mut Stage::of(&MACHINES, replies).await, "m1").await
}

#[tokio::test]
async fn an_id_is_one_segment_of_the_path_whatever_it_holds() {
    let table = [
        ("microsoft-_-edge", "microsoft-_-edge"),
        ("va-_-a b/c#d?e", "va-_-a%20b%2Fc%23d%3Fe"),
        (r"contoso\user1", "contoso%5Cuser1"),
        ("50%", "50%25"),
    ];
    let mut stage = Stage::of(&MACHINES, std::iter::repeat_n(Reply::page(&["1"], None), 4)).await;
    for (index, (id, segment)) in table.into_iter().enumerate() {
        assert_eq!(count(&mut stage, id).await, Ok(Related::Count(1)), "{id}");
        let expected = format!("GET /api/machines/{segment}/logonusers HTTP/1.1");
        assert_eq!(stage.api.seen()[index].line(), expected);
    }
    for id in ["", ".", ".."] {
        assert!(matches!(count(&mut stage, id).await, Ok(Related::Refused(_))), "{id}");
    }
    assert_eq!((stage.api.count(), stage.source.stats().requests), (4, 4));
}

#[tokio::test]
async fn all_pages_of_a_list_are_counted_and_one_object_is_one() {
    let link = "https://elsewhere.example/api/machines/m1/logonusers?$skip=2";
    let mut stage =
        Stage::of(&MACHINES, [Reply::page(&["1", "{}"], Some(link)), Reply::page(&["3"], None)]).await;
    assert_eq!(count(&mut stage, "m1").await, Ok(Related::Count(3)));
    assert!(stage.api.seen()[1].line().starts_with("GET /api/machines/m1/logonusers?$skip=2 "));
    let table = [
        (Reply::body(r#"{"id":"contoso\\user1","accountName":"user1"}"#), 1),
        (Reply::body("{}"), 0),
        (Reply::body("null"), 0),
        (Reply::body(""), 0),
        (Reply::new(204, &[], ""), 0),
        (Reply::error(404, "ResourceNotFound", "none"), 0),
    ];
    for (reply, rows) in table {
        assert_eq!(counted([reply.clone()]).await, Ok(Related::Count(rows)), "{reply:?}");
    }
}

#[tokio::test]
async fn a_circle_of_links_is_an_error() {
    let link = "https://elsewhere.example/api/machines/m1/logonusers?$skip=2";
    let page = Reply::page(&["1"], Some(link));
    let error = counted([page.clone(), page]).await.unwrap_err();
    assert!(matches!(&error, SourceError::Fatal(error) if error.code == 300), "{error:?}");
}

#[tokio::test]
async fn a_missing_permission_is_named_and_so_is_admin_consent() {
    let mut stage = Stage::of(&MACHINES, []).await;
    stage.login.answers([Reply::token("new"), Reply::token("newer")]);
    let refused = |status| Reply::error(status, "Forbidden", "no");
    stage.api.answers([refused(403), refused(401), refused(401)]);
    for _ in 0..2 {
        match count(&mut stage, "m1").await.unwrap() {
            Related::NotPermitted(words) => {
                let end = "grant the application permission User.Read.All and give admin consent";
                assert!(words.ends_with(end) && words.contains("Forbidden: no (request id r-1)"), "{words}");
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!((stage.api.count(), stage.login.count()), (3, 3));
}

#[tokio::test]
async fn another_refusal_is_one_of_this_record_in_the_apis_words() {
    for status in [400, 409, 410] {
        match counted([Reply::error(status, "InvalidInput", "no such form")]).await.unwrap() {
            Related::Refused(words) => {
                assert!(words.contains("InvalidInput: no such form"), "{words}");
                assert!(
                    words.contains("/api/machines/{id}/logonusers refused"),
                    "the id may be a masked one: {words}"
                );
            }
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn what_may_pass_is_tried_again_and_then_an_error() {
    let stumbles = [
        (Reply::error(500, "", ""), 498),
        (Reply::error(429, "TooManyRequests", ""), 429),
        (Reply::body("INVALID RESPONSE"), 300),
        (Reply::body("<html>gateway</html>"), 300),
        (Reply::hang_up(), 498),
    ];
    for (stumble, code) in stumbles {
        let passing = [stumble.clone(), Reply::page(&["1"], None)];
        assert_eq!(counted(passing).await, Ok(Related::Count(1)), "{stumble:?}");
        let mut stage = Stage::of(&MACHINES, std::iter::repeat_n(stumble.clone(), 4)).await;
        let error = count(&mut stage, "m1").await.unwrap_err();
        assert!(matches!(&error, SourceError::Fatal(error) if error.code == code), "{error:?}");
        assert_eq!((stage.api.count(), stage.source.stats().requests), (4, 4), "{stumble:?}");
    }
}

#[tokio::test]
async fn the_source_says_when_the_next_request_can_be_sent_without_sending_it() {
    let mut stage = Stage::with(fast(), |settings| {
        settings.service = &MACHINES;
        settings.rate.requests = 1;
        settings.rate.per = SignedDuration::from_mins(30);
    })
    .await;
    stage.login.answers([Reply::token("t0ken")]);
    stage.api.answers([Reply::page(&["1"], None)]);
    assert_eq!(stage.source.waits_until(), None);
    count(&mut stage, "m1").await.unwrap();
    let until = stage.source.waits_until().unwrap();
    assert!(until > stage.deadline(1_700_000) && until < stage.deadline(1_900_000), "{until}");
    match count(&mut stage, "m1").await.unwrap_err() {
        SourceError::Throttled { until } => assert!(until > stage.deadline(1_700_000), "{until}"),
        other => panic!("{other:?}"),
    }
    assert_eq!(stage.api.count(), 1);
}
