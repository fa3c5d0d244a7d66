//! The source against scripted servers on this machine: one plays the login service, one the API.
//!
//! Each server answers requests in the order of its script, or by what they ask for where several are under way at once,
//! and remembers what it was asked, so that a test says what Microsoft does and then looks at what was sent where.

#[cfg(test)]
mod blobs;
#[cfg(test)]
mod endpoint;
#[cfg(test)]
mod failures;
#[cfg(test)]
mod filtered;
#[cfg(test)]
mod fixed_token;
#[cfg(test)]
mod hunting;
#[cfg(test)]
mod listings;
#[cfg(test)]
mod login;
#[cfg(test)]
mod pages;
#[cfg(test)]
mod related;
#[cfg(test)]
mod security;
#[cfg(test)]
mod server;
#[cfg(test)]
mod streams;
#[cfg(test)]
mod subscriptions;
#[cfg(test)]
mod support;
#[cfg(test)]
mod throttling;
