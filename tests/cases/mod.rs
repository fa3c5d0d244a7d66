//! The plays, one file a subject.

mod architecture;
mod deployment;
mod events;
mod failures_of_content;
mod failures_of_devo;
mod failures_of_feeds;
mod failures_of_microsoft;
mod failures_of_settings;
mod failures_of_state;
mod feeds;
mod handlers;
mod kills;
mod kills_of_feeds;
mod late_sweep;
mod on_premise;
mod pace;
mod payloads;
mod payloads_of_feeds;
mod races;
mod races_of_feeds;
mod secrecy;
mod settings_of_feeds;
mod throttling_of_feeds;
mod volume_of_feeds;
