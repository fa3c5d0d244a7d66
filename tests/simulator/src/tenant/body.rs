//! Bodies of pages: members around records whose bytes stay as they were emitted.
//!
//! Collections of every family write their pages here, so that white space, the place of the next link, compression
//! and the faults that change a page's rows are the same for all of them.

use std::io::{self, Write};

use bytes::Bytes;
use flate2::Compression as Level;
use flate2::write::GzEncoder;
use serde_json::Value;
use url::form_urlencoded::byte_serialize;

use super::config::{BodyStyle, Compression, LinkPlace, TenantConfig};
use super::fault::Fault;
use crate::http::{Answer, Request};

/// The members of a body.
pub(super) struct Body<'a> {
    /// Members before the records, in order.
    pub(super) head: Vec<(&'a str, Value)>,
    /// Where the next page is.
    pub(super) next: Option<&'a str>,
    /// The records.
    pub(super) rows: &'a [Bytes],
}

impl Body<'_> {
    /// The answer with this body; a fault may end it early.
    pub(super) fn answer(
        &self,
        config: &TenantConfig,
        request: &Request,
        fault: Option<&Fault>,
        content_type: &str,
    ) -> io::Result<Answer> {
        encoded(config, request, fault, content_type, self.bytes(config.body_style, config.link_place))
    }

    fn bytes(&self, style: BodyStyle, link_place: LinkPlace) -> Vec<u8> {
        let (line, inner_line, colon) = match style {
            BodyStyle::Compact => ("", "", ":"),
            BodyStyle::Pretty => ("\n  ", "\n    ", ": "),
        };
        let member = |name: &str, value: &Value| format!("\"{name}\"{colon}{value}");
        let link = self.next.map(|next| member("@odata.nextLink", &Value::from(next)));
        let (before, after) = match link_place {
            LinkPlace::BeforeRecords => (link, None),
            LinkPlace::AfterRecords => (None, link),
        };
        let mut body = b"{".to_vec();
        for one in self.head.iter().map(|(name, value)| member(name, value)).chain(before) {
            body.extend_from_slice(format!("{line}{one},").as_bytes());
        }
        body.extend_from_slice(format!("{line}\"value\"{colon}[").as_bytes());
        for (index, raw) in self.rows.iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            body.extend_from_slice(format!("{comma}{inner_line}").as_bytes());
            body.extend_from_slice(raw);
        }
        let end_line = if self.rows.is_empty() { "" } else { line };
        body.extend_from_slice(format!("{end_line}]").as_bytes());
        if let Some(one) = after {
            body.extend_from_slice(format!(",{line}{one}").as_bytes());
        }
        body.extend_from_slice(if style == BodyStyle::Pretty { b"\n}" } else { b"}" });
        body
    }
}

/// 200 with these bytes, compressed for those who accept it; a fault may end them early.
pub(super) fn encoded(
    config: &TenantConfig,
    request: &Request,
    fault: Option<&Fault>,
    content_type: &str,
    mut body: Vec<u8>,
) -> io::Result<Answer> {
    if let Some(Fault::EndsEarly { at }) = fault {
        body.truncate(*at);
    }
    let accepts = request.header("accept-encoding").is_some_and(|value| value.contains("gzip"));
    if !accepts || config.compression == Compression::Never {
        return Ok(Answer::new(200, content_type, body));
    }
    let mut encoder = GzEncoder::new(Vec::new(), Level::fast());
    encoder.write_all(&body)?;
    let answer = Answer::new(200, content_type, encoder.finish()?);
    Ok(answer.with_header("Content-Encoding", "gzip").with_header("Vary", "Accept-Encoding"))
}

/// The rows of a page as the fault leaves them.
pub(super) fn rows_after(fault: Option<&Fault>, records: Vec<Bytes>) -> Vec<Bytes> {
    match fault {
        Some(Fault::EmptyPageWithNext) => Vec::new(),
        Some(Fault::DuplicateRecords) => records.iter().flat_map(|raw| [raw.clone(), raw.clone()]).collect(),
        Some(Fault::ShuffleOrder) => {
            let odd = records.iter().skip(1).step_by(2);
            odd.chain(records.iter().step_by(2).rev()).cloned().collect()
        }
        _ => records,
    }
}

/// Options of a link, percent-encoded. The dollar sign of a name stays readable, as in Microsoft's own links.
pub(super) fn query_text<'a>(options: impl Iterator<Item = (&'a str, &'a str)>) -> String {
    let pair = |(name, value): (&str, &str)| {
        let (dollar, rest) = name.strip_prefix('$').map_or(("", name), |rest| ("$", rest));
        format!("{dollar}{}={}", escaped(rest), escaped(value))
    };
    options.map(pair).collect::<Vec<_>>().join("&")
}

fn escaped(text: &str) -> String {
    byte_serialize(text.as_bytes()).collect()
}
