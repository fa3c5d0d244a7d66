//! The decoder and the header, without a network.

use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;
use proptest::prelude::*;

use crate::receiver::decode::{Decoded, Decoder, Violation};
use crate::receiver::frame::parse;

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// Feeds the pieces one after the other.
fn decode<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Vec<Decoded> {
    let mut decoder = Decoder::new();
    let mut decoded = Vec::new();
    for piece in pieces {
        decoder.feed(piece, &mut decoded);
    }
    decoder.finish(&mut decoded);
    decoded
}

fn lines(decoded: &[Decoded]) -> Vec<Vec<u8>> {
    decoded
        .iter()
        .filter_map(|one| if let Decoded::Line(line) = one { Some(line.clone()) } else { None })
        .collect()
}

fn violations(decoded: &[Decoded]) -> Vec<Violation> {
    let only =
        |one: &Decoded| if let Decoded::Violation(violation) = one { Some(violation.clone()) } else { None };
    decoded.iter().filter_map(only).collect()
}

/// A stretch of the stream: the lines it holds, and whether they travel compressed.
#[derive(Debug, Clone)]
struct Stretch {
    lines: Vec<Vec<u8>>,
    compressed: bool,
}

impl Stretch {
    fn bytes(&self) -> Vec<u8> {
        let plain: Vec<u8> = self.lines.iter().flat_map(|line| [line.as_slice(), b"\n"].concat()).collect();
        if self.compressed { gzip(&plain) } else { plain }
    }
}

/// A line that could begin like a gzip member but is none.
fn line() -> impl Strategy<Value = Vec<u8>> {
    let text = prop::collection::vec(
        any::<u8>().prop_filter("no LF, CR, NUL", |byte| ![b'\n', b'\r', 0].contains(byte)),
        1..40,
    );
    let long = (1_usize..200_000).prop_map(|length| vec![b'x'; length]);
    prop_oneof![8 => text, 1 => long].prop_filter("no magic", |line| !line.starts_with(&[0x1f, 0x8b]))
}

fn stretches() -> impl Strategy<Value = Vec<Stretch>> {
    let stretch = (prop::collection::vec(line(), 1..6), any::<bool>())
        .prop_map(|(lines, compressed)| Stretch { lines, compressed });
    prop::collection::vec(stretch, 0..6)
}

proptest! {
    #[test]
    fn plain_and_gzip_events_are_decoded_however_the_stream_is_cut_into_pieces(
        stretches in stretches(),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..12),
    ) {
        let stream: Vec<u8> = stretches.iter().flat_map(Stretch::bytes).collect();
        let mut places: Vec<usize> = cuts.iter().map(|cut| cut.index(stream.len() + 1)).collect();
        places.extend([0, stream.len()]);
        places.sort_unstable();
        let pieces = places.windows(2).map(|pair| &stream[pair[0]..pair[1]]);
        let decoded = decode(pieces);
        let expected: Vec<Vec<u8>> = stretches.iter().flat_map(|one| one.lines.clone()).collect();
        prop_assert_eq!(lines(&decoded), expected);
        prop_assert_eq!(violations(&decoded), vec![]);
        let members = decoded.iter().filter(|one| **one == Decoded::MemberEnd).count();
        prop_assert_eq!(members, stretches.iter().filter(|one| one.compressed).count());
    }

    #[test]
    fn a_stream_that_ends_anywhere_gives_its_complete_events_and_says_what_is_missing(
        stretches in stretches(),
        end in any::<prop::sample::Index>(),
    ) {
        let stream: Vec<u8> = stretches.iter().flat_map(Stretch::bytes).collect();
        let length = end.index(stream.len() + 1);
        let decoded = decode([&stream[..length]]);
        let whole: Vec<Vec<u8>> = stretches.iter().flat_map(|one| one.lines.clone()).collect();
        let received = lines(&decoded);
        prop_assert!(whole.starts_with(&received), "what was received is a beginning of what was sent");

        let mut before = 0;
        let mut certain = 0;
        let mut at_boundary = length == 0;
        for stretch in &stretches {
            if stretch.compressed {
                let member = stretch.bytes().len();
                certain += if before + member <= length { stretch.lines.len() } else { 0 };
                before += member;
                at_boundary |= before == length;
            } else {
                for line in &stretch.lines {
                    before += line.len() + 1;
                    certain += usize::from(before <= length);
                    at_boundary |= before == length;
                }
            }
        }
        prop_assert!(received.len() >= certain, "every complete line and member counts");
        prop_assert_eq!(violations(&decoded).is_empty(), at_boundary);
    }
}

