//! Counts of what belongs to a record: one request each, its answer counted and thrown away.
//!
//! An answer is a list, whose pages are added together, or one object, which counts as one. What is there no longer counts
//! as nothing. A refusal says whether it is meant for the application, which lacks a permission, or for this record alone;
//! everything else may pass, and is an error.

use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt;

use bytes::Bytes;
use collector::error::Error;
use collector::ports::{Related, RelatedRequest, SourceError};
use collector::settings::Connection;
use reqwest::Method;
use reqwest::header::HeaderMap;
use serde::Deserialize;
use serde::de::{IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;
use url::Url;

use crate::access::{Access, Ask, Expected, Repeats, Unanswered, no_page};
use crate::client::Answer;
use crate::complaint::excerpt;
use crate::failure::{Contact, Context, Failure, FailureKind, Target, grant};
use crate::identity::settings_error;
use crate::paging::Flaw;
use crate::paging::link::{BadLink, OwnHost, encode_segment};

/// Where counts are asked for.
#[derive(Debug)]
pub(crate) struct Counts {
    /// Without a trailing slash.
    base_url: String,
    host: OwnHost,
}

impl Counts {
    /// At the configured base URL.
    ///
    /// # Errors
    /// InitVariablesError 1 when the base URL is none.
    pub(crate) fn at(connection: &Connection) -> Result<Self, Error> {
        let base_url = connection.base_url.trim_end_matches('/').to_owned();
        let url = Url::parse(&base_url)
            .map_err(|_| settings_error(format!("override_base_url {} is no URL", excerpt(&base_url))))?;
        Ok(Self { base_url, host: OwnHost::of(&url) })
    }

    /// Asks for a count, all pages of it together.
    pub(crate) async fn count(
        &self,
        access: &Access,
        request: &RelatedRequest,
    ) -> Result<Related, SourceError> {
        let Some((endpoint, first)) = self.address(request) else {
            return Ok(Related::Refused("its id cannot be part of a path".to_owned()));
        };
        let bad_link = |bad: BadLink| no_page(&endpoint, &bad);
        let mut followed = HashSet::new();
        let (mut url, mut total) = (first, 0_u64);
        loop {
            let counted = match self.part(access, request, &url).await {
                Ok(counted) => counted,
                Err(unanswered) => return without_answer(access, request, &endpoint, &unanswered),
            };
            access.establish();
            total = total.saturating_add(counted.rows);
            let Some(link) = counted.next else { return Ok(Related::Count(total)) };
            followed.insert(url);
            url = self.host.apply(&link).map_err(bad_link)?;
            if followed.contains(&url) {
                return Err(bad_link(BadLink("the page links go in a circle".to_owned())));
            }
        }
    }

    /// The URL, in words and to be asked; none for an id that a URL would take for a step upwards. The words have a place
    /// in place of the id: it may be one that nobody shall read.
    fn address(&self, request: &RelatedRequest) -> Option<(String, Url)> {
        if matches!(request.id.as_str(), "" | "." | "..") {
            return None;
        }
        let endpoint = format!("{}{}", self.base_url, request.enrichment.path);
        let path = request.enrichment.path.replace("{id}", &encode_segment(&request.id));
        let url = Url::parse(&format!("{}{path}", self.base_url)).ok()?;
        Some((endpoint, url))
    }

    async fn part(
        &self,
        access: &Access,
        request: &RelatedRequest,
        url: &Url,
    ) -> Result<Counted, Unanswered> {
        let ask = Ask {
            method: Method::GET,
            url,
            told_as: request.enrichment.path,
            headers: HeaderMap::new(),
            deadline: request.deadline,
            repeats: Repeats::Patient,
            unsaid_patience: None,
            body: Bytes::new(),
            answer: Expected::Little,
        };
        let read = |answer: &Answer| {
            read_count(&answer.body).map_err(|flaw| {
                let mut failure = access.flawed(answer, flaw);
                // A gateway's page in place of the answer: the next one may be the API's.
                if failure.kind == FailureKind::NotAPage {
                    failure.kind = FailureKind::BrokenBody;
                }
                failure
            })
        };
        let (counted, _) = access.ask(&ask, &mut Bytes::new(), read).await?;
        Ok(counted)
    }
}

fn without_answer(
    access: &Access,
    request: &RelatedRequest,
    endpoint: &str,
    unanswered: &Unanswered,
) -> Result<Related, SourceError> {
    let permission = request.enrichment.permission;
    if let Unanswered::Failed(failure) = unanswered
        && let Some(refused) = refusal(failure, endpoint, permission)
    {
        return Ok(refused);
    }
    Err(unanswered.tell(&Context {
        endpoint,
        contact: Contact::Established,
        target: Target::Window,
        window_from: access.clock.now(),
        now: access.clock.now(),
        filter: "",
        additional_filter: None,
        permission,
        token_setting: None,
        successor: None,
    }))
}

/// What a refusal means for the record; none where it is no refusal.
fn refusal(failure: &Failure, endpoint: &str, permission: &str) -> Option<Related> {
    if !matches!(
        failure.kind,
        FailureKind::Refused
            | FailureKind::Unauthorized
            | FailureKind::LicenceUnclear
            | FailureKind::NotSetUp
    ) {
        return None;
    }
    let words = || format!("{endpoint} refused: {}", failure.sentence());
    match failure.status? {
        404 => Some(Related::Count(0)),
        401 | 403 => Some(Related::NotPermitted(words() + &grant(permission))),
        400..=499 => Some(Related::Refused(words())),
        _ => None,
    }
}

/// The records of one answer, and the link to more of them.
#[derive(Debug, Default, PartialEq, Eq)]
struct Counted {
    rows: u64,
    next: Option<String>,
}

fn read_count(body: &Bytes) -> Result<Counted, Flaw> {
    if body.trim_ascii().is_empty() {
        return Ok(Counted::default());
    }
    let wrong_type = "neither an object nor a list";
    let read: Option<AnswerShape> =
        serde_json::from_slice(body).map_err(|error| Flaw::of(body, &error, wrong_type))?;
    Ok(read.map_or_else(Counted::default, |shape| shape.0))
}

struct AnswerShape(Counted);

impl<'de> Deserialize<'de> for AnswerShape {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ShapeVisitor).map(Self)
    }
}

