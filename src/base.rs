//! Where clients reach this proxy: the base of every link it rewrites.
//!
//! Owns the choice between the configured `public_url` and the request's own scheme and Host, and refuses a
//! Host that could smuggle anything but an address into a link. HTTP/1.0 knows no Host (RFC 9112, section 3.2); who
//! speaks it can be answered where links need none.

use arc_swap::ArcSwap;
use compact_str::CompactString;
use http::header::HOST;
use http::{HeaderMap, Uri, Version};
use std::sync::Arc;

/// Why no link can be made for a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("send one Host header with a host name or address and, where needed, a port")]
pub struct NoHost;

/// The base URL's rule.
#[derive(Debug, Default)]
pub struct BaseUrl(ArcSwap<Option<String>>);

impl BaseUrl {
    /// `public_url` where one is configured, the request's own otherwise.
    #[must_use]
    pub fn new(public_url: Option<&str>) -> Self {
        let base = Self::default();
        base.reload(public_url);
        base
    }

    /// Replaces the configured base.
    pub fn reload(&self, public_url: Option<&str>) {
        self.0.store(Arc::new(public_url.map(|url| url.trim_end_matches('/').to_owned())));
    }

    /// The base URL for the client of a request.
    ///
    /// # Errors
    /// [`NoHost`] when the request names no usable host.
    pub fn of<'a>(
        &self,
        uri: &'a Uri,
        headers: &'a HeaderMap,
        (version, tls): (Version, bool),
    ) -> Result<Base<'a>, NoHost> {
        let configured = self.0.load();
        let configured = configured.as_ref().as_ref();
        let mut hosts = headers.get_all(HOST).iter();
        let host = match (uri.authority(), hosts.next(), hosts.next()) {
            (_, _, Some(_)) => return Err(NoHost),
            (Some(authority), _, None) => authority.as_str(),
            (None, Some(host), None) => host.to_str().map_err(|_| NoHost)?,
            (None, None, None) => {
                let public = configured.filter(|_| version <= Version::HTTP_10).ok_or(NoHost)?;
                return Ok(Base::Configured(CompactString::new(public)));
            }
        };
        if !is_address(host) {
            return Err(NoHost);
        }
        Ok(match configured {
            Some(public) => Base::Configured(CompactString::new(public)),
            None => Base::Named { scheme: if tls { "https://" } else { "http://" }, host },
        })
    }
}

/// A base URL, without a slash at its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Base<'a> {
    /// The configured one.
    Configured(CompactString),
    /// The one that a request names.
    Named {
        /// With its `://`.
        scheme: &'static str,
        /// With its port.
        host: &'a str,
    },
}

impl Base<'_> {
    /// Its text in two parts, so that a hit need not put them together.
    #[must_use]
    pub fn parts(&self) -> [&str; 2] {
        match self {
            Self::Configured(public) => [public, ""],
            Self::Named { scheme, host } => [scheme, host],
        }
    }
}

/// A host name, IPv4 address or bracketed IPv6 address with an optional port.
fn is_address(host: &str) -> bool {
    let (name, port) = match host.bytes().rposition(|byte| matches!(byte, b':' | b']')) {
        Some(at) if host.as_bytes()[at] == b':' => (&host[..at], Some(&host[at + 1..])),
        _ => (host, None),
    };
    let name_is_valid = match name.strip_prefix('[').and_then(|name| name.strip_suffix(']')) {
        Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
        None => {
            (1..=253).contains(&name.len())
                && name
                    .bytes()
                    .all(|byte| matches!(byte, b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'.' | b'-' | b'_'))
        }
    };
    name_is_valid && port.is_none_or(|port| port.parse::<u16>().is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(base: &BaseUrl, hosts: &[&'static str], tls: bool) -> Result<String, NoHost> {
        let mut headers = HeaderMap::new();
        for host in hosts {
            headers.append(HOST, http::HeaderValue::from_static(host));
        }
        base.of(&Uri::from_static("/x"), &headers, (Version::HTTP_11, tls)).map(|base| base.parts().concat())
    }

    #[test]
    fn the_configured_base_wins() {
        let base = BaseUrl::new(Some("https://volumes.example/x/"));
        assert_eq!(of(&base, &["h"], false).unwrap(), "https://volumes.example/x");
        base.reload(None);
        assert_eq!(of(&base, &["h:81"], false).unwrap(), "http://h:81");
        assert_eq!(of(&base, &["[::1]:81"], true).unwrap(), "https://[::1]:81");
    }

    #[test]
    fn who_knows_no_host_needs_a_configured_base() {
        let (uri, headers) = (Uri::from_static("/x"), HeaderMap::new());
        let old = (Version::HTTP_10, false);
        assert_eq!(BaseUrl::default().of(&uri, &headers, old), Err(NoHost));
        let base = BaseUrl::new(Some("https://volumes.example"));
        assert_eq!(
            base.of(&uri, &headers, old).map(|base| base.parts().concat()).unwrap(),
            "https://volumes.example"
        );
    }

    #[test]
    fn a_host_is_an_address_and_nothing_else() {
        for bad in ["", "a b", "a/b", "a\"b", "a@b", "a:b", "a:70000", "[::1", "a?b", "[x]", "::1"] {
            assert!(!is_address(bad), "{bad}");
        }
        let base = BaseUrl::default();
        assert_eq!(of(&base, &[], false), Err(NoHost));
        let configured = BaseUrl::new(Some("https://volumes.example"));
        assert_eq!(of(&configured, &[], false), Err(NoHost));
        assert_eq!(of(&configured, &["a", "b"], false), Err(NoHost));
        assert_eq!(of(&configured, &["a b"], false), Err(NoHost));
        assert_eq!(of(&base, &["a", "b"], false), Err(NoHost));
    }
}
