//! The plays, one file a subject.

mod handlers;
