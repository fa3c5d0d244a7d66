//! One event as one line: `<14>Mmm dd hh:mm:ss HOST TAG: MESSAGE\n`.
//!
//! The receiver ends an event at LF, CR or NUL, so none of them may stand inside a line: a message that was clean stays
//! byte for byte, in any other each of these bytes becomes one space. The header is the only part that is formatted,
//! and its date only when the second changes.

use collector::ports::Event;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

/// Facility user, severity informational: what Devo's own senders use.
const PRIORITY: &[u8] = b"<14>";
/// Length of `Mmm dd hh:mm:ss`.
const DATE_LENGTH: usize = 15;
const SECONDS_OF_A_DAY: i64 = 86_400;
const MONTHS: [&[u8; 3]; 12] =
    [b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec"];
/// HOST of a sender without a usable name: an empty one would move the tag into its place.
const NAMELESS_HOST: &str = "collector";

/// Writes events as lines of one HOST.
#[derive(Debug, Clone)]
pub struct FrameWriter {
    /// HOST with a space on either side.
    host: Vec<u8>,
    /// The second that `date` stands for, since 1970.
    second: i64,
    date: [u8; DATE_LENGTH],
}

impl FrameWriter {
    /// A writer of lines from `host`. Bytes that would end the word or the line (anything but visible ASCII) become
    /// `-`; an empty name becomes `collector`.
    pub fn new(host: &str) -> Self {
        let name = if host.is_empty() { NAMELESS_HOST } else { host };
        let mut word = vec![b' '];
        word.extend(name.bytes().map(|byte| if byte.is_ascii_graphic() { byte } else { b'-' }));
        word.push(b' ');
        Self { host: word, second: 0, date: date_of(0) }
    }

    /// The length of the line that `write` makes of this event, in bytes.
    pub fn length(&self, event: &Event<'_>) -> usize {
        PRIORITY.len() + DATE_LENGTH + self.host.len() + event.tag.len() + 2 + event.message.len() + 1
    }

    /// Appends the event's line, LF included, to `out`.
    pub fn write(&mut self, event: &Event<'_>, out: &mut Vec<u8>) {
        self.turn_to(event.time);
        let start = out.len();
        out.reserve(self.length(event));
        out.extend_from_slice(PRIORITY);
        out.extend_from_slice(&self.date);
        out.extend_from_slice(&self.host);
        out.extend_from_slice(event.tag.as_bytes());
        out.extend_from_slice(b": ");
        out.extend_from_slice(event.message);
        if let Some(line) = out.get_mut(start..) {
            blank_line_ends(line);
        }
        out.push(b'\n');
    }

    fn turn_to(&mut self, time: Timestamp) {
        let second = time.as_second();
        if second == self.second {
            return;
        }
        self.second = second;
        self.date = date_of(second);
    }
}

/// Replaces every byte at which a receiver would end the line by a space.
fn blank_line_ends(line: &mut [u8]) {
    let mut from = 0;
    while let Some(rest) = line.get_mut(from..) {
        let Some(position) = memchr::memchr3(b'\n', b'\r', 0, rest) else { return };
        if let Some(byte) = rest.get_mut(position) {
            *byte = b' ';
        }
        from += position + 1;
    }
}

/// `Mmm dd hh:mm:ss` in UTC, the day padded with a space (RFC 3164).
fn date_of(second: i64) -> [u8; DATE_LENGTH] {
    let instant = Timestamp::UNIX_EPOCH.saturating_add(SignedDuration::from_secs(second));
    let day = instant.unwrap_or(Timestamp::UNIX_EPOCH).to_zoned(TimeZone::UTC).date();
    let month = MONTHS[usize::from(day.month().unsigned_abs().clamp(1, 12)) - 1];
    let time_of_day = second.rem_euclid(SECONDS_OF_A_DAY);
    let mut date = *b"Mmm dd hh:mm:ss";
    date[..3].copy_from_slice(month);
    date[4..6].copy_from_slice(&two_digits(i64::from(day.day()), b' '));
    date[7..9].copy_from_slice(&two_digits(time_of_day / 3600, b'0'));
    date[10..12].copy_from_slice(&two_digits(time_of_day / 60 % 60, b'0'));
    date[13..15].copy_from_slice(&two_digits(time_of_day % 60, b'0'));
    date
}

/// A number below 100 in two places.
fn two_digits(number: i64, padding: u8) -> [u8; 2] {
    let digit = |value: i64| b'0' + u8::try_from(value % 10).unwrap_or(0);
    [if number < 10 { padding } else { digit(number / 10) }, digit(number)]
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn line(host: &str, time: &str, tag: &str, message: &[u8]) -> Vec<u8> {
        let event = Event { time: time.parse().unwrap(), tag, message };
        let mut writer = FrameWriter::new(host);
        let mut out = Vec::new();
        writer.write(&event, &mut out);
        assert_eq!(out.len(), writer.length(&event));
        out
    }

    #[test]
    fn a_line_is_what_the_protocol_says() {
        for (time, expected) in [
            ("2026-11-20T10:00:09.999Z", "<14>Nov 20 10:00:09 h my.app.x.y: {\"a\":1}\n"),
            ("2026-01-01T00:00:00Z", "<14>Jan  1 00:00:00 h my.app.x.y: {\"a\":1}\n"),
            ("2024-02-29T23:59:59Z", "<14>Feb 29 23:59:59 h my.app.x.y: {\"a\":1}\n"),
            ("1970-01-01T00:00:00Z", "<14>Jan  1 00:00:00 h my.app.x.y: {\"a\":1}\n"),
            ("2026-07-05T12:34:56+02:00", "<14>Jul  5 10:34:56 h my.app.x.y: {\"a\":1}\n"),
        ] {
            assert_eq!(line("h", time, "my.app.x.y", b"{\"a\":1}"), expected.as_bytes());
        }
    }

    #[test]
    fn a_host_is_one_word() {
        for (host, word) in
            [("graph-sign-ins", "graph-sign-ins"), ("a b\n\0", "a-b--"), ("", "collector"), ("hé", "h--")]
        {
            let expected = format!("<14>Nov 20 10:00:00 {word} t: m\n");
            assert_eq!(line(host, "2026-11-20T10:00:00Z", "t", b"m"), expected.as_bytes());
        }
    }

    #[test]
    fn the_date_follows_every_change_of_the_second() {
        let mut writer = FrameWriter::new("h");
        for second in [5, 5, 6, 4, 86_400, 5] {
            let time = Timestamp::from_second(second).unwrap();
            let mut out = Vec::new();
            writer.write(&Event { time, tag: "t", message: b"m" }, &mut out);
            let date = time.to_zoned(TimeZone::UTC).strftime("%b %e %H:%M:%S").to_string();
            assert_eq!(out, format!("<14>{date} h t: m\n").as_bytes());
        }
    }

    proptest! {
        #[test]
        fn a_frame_holds_no_line_end_but_its_last_byte(
            host in any::<String>(),
            tag in any::<String>(),
            message in proptest::collection::vec(prop_oneof![any::<u8>(), Just(b'\n'), Just(b'\r'), Just(0)], 0..300),
            second in 0_i64..10_000_000_000,
        ) {
            let event = Event { time: Timestamp::from_second(second).unwrap(), tag: &tag, message: &message };
            let mut writer = FrameWriter::new(&host);
            let mut out = b"before\n".to_vec();
            writer.write(&event, &mut out);
            let frame = &out[7..];
            prop_assert_eq!(&out[..7], b"before\n");
            prop_assert_eq!(frame.len(), writer.length(&event));
            prop_assert_eq!(frame.iter().position(|byte| b"\n\r\0".contains(byte)), Some(frame.len() - 1));
            let sent = &frame[frame.len() - 1 - message.len()..frame.len() - 1];
            for (before, after) in message.iter().zip(sent) {
                let expected = if b"\n\r\0".contains(before) { b' ' } else { *before };
                prop_assert_eq!(expected, *after);
            }
        }
    }
}
