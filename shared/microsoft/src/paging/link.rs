//! The links an API hands out: page links and content links, followed to the configured origin alone.
//!
//! A token travels with every request, so a link is looked at before it is followed: its scheme, host and port must be
//! those of the base URL. Nothing else of it is changed or checked; what it means is the API's own business. One API is
//! known to name other hosts of its own; there, what matters is asked for at the configured host.

use url::{Origin, Url};

use crate::complaint::excerpt;

/// Microsoft's links have hundreds of bytes; servers refuse request lines far below this.
pub(crate) const LONGEST_LINK: usize = 32 * 1024;

/// Why a link is not followed.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct BadLink(pub(crate) String);

/// Scheme, host and port that a token may be sent to.
#[derive(Debug)]
pub(crate) struct OwnOrigin(Origin);

impl OwnOrigin {
    /// The origin of the configured base URL.
    pub(crate) fn of(base: &Url) -> Self {
        Self(base.origin())
    }

    /// The URL of a link, if a token may be sent there. `what` names the link in a complaint, for example `page link`.
    pub(crate) fn follow(&self, link: &str, what: &str) -> Result<Url, BadLink> {
        if link.len() > LONGEST_LINK {
            return Err(too_long(what, link));
        }
        let url = Url::parse(link).map_err(|_| BadLink(format!("the {what} is no absolute URL")))?;
        if url.origin() != self.0 || !url.username().is_empty() || url.password().is_some() {
            return Err(BadLink(format!(
                "foreign link: it points to {}, not to {}",
                excerpt(&url.origin().ascii_serialization()),
                self.0.ascii_serialization()
            )));
        }
        Ok(url)
    }
}

/// The configured host, for APIs whose links may name another one: only path and query of a link are followed.
#[derive(Debug)]
pub(crate) struct OwnHost(Url);

impl OwnHost {
    /// The host of the configured base URL; a path that it has stays before that of each link.
    pub(crate) fn of(base: &Url) -> Self {
        Self(base.clone())
    }

    /// The URL of a link at this host.
    pub(crate) fn apply(&self, link: &str) -> Result<Url, BadLink> {
        if link.len() > LONGEST_LINK {
            return Err(too_long("page link", link));
        }
        let named =
            Url::parse(link).or_else(|_| self.0.join(link)).ok().filter(|url| !url.cannot_be_a_base());
        let Some(named) = named else { return Err(BadLink("the page link is no URL".to_owned())) };
        let prefix = self.0.path().trim_end_matches('/');
        let is_own = named.origin() == self.0.origin();
        let has_prefix = named.path().strip_prefix(prefix).is_some_and(|rest| rest.starts_with('/'));
        let mut url = self.0.clone();
        match is_own && has_prefix {
            true => url.set_path(named.path()),
            false => url.set_path(&format!("{prefix}{}", named.path())),
        }
        url.set_query(named.query());
        url.set_fragment(None);
        Ok(url)
    }
}

fn too_long(what: &str, link: &str) -> BadLink {
    BadLink(format!("the {what} has {} bytes, up to {LONGEST_LINK} are followed", link.len()))
}

/// Percent-encodes one segment of a path. Nothing but unreserved characters stays as it is: an id may hold a slash.
pub(crate) fn encode_segment(value: &str) -> String {
    let mut encoded = String::with_capacity(value.len() * 2);
    for byte in value.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                encoded.push(char::from(byte));
            }
            _ => encoded.push_str(&format!("%{byte:02X}")),
        }
    }
    encoded
}

/// Percent-encodes a query value, leaving what may stand there and is easier to read as it is. A `+` is encoded: raw, it
/// would be read as a space.
pub(crate) fn encode(value: &str) -> String {
    let mut encoded = String::with_capacity(value.len() * 2);
    for byte in value.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' => encoded.push(char::from(byte)),
            b'-' | b'.' | b'_' | b'~' | b'$' | b'(' | b')' | b',' | b'/' | b':' => {
                encoded.push(char::from(byte));
            }
            _ => encoded.push_str(&format!("%{byte:02X}")),
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn path_and_query_of_a_link_are_followed_at_the_configured_host() {
        let table = [
            (
                "https://mde.example",
                "https://api-eu.x.example/api/a?$skip=10",
                "https://mde.example/api/a?$skip=10",
            ),
            ("https://mde.example/", "http://user:pass@x.example:8443/api/a#b", "https://mde.example/api/a"),
            ("https://mde.example", "/api/a?$skip=1e4%2B", "https://mde.example/api/a?$skip=1e4%2B"),
            ("http://127.0.0.1:81/gw", "https://x.example/api/a?b=c", "http://127.0.0.1:81/gw/api/a?b=c"),
            ("http://127.0.0.1:81/gw/", "http://127.0.0.1:81/gw/api/a", "http://127.0.0.1:81/gw/api/a"),
            ("http://127.0.0.1:81/gw", "http://127.0.0.1:81/gwen/a", "http://127.0.0.1:81/gw/gwen/a"),
        ];
        for (base, link, expected) in table {
            let host = OwnHost::of(&Url::parse(base).unwrap());
            assert_eq!(host.apply(link).unwrap().as_str(), expected, "{base} {link}");
        }
        let host = OwnHost::of(&Url::parse("https://mde.example").unwrap());
        assert!(host.apply("mailto:a@b.example").is_err());
        assert!(host.apply(&format!("https://x.example/{}", "a".repeat(LONGEST_LINK))).is_err());
    }

    #[test]
    fn an_id_is_one_segment_of_a_path_whatever_it_holds() {
        let table = [
            ("microsoft-_-edge.1~2", "microsoft-_-edge.1~2"),
            (r"contoso\user 1", "contoso%5Cuser%201"),
            ("a/../b?c#d%2F+é", "a%2F..%2Fb%3Fc%23d%252F%2B%C3%A9"),
        ];
        for (id, expected) in table {
            assert_eq!(encode_segment(id), expected);
            let url = Url::parse(&format!("https://x.example/api/{}/files", encode_segment(id))).unwrap();
            assert_eq!(url.path_segments().unwrap().count(), 3, "{id}");
        }
    }
}
