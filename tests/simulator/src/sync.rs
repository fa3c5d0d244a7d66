//! Locks that survive a panic of another test thread, and random text that cannot be guessed.
//!
//! A simulated party is a judge: when a test's hook panics, the others still want to read what was recorded, so a
//! poisoned lock is opened all the same.

use std::fmt::Write;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Locks, whether or not another holder panicked.
pub(crate) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// `N` random bytes of the operating system.
pub(crate) fn random_bytes<const N: usize>() -> std::io::Result<[u8; N]> {
    let mut bytes = [0; N];
    aws_lc_rs::rand::fill(&mut bytes).map_err(|_| std::io::Error::other("no random bytes to be had"))?;
    Ok(bytes)
}

/// Lower-case hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        // Writing into a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// A fresh random UUID (version 4), as Microsoft's and Amazon's request ids look.
pub(crate) fn request_id() -> std::io::Result<String> {
    let mut bytes = random_bytes::<16>()?;
    bytes[6] = (bytes[6] & 0x0f) | 0x40;
    bytes[8] = (bytes[8] & 0x3f) | 0x80;
    let digits = hex(&bytes);
    let parts = [(0, 8), (8, 12), (12, 16), (16, 20), (20, 32)];
    Ok(parts.iter().filter_map(|&(from, to)| digits.get(from..to)).collect::<Vec<_>>().join("-"))
}
