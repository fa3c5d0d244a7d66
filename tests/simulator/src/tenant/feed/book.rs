//! What a tenant knows of its feeds: subscriptions, blobs, the order they are listed in, next pages.
//!
//! A listing is in order of availability: a blob has a place at the instant it can first be seen, which is that of its
//! creation or later. A blob may have several places; then it is listed several times.

use std::collections::{BTreeMap, HashMap};
use std::ops::Bound;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

use super::blob::{Blob, Content, digits};
use super::config::{FeedConfig, LagCode, LagLength, Subscription, SubscriptionLag};
use super::{ContentType, FeedError};
use crate::tenant::store::Visibility;

/// Starting a subscription again within this time is a violation.
const BETWEEN_STARTS: SignedDuration = SignedDuration::from_mins(15);

/// A place in a listing: when it can first be seen, and a number that no other place has.
pub(super) type Place = (Timestamp, u64);

/// Instants of creation, the second one excluded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Window {
    pub(super) start: Timestamp,
    pub(super) end: Timestamp,
}

/// Where a next page begins.
#[derive(Debug, Clone, Copy)]
pub(super) struct Link {
    pub(super) content_type: ContentType,
    pub(super) window: Window,
    pub(super) behind: Option<Place>,
    given_at: Timestamp,
}

struct Listed {
    blob: Arc<Blob>,
    visible_from: Option<Timestamp>,
    visible_after_listing: u64,
}

struct Feed {
    subscription: Subscription,
    enabled_at: Timestamp,
    asked_to_start_at: Option<Timestamp>,
    lagging_listings: u64,
    blobs: Vec<Arc<Blob>>,
    listed: BTreeMap<Place, Listed>,
}

/// Everything of all feeds.
pub(in crate::tenant) struct FeedBook {
    feeds: BTreeMap<ContentType, Feed>,
    blobs: HashMap<Arc<str>, Arc<Blob>>,
    links: HashMap<String, Link>,
    lag: Option<SubscriptionLag>,
    content_lifetime: SignedDuration,
    places: u64,
    links_given: u64,
}

impl FeedBook {
    /// A book at its beginning.
    pub(in crate::tenant) fn new(config: &FeedConfig, now: Timestamp) -> Self {
        let feed = |content_type| {
            let feed = Feed {
                subscription: config.subscriptions,
                enabled_at: now,
                asked_to_start_at: None,
                lagging_listings: 0,
                blobs: Vec::new(),
                listed: BTreeMap::new(),
            };
            (content_type, feed)
        };
        Self {
            feeds: ContentType::ALL.into_iter().map(feed).collect(),
            blobs: HashMap::new(),
            links: HashMap::new(),
            lag: config.subscription_lag,
            content_lifetime: config.content_lifetime,
            places: 0,
            links_given: 0,
        }
    }

    /// Takes a blob; gives its id. `listings` is how many its feed has answered so far.
    pub(super) fn emit(
        &mut self,
        content_type: ContentType,
        created: Timestamp,
        content: Content,
        visibility: Visibility,
        listings: u64,
    ) -> Arc<str> {
        self.places += 1;
        let Some(feed) = self.feeds.get_mut(&content_type) else {
            return Arc::default();
        };
        let number = feed.blobs.len() as u64 + 1;
        let blob = Blob::new(content_type, number, self.places, created, self.content_lifetime, content);
        let blob = Arc::new(blob);
        let visible_from = if let Visibility::From(instant) = visibility { Some(instant) } else { None };
        let visible_after_listing =
            if let Visibility::AfterRequests(count) = visibility { listings + count } else { 0 };
        let place = (visible_from.unwrap_or(blob.created).max(blob.created), self.places);
        feed.listed.insert(place, Listed { blob: Arc::clone(&blob), visible_from, visible_after_listing });
        feed.blobs.push(Arc::clone(&blob));
        let content_id = Arc::clone(&blob.content_id);
        self.blobs.insert(Arc::clone(&content_id), blob);
        content_id
    }

    /// Lists a blob once more, from that instant on.
    pub(super) fn list_again(&mut self, blob: Arc<Blob>, at: Timestamp) {
        self.places += 1;
        if let Some(feed) = self.feeds.get_mut(&blob.content_type) {
            let place = (at.max(blob.created), self.places);
            feed.listed.insert(place, Listed { blob, visible_from: Some(at), visible_after_listing: 0 });
        }
    }

    pub(super) fn blob(&self, content_id: &str) -> Option<Arc<Blob>> {
        self.blobs.get(content_id).cloned()
    }

    /// All blobs, feed by feed, in order of emission.
    pub(super) fn blobs(&self) -> impl Iterator<Item = &Arc<Blob>> {
        self.feeds.values().flat_map(|feed| &feed.blobs)
    }

