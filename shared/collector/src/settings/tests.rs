//! The document, from the outside: documents in, settings or problems out.

mod accepted;
mod content;
mod family;
mod refused;
mod shared;
