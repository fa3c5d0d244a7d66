//! The open batch: what one connection will carry, held as the bytes that will be written.
//!
//! With compression the batch is held compressed: lines gather until a member is full (about 50 KB, as Devo's own
//! sender has it), then become one complete gzip member of complete lines. Without, the lines themselves are held.
//! Either way the bytes lie in chunks, not in one buffer that doubles: memory grows with the batch and shrinks while it
//! is written.

use std::collections::VecDeque;
use std::fmt;
use std::mem;

use collector::ports::Event;
use flate2::{Compress, FlushCompress, Status};

use crate::config::Compression;
use crate::frame::FrameWriter;

/// Lines of one gzip member, in bytes; a longer line is a member of its own.
const MEMBER_BYTES: usize = 51_200;
/// Capacity of one chunk.
const CHUNK_BYTES: usize = 256 * 1024;
/// Measured on Graph's sign-in records in members of 50 KB, time for 1.1 kB and share that is left: level 1 3.3 us and
/// 21 %, level 2 5.0 us and 15 %, level 3 5.9 us and 14.5 %, level 6 7.3 us and 14 %. Beyond 2 time buys next to nothing.
const LEVEL: u32 = 2;
/// Window of 32 KB, the largest and the default of gzip.
const WINDOW_BITS: u8 = 15;

/// The open batch.
pub(crate) struct Batch {
    frames: FrameWriter,
    /// Lines that are in no chunk yet; with compression less than a member.
    lines: Vec<u8>,
    chunks: VecDeque<Vec<u8>>,
    events: u64,
    compressor: Option<Compress>,
}

/// A batch that is being written: its bytes in order, given up as they go.
pub(crate) struct Outgoing {
    chunks: VecDeque<Vec<u8>>,
    /// Bytes of the first chunk that are gone.
    offset: usize,
    /// Number of events.
    pub(crate) events: u64,
    /// Bytes that are gone.
    pub(crate) written: usize,
    /// Bytes of the whole batch on the wire, TLS aside.
    pub(crate) total: usize,
}

/// Counts alone: records are nobody's business in a log.
impl fmt::Debug for Batch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Batch").field("events", &self.events).finish_non_exhaustive()
    }
}

impl Batch {
    /// An empty batch of lines from `host`.
    pub(crate) fn new(host: &str, compression: Compression) -> Self {
        let compressor = match compression {
            Compression::Gzip => Some(compressor()),
            Compression::None => None,
        };
        Self {
            frames: FrameWriter::new(host),
            lines: Vec::new(),
            chunks: VecDeque::new(),
            events: 0,
            compressor,
        }
    }

    /// Whether it holds no event.
    pub(crate) fn is_empty(&self) -> bool {
        self.events == 0
    }

    /// Adds one event and gives the length of its line.
    pub(crate) fn append(&mut self, event: &Event<'_>) -> usize {
        let length = self.frames.length(event);
        let room = if self.compressor.is_some() { MEMBER_BYTES } else { CHUNK_BYTES };
        if self.lines.len() + length > room {
            self.close_lines();
        }
        if self.lines.capacity() < length {
            self.lines.reserve_exact(room.max(length));
        }
        self.frames.write(event, &mut self.lines);
        self.events += 1;
        length
    }

    /// Takes what the batch holds and leaves it empty.
    pub(crate) fn take(&mut self) -> Outgoing {
        self.close_lines();
        let chunks = mem::take(&mut self.chunks);
        let total = chunks.iter().map(Vec::len).sum();
        Outgoing { chunks, offset: 0, events: mem::take(&mut self.events), written: 0, total }
    }

    /// Empties the batch.
    pub(crate) fn clear(&mut self) {
        self.lines.clear();
        self.chunks.clear();
        self.events = 0;
    }

    /// Moves the lines gathered so far into the chunks.
    fn close_lines(&mut self) {
        if self.lines.is_empty() {
            return;
        }
        if self.compressor.is_none() {
            self.chunks.push_back(mem::take(&mut self.lines));
            return;
        }
        self.compress_lines();
        self.lines.clear();
        if self.lines.capacity() > MEMBER_BYTES {
            self.lines = Vec::new();
        }
    }

    fn compress_lines(&mut self) {
        let Some(packer) = self.compressor.as_mut() else { return };
        // More than any level makes of any input, so that one call completes the member.
        let bound = self.lines.len() + self.lines.len() / 8 + 1024;
        if self.chunks.back().is_none_or(|chunk| chunk.capacity() - chunk.len() < bound) {
            self.chunks.push_back(Vec::with_capacity(CHUNK_BYTES.max(bound)));
        }
        let Some(chunk) = self.chunks.back_mut() else { return };
        let before = chunk.len();
        packer.reset();
        let outcome = packer.compress_vec(&self.lines, chunk, FlushCompress::Finish);
        if !matches!(outcome, Ok(Status::StreamEnd)) {
            // Plain lines may stand between members: rather uncompressed than lost.
            chunk.truncate(before);
            self.compressor = Some(compressor());
            self.chunks.push_back(mem::take(&mut self.lines));
        }
    }
}

impl Outgoing {
    /// The next bytes to write; empty when all are gone.
    pub(crate) fn next_bytes(&self) -> &[u8] {
        self.chunks.front().and_then(|chunk| chunk.get(self.offset..)).unwrap_or_default()
    }

