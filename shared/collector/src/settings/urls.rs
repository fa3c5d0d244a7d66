//! The URLs of a document: any https host; plain http only to this very machine.

use url::{Host, Url};

/// Reads a root URL and gives it without a trailing slash, or says what is wrong with it. The URL itself is never
/// quoted: it may hold a password.
pub(super) fn parse_root(text: &str) -> Result<String, &'static str> {
    let url = Url::parse(text.trim()).map_err(|_| "is no URL; write it as https://host")?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err("holds a user name or password; remove it, credentials have a place of their own");
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err("holds a query or fragment; give the root of the API alone");
    }
    match (url.scheme(), is_loopback(&url)) {
        ("https", _) | ("http", true) => Ok(url.as_str().trim_end_matches('/').to_owned()),
        ("http", false) => Err("plain http is for loopback only; write https"),
        _ => Err("must begin with https://"),
    }
}

/// Whether two root URLs name the same host and port.
pub(super) fn same_host(left: &str, right: &str) -> bool {
    match (Url::parse(left), Url::parse(right)) {
        (Ok(a), Ok(b)) => a.host() == b.host() && a.port_or_known_default() == b.port_or_known_default(),
        _ => false,
    }
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        Some(Host::Domain(name)) => name == "localhost",
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_loopback_may_be_plain_http() {
        let cases = [
            ("https://graph.microsoft.com/", Some("https://graph.microsoft.com")),
            ("HTTPS://Graph.Microsoft.com", Some("https://graph.microsoft.com")),
            ("https://proxy.example:8443/graph/", Some("https://proxy.example:8443/graph")),
            ("http://127.0.0.1:8080/", Some("http://127.0.0.1:8080")),
            ("http://127.9.8.7", Some("http://127.9.8.7")),
            ("http://[::1]:80", Some("http://[::1]")),
            ("http://localhost:1", Some("http://localhost:1")),
            ("http://localhost.example", None),
            ("http://128.0.0.1", None),
            ("http://graph.microsoft.com", None),
            ("ftp://localhost", None),
            ("graph.microsoft.com", None),
            ("https://user:pw@graph.microsoft.com", None),
            ("https://graph.microsoft.com?x=1", None),
            ("https://graph.microsoft.com#x", None),
            ("https://", None),
        ];
        for (text, expected) in cases {
            assert_eq!(parse_root(text).ok().as_deref(), expected, "{text}");
        }
    }
}
