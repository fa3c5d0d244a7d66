//! One line of the stream: `<14>Mmm dd hh:mm:ss HOST TAG: MESSAGE`.
//!
//! Read strictly, because the platform keeps what it cannot read under an unknown tag: priority 14, the date of
//! RFC 3164 with its padded day, one space between the parts, a tag of 2 to 8 levels, a colon and a space.

/// The parts of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Frame<'a> {
    pub(crate) date: &'a str,
    pub(crate) host: &'a str,
    pub(crate) tag: &'a str,
    pub(crate) message: &'a [u8],
}

const PRIORITY: &[u8] = b"<14>";
const DATE_LENGTH: usize = 15;
const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// Reads a line without its LF; `Err` says what is wrong with its header.
pub(crate) fn parse(line: &[u8]) -> Result<Frame<'_>, &'static str> {
    let behind_priority = line.strip_prefix(PRIORITY).ok_or("the priority is not <14>")?;
    let (date, behind_date) = behind_priority.split_at_checked(DATE_LENGTH).ok_or("the date is missing")?;
    let date_text =
        std::str::from_utf8(date).ok().filter(|text| is_date(text)).ok_or("the date is not RFC 3164's")?;
    let behind_space = behind_date.strip_prefix(b" ").ok_or("no space behind the date")?;
    let (host, behind_host) = word(behind_space).ok_or("the host is missing")?;
    let (tag_and_colon, message) = word(behind_host).ok_or("no space behind the tag")?;
    let tag = tag_and_colon.strip_suffix(':').ok_or("no colon behind the tag")?;
    if !is_tag(tag) {
        return Err("the tag is not 2 to 8 levels of [A-Za-z0-9_-]");
    }
    Ok(Frame { date: date_text, host, tag, message })
}

/// The text up to the next space, and what follows the space.
fn word(bytes: &[u8]) -> Option<(&str, &[u8])> {
    let end = memchr::memchr(b' ', bytes)?;
    let (text, rest) = bytes.split_at_checked(end)?;
    let text = std::str::from_utf8(text).ok().filter(|text| !text.is_empty())?;
    Some((text, rest.strip_prefix(b" ")?))
}

fn is_date(text: &str) -> bool {
    let Some((month, rest)) = text.split_at_checked(3) else {
        return false;
    };
    let number = |from: usize| rest.get(from..from + 2)?.trim_start().parse::<u8>().ok();
    let padded = rest.get(1..3).is_some_and(|day| !day.starts_with('0') && !day.ends_with(' '));
    let spaces = rest.starts_with(' ') && rest.get(3..4) == Some(" ");
    let colons = rest.get(6..7) == Some(":") && rest.get(9..10) == Some(":");
    let clock_digits = rest.get(4..).is_some_and(|clock| !clock.contains(' '));
    let within =
        |value: Option<u8>, least: u8, most: u8| value.is_some_and(|value| (least..=most).contains(&value));
    MONTHS.contains(&month)
        && padded
        && spaces
        && colons
        && clock_digits
        && within(number(1), 1, 31)
        && within(number(4), 0, 23)
        && within(number(7), 0, 59)
        && within(number(10), 0, 60)
}

fn is_tag(tag: &str) -> bool {
    let levels = tag.split('.').count();
    let legal = |level: &str| {
        !level.is_empty() && level.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte))
    };
    (2..=8).contains(&levels) && tag.len() <= 1024 && tag.split('.').all(legal)
}
