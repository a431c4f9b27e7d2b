//! Where clients reach this proxy: the base URL of the links it rewrites, and the hosts it answers for.
//!
//! Owns the choice between the configured `public_url` and the request's own scheme and Host. Refuses a Host that is
//! no plain address, since it becomes part of links, and one that is not listed. HTTP/1.0 has no Host (RFC 9112,
//! section 3.2); such a request is answered where `public_url` is configured.

use std::net::IpAddr;
use std::sync::Arc;

use arc_swap::ArcSwap;
use compact_str::CompactString;
use http::header::HOST;
use http::{HeaderMap, Uri, Version};

/// Why a request is not answered where it was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BaseError {
    #[error("send one Host header with a host name or address and, where needed, a port")]
    NoHost,
    #[error(
        "this proxy does not answer for this host; use the name that its operator gave you, or ask the operator to add \
         this one to server.hosts"
    )]
    Misdirected,
}

/// Gives the base URL of a request, by settings that can be reloaded.
#[derive(Debug, Default)]
pub(crate) struct BaseUrl(ArcSwap<BaseSettings>);

#[derive(Debug, Default)]
pub(crate) struct BaseSettings {
    /// The base of all links; without one, each request's own.
    pub(crate) public_url: Option<String>,
    /// The hosts that this proxy answers for; any host if none is listed.
    pub(crate) hosts: Vec<ListedHost>,
}

/// A host that this proxy answers for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ListedHost {
    /// A name, or an address, an IPv6 address in brackets.
    pub(crate) host: String,
    /// Any port if unset.
    pub(crate) port: Option<u16>,
}

impl ListedHost {
    /// Whether a request for `authority` asks for this host.
    pub(crate) fn matches(&self, authority: &Authority<'_>, tls: bool) -> bool {
        let port = authority.port.unwrap_or(if tls { 443 } else { 80 });
        authority.is_named(&self.host) && self.port.is_none_or(|listed| listed == port)
    }
}

impl BaseUrl {
    pub(crate) fn new(settings: BaseSettings) -> Self {
        let base = Self::default();
        base.reload(settings);
        base
    }

    pub(crate) fn reload(&self, settings: BaseSettings) {
        let public_url = settings.public_url.map(|url| url.trim_end_matches('/').to_owned());
        self.0.store(Arc::new(BaseSettings { public_url, ..settings }));
    }

    /// The base URL for the client of a request.
    pub(crate) fn of<'a>(
        &self,
        uri: &'a Uri,
        headers: &'a HeaderMap,
        (version, tls): (Version, bool),
    ) -> Result<Base<'a>, BaseError> {
        let settings = self.0.load();
        let configured = settings.public_url.as_ref();
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
        if !settings.hosts.is_empty() && !settings.hosts.iter().any(|listed| listed.matches(&authority, tls))
        {
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
pub(crate) enum Base<'a> {
    Configured(CompactString),
    /// From the request.
    Named {
        /// With its `://`.
        scheme: &'static str,
        /// With its port.
        host: &'a str,
    },
}

impl Base<'_> {
    /// Its text in two parts, so that a hit need not put them together.
    pub(crate) fn parts(&self) -> [&str; 2] {
        match self {
            Self::Configured(public) => [public, ""],
            Self::Named { scheme, host } => [scheme, host],
        }
    }
}

/// A host name, IPv4 address or bracketed IPv6 address, with an optional port, and nothing else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Authority<'a> {
    pub(crate) host: &'a str,
    pub(crate) port: Option<u16>,
}

impl<'a> Authority<'a> {
    /// Parses a `Host`.
    pub(crate) fn parse(text: &'a str) -> Option<Self> {
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

    /// Whether its host is `name`, apart from case and from the dot that ends an absolute name.
    pub(crate) fn is_named(&self, name: &str) -> bool {
        without_final_dot(self.host).eq_ignore_ascii_case(without_final_dot(name))
    }

    /// Its host as an IP address, if it is one. An IPv4-mapped IPv6 address is given as IPv4.
    pub(crate) fn address(&self) -> Option<IpAddr> {
        let bare = self.host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(self.host);
        bare.parse().ok().map(|address: IpAddr| address.to_canonical())
    }
}

fn without_final_dot(name: &str) -> &str {
    name.strip_suffix('.').unwrap_or(name)
}

fn port(text: &str) -> Option<u16> {
    text.parse().ok().filter(|_| text.bytes().all(|byte| byte.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn public(url: &str) -> BaseUrl {
        BaseUrl::new(BaseSettings { public_url: Some(url.to_owned()), ..BaseSettings::default() })
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
        base.reload(BaseSettings::default());
        assert_eq!(of(&base, &["h:81"], false).unwrap(), "http://h:81");
        assert_eq!(of(&base, &["[::1]:81"], true).unwrap(), "https://[::1]:81");
    }

    #[test]
    fn a_request_without_a_host_needs_a_configured_base() {
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
        let listed = |host: &str, port| ListedHost { host: host.to_owned(), port };
        let hosts =
            vec![listed("volumes.example", None), listed("10.0.0.7", Some(8080)), listed("[::1]", Some(443))];
        for public_url in [None, Some("https://volumes.example/x".to_owned())] {
            let base = BaseUrl::new(BaseSettings { public_url, hosts: hosts.clone() });
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
        let base = BaseUrl::new(BaseSettings {
            hosts: vec![ListedHost { host: "volumes.example".to_owned(), port: None }],
            ..BaseSettings::default()
        });
        let headers = HeaderMap::from_iter([(HOST, http::HeaderValue::from_static("volumes.example"))]);
        let of = |uri| base.of(uri, &headers, (Version::HTTP_2, true)).map(|base| base.parts().concat());
        let (ours, others) =
            (Uri::from_static("https://volumes.example/x"), Uri::from_static("https://evil.example/x"));
        assert_eq!(of(&ours).unwrap(), "https://volumes.example");
        assert_eq!(of(&others), Err(BaseError::Misdirected));
    }
}
