//! One page of a listing: which blobs, in which order, and the way to the next page.

use std::sync::Arc;

use jiff::Timestamp;
use serde_json::json;

use super::answer::{Call, Refused};
use super::blob::Blob;
use super::book::{FeedBook, Link, Place};
use super::config::{NextPagePath, NextPageTimes};
use super::error::{FeedError, JSON};
use super::path::option;
use super::window::window_of;
use super::{ContentType, config::FeedConfig};
use crate::http::Answer;
use crate::sync::locked;
use crate::tenant::fault::Fault;
use crate::tenant::{Outcome, State};

/// Answers a listing.
pub(super) fn answer(state: &State, call: &Call<'_>) -> Result<Outcome, Refused> {
    let content_type = call.content_type()?;
    let link = link_of(state, call, content_type)?;
    let config = &state.config.feed;
    let mut book = locked(&state.feed);
    book.admit_listing(content_type, call.now).map_err(|error| call.refused(error))?;
    let page_size = config.page_size.max(1);
    let mut rows = book.page(&link, page_size + 1, call.now, call.seen.nth);
    let follows = rows.len() > page_size;
    rows.truncate(page_size);
    let next = next_link(&mut book, config, call, link, &rows, follows);
    drop(book);

    let entries = entries(call, rows.into_iter().map(|(_, blob)| blob).collect());
    let records = entries.len();
    let mut body = serde_json::Value::from(entries).to_string();
    if let Some(Fault::EndsEarly { at }) = call.fault {
        body.truncate(*at);
    }
    let mut answer = Answer::new(200, JSON, body);
    if let Some(next) = next {
        answer = answer.with_header(&config.next_page_header, next);
        answer.spelling = Some(config.next_page_header.clone());
    }
    Ok(Outcome { records, ..Outcome::of(answer) })
}

/// Where the page begins.
fn link_of(state: &State, call: &Call<'_>, content_type: ContentType) -> Result<Link, Refused> {
    if let Some(token) = option(&call.seen.query, "nextPage") {
        let lifetime = state.config.link_lifetime;
        let known = locked(&state.feed).link(token, content_type, lifetime, call.now);
        return known.ok_or_else(|| {
            let refused = call.refused(FeedError::NextPageInvalid);
            refused.because("the next page is unknown, expired, or of another feed")
        });
    }
    let window = window_of(&call.seen.query, call.now, state.config.feed.window_code)
        .map_err(|refused| Refused::new(400, refused.code, &refused.message).because(&refused.note))?;
    Ok(FeedBook::beginning(content_type, window, call.now))
}

/// The next link: parameters in lower case, dollar signs raw, no PublisherIdentifier.
fn next_link(
    book: &mut FeedBook,
    config: &FeedConfig,
    call: &Call<'_>,
    link: Link,
    rows: &[(Place, Arc<Blob>)],
    follows: bool,
) -> Option<String> {
    let own_host = call.own_host();
    let behind = rows.last().map_or(link.behind, |(place, _)| Some(*place));
    let (host, behind) = match call.fault {
        Some(Fault::LoopNextLink | Fault::EmptyPageWithNext) => (own_host, link.behind),
        Some(Fault::ForeignNextLink { host }) => (host.clone(), behind),
        _ if follows => (own_host, behind),
        _ => return None,
    };
    let token = book.give_link(link, behind, call.now);
    let version = match config.next_page_path {
        NextPagePath::V1Point0 => "v1.0",
        NextPagePath::V1 => "v1",
    };
    let end = format!("&endtime={}", written(link.window.end));
    let times = match config.next_page_times {
        NextPageTimes::Both => format!("&starttime={}{end}", written(link.window.start)),
        NextPageTimes::EndOnly => end,
    };
    Some(format!(
        "{host}/api/{version}/{}/activity/feed/subscriptions/content?contenttype={}{times}&nextpage={token}",
        call.path.tenant, link.content_type
    ))
}

/// The entries as the fault leaves them.
fn entries(call: &Call<'_>, mut blobs: Vec<Arc<Blob>>) -> Vec<serde_json::Value> {
    match call.fault {
        Some(Fault::EmptyPageWithNext) => blobs.clear(),
        Some(Fault::DuplicateRecords) => {
            blobs = blobs.iter().flat_map(|blob| [Arc::clone(blob), Arc::clone(blob)]).collect();
        }
        Some(Fault::ShuffleOrder) => {
            let odd = blobs.iter().skip(1).step_by(2);
            blobs = odd.chain(blobs.iter().step_by(2).rev()).cloned().collect();
        }
        _ => {}
    }
    let host = match call.fault {
        Some(Fault::ForeignContentUri { host }) => host.clone(),
        _ => call.own_host(),
    };
    let entry = |blob: &Arc<Blob>| {
        json!({
            "contentType": blob.content_type.name(),
            "contentId": &*blob.content_id,
            "contentUri": format!(
                "{host}/api/v1.0/{}/activity/feed/audit/{}", call.path.tenant, blob.content_id
            ),
            "contentCreated": written(blob.created),
            "contentExpiration": written(blob.expires_at()),
        })
    };
    blobs.iter().map(entry).collect()
}

/// The instant with milliseconds, as listings and links write it.
fn written(instant: Timestamp) -> String {
    instant.strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string()
}
