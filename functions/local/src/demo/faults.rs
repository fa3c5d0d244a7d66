//! What goes wrong: a script, the same each time.
//!
//! Some content cannot be had at first even in fair weather: that is what the retry service is for, and a demo without
//! it would show nothing of it. Everything else, with `--faults`, can happen in a bad hour of an ordinary day. The
//! receiver's faults strike before a complete event came through, because what arrives over a connection that breaks
//! later is sent again: at least once is all that this protocol can promise. A receiver that reads everything, forgets
//! it and says goodbye politely is not among them: over this protocol nobody can tell it from a good one.

use simulator::receiver::{ConnectionFault, Occurrence};
use simulator::tenant::{
    CloudAppsList, ContentType, DefenderList, DefenderRelation, Endpoint, Fault, FeedError, HuntingError,
    LagCode, LagLength, PageKind, Quotes, RetryAfter, Rule, SubscriptionLag, ThrottledAs,
};

use super::lists::List;
use super::reads::Reads;
use super::world::World;

/// Every so many blobs of a feed, one is not there when it is fetched first.
const NOT_THERE_AT_FIRST: u64 = 25;

/// Every so many blobs of a feed, one is cut short twice, behind some records that come again later.
const CUT_SHORT: (u64, usize) = (30, 3_000);

/// How much goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Weather {
    /// Some content is not there at first.
    Fair,
    /// Whatever a bad hour brings.
    Bad,
}

/// Hands the script to the tenant and the receiver.
pub fn script(world: &World, weather: Weather) {
    let (mut rules, attempts_in_vain) = match weather {
        Weather::Fair => (Vec::new(), 1),
        Weather::Bad => (vec![Rule::on_login(Fault::status(503)).nth(1)], 3),
    };
    for (_, reads) in &world.services {
        match (weather, reads) {
            (Weather::Bad, Reads::Collection(endpoint) | Reads::Days(endpoint)) => {
                rules.extend(on_collection(*endpoint))
            }
            (Weather::Bad, Reads::Feed(feed)) => rules.extend(on_feed(*feed)),
            (Weather::Bad, Reads::List(List::CloudApps(list))) => rules.extend(on_cloud_apps(*list)),
            (Weather::Bad, Reads::List(List::Endpoint(list))) => {
                rules.extend(on_list(*list));
                let relations = DefenderRelation::ALL.into_iter().filter(|of| of.list() == *list);
                rules.extend(relations.flat_map(on_counts));
            }
            (Weather::Bad, Reads::Table(_)) => rules.extend(on_hunting()),
            (Weather::Fair, _) | (_, Reads::Queue) => {}
        }
        if let Reads::Feed(feed) = reads {
            let not_there = Rule::on_blobs(*feed, Fault::Feed(FeedError::ContentUnknown));
            rules.push(not_there.every_nth_blob(NOT_THERE_AT_FIRST).fetches_up_to(attempts_in_vain));
        }
    }
    world.tenant.script(rules);
    if weather == Weather::Bad {
        let lag = SubscriptionLag { code: LagCode::Disabled, lasts: LagLength::Listings(2) };
        world.tenant.set_subscription_lag(Some(lag));
        world.receiver.script(vec![
            (Occurrence::Nth(2), ConnectionFault::RefuseCertificate),
            (Occurrence::Nth(4), ConnectionFault::ResetAfter { bytes: 0 }),
            (Occurrence::Nth(7), ConnectionFault::ResetAfter { bytes: 20 }),
        ]);
    }
}

fn on_collection(endpoint: Endpoint) -> Vec<Rule> {
    let on = |nth, fault| Rule::on_endpoint(endpoint, fault).nth(nth);
    vec![
        on(2, Fault::TooManyRequests(RetryAfter::Seconds(1))),
        on(4, Fault::DuplicateRecords),
        on(5, Fault::status(500)),
        on(7, Fault::Truncate { at: 300 }),
        on(9, Fault::ShuffleOrder),
        on(10, Fault::Reset),
        on(12, Fault::TokenRevoked),
        on(14, Fault::Html),
        Rule::on_endpoint(endpoint, Fault::ExpireLinks).page(PageKind::Next).nth(6),
    ]
}

