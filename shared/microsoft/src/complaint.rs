//! What an API says when it refuses: its own code, its words and the request id, gathered from the shapes in use.
//!
//! Microsoft's APIs answer `{"error": {"code", "message", "innerError"}}`, spell `innerError` in two ways, nest it, leave
//! codes empty, name the request as `target`, quote with the wrong quotes, or send a page of HTML from a gateway. Defender
//! for Cloud Apps says `{"detail": …}`, and of refused filters field by field what is wrong. Nothing here fails: an answer
//! that cannot be read has no code.

use reqwest::header::HeaderMap;
use serde_json::Value;

/// Longest excerpt of foreign text in a message of ours, in characters.
const EXCERPT: usize = 300;

/// Longest text, in bytes, that is taken for a sentence of the API's though it is no JSON.
const SENTENCE: usize = 2048;

/// The word of an API that asks for patience.
pub(crate) const THROTTLED: &str = "throttled";

/// What is said of a body without anything in it.
const NO_BODY: &str = "an empty body";

/// An API's own words about a request that it refuses.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Complaint {
    /// `error.code`, or empty.
    pub(crate) code: String,
    /// `error.message` on one line, cut to a readable length, or empty.
    pub(crate) message: String,
    /// What Microsoft's support asks for.
    pub(crate) request_id: Option<String>,
    /// What it is about.
    pub(crate) subject: Subject,
}

/// What a complaint is about.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Subject {
    /// Whatever its code and words say.
    #[default]
    Request,
    /// The filters that were asked for, by the shape of the answer.
    Filter,
}

impl Complaint {
    /// Reads an answer's headers and body.
    pub(crate) fn read(headers: &HeaderMap, body: &[u8]) -> Self {
        let header_id = request_id(headers);
        let Ok(document) = serde_json::from_slice::<Value>(body) else {
            let (code, message) = read_text(body);
            return Self { code, message, request_id: header_id, subject: Subject::Request };
        };
        if let Some(refused) = read_filters(&document) {
            return Self { request_id: header_id, ..refused };
        }
        // Beside `error: true` or a text, the words stand in the document itself.
        let error = document.get("error").filter(|error| error.is_object()).unwrap_or(&document);
        // The first line says it; the others repeat ids and the time.
        let described = || text(&document, "error_description")?.lines().next().map(str::to_owned);
        let message = text(error, "message")
            .or_else(|| text(error, "Message"))
            .or_else(described)
            .or_else(|| detail(&document))
            .or_else(|| document.as_str().map(str::to_owned));
        Self {
            code: excerpt(&error_code(&document, error)),
            message: excerpt(&message.unwrap_or_default()),
            request_id: header_id
                .or_else(|| inner(error).find_map(|level| text(level, "request-id")))
                .or_else(|| text(&document, "trace_id"))
                .or_else(|| text(error, "target").map(|id| excerpt(&id))),
            subject: Subject::Request,
        }
    }

    /// True if the filters that were asked for are not taken, whatever the status.
    pub(crate) fn refuses_filter(&self) -> bool {
        self.subject == Subject::Filter
    }

    /// The status and the words as part of a sentence: `403 Code: words (request id …)`.
    pub(crate) fn sentence(&self, status: u16) -> String {
        let mut sentence = status.to_string();
        if !self.code.is_empty() {
            sentence.push(' ');
            sentence.push_str(&self.code);
        }
        if !self.message.is_empty() {
            sentence.push_str(": ");
            sentence.push_str(&self.message);
        }
        sentence.push_str(&self.suffix());
        sentence
    }

    /// ` (request id …)`, or nothing.
    pub(crate) fn suffix(&self) -> String {
        self.request_id.as_ref().map(|id| format!(" (request id {id})")).unwrap_or_default()
    }

    /// True if there was no body at all, or JSON without a code and a word.
    pub(crate) fn is_wordless(&self) -> bool {
        self.code.is_empty() && (self.message.is_empty() || self.message == NO_BODY)
    }

    /// True if code or message contain the words, whatever their case.
    pub(crate) fn says(&self, words: &str) -> bool {
        let words = words.to_lowercase();
        self.message.to_lowercase().contains(&words) || self.code.to_lowercase().contains(&words)
    }
}

