//! The source against scripted servers on this machine: one plays the login service, one the API.
//!
//! Each server answers requests in the order of its script and remembers what it was asked, so that a test says what
//! Microsoft does and then looks at what was sent where.

#[cfg(test)]
mod failures;
#[cfg(test)]
mod login;
#[cfg(test)]
mod pages;
#[cfg(test)]
mod support;
