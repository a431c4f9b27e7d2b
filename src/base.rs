//! Where clients reach this proxy: the base of every link it rewrites, and the hosts it answers for.
//!
//! Owns the choice between the configured `public_url` and the request's own scheme and Host, and refuses a
//! Host that could smuggle anything but an address into a link, or that is not among those that are listed.
//! HTTP/1.0 knows no Host (RFC 9112, section 3.2); who speaks it can be answered where links need none.

use std::net::IpAddr;
use std::sync::Arc;

use arc_swap::ArcSwap;
use compact_str::CompactString;
use http::header::HOST;
use http::{HeaderMap, Uri, Version};

/// Why a request is not answered where it was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BaseError {
    /// It names no host that a link could be made of.
    #[error("send one Host header with a host name or address and, where needed, a port")]
    NoHost,
    /// It names a host that this proxy does not answer for.
    #[error(
        "this proxy does not answer for this host; use the name that its operator gave you, or ask the operator to add \
         this one to server.hosts"
    )]
    Misdirected,
}

/// The rule for bases and hosts.
#[derive(Debug, Default)]
pub struct BaseUrl(ArcSwap<Rule>);

/// What is configured.
#[derive(Debug, Default)]
pub struct Rule {
    /// The base of all links; without one, each request's own.
    pub public_url: Option<String>,
    /// The hosts that are answered for; none is any.
    pub hosts: Vec<Listed>,
}

/// A host that is answered for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// A name, or an address, of IPv6 in brackets.
    pub host: String,
    /// That port only; unset, any.
    pub port: Option<u16>,
}

impl Listed {
    /// Whether a request for `authority` is meant. Case does not matter, nor does the dot that ends a whole name.
    #[must_use]
    pub fn is(&self, authority: &Authority<'_>, tls: bool) -> bool {
        let port = authority.port.unwrap_or(if tls { 443 } else { 80 });
        authority.is_named(&self.host) && self.port.is_none_or(|listed| listed == port)
    }
}

impl BaseUrl {
    /// `public_url` where one is configured, the request's own otherwise.
    #[must_use]
    pub fn new(rule: Rule) -> Self {
        let base = Self::default();
        base.reload(rule);
        base
    }

    /// Replaces the rule.
    pub fn reload(&self, rule: Rule) {
        let public_url = rule.public_url.map(|url| url.trim_end_matches('/').to_owned());
        self.0.store(Arc::new(Rule { public_url, ..rule }));
    }

    /// The base URL for the client of a request.
    ///
    /// # Errors
    /// [`BaseError`] when the request names no usable host, or one that is not answered for.
    pub fn of<'a>(
        &self,
        uri: &'a Uri,
        headers: &'a HeaderMap,
        (version, tls): (Version, bool),
    ) -> Result<Base<'a>, BaseError> {
        let rule = self.0.load();
        let configured = rule.public_url.as_ref();
        let mut hosts = headers.get_all(HOST).iter();
        let named = match (uri.authority(), hosts.next(), hosts.next()) {
            (_, _, Some(_)) => return Err(BaseError::NoHost),
            (Some(authority), _, None) => authority.as_str(),
            (None, Some(host), None) => host.to_str().map_err(|_| BaseError::NoHost)?,
            (None, None, None) => {
                let public = configured.filter(|_| version <= Version::HTTP_10).ok_or(BaseError::NoHost)?;
                return Ok(Base::Configured(CompactString::new(public)));
            }
        };
        let authority = Authority::parse(named).ok_or(BaseError::NoHost)?;
        if !rule.hosts.is_empty() && !rule.hosts.iter().any(|listed| listed.is(&authority, tls)) {
            return Err(BaseError::Misdirected);
        }
        Ok(match configured {
            Some(public) => Base::Configured(CompactString::new(public)),
            None => Base::Named { scheme: if tls { "https://" } else { "http://" }, host: named },
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

/// A host name, IPv4 address or bracketed IPv6 address, with an optional port, and nothing else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Authority<'a> {
    /// As it was written.
    pub host: &'a str,
    /// As it was written.
    pub port: Option<u16>,
}

impl<'a> Authority<'a> {
    /// Reads a `Host`; `None` where it is no address.
    #[must_use]
    pub fn parse(text: &'a str) -> Option<Self> {
        let (host, port) = match text.bytes().rposition(|byte| matches!(byte, b':' | b']')) {
            Some(at) if text.as_bytes()[at] == b':' => (&text[..at], Some(port(&text[at + 1..])?)),
            _ => (text, None),
        };
        let is_valid =
            match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
                Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
                None => (1..=253).contains(&host.len())
                    && host.bytes().all(
                        |byte| matches!(byte, b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'.' | b'-' | b'_'),
                    ),
            };
        is_valid.then_some(Self { host, port })
    }

    /// Whether its host is this name. Case does not matter, nor does the dot that ends a whole name.
    #[must_use]
    pub fn is_named(&self, name: &str) -> bool {
        whole(self.host).eq_ignore_ascii_case(whole(name))
    }

    /// Its host where that is an address, as IPv4 where that is meant.
    #[must_use]
    pub fn address(&self) -> Option<IpAddr> {
        let bare = self.host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(self.host);
        bare.parse().ok().map(|address: IpAddr| address.to_canonical())
    }
}