/// The request id among the headers.
pub(crate) fn request_id(headers: &HeaderMap) -> Option<String> {
    let value = headers.get("request-id").or_else(|| headers.get("x-ms-request-id"))?.to_str().ok()?;
    Some(excerpt(value))
}

/// Foreign text on one line, without control characters, cut to a readable length.
pub(crate) fn excerpt(text: &str) -> String {
    let one_line: Vec<&str> = text.split(|c: char| c.is_whitespace() || c.is_control()).collect();
    let mut words = one_line.into_iter().filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ");
    if let Some((cut, _)) = words.char_indices().nth(EXCERPT) {
        words.truncate(cut);
        words.push('…');
    }
    words
}

/// A complaint about filters: `{"filters": [{"error", "errorMessageCode", "errorMessageParams"}], "error": true}`. The
/// errors may stand below the names of fields.
fn read_filters(document: &Value) -> Option<Complaint> {
    let filters = document.get("filters").filter(|filters| !is_empty(filters))?;
    let (mut errors, mut codes) = (Vec::new(), Vec::new());
    gather(filters, "error", &mut errors);
    gather(filters, "errorMessageCode", &mut codes);
    let is_told =
        document.get("error").is_some_and(|error| !matches!(error, Value::Null | Value::Bool(false)));
    let is_seen = !(errors.is_empty() && codes.is_empty()) && document.get("data").is_none();
    if !is_told && !is_seen {
        return None;
    }
    if errors.is_empty() && codes.is_empty() {
        gather_words(filters, &mut errors);
    }
    Some(Complaint {
        code: excerpt(codes.first().copied().unwrap_or_default()),
        message: excerpt(&errors.join("; ")),
        request_id: None,
        subject: Subject::Filter,
    })
}

