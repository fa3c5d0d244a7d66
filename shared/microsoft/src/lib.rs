//! Microsoft's APIs as a source of records: login, requests with patience, pages, content blobs.
//!
//! [`Microsoft`] is built once per process and service and keeps what is worth keeping between invocations: pooled
//! connections, the token, the pace of requests. [`Microsoft::source`] gives the port of one invocation. What a service
//! asks for is data, its declaration (`collector::service::Query`); this crate interprets it.
//!
//! Two rules have no exception: the credential goes to the configured login URL alone, and a token to the origin of the
//! configured base URL alone. No redirect is followed, and a link to another host is an error.

mod access;
mod activity;
mod client;
mod cloud_apps;
mod complaint;
mod content;
mod failure;
mod filtered;
mod gate;
mod hunting;
mod identity;
mod notices;
mod paging;
mod pem;
mod quota;
mod related;
mod retry;
mod source;
mod throttle;
mod token;
mod tuning;

pub use identity::certificate;
pub use paging::odata::records_of;
pub use source::{ApiSource, Microsoft, check_credentials};
pub use tuning::Tuning;