fn whole(name: &str) -> &str {
    name.strip_suffix('.').unwrap_or(name)
}

fn port(text: &str) -> Option<u16> {
    text.parse().ok().filter(|_| text.bytes().all(|byte| byte.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn public(url: &str) -> BaseUrl {
        BaseUrl::new(Rule { public_url: Some(url.to_owned()), ..Rule::default() })
    }

    fn of(base: &BaseUrl, hosts: &[&'static str], tls: bool) -> Result<String, BaseError> {
        let mut headers = HeaderMap::new();
        for host in hosts {
            headers.append(HOST, http::HeaderValue::from_static(host));
        }
        base.of(&Uri::from_static("/x"), &headers, (Version::HTTP_11, tls)).map(|base| base.parts().concat())
    }

    #[test]
    fn the_configured_base_wins() {
        let base = public("https://volumes.example/x/");
        assert_eq!(of(&base, &["h"], false).unwrap(), "https://volumes.example/x");
        base.reload(Rule::default());
        assert_eq!(of(&base, &["h:81"], false).unwrap(), "http://h:81");
        assert_eq!(of(&base, &["[::1]:81"], true).unwrap(), "https://[::1]:81");
    }

    #[test]
    fn who_knows_no_host_needs_a_configured_base() {
        let (uri, headers) = (Uri::from_static("/x"), HeaderMap::new());
        let old = (Version::HTTP_10, false);
        assert_eq!(BaseUrl::default().of(&uri, &headers, old), Err(BaseError::NoHost));
        let base = public("https://volumes.example");
        assert_eq!(
            base.of(&uri, &headers, old).map(|base| base.parts().concat()).unwrap(),
            "https://volumes.example"
        );
    }

    #[test]
    fn a_host_is_an_address_and_nothing_else() {
        for bad in ["", "a b", "a/b", "a\"b", "a@b", "a:b", "a:70000", "[::1", "a?b", "[x]", "::1", "a:+80"] {
            assert_eq!(Authority::parse(bad), None, "{bad}");
        }
        let base = BaseUrl::default();
        assert_eq!(of(&base, &[], false), Err(BaseError::NoHost));
        let configured = public("https://volumes.example");
        assert_eq!(of(&configured, &[], false), Err(BaseError::NoHost));
        assert_eq!(of(&configured, &["a", "b"], false), Err(BaseError::NoHost));
        assert_eq!(of(&configured, &["a b"], false), Err(BaseError::NoHost));
        assert_eq!(of(&base, &["a", "b"], false), Err(BaseError::NoHost));
    }

    #[test]
    fn only_listed_hosts_are_answered_for() {
        let listed = |host: &str, port| Listed { host: host.to_owned(), port };
        let hosts =
            vec![listed("volumes.example", None), listed("10.0.0.7", Some(8080)), listed("[::1]", Some(443))];
        for public_url in [None, Some("https://volumes.example/x".to_owned())] {
            let base = BaseUrl::new(Rule { public_url, hosts: hosts.clone() });
            let given = ["volumes.example", "VOLUMES.Example.:8443", "volumes.example.:1", "10.0.0.7:8080"];
            for good in given {
                assert!(of(&base, &[good], false).is_ok(), "{good}");
            }
            let others = [
                "evil.example",
                "volumes.example.evil",
                "xvolumes.example",
                "volumes.example..",
                "10.0.0.7",
                "10.0.0.70:8080",
            ];
            for bad in others {
                assert_eq!(of(&base, &[bad], false), Err(BaseError::Misdirected), "{bad}");
            }
            assert!(of(&base, &["[::1]"], true).is_ok(), "the scheme's own port");
            assert_eq!(of(&base, &["[::1]"], false), Err(BaseError::Misdirected));
            assert_eq!(of(&base, &[], false), Err(BaseError::NoHost));
            assert_eq!(of(&base, &["a b"], false), Err(BaseError::NoHost));
        }
    }

    #[test]
    fn the_authority_of_a_request_counts_before_its_host() {
        let base = BaseUrl::new(Rule {
            hosts: vec![Listed { host: "volumes.example".to_owned(), port: None }],
            ..Rule::default()
        });
        let headers = HeaderMap::from_iter([(HOST, http::HeaderValue::from_static("volumes.example"))]);
        let of = |uri| base.of(uri, &headers, (Version::HTTP_2, true)).map(|base| base.parts().concat());
        let (ours, others) =
            (Uri::from_static("https://volumes.example/x"), Uri::from_static("https://evil.example/x"));
        assert_eq!(of(&ours).unwrap(), "https://volumes.example");
        assert_eq!(of(&others), Err(BaseError::Misdirected));
    }
}