fn is_empty(filters: &Value) -> bool {
    match filters {
        Value::Array(elements) => elements.is_empty(),
        Value::Object(members) => members.is_empty(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => true,
    }
}

/// The texts of all members of that name, wherever they stand, each once.
fn gather<'a>(value: &'a Value, member: &str, texts: &mut Vec<&'a str>) {
    match value {
        Value::Array(elements) => elements.iter().for_each(|element| gather(element, member, texts)),
        Value::Object(members) => {
            for (name, value) in members {
                match value {
                    Value::String(text) if name == member && !texts.contains(&text.as_str()) => {
                        texts.push(text)
                    }
                    _ => gather(value, member, texts),
                }
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// The words of `{"detail": …}`: a text, or all texts of an object or a list.
fn detail(document: &Value) -> Option<String> {
    let mut words = Vec::new();
    gather_words(document.get("detail")?, &mut words);
    (!words.is_empty()).then(|| words.join("; "))
}

fn gather_words<'a>(value: &'a Value, words: &mut Vec<&'a str>) {
    match value {
        Value::String(text) => words.push(text),
        Value::Array(elements) => elements.iter().for_each(|element| gather_words(element, words)),
        Value::Object(members) => members.values().for_each(|member| gather_words(member, words)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// Code and message of a body that is no JSON. The Management Activity API sends its errors with single quotes at times;
/// where even that cannot be taken apart, its code is known by its shape.
fn read_text(body: &[u8]) -> (String, String) {
    let text = String::from_utf8_lossy(body);
    let code = quoted_member(&text, "code").or_else(|| activity_code(&text)).unwrap_or_default();
    let message = quoted_member(&text, "message").unwrap_or_else(|| describe_text(body));
    (excerpt(&code), excerpt(&message))
}

/// The text between the single quotes behind a member's name. It may hold quotes itself: the one that ends it stands
/// before a comma or a brace.
fn quoted_member(text: &str, member: &str) -> Option<String> {
    let (_, behind) = text.split_once(&format!("'{member}'"))?;
    let value = behind.trim_start().strip_prefix(':')?.trim_start().strip_prefix('\'')?;
    let ends = |(end, _): &(usize, &str)| {
        value.get(end + 1..).is_some_and(|rest| rest.trim_start().starts_with([',', '}']))
    };
    let (end, _) = value.match_indices('\'').find(ends)?;
    value.get(..end).map(str::to_owned)
}

/// `AF` and digits, standing alone.
fn activity_code(text: &str) -> Option<String> {
    text.split(|c: char| !c.is_ascii_alphanumeric())
        .find(|word| {
            word.strip_prefix("AF")
                .is_some_and(|digits| digits.len() >= 3 && digits.bytes().all(|byte| byte.is_ascii_digit()))
        })
        .map(str::to_owned)
}

/// What a body is that is no JSON, without showing it, unless it asks for patience in a sentence.
pub(crate) fn describe_text(body: &[u8]) -> String {
    match body.trim_ascii_start().first() {
        None => NO_BODY.to_owned(),
        Some(b'<') => "an HTML or XML page".to_owned(),
        Some(_) => {
            words_of_throttling(body).unwrap_or_else(|| format!("{} bytes that are no JSON", body.len()))
        }
    }
}

/// A short text that asks for patience, so cut that the word for it stays.
fn words_of_throttling(body: &[u8]) -> Option<String> {
    if body.len() > SENTENCE {
        return None;
    }
    let text = String::from_utf8_lossy(body);
    let begin = text.to_ascii_lowercase().find(THROTTLED)?;
    let words = excerpt(&text);
    if words.to_ascii_lowercase().contains(THROTTLED) {
        return Some(words);
    }
    text.get(begin..).map(excerpt)
}

/// The outer code, or the first one inside when that is empty; OAuth has the code in place of the object.
fn error_code(document: &Value, error: &Value) -> String {
    if let Some(Value::String(code)) = document.get("error") {
        return code.clone();
    }
    std::iter::once(error)
        .chain(inner(error))
        .filter_map(|level| text(level, "code"))
        .find(|code| !code.is_empty())
        .unwrap_or_default()
}

/// The inner errors from the outside in.
fn inner(error: &Value) -> impl Iterator<Item = &Value> {
    std::iter::successors(next_level(error), |level| next_level(level))
}

fn next_level(level: &Value) -> Option<&Value> {
    level.get("innerError").or_else(|| level.get("innererror"))
}

fn text(object: &Value, member: &str) -> Option<String> {
    object.get(member)?.as_str().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use reqwest::header::HeaderValue;

    use super::*;

    fn read(body: &str) -> Complaint {
        Complaint::read(&HeaderMap::new(), body.as_bytes())
    }

    #[test]
    fn every_shape_of_an_error_body_is_read() {
        let table = [
            (
                r#"{"error":{"code":"A","message":"b","innerError":{"request-id":"c"}}}"#,
                "400 A: b (request id c)",
            ),
            (
                r#"{"error":{"code":"A","message":"b","innererror":{"request-id":"c"}}}"#,
                "400 A: b (request id c)",
            ),
            (
                r#"{"error":{"code":"","message":"b","innerError":{"innererror":{"code":"Deep","request-id":"c"}}}}"#,
                "400 Deep: b (request id c)",
            ),
            (r#"{"error":{"code":"UnknownError","message":""}}"#, "400 UnknownError"),
            (
                r#"{"error":"invalid_client","error_description":"AADSTS1: x\r\ny","trace_id":"t"}"#,
                "400 invalid_client: AADSTS1: x (request id t)",
            ),
            (r#"{"code":"A","message":"b"}"#, "400 A: b"),
            (r#"{"error":{"code":"A","message":"b","target":"c"}}"#, "400 A: b (request id c)"),
            (r#"{"Message":"Authorization has been denied"}"#, "400: Authorization has been denied"),
            (r#"{"error":{"code":5,"message":null}}"#, "400"),
            (r#"{"error":true,"message":"b"}"#, "400: b"),
            (r#"{"error":true,"code":"A","message":"b"}"#, "400 A: b"),
            (r#"{"error":"a text"}"#, "400 a text"),
            (r#"{"error":"A","message":"b"}"#, "400 A: b"),
            (r#"{"detail":"Invalid token."}"#, "400: Invalid token."),
            (r#"{"detail":{"reason":"no licence","more":["x",{"y":"z"},7,null]}}"#, "400: no licence; x; z"),
            (r#"{"detail":{}}"#, "400"),
            (r#"{"detail":7}"#, "400"),
            (r#""Request was throttled.""#, "400: Request was throttled."),
            ("Request was\nTHROTTLED by us", "400: Request was THROTTLED by us"),
            ("<html>throttled</html>", "400: an HTML or XML page"),
            ("[]", "400"),
            ("", "400: an empty body"),
            (" <html>secret</html>", "400: an HTML or XML page"),
            ("upstream", "400: 8 bytes that are no JSON"),
            (
                "{'error':{'code':'AF429','message':'Too many, it\'s \"said\".'}}",
                "400 AF429: Too many, it's \"said\".",
            ),
            ("{'error': {'message' : 'b', 'code' : 'A' }}", "400 A: b"),
            ("{'error':{'code':'AF50000','message':'cut", "400 AF50000: 41 bytes that are no JSON"),
            ("<p>AF50000</p> SAF123 AF1", "400 AF50000: an HTML or XML page"),
        ];
        for (body, sentence) in table {
            assert_eq!(read(body).sentence(400), sentence, "{body}");
        }
    }

    #[test]
    fn refused_filters_are_known_by_their_shape_whatever_is_nested_in_it() {
        let refused = [
            (
                r#"{"filters":[{"error":"x is not valid","errorMessageCode":"CONSOLE_FORMS_NOT_VALID_VALUE","errorMessageParams":["x"]}],"error":true}"#,
                "400 CONSOLE_FORMS_NOT_VALID_VALUE: x is not valid",
            ),
            (
                r#"{"filters":[{"error":"x","errorMessageCode":"A"},{"error":"y","errorMessageCode":"B"},{"error":"x"}],"error":true}"#,
                "400 A: x; y",
            ),
            (r#"{"filters":{"created":[{"error":"x"},{"gte":{"error":"y"}}]},"error":true}"#, "400: x; y"),
            (r#"{"filters":[{"error":"x"}]}"#, "400: x"),
            (r#"{"filters":[{"error":{"message":"x"}}],"error":true}"#, "400: x"),
            (r#"{"filters":["x"],"error":true}"#, "400: x"),
            (
                r#"{"filters":[{"errorMessageCode":"A","errorMessageParams":{"p":[[]]}}],"error":"b"}"#,
                "400 A",
            ),
            (r#"{"filters":[[null,7]],"error":true}"#, "400"),
        ];
        for (body, sentence) in refused {
            let complaint = read(body);
            assert!(complaint.refuses_filter(), "{body}");
            assert_eq!(complaint.sentence(400), sentence, "{body}");
        }
        let others = [
            r#"{"filters":[],"error":true}"#,
            r#"{"filters":"x","error":true}"#,
            r#"{"filters":[{"created":{"gte":1}}],"error":false,"data":[]}"#,
            r#"{"filters":{"created":{"gte":1}}}"#,
            r#"{"data":[{"filters":[{"error":"x"}],"error":true}]}"#,
            r#"{"error":{"code":"A","message":"invalid filter"}}"#,
            "filters error",
        ];
        for body in others {
            assert!(!read(body).refuses_filter(), "{body}");
        }
    }

    #[test]
    fn a_long_text_is_not_taken_for_a_sentence_and_a_short_one_keeps_its_word() {
        assert_eq!(read(&format!("{} throttled.", "x".repeat(EXCERPT))).message, "throttled.");
        assert!(read(&format!("{} throttled.", "ä".repeat(EXCERPT - 20))).message.ends_with("ä throttled."));
        let body = format!("{} throttled", "x".repeat(SENTENCE));
        assert_eq!(read(&body).message, format!("{} bytes that are no JSON", body.len()));
    }

    #[test]
    fn the_header_names_the_request_before_the_body_does() {
        let mut headers = HeaderMap::new();
        headers.insert("request-id", HeaderValue::from_static("outer"));
        let complaint = Complaint::read(&headers, br#"{"error":{"innerError":{"request-id":"inner"}}}"#);
        assert_eq!(complaint.request_id.as_deref(), Some("outer"));
    }

    #[test]
    fn long_words_are_cut_between_characters() {
        let cut = excerpt(&"ä".repeat(1000));
        assert_eq!(cut.chars().count(), EXCERPT + 1);
        assert_eq!(excerpt("a\n\tb\u{0}c"), "a b c");
    }
}