/// A list gives no links that could expire, and rows of a page are counted: none comes twice in one.
fn on_list(list: DefenderList) -> Vec<Rule> {
    let on = |nth, fault| Rule::on_defender(list, fault).nth(nth);
    vec![
        on(2, Fault::TooManyRequests(RetryAfter::Seconds(1))),
        on(4, Fault::status(500)),
        on(6, Fault::Truncate { at: 300 }),
        on(8, Fault::Reset),
        on(10, Fault::TokenRevoked),
        on(12, Fault::Html),
        on(14, Fault::ShuffleOrder),
    ]
}

/// Waits are told, because a minute for each that is not would be a long demo. Scans alone have filters that lead on, and a
/// token of the portal is never given anew.
fn on_cloud_apps(list: CloudAppsList) -> Vec<Rule> {
    let on = |nth, fault| Rule::on_cloud_apps(list, fault).nth(nth);
    let mut rules = vec![
        on(2, Fault::TooManyRequests(RetryAfter::Seconds(1))),
        on(4, Fault::HtmlPage(502)),
        on(6, Fault::Truncate { at: 300 }),
        on(8, Fault::throttled(200, Some(1))),
        on(10, Fault::Reset),
        on(12, Fault::Html),
        on(14, Fault::GatewayTimeout),
        on(16, Fault::ShuffleOrder),
    ];
    match list {
        CloudAppsList::Activities => rules.extend([
            on(5, Fault::DuplicateRecords),
            on(7, Fault::TokenRevoked),
            Rule::on_cloud_apps(list, Fault::ExpireLinks).page(PageKind::Next).nth(2),
            Rule::on_cloud_apps(list, Fault::LoopNextLink).page(PageKind::Next).nth(4),
        ]),
        CloudAppsList::Alerts | CloudAppsList::Entities | CloudAppsList::Subnet => {
            rules.push(on(7, Fault::TokenRevoked));
        }
        CloudAppsList::Files => {}
    }
    rules
}

/// None of them fails three times in a row: such a count would be left out.
fn on_counts(relation: DefenderRelation) -> Vec<Rule> {
    let on = |nth, fault| Rule::on_related(relation, fault).nth(nth);
    vec![
        on(3, Fault::TooManyRequests(RetryAfter::Seconds(1))),
        on(20, Fault::status(503)),
        on(40, Fault::Truncate { at: 20 }),
        on(60, Fault::Reset),
        on(80, Fault::TokenRevoked),
        on(100, Fault::NotJson),
    ]
}

fn on_hunting() -> Vec<Rule> {
    let on = |nth, fault| Rule::on_hunting(fault).nth(nth);
    vec![
        on(1, Fault::Hunting(HuntingError::CallsPerMinute(RetryAfter::Seconds(1)))),
        on(2, Fault::Hunting(HuntingError::TooLarge)),
        on(5, Fault::status(504)),
        on(7, Fault::Truncate { at: 300 }),
        on(9, Fault::Hunting(HuntingError::Preempted)),
        on(11, Fault::TokenRevoked),
        on(13, Fault::ShuffleOrder),
        on(15, Fault::Html),
    ]
}

fn on_feed(feed: ContentType) -> Vec<Rule> {
    let throttled_as = |how| Fault::Feed(FeedError::Throttled(how));
    let on_listing = |nth, fault| Rule::on_listing(feed, fault).nth(nth);
    let on_blob = |nth, fault| Rule::on_blobs(feed, fault).nth(nth);
    vec![
        on_listing(2, throttled_as(ThrottledAs::TooManyRequests(RetryAfter::Seconds(1)))),
        on_listing(4, Fault::DuplicateRecords),
        on_listing(5, Fault::Feed(FeedError::Internal(Quotes::Single))),
        on_listing(7, Fault::Truncate { at: 300 }),
        on_listing(9, Fault::ShuffleOrder),
        on_listing(10, Fault::Html),
        Rule::on_listing(feed, Fault::ExpireLinks).page(PageKind::Next).nth(2),
        on_blob(3, throttled_as(ThrottledAs::Forbidden)),
        on_blob(9, Fault::Feed(FeedError::Internal(Quotes::Double))),
        on_blob(13, Fault::EndsEarly { at: 700 }),
        on_blob(17, Fault::Truncate { at: 700 }),
        on_blob(21, Fault::Html),
        on_blob(26, Fault::Reset),
        on_blob(31, Fault::TokenRevoked),
        on_blob(37, Fault::NotJson),
        on_blob(41, Fault::Feed(FeedError::ContentIdInvalid)),
        Rule::on_blobs(feed, Fault::EndsEarly { at: CUT_SHORT.1 })
            .every_nth_blob(CUT_SHORT.0)
            .fetches_up_to(2),
    ]
}
