//! The plays, one file a subject.

mod events;
mod failures_of_devo;
mod failures_of_microsoft;
mod failures_of_settings;
mod failures_of_state;
mod handlers;
mod kills;
mod races;
mod secrecy;
