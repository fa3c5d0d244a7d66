//! Hashes of rows, by which a walk knows again what a page before gave. They are stored in links, so they must not change
//! from one process to the next; nothing is dropped because of them.

use std::hash::Hasher as _;

use bytes::Bytes;
use siphasher::sip::SipHasher13;

/// The hash of a row's text.
pub(super) fn of_row(row: &Bytes) -> u64 {
    let mut hasher = SipHasher13::new();
    hasher.write(row);
    hasher.finish()
}

/// The hash of the texts of a page's rows, in their order.
pub(super) fn of_rows(rows: &[Bytes]) -> u64 {
    let mut hasher = SipHasher13::new();
    for row in rows {
        hasher.write(row);
        hasher.write_u8(0xff);
    }
    hasher.finish()
}
