//! A bitmap in front of the large rows of a bucket that are held exactly: one look instead of a search in each.
//!
//! It is a Bloom filter with one hash function and 16 to 32 bits a hash, and lives in memory alone. Most records are new,
//! and a busy hour has many rows: without it, a million records of one hour took 25 searches each.

/// Fewer bits a hash let too many new records through.
const LEAST_BITS_A_HASH: usize = 16;
const WORD_BITS: usize = u64::BITS as usize;

#[derive(Debug, Default)]
pub(super) struct Guard {
    /// None, or a power of two.
    words: Vec<u64>,
    hashes: usize,
}

impl Guard {
    /// An empty one for so many hashes.
    pub(super) fn with_room_for(hashes: usize) -> Self {
        let words = (hashes * LEAST_BITS_A_HASH).div_ceil(WORD_BITS).next_power_of_two();
        Self { words: vec![0; words], hashes: 0 }
    }

    /// Adds the hashes; false, and nothing happens, when there is no room for them.
    pub(super) fn add(&mut self, hashes: &[u64]) -> bool {
        if (self.hashes + hashes.len()) * LEAST_BITS_A_HASH > self.words.len() * WORD_BITS {
            return false;
        }
        self.hashes += hashes.len();
        for hash in hashes {
            let (index, bit) = self.place(*hash);
            if let Some(word) = self.words.get_mut(index) {
                *word |= bit;
            }
        }
        true
    }

    /// Whether the hash may have been added; `false` is certain.
    pub(super) fn may_hold(&self, hash: u64) -> bool {
        let (index, bit) = self.place(hash);
        self.words.get(index).is_some_and(|word| word & bit != 0)
    }

    /// Bytes that it takes in memory.
    pub(super) fn bytes(&self) -> usize {
        self.words.len() * size_of::<u64>()
    }

    /// The word and the bit of a hash: its last six bits choose the bit, those above the word.
    fn place(&self, hash: u64) -> (usize, u64) {
        let mask = self.words.len().wrapping_sub(1) as u64;
        let index = usize::try_from((hash / WORD_BITS as u64) & mask).unwrap_or(usize::MAX);
        (index, 1 << (hash % WORD_BITS as u64))
    }
}
