//! Scripts: which request meets which mishap.
//!
//! A rule says for whom it is meant (a collection, a feed, the login; first or next page; which blobs and which of their
//! fetches; when), for which of the matching requests (every, the n-th, the first n), and what happens. Each rule
//! counts the requests that match it; of the rules that are due the first one in the script strikes. Nothing here is
//! chance.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::cloud_apps::CloudAppsList;
use super::defender::{DefenderCall, DefenderList, DefenderRelation};
use super::endpoint::Family;
use super::fault::Fault;
use super::feed::{ContentType, FeedCall};
use super::log::{Addressee, PageKind, RequestSeen};
use crate::occurrence::Occurrence;

/// Which requests a rule is meant for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    /// Everything, the login too.
    Anything,
    /// Any of the collections.
    AnyGraph,
    /// Any of the collections of one family.
    Family(Family),
    /// Any call to the feeds.
    AnyFeed,
    /// Listings of any feed.
    AnyListing,
    /// Blobs of any feed.
    AnyBlob,
    /// Whatever is about that feed: start, stop, listings, blobs.
    ContentType(ContentType),
    /// Any call to Defender for Endpoint.
    AnyDefender,
    /// Any call to Defender for Cloud Apps.
    AnyCloudApps,
    /// That addressee alone.
    Only(Addressee),
}

impl Target {
    fn includes(self, addressee: Addressee) -> bool {
        let call = if let Addressee::Feed(call) = addressee { Some(call) } else { None };
        match self {
            Self::Anything => true,
            Self::AnyGraph => matches!(addressee, Addressee::Graph(_)),
            Self::Family(family) => {
                matches!(addressee, Addressee::Graph(endpoint) if endpoint.family() == family)
            }
            Self::AnyFeed => call.is_some(),
            Self::AnyDefender => matches!(addressee, Addressee::Defender(_)),
            Self::AnyCloudApps => matches!(addressee, Addressee::CloudApps(_)),
            Self::AnyListing => matches!(call, Some(FeedCall::Listing(_))),
            Self::AnyBlob => matches!(call, Some(FeedCall::Blob(_))),
            Self::ContentType(content_type) => call.and_then(FeedCall::content_type) == Some(content_type),
            Self::Only(only) => only == addressee,
        }
    }
}

/// Which blobs, and which of their fetches. The default is all of them.
#[derive(Debug, Clone, Default)]
struct Content {
    content_id: Option<String>,
    share: Option<u64>,
    fetches: Option<Occurrence>,
}

impl Content {
    fn includes(&self, request: &RequestSeen) -> bool {
        if self.content_id.is_none() && self.share.is_none() && self.fetches.is_none() {
            return true;
        }
        request.blob.as_ref().is_some_and(|blob| {
            self.content_id.as_ref().is_none_or(|content_id| *content_id == *blob.content_id)
                && self.share.is_none_or(|share| blob.number.is_multiple_of(share))
                && self.fetches.is_none_or(|fetches| fetches.includes(blob.fetch))
        })
    }
}

/// One line of a script.
#[derive(Debug, Clone)]
pub struct Rule {
    target: Target,
    page: Option<PageKind>,
    content: Content,
    interval: Option<(Timestamp, Timestamp)>,
    lasts: Option<Duration>,
    occurrence: Occurrence,
    fault: Fault,
}

impl Rule {
    /// A rule that strikes every request to `target`.
    pub fn on(target: Target, fault: Fault) -> Self {
        Self {
            target,
            page: None,
            content: Content::default(),
            interval: None,
            lasts: None,
            occurrence: Occurrence::Every,
            fault,
        }
    }

    /// A rule that strikes every request to that endpoint.
    pub fn on_endpoint(endpoint: super::Endpoint, fault: Fault) -> Self {
        Self::on(Target::Only(Addressee::Graph(endpoint)), fault)
    }

    /// A rule that strikes every login.
    pub fn on_login(fault: Fault) -> Self {
        Self::on(Target::Only(Addressee::Login), fault)
    }

    /// A rule that strikes every list of subscriptions.
    pub fn on_subscriptions(fault: Fault) -> Self {
        Self::on(Target::Only(Addressee::Feed(FeedCall::Subscriptions)), fault)
    }

    /// A rule that strikes every start of that subscription.
    pub fn on_start(content_type: ContentType, fault: Fault) -> Self {
        Self::on(Target::Only(Addressee::Feed(FeedCall::Start(content_type))), fault)
    }

    /// A rule that strikes every listing page of that feed.
    pub fn on_listing(content_type: ContentType, fault: Fault) -> Self {
        Self::on(Target::Only(Addressee::Feed(FeedCall::Listing(content_type))), fault)
    }

    /// A rule that strikes every fetch of a blob of that feed.
    pub fn on_blobs(content_type: ContentType, fault: Fault) -> Self {
        Self::on(Target::Only(Addressee::Feed(FeedCall::Blob(content_type))), fault)
    }

