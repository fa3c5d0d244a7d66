//! Defender for Cloud Apps: five lists that take their filters as JSON.
//!
//! Pages are counted (`skip`, at most 100 rows each) or scanned (activities: `isScan`, and filters that lead on). All
//! callers of a tenant share one request limit; files are read with a token of the portal. Behaviour that has been met in
//! the wild is a switch in `CloudAppsConfig`, mishaps are faults in the tenant's script, and what a well-behaved client
//! does not do is written down as a violation.

mod answer;
mod book;
mod config;
mod error;
mod field;
mod filter;
mod list;
mod page;
mod query;
mod scan;
mod sort;

use bytes::Bytes;

pub use self::config::{
    Acceptance, AnswerMember, BeyondDeepest, CloudAppsConfig, CloudAppsLimits, CloudAppsOrder, FilterReading,
    PostWithoutSlash, ScanLimit, ScanMishap, SlowFiles, ThrottledWords,
};
pub use self::list::CloudAppsList;

pub(super) use self::answer::{Call, answer};
pub(super) use self::book::CloudAppsBook;
pub(super) use self::error::{detail, html, throttled, usual_detail};

use super::Tenant;
use super::config::ClientSecret;
use super::feed::RecordMaker;
use super::log::{Addressee, AuthorizationScheme, Circumstances, Violation};
use super::store::{Emission, RecordRefused, Visibility};
use crate::http::Request;
use crate::sync::locked;

impl Tenant {
    /// Emits a record to a list of Defender for Cloud Apps, seen at once; gives its number. Its bytes are served as they
    /// are. Its place in time is its `created`, `timestamp` or `modifiedDate`: a number of epoch milliseconds, with or
    /// without a fraction, or ISO 8601. The same `_id` may be emitted as often as somebody likes.
    pub fn emit_cloud_apps(&self, list: CloudAppsList, json_text: String) -> Result<u64, RecordRefused> {
        self.emit_cloud_apps_when(list, json_text, Visibility::Now)
    }

    /// Emits a record that is seen later.
    pub fn emit_cloud_apps_when(
        &self,
        list: CloudAppsList,
        json_text: String,
        visibility: Visibility,
    ) -> Result<u64, RecordRefused> {
        let requests = locked(&self.state.log).count(Addressee::CloudApps(list));
        let now = self.state.config.clock.now();
        let emission = Emission { time: None, visibility, requests, now };
        locked(&self.state.cloud_apps).emit(list, json_text, emission)
    }

    /// Fills a list with `count` further records that are made each time somebody gets them (`make` gets 0, 1, … and
    /// gives the same text each time); gives the number of the first one, the others follow. Where the list has instants,
    /// each is made once at once, to know its own.
    pub fn fill_cloud_apps(
        &self,
        list: CloudAppsList,
        count: usize,
        make: &RecordMaker,
    ) -> Result<u64, RecordRefused> {
        let now = self.state.config.clock.now();
        locked(&self.state.cloud_apps).fill(list, count, make, now)
    }

    /// Changes the text of a record, and its instants with it: those that the new text says.
    pub fn update_cloud_apps(
        &self,
        list: CloudAppsList,
        number: u64,
        json_text: String,
    ) -> Result<(), RecordRefused> {
        let now = self.state.config.clock.now();
        locked(&self.state.cloud_apps).update(list, number, json_text, now)
    }

    /// Deletes a record: those behind it move up.
    pub fn remove_cloud_apps(&self, list: CloudAppsList, number: u64) -> Result<(), RecordRefused> {
        locked(&self.state.cloud_apps).remove(list, number)
    }

    /// The bytes of all records of a list that are there, in order of emission; those that are made on the way are made.
    pub fn cloud_apps_records(&self, list: CloudAppsList) -> Vec<Bytes> {
        locked(&self.state.cloud_apps).records(list)
    }

    /// Changes how Defender for Cloud Apps behaves, from now on.
    pub fn change_cloud_apps(&self, change: impl FnOnce(&mut CloudAppsConfig)) {
        change(&mut locked(&self.state.cloud_apps).config);
    }

    /// Replaces the token of the portal that reads files; `None` revokes it.
    pub fn set_files_token(&self, token: Option<&str>) {
        let token = token.map(|value| ClientSecret { value: value.to_owned(), expires_at: None });
        self.change_cloud_apps(|config| config.files_token = token);
    }
}

impl CloudAppsBook {
    /// Makes all filters that lead on invalid.
    pub(super) fn expire_scans(&mut self) {
        self.scans.expire_all();
    }
}

/// Whom a request is for and what is wrong with it, if it is for Defender for Cloud Apps.
pub(super) fn arrival(request: &Request) -> Option<(Addressee, Circumstances)> {
    let (list, _) = list::list_of(&request.path)?;
    let mut circumstances = Circumstances::default();
    // Only what was asked for counts here; why it cannot be had is said in the answer.
    let _ = query::read(list, request, &mut circumstances.violations);
    let scheme = AuthorizationScheme::of(request.header("authorization"));
    let is_foreign = match list {
        CloudAppsList::Files => scheme == AuthorizationScheme::Bearer,
        _ => scheme == AuthorizationScheme::Token,
    };
    if is_foreign {
        circumstances.violations.push(Violation::ForeignScheme);
    }
    Some((Addressee::CloudApps(list), circumstances))
}

/// What the log keeps of a request: the members of its body, or of its query.
pub(super) fn members(request: &Request) -> Vec<(String, String)> {
    query::members(request).unwrap_or_default()
}

/// Whether filters lead on from an earlier page.
pub(super) fn is_continued(filters: &str) -> bool {
    query::is_continued(filters)
}
