//! The plays, one file a subject.

mod architecture;
mod events;
mod failures_of_devo;
mod failures_of_microsoft;
mod failures_of_settings;
mod failures_of_state;
mod handlers;
mod kills;
mod on_premise;
mod payloads;
mod races;
mod secrecy;