#[test]
fn the_published_example_of_a_compressed_event_is_decoded() {
    let member = [
        0x1f, 0x8b, 0x08, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x03, 0xb3, 0x31, 0x34, 0xb1, 0xf3, 0x4a, 0xcc,
        0x53, 0x50, 0x30, 0x54, 0x30, 0x30, 0xb0, 0x02, 0x23, 0x85, 0xdc, 0xca, 0x8c, 0xfc, 0xe2, 0x12, 0x20,
        0xa5, 0x97, 0x58, 0x50, 0xa0, 0x57, 0x92, 0x5a, 0x5c, 0xa2, 0x57, 0x95, 0x59, 0x60, 0xa5, 0x50, 0xad,
        0x94, 0xa7, 0x64, 0x65, 0x50, 0xcb, 0x05, 0x00, 0xe7, 0xa0, 0xc9, 0x2e, 0x34, 0x00, 0x00, 0x00,
    ];
    let decoded = decode([member.as_slice()]);
    let line = b"<14>Jan  1 00:00:00 myhost my.app.test.zip: {\"n\":0}".to_vec();
    assert_eq!(decoded, [Decoded::Line(line), Decoded::MemberEnd]);
}

#[test]
fn every_offence_of_a_stream_has_its_name() {
    let mut broken_sum = gzip(b"a line\n");
    let last = broken_sum.len() - 5;
    broken_sum[last] ^= 1;
    for (stream, expected) in [
        (b"a\rb\n".to_vec(), vec![Violation::ForbiddenByte(b'\r')]),
        (b"a\0b\n".to_vec(), vec![Violation::ForbiddenByte(0)]),
        (b"a\n\nb\n".to_vec(), vec![Violation::EmptyLine]),
        (b"a\nb".to_vec(), vec![Violation::IncompleteLine]),
        (gzip(b"a\nb"), vec![Violation::IncompleteLine]),
        (gzip(b"a\n")[..12].to_vec(), vec![Violation::IncompleteMember]),
        (vec![0x1f], vec![Violation::IncompleteMember]),
        (vec![0x1f, 0x8b, 0xff, 0xff, 0xff], vec![Violation::BrokenMember]),
        (broken_sum, vec![Violation::BrokenMember]),
        ([gzip(b"a\n").as_slice(), b"b\n", &gzip(b"c\n")].concat(), vec![]),
        (gzip(b""), vec![]),
    ] {
        assert_eq!(violations(&decode([stream.as_slice()])), expected, "{stream:?}");
    }
}

#[test]
fn headers_are_read_strictly() {
    let good = b"<14>Nov  3 09:05:07 graph-sign-ins cloud.azure.ad.signin.prod.msgraph: {\"a\": 1}";
    let frame = parse(good).unwrap();
    assert_eq!((frame.date, frame.host), ("Nov  3 09:05:07", "graph-sign-ins"));
    assert_eq!((frame.tag, frame.message), ("cloud.azure.ad.signin.prod.msgraph", b"{\"a\": 1}".as_slice()));
    assert_eq!(parse(b"<14>Dec 31 23:59:59 h a.b: ").unwrap().message, b"");
    for bad in [
        "<13>Nov  3 09:05:07 host my.app: x",
        "Nov  3 09:05:07 host my.app: x",
        "<14>Nov 03 09:05:07 host my.app: x",
        "<14>Nov 3 09:05:07 host my.app: x",
        "<14>Nov 3  09:05:07 host my.app: x",
        "<14>nov  3 09:05:07 host my.app: x",
        "<14>Nov 32 09:05:07 host my.app: x",
        "<14>Nov  3  9:05:07 host my.app: x",
        "<14>Nov  3 24:05:07 host my.app: x",
        "<14>2026-11-20T10:00:00Z host my.app: x",
        "<14>Nov  3 09:05:07  my.app: x",
        "<14>Nov  3 09:05:07 host my.app:x",
        "<14>Nov  3 09:05:07 host my.app x",
        "<14>Nov  3 09:05:07 host app: x",
        "<14>Nov  3 09:05:07 host my..app: x",
        "<14>Nov  3 09:05:07 host my.app{env}: x",
        "<14>Nov  3 09:05:07 host a.b.c.d.e.f.g.h.i: x",
        "<14>",
    ] {
        assert!(parse(bad.as_bytes()).is_err(), "{bad}");
    }
}
