//! The document, from the outside: documents in, settings or problems out.

mod accepted;
mod family;
mod refused;
mod shared;