    /// Gives up the first `count` of the next bytes.
    pub(crate) fn advance(&mut self, count: usize) {
        self.offset += count;
        self.written += count;
        if self.next_bytes().is_empty() {
            self.chunks.pop_front();
            self.offset = 0;
        }
    }
}

fn compressor() -> Compress {
    Compress::new_gzip(flate2::Compression::new(LEVEL), WINDOW_BITS)
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use jiff::Timestamp;
    use proptest::prelude::*;

    use super::*;

    /// Text that compresses, but not to nothing.
    fn text(length: usize, seed: usize) -> Vec<u8> {
        const LETTERS: &[u8; 26] = b"abcdefghijklmnopqrstuvwxyz";
        (0..length).map(|at| LETTERS[(at * 7 + at / 13 * seed) % LETTERS.len()]).collect()
    }

    fn event(message: &[u8]) -> Event<'_> {
        Event { time: Timestamp::from_second(1_763_632_800).unwrap(), tag: "my.app.a.b", message }
    }

    fn bytes_of(mut outgoing: Outgoing, step: usize) -> Vec<u8> {
        let mut bytes = Vec::new();
        while !outgoing.next_bytes().is_empty() {
            let count = step.min(outgoing.next_bytes().len());
            bytes.extend_from_slice(&outgoing.next_bytes()[..count]);
            outgoing.advance(count);
        }
        assert_eq!((bytes.len(), outgoing.written), (outgoing.total, outgoing.total));
        bytes
    }

    /// The content of each gzip member.
    fn members(bytes: &[u8]) -> Vec<Vec<u8>> {
        let mut rest = bytes;
        let mut found = Vec::new();
        while !rest.is_empty() {
            let mut decoder = flate2::bufread::GzDecoder::new(rest);
            let mut content = Vec::new();
            decoder.read_to_end(&mut content).unwrap();
            rest = decoder.into_inner();
            found.push(content);
        }
        found
    }

    fn expected_lines(messages: &[Vec<u8>]) -> Vec<u8> {
        let mut writer = FrameWriter::new("h");
        let mut lines = Vec::new();
        messages.iter().for_each(|message| writer.write(&event(message), &mut lines));
        lines
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(16))]
        #[test]
        fn what_is_taken_is_what_was_appended(
            lengths in proptest::collection::vec(prop_oneof![0_usize..3000, 40_000_usize..60_000, 250_000_usize..300_000], 0..12),
            step in 1_usize..100_000,
        ) {
            let messages: Vec<Vec<u8>> =
                lengths.iter().enumerate().map(|(seed, length)| text(*length, seed)).collect();
            for compression in [Compression::Gzip, Compression::None] {
                let mut batch = Batch::new("h", compression);
                for round in 0..2 {
                    let size: usize = messages.iter().map(|message| batch.append(&event(message))).sum();
                    prop_assert_eq!(batch.is_empty(), messages.is_empty());
                    let outgoing = batch.take();
                    prop_assert!(batch.is_empty());
                    prop_assert_eq!(outgoing.events, messages.len() as u64);
                    let bytes = bytes_of(outgoing, step);
                    let lines = match compression {
                        Compression::Gzip => members(&bytes).concat(),
                        Compression::None => bytes,
                    };
                    prop_assert_eq!(lines.len(), size, "round {}", round);
                    prop_assert!(lines == expected_lines(&messages));
                }
            }
        }
    }

    #[test]
    fn a_member_is_complete_lines_of_at_most_fifty_kilobytes_or_one_longer_line() {
        let mut batch = Batch::new("h", Compression::Gzip);
        for length in [1000, 49_000, 2000, 70_000, 10, 10, 51_150, 2_000_000, 5] {
            batch.append(&event(&vec![b'x'; length]));
        }
        let found = members(&bytes_of(batch.take(), usize::MAX));
        assert!(found.len() > 4);
        for member in &found {
            let lines = member.iter().filter(|byte| **byte == b'\n').count();
            assert_eq!(member.last(), Some(&b'\n'));
            assert!(member.len() <= MEMBER_BYTES || lines == 1, "{} bytes in {lines} lines", member.len());
        }
    }

    #[test]
    fn bytes_that_do_not_compress_still_make_one_member() {
        let mut state = 1_u64;
        let noise: Vec<u8> = (0..300_000)
            .map(|_| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                b'!' + u8::try_from((state >> 40) % 90).unwrap()
            })
            .collect();
        let mut batch = Batch::new("h", Compression::Gzip);
        batch.append(&event(&noise));
        assert_eq!(members(&bytes_of(batch.take(), 7)), [expected_lines(&[noise])]);
    }

    #[test]
    fn an_uncompressed_batch_is_held_in_chunks() {
        let mut batch = Batch::new("h", Compression::None);
        (0..2000).for_each(|_| _ = batch.append(&event(&[b'x'; 1000])));
        let outgoing = batch.take();
        assert!(outgoing.chunks.len() >= 8);
        assert!(outgoing.chunks.iter().all(|chunk| chunk.capacity() <= CHUNK_BYTES));
    }

    #[test]
    fn a_discarded_batch_leaves_nothing_behind() {
        for compression in [Compression::Gzip, Compression::None] {
            let mut batch = Batch::new("h", compression);
            (0..200).for_each(|_| _ = batch.append(&event(&[b'x'; 1000])));
            batch.clear();
            assert!(batch.is_empty());
            assert_eq!(batch.take().total, 0);
        }
    }
}