    /// A rule that strikes whatever is about that feed.
    pub fn on_content_type(content_type: ContentType, fault: Fault) -> Self {
        Self::on(Target::ContentType(content_type), fault)
    }

    /// A rule that strikes every page of that list of Defender for Endpoint.
    pub fn on_defender(list: DefenderList, fault: Fault) -> Self {
        Self::on(Target::Only(Addressee::Defender(DefenderCall::List(list))), fault)
    }

    /// A rule that strikes every request for what belongs to a record, by that relation.
    pub fn on_related(relation: DefenderRelation, fault: Fault) -> Self {
        Self::on(Target::Only(Addressee::Defender(DefenderCall::Related(relation))), fault)
    }

    /// A rule that strikes every query to advanced hunting.
    pub fn on_hunting(fault: Fault) -> Self {
        Self::on(Target::Only(Addressee::Defender(DefenderCall::Hunting)), fault)
    }

    /// A rule that strikes every page of that list of Defender for Cloud Apps.
    pub fn on_cloud_apps(list: CloudAppsList, fault: Fault) -> Self {
        Self::on(Target::Only(Addressee::CloudApps(list)), fault)
    }

    /// Limits it to first or next pages.
    pub fn page(mut self, page: PageKind) -> Self {
        self.page = Some(page);
        self
    }

    /// Limits it to that blob.
    pub fn content(mut self, content_id: &str) -> Self {
        self.content.content_id = Some(content_id.to_owned());
        self
    }

    /// Limits it to blobs whose number, in order of emission to their feed and from 1, is a multiple of `share`.
    pub fn every_nth_blob(mut self, share: u64) -> Self {
        self.content.share = Some(share.max(1));
        self
    }

    /// Limits it to the n-th fetch of each blob, counted from 1.
    pub fn fetch(mut self, nth: u64) -> Self {
        self.content.fetches = Some(Occurrence::Nth(nth));
        self
    }

    /// Limits it to the first n fetches of each blob.
    pub fn fetches_up_to(mut self, count: u64) -> Self {
        self.content.fetches = Some(Occurrence::First(count));
        self
    }

    /// Limits it to requests from `from` on and before `to`, by the tenant's clock.
    pub fn between(mut self, from: Timestamp, to: Timestamp) -> Self {
        self.interval = Some((from, to));
        self
    }

    /// Limits it to that long from the first request on that it strikes, by the tenant's clock.
    pub fn during(mut self, lasts: Duration) -> Self {
        self.lasts = Some(lasts);
        self
    }

    /// Limits it to the n-th matching request, counted from 1.
    pub fn nth(mut self, nth: u64) -> Self {
        self.occurrence = Occurrence::Nth(nth);
        self
    }

    /// Limits it to the first n matching requests.
    pub fn first(mut self, count: u64) -> Self {
        self.occurrence = Occurrence::First(count);
        self
    }

    fn meant_for(&self, request: &RequestSeen) -> bool {
        self.target.includes(request.addressee)
            && self.page.is_none_or(|page| page == request.page)
            && self.content.includes(request)
            && self.interval.is_none_or(|(from, to)| (from..to).contains(&request.received_at))
    }
}

/// How often a rule of the script was met.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RuleTally {
    /// Requests that it is meant for.
    pub matched: u64,
    /// Those of them that it struck.
    pub struck: u64,
}

/// A script and how far it has come.
#[derive(Debug, Default)]
pub(crate) struct Script {
    lines: Vec<Line>,
}

#[derive(Debug)]
struct Line {
    rule: Rule,
    tally: RuleTally,
    began_at: Option<Timestamp>,
}

impl Script {
    /// A script at its beginning.
    pub(crate) fn new(rules: Vec<Rule>) -> Self {
        let lines = rules
            .into_iter()
            .map(|rule| Line { rule, tally: RuleTally::default(), began_at: None })
            .collect();
        Self { lines }
    }

    /// What happens to this request; counts it.
    pub(crate) fn strike(&mut self, request: &RequestSeen) -> Option<Fault> {
        let mut struck = None;
        for line in self.lines.iter_mut().filter(|line| line.rule.meant_for(request)) {
            line.tally.matched += 1;
            if struck.is_none() && line.is_due(request.received_at) {
                line.tally.struck += 1;
                line.began_at.get_or_insert(request.received_at);
                struck = Some(line.rule.fault.clone());
            }
        }
        struck
    }

    /// How often each rule was met, in the order of the script.
    pub(crate) fn tallies(&self) -> Vec<RuleTally> {
        self.lines.iter().map(|line| line.tally).collect()
    }
}

impl Line {
    fn is_due(&self, now: Timestamp) -> bool {
        let is_over = match (self.rule.lasts, self.began_at) {
            (Some(lasts), Some(began_at)) => {
                let lasts = SignedDuration::try_from(lasts).unwrap_or(SignedDuration::MAX);
                now.duration_since(began_at) >= lasts
            }
            _ => false,
        };
        !is_over && self.rule.occurrence.includes(self.tally.matched)
    }
}
