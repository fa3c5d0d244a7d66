//! From a stream of bytes to lines: gzip members and plain events, mixed, cut anywhere.
//!
//! A gzip member is recognised by `1f 8b` where an event would begin; everything else is lines ended by LF. The
//! decoder is fed as the bytes come in and gives a line as soon as its last byte was read, even inside a member that
//! is not complete yet: what was read was received, whatever becomes of the connection.

use flate2::{Decompress, FlushDecompress, Status};

const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];
const INFLATE_STEP: usize = 64 * 1024;
const LARGEST_WINDOW_BITS: u8 = 15;

/// What a stream did that it must not do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Violation {
    /// A line with a raw CR or NUL in it.
    ForbiddenByte(u8),
    /// A line whose header does not parse: what is wrong, and how the line begins.
    BadHeader(&'static str, String),
    /// A line with nothing in it.
    EmptyLine,
    /// A gzip member that ends inside a line, or a stream that does.
    IncompleteLine,
    /// A stream that ends inside a gzip member.
    IncompleteMember,
    /// A gzip member that does not inflate; the rest of the stream is lost.
    BrokenMember,
}

/// What was decoded, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Decoded {
    /// A complete line without its LF.
    Line(Vec<u8>),
    /// A gzip member came to its end.
    MemberEnd,
    Violation(Violation),
}

enum Mode {
    /// At the beginning of an event.
    Boundary,
    /// At the beginning of an event, the first magic byte read.
    FirstMagicByte,
    /// Inside a plain line.
    Plain,
    /// Inside a gzip member.
    Gzip(Box<Decompress>),
    /// Behind a broken member nothing can be read any more.
    Lost,
}

/// Decodes one connection's stream.
pub(crate) struct Decoder {
    mode: Mode,
    line: Vec<u8>,
}

impl Decoder {
    /// A decoder at the beginning of a stream.
    pub(crate) fn new() -> Self {
        Self { mode: Mode::Boundary, line: Vec::new() }
    }

    /// Takes the next bytes.
    pub(crate) fn feed(&mut self, bytes: &[u8], decoded: &mut Vec<Decoded>) {
        let mut rest = bytes;
        while let Some((&first, behind_first)) = rest.split_first() {
            rest = match &mut self.mode {
                Mode::Boundary if first == GZIP_MAGIC[0] => {
                    self.mode = Mode::FirstMagicByte;
                    behind_first
                }
                Mode::Boundary => {
                    self.mode = Mode::Plain;
                    rest
                }
                Mode::FirstMagicByte if first == GZIP_MAGIC[1] => {
                    self.begin_member(decoded);
                    rest.get(1..).unwrap_or_default()
                }
                Mode::FirstMagicByte => {
                    self.line.push(GZIP_MAGIC[0]);
                    self.mode = Mode::Plain;
                    rest
                }
                Mode::Plain => self.plain(rest, decoded),
                Mode::Gzip(_) => self.inflate(rest, decoded),
                Mode::Lost => return,
            };
        }
    }

    /// The stream has ended: what is left over is a violation.
    pub(crate) fn finish(&mut self, decoded: &mut Vec<Decoded>) {
        let violation = match self.mode {
            Mode::FirstMagicByte | Mode::Gzip(_) => Some(Violation::IncompleteMember),
            _ if !self.line.is_empty() => Some(Violation::IncompleteLine),
            _ => None,
        };
        decoded.extend(violation.map(Decoded::Violation));
        self.mode = Mode::Lost;
        self.line.clear();
    }

    fn begin_member(&mut self, decoded: &mut Vec<Decoded>) {
        let mut inflater = Box::new(Decompress::new_gzip(LARGEST_WINDOW_BITS));
        // The magic was read byte by byte, but belongs to the member.
        let mut none = [0; 1];
        match inflater.decompress(&GZIP_MAGIC, &mut none, FlushDecompress::None) {
            Ok(_) => self.mode = Mode::Gzip(inflater),
            Err(_) => self.lose(decoded),
        }
    }

    /// Plain bytes up to the end of the line; gives what follows.
    fn plain<'a>(&mut self, bytes: &'a [u8], decoded: &mut Vec<Decoded>) -> &'a [u8] {
        let Some(end) = memchr::memchr(b'\n', bytes) else {
            self.line.extend_from_slice(bytes);
            return &[];
        };
        let (last_part, rest) = bytes.split_at(end);
        self.line.extend_from_slice(last_part);
        self.end_line(decoded);
        self.mode = Mode::Boundary;
        rest.get(1..).unwrap_or_default()
    }

    /// Inflates as far as these bytes go; gives what lies behind the member's end.
    fn inflate<'a>(&mut self, bytes: &'a [u8], decoded: &mut Vec<Decoded>) -> &'a [u8] {
        let mut rest = bytes;
        loop {
            let Mode::Gzip(inflater) = &mut self.mode else {
                return rest;
            };
            let mut inflated = vec![0; INFLATE_STEP];
            let (before_in, before_out) = (inflater.total_in(), inflater.total_out());
            let outcome = inflater.decompress(rest, &mut inflated, FlushDecompress::None);
            let consumed = count(inflater.total_in() - before_in);
            inflated.truncate(count(inflater.total_out() - before_out));
            self.inflated(&inflated, decoded);
            rest = rest.get(consumed..).unwrap_or_default();
            match outcome {
                Ok(Status::StreamEnd) => {
                    self.end_member(decoded);
                    return rest;
                }
                // A full step may have left output behind, even if all input was taken.
                Ok(_) if inflated.len() == INFLATE_STEP => {}
                Ok(_) if rest.is_empty() => return rest,
                Ok(_) if consumed > 0 => {}
                // No progress with bytes at hand, or an error: the same call would be made for ever.
                Ok(_) | Err(_) => {
                    self.lose(decoded);
                    return &[];
                }
            }
        }
    }

    fn end_member(&mut self, decoded: &mut Vec<Decoded>) {
        if !self.line.is_empty() {
            decoded.push(Decoded::Violation(Violation::IncompleteLine));
            self.line.clear();
        }
        decoded.push(Decoded::MemberEnd);
        self.mode = Mode::Boundary;
    }

    fn inflated(&mut self, bytes: &[u8], decoded: &mut Vec<Decoded>) {
        let mut rest = bytes;
        while let Some(end) = memchr::memchr(b'\n', rest) {
            let (last_part, behind) = rest.split_at(end);
            self.line.extend_from_slice(last_part);
            self.end_line(decoded);
            rest = behind.get(1..).unwrap_or_default();
        }
        self.line.extend_from_slice(rest);
    }

    fn end_line(&mut self, decoded: &mut Vec<Decoded>) {
        let line = std::mem::take(&mut self.line);
        for byte in [b'\r', 0] {
            if memchr::memchr(byte, &line).is_some() {
                decoded.push(Decoded::Violation(Violation::ForbiddenByte(byte)));
            }
        }
        decoded.push(if line.is_empty() {
            Decoded::Violation(Violation::EmptyLine)
        } else {
            Decoded::Line(line)
        });
    }

    fn lose(&mut self, decoded: &mut Vec<Decoded>) {
        decoded.push(Decoded::Violation(Violation::BrokenMember));
        self.mode = Mode::Lost;
        self.line.clear();
    }
}

fn count(bytes: u64) -> usize {
    usize::try_from(bytes).unwrap_or(usize::MAX)
}