struct ShapeVisitor;

impl<'de> Visitor<'de> for ShapeVisitor {
    type Value = Counted;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object or a list")
    }

    /// Annotations (`@odata.context`) are nothing that belongs to a record.
    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Counted, A::Error> {
        let (mut list, mut next, mut is_object) = (None, None, false);
        while let Some(name) = members.next_key::<Cow<'de, str>>()? {
            match name.as_ref() {
                "value" => {
                    let value: &RawValue = members.next_value()?;
                    match serde_json::from_str::<Option<Vec<IgnoredAny>>>(value.get()) {
                        Ok(rows) => list = Some(rows.map_or(0, |rows| rows.len() as u64)),
                        Err(_) => is_object = true,
                    }
                }
                "@odata.nextLink" => next = members.next_value::<Option<String>>()?,
                annotation if annotation.starts_with('@') => drop(members.next_value::<IgnoredAny>()?),
                _ => {
                    is_object = true;
                    members.next_value::<IgnoredAny>()?;
                }
            }
        }
        let next = next.filter(|link: &String| !link.is_empty());
        Ok(Counted { rows: list.unwrap_or(u64::from(is_object)), next })
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut rows: A) -> Result<Counted, A::Error> {
        let mut counted = Counted::default();
        while rows.next_element::<IgnoredAny>()?.is_some() {
            counted.rows += 1;
        }
        Ok(counted)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_counted_and_an_object_is_one() {
        let table = [
            ("", 0),
            (" \n", 0),
            ("null", 0),
            ("{}", 0),
            (r#"{"@odata.context":"x","@odata.null":true}"#, 0),
            (r#"{"value":[]}"#, 0),
            (r#"{"value":null}"#, 0),
            (r#"{"@odata.context":"x","value":[{"value":[1,2]},{"a":[{}]},null]}"#, 3),
            (r#"{"id":"a","more":{"value":[1,2,3]}}"#, 1),
            (r#"{"id":"a","value":"x"}"#, 1),
            (r#"[{},{}]"#, 2),
        ];
        for (body, rows) in table {
            assert_eq!(read_count(&Bytes::from(body)).unwrap(), Counted { rows, next: None }, "{body}");
        }
        let linked = r#"{"@odata.nextLink":"https:\/\/x","value":[1]}"#;
        let expected = Counted { rows: 1, next: Some("https://x".to_owned()) };
        assert_eq!(read_count(&Bytes::from(linked)).unwrap(), expected);
        for body in ["INVALID", "<html>", "7", "\"a\"", r#"{"value":[1"#] {
            assert!(read_count(&Bytes::from(body)).is_err(), "{body}");
        }
    }
}
