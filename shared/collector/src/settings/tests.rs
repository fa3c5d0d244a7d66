//! The document, from the outside: documents in, settings or problems out.

mod accepted;
mod content;
mod family;
mod filtered;
mod filtered_family;
mod flattened;
mod migrated;
mod older;
mod older_family;
mod older_parts;
mod older_twice;
mod queries;
mod refused;
mod shared;
mod snapshot;
mod spread;
mod token;
