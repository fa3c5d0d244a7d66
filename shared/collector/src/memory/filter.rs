//! The Bloom filter in front of a large row, and how row and filter share the hashes.
//!
//! A Bloom filter that is stored should be small *compressed*, and then few hash functions and many bits are best. So this
//! one has 2³² bits and one hash function, the first 32 bits of a record's hash, and is stored as the sorted positions of
//! its ones: grouped by their first byte, which is left out, 256 counts and 3 bytes a record. Among n records it says
//! "maybe" to a new one with the probability n/2³²: 4.7·10⁻⁶ at 20,000. A classic filter of the same 24 bits a record
//! has 1.0·10⁻⁵ at best, and tells nothing of the hashes, so it is written in addition to them. This one is their first
//! half: the exact row beside it holds the other half of each, 4 bytes, in the same order, and both together are smaller
//! than the hashes alone.

use std::ops::Range;

use bytes::Bytes;

/// Bits of a hash that are a position in the filter.
pub(super) const POSITION_BITS: u32 = 32;
/// One count for each first byte.
const GROUPS: usize = 256;
const COUNT_BYTES: usize = 2;
/// What is left of a position without its first byte.
const POSITION_BYTES: usize = 3;
/// What the filter does not hold of a hash.
const REST_BYTES: usize = 4;

/// The filter of one row.
#[derive(Debug, Clone)]
pub(super) struct Filter {
    /// Where the positions of each group begin, and where the last one's end.
    starts: Vec<u32>,
    positions: Bytes,
}

/// Codes sorted hashes: the bytes of the filter and those of the exact row. None when more than 65,535 of them begin
/// with the same byte, which hashes do not.
pub(super) fn coded(sorted: &[u64]) -> Option<(Bytes, Bytes)> {
    let mut counts = [0_u16; GROUPS];
    let mut positions = Vec::with_capacity(GROUPS * COUNT_BYTES + sorted.len() * POSITION_BYTES);
    let mut rests = Vec::with_capacity(sorted.len() * REST_BYTES);
    for hash in sorted {
        let [group, first, second, third, rest @ ..] = hash.to_be_bytes();
        let count = counts.get_mut(usize::from(group))?;
        *count = count.checked_add(1)?;
        positions.extend([first, second, third]);
        rests.extend(rest);
    }
    let counted = counts.iter().flat_map(|count| count.to_le_bytes());
    positions.splice(..0, counted);
    Some((positions.into(), rests.into()))
}

/// How many hashes a filter of so many bytes was made of.
pub(super) fn len_of(bytes: usize) -> u64 {
    (bytes.saturating_sub(GROUPS * COUNT_BYTES) / POSITION_BYTES) as u64
}

impl Filter {
    /// Reads a filter; `None` when its parts do not fit together.
    pub(super) fn read(data: &Bytes) -> Option<Self> {
        let (counts, _) = data.split_at_checked(GROUPS * COUNT_BYTES)?;
        let mut starts = Vec::with_capacity(GROUPS + 1);
        let mut end = 0_u32;
        starts.push(end);
        for count in counts.chunks_exact(COUNT_BYTES) {
            end += count.try_into().map_or(0, |bytes| u32::from(u16::from_le_bytes(bytes)));
            starts.push(end);
        }
        let positions = data.slice(GROUPS * COUNT_BYTES..);
        (positions.len() == end as usize * POSITION_BYTES).then_some(Self { starts, positions })
    }

    /// How many hashes it was made of.
    pub(super) fn len(&self) -> usize {
        self.positions.len() / POSITION_BYTES
    }

    /// Bytes that it takes in memory.
    pub(super) fn bytes(&self) -> usize {
        self.positions.len() + self.starts.len() * size_of::<u32>()
    }

    /// Whether the hash may be among them; `false` is certain.
    pub(super) fn may_hold(&self, hash: u64) -> bool {
        let [group, position @ .., _, _, _, _] = hash.to_be_bytes();
        let Some(range) = self.group(usize::from(group)) else { return false };
        let Some(of_group) = self.positions.get(range.start * POSITION_BYTES..range.end * POSITION_BYTES)
        else {
            return false;
        };
        let (positions, _) = of_group.as_chunks::<POSITION_BYTES>();
        positions.binary_search(&position).is_ok()
    }

    /// The hashes, with the bytes of the exact row; `None` when these are not the other half.
    pub(super) fn hashes(&self, rests: &[u8]) -> Option<Vec<u64>> {
        if rests.len() != self.len() * REST_BYTES {
            return None;
        }
        let (positions, _) = self.positions.as_chunks::<POSITION_BYTES>();
        let mut halves = positions.iter().zip(rests.as_chunks::<REST_BYTES>().0);
        let mut hashes = Vec::with_capacity(self.len());
        for group in 0..=u8::MAX {
            let range = self.group(usize::from(group))?;
            for ([first, second, third], [a, b, c, d]) in halves.by_ref().take(range.len()) {
                hashes.push(u64::from_be_bytes([group, *first, *second, *third, *a, *b, *c, *d]));
            }
        }
        Some(hashes)
    }

    fn group(&self, group: usize) -> Option<Range<usize>> {
        Some(*self.starts.get(group)? as usize..*self.starts.get(group + 1)? as usize)
    }
}