    pub(super) fn subscription(&self, content_type: ContentType) -> Subscription {
        self.feeds.get(&content_type).map_or(Subscription::Missing, |feed| feed.subscription)
    }

    pub(super) fn set_subscription(
        &mut self,
        content_type: ContentType,
        subscription: Subscription,
        now: Timestamp,
    ) {
        if let Some(feed) = self.feeds.get_mut(&content_type) {
            (feed.subscription, feed.enabled_at, feed.lagging_listings) = (subscription, now, 0);
        }
    }

    pub(super) fn set_lag(&mut self, lag: Option<SubscriptionLag>, now: Timestamp) {
        self.lag = lag;
        for feed in self.feeds.values_mut() {
            (feed.enabled_at, feed.lagging_listings) = (now, 0);
        }
    }

    /// Notes that somebody asks to start a subscription; whether it is too soon after the last time.
    pub(super) fn is_start_too_soon(&mut self, content_type: ContentType, now: Timestamp) -> bool {
        let Some(feed) = self.feeds.get_mut(&content_type) else {
            return false;
        };
        let before = feed.asked_to_start_at.replace(now);
        before.is_some_and(|before| now.duration_since(before) < BETWEEN_STARTS)
    }

    /// Whether listings of the feed are answered now; counts one that is not because the subscription lags.
    pub(super) fn admit_listing(
        &mut self,
        content_type: ContentType,
        now: Timestamp,
    ) -> Result<(), FeedError> {
        let Some(feed) = self.feeds.get_mut(&content_type) else {
            return Err(FeedError::NoSubscription);
        };
        match feed.subscription {
            Subscription::Missing => return Err(FeedError::NoSubscription),
            Subscription::Disabled => return Err(FeedError::SubscriptionDisabled),
            Subscription::Enabled => {}
        }
        let Some(lag) = self.lag else {
            return Ok(());
        };
        let lags = match lag.lasts {
            LagLength::Until(instant) => now < instant,
            LagLength::For(length) => now.duration_since(feed.enabled_at) < length,
            LagLength::Listings(count) => feed.lagging_listings < count,
        };
        if !lags {
            return Ok(());
        }
        feed.lagging_listings += 1;
        Err(match lag.code {
            LagCode::NoSubscription => FeedError::NoSubscription,
            LagCode::Disabled => FeedError::SubscriptionDisabled,
        })
    }

    /// Up to `count` blobs of the window behind a place, each with its own. `listing` is the number of this listing.
    pub(super) fn page(
        &self,
        link: &Link,
        count: usize,
        now: Timestamp,
        listing: u64,
    ) -> Vec<(Place, Arc<Blob>)> {
        let from = link.behind.map_or(Bound::Unbounded, Bound::Excluded);
        let listed =
            self.feeds.get(&link.content_type).map(|feed| feed.listed.range((from, Bound::Unbounded)));
        listed
            .into_iter()
            .flatten()
            .filter(|(_, one)| (link.window.start..link.window.end).contains(&one.blob.created))
            .filter(|(_, one)| {
                one.visible_from.is_none_or(|instant| instant <= now) && listing > one.visible_after_listing
            })
            .take(count)
            .map(|(place, one)| (*place, Arc::clone(&one.blob)))
            .collect()
    }

    /// The beginning of a listing.
    pub(super) fn beginning(content_type: ContentType, window: Window, now: Timestamp) -> Link {
        Link { content_type, window, behind: None, given_at: now }
    }

    /// A token for a place in a listing.
    pub(super) fn give_link(&mut self, link: Link, behind: Option<Place>, now: Timestamp) -> String {
        self.links_given += 1;
        let at = behind.map_or(link.window.start, |(instant, _)| instant);
        let nanoseconds = u64::try_from(at.subsec_nanosecond()).unwrap_or_default();
        let token = format!("{}${}$na0030", digits(at, nanoseconds), digits(now, self.links_given));
        self.links.insert(token.clone(), Link { behind, given_at: now, ..link });
        token
    }

    /// The place of a token, if it is good for this feed now.
    pub(super) fn link(
        &self,
        token: &str,
        content_type: ContentType,
        lifetime: Option<SignedDuration>,
        now: Timestamp,
    ) -> Option<Link> {
        let link = self.links.get(token)?;
        let is_alive = lifetime.is_none_or(|longest| now.duration_since(link.given_at) <= longest);
        (is_alive && link.content_type == content_type).then_some(*link)
    }

    /// Makes all tokens given so far invalid.
    pub(in crate::tenant) fn expire_links(&mut self) {
        self.links.clear();
    }
}
