//! The tenant over the wire, as a client meets it. Split by what is asked of it.

mod blobs;
mod faults;
mod feed_faults;
mod listings;
mod logins;
mod paging;
mod subscriptions;
mod support;
