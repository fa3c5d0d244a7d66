//! Words of a filter: names, quoted strings, datetime and other literals, punctuation.
//!
//! Datetime literals follow OData 4: unquoted, with `T`, seconds optional, up to seven fractional digits (what .NET
//! holds), and an offset or `Z`. A date alone means its midnight in UTC.

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;

use super::FilterError;

/// One word.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Word {
    Name(String),
    Text(String),
    Instant(Timestamp),
    Number(f64),
    Open,
    Close,
    Slash,
    Colon,
    Comma,
}

/// Cuts a filter into words.
pub(super) fn words(filter: &str) -> Result<Vec<Word>, FilterError> {
    let mut found = Vec::new();
    let mut rest = filter.chars().peekable();
    while let Some(&next) = rest.peek() {
        if next == ' ' || next == '\t' {
            rest.next();
            continue;
        }
        if let Some(word) = punctuation(next) {
            rest.next();
            found.push(word);
        } else if next == '\'' {
            rest.next();
            found.push(Word::Text(quoted(&mut rest)?));
        } else if next.is_ascii_digit() || next == '-' {
            let literal = take_while(&mut rest, |char| char.is_ascii_alphanumeric() || "+-.:".contains(char));
            found.push(number_or_instant(&literal)?);
        } else if next.is_ascii_alphabetic() || next == '_' {
            let name = take_while(&mut rest, |char| char.is_ascii_alphanumeric() || "_.@".contains(char));
            found.push(Word::Name(name));
        } else {
            return Err(FilterError(format!("unexpected character '{next}'")));
        }
    }
    Ok(found)
}

type Characters<'a> = std::iter::Peekable<std::str::Chars<'a>>;

fn punctuation(character: char) -> Option<Word> {
    match character {
        '(' => Some(Word::Open),
        ')' => Some(Word::Close),
        '/' => Some(Word::Slash),
        ':' => Some(Word::Colon),
        ',' => Some(Word::Comma),
        _ => None,
    }
}

/// The text up to the closing quote; a doubled quote is one.
fn quoted(rest: &mut Characters<'_>) -> Result<String, FilterError> {
    let mut text = String::new();
    while let Some(character) = rest.next() {
        if character != '\'' {
            text.push(character);
        } else if rest.next_if_eq(&'\'').is_some() {
            text.push('\'');
        } else {
            return Ok(text);
        }
    }
    Err(FilterError("a string without its closing quote".to_owned()))
}

fn take_while(rest: &mut Characters<'_>, belongs: impl Fn(char) -> bool) -> String {
    let mut taken = String::new();
    while let Some(character) = rest.next_if(|&character| belongs(character)) {
        taken.push(character);
    }
    taken
}

fn number_or_instant(literal: &str) -> Result<Word, FilterError> {
    if let Some(instant) = instant(literal) {
        return Ok(Word::Instant(instant));
    }
    let numeric = literal.chars().all(|char| char.is_ascii_digit() || "-.".contains(char));
    match literal.parse::<f64>() {
        Ok(number) if numeric => Ok(Word::Number(number)),
        _ => Err(FilterError(format!("'{literal}' is neither a number nor a datetime"))),
    }
}

/// Strictly the OData form; jiff alone would accept more.
fn instant(literal: &str) -> Option<Timestamp> {
    let Some((date, time_and_offset)) = literal.split_once('T') else {
        let shape = literal.len() == 10 && literal.bytes().filter(|&byte| byte == b'-').count() == 2;
        let midnight = shape.then(|| literal.parse::<Date>().ok()).flatten()?;
        return midnight.to_zoned(TimeZone::UTC).ok().map(|zoned| zoned.timestamp());
    };
    let offset_start = time_and_offset.find(['Z', '+', '-'])?;
    let (time, offset) = time_and_offset.split_at_checked(offset_start)?;
    let (clock, fraction) =
        time.split_once('.').map_or((time, None), |(clock, fraction)| (clock, Some(fraction)));
    let fraction_fits = fraction.is_none_or(|digits| {
        (1..=7).contains(&digits.len())
            && digits.bytes().all(|byte| byte.is_ascii_digit())
            && clock.len() == 8
    });
    let offset_fits = offset == "Z" || offset.len() == 6;
    if date.len() != 10 || !matches!(clock.len(), 5 | 8) || !fraction_fits || !offset_fits {
        return None;
    }
    literal.parse().ok()
}
