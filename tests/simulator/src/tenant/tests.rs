//! The tenant over the wire, as a client meets it. Split by what is asked of it.

mod faults;
mod logins;
mod paging;
mod support;
