//! Byte streams cut anywhere, and connections as they end.

mod connections;
mod streams;
