//! The tenant over the wire, as a client meets it. Split by what is asked of it.

mod alerts;
mod alerts_v2;
mod blobs;
mod cloud_apps_access;
mod cloud_apps_lists;
mod cloud_apps_mishaps;
mod cloud_apps_scans;
mod defender_access;
mod defender_lists;
mod defender_related;
mod faults;
mod feed_faults;
mod hunting;
mod listings;
mod logins;
mod paging;
mod scores;
mod subscriptions;
mod support;
