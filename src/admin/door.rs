//! Who may come in at the admin port, decided by a request's head before anything else of it is read.
//!
//! ```text
//! 1. host     a name that was not given to this port is refused: a web page whose name was made to point here (DNS
//!             rebinding) comes with its own. Probes say nothing that could be stolen and answer any name.
//! 2. method   what a route does not take, and so every question of a browser whether it may (OPTIONS)
//! 3. site     an action that a page of another site sends: browsers say so, in `Origin` or `Sec-Fetch-Site`
//! 4. token    where one is wanted
//! 5. content  an action is JSON, which no page can send elsewhere without asking first, or nothing at all: without a
//!             content type no form came (they name one), and no script (it names its `Origin`)
//! ```
//! Owns these rules and what of them is configured. Must not know what a route does.

use std::net::{IpAddr, SocketAddr};

use arc_swap::ArcSwap;
use http::header::{CONTENT_TYPE, HOST, HeaderName, ORIGIN};
use http::{HeaderMap, Method, Uri};

use super::route::Route;
use super::token::{AdminToken, Who};
use crate::base::{Authority, Listed};

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// The head of a request.
#[derive(Debug, Clone, Copy)]
pub struct Arrival<'a> {
    /// The method.
    pub method: &'a Method,
    /// Path, query, and where the request names it, the authority.
    pub uri: &'a Uri,
    /// The header fields.
    pub headers: &'a HeaderMap,
    /// The other end of the connection.
    pub peer: Option<SocketAddr>,
}

/// Why a request is not let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refused {
    Host,
    Method,
    Site,
    Token,
    Content,
}

impl Refused {
    /// As metrics and the log call it.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Host => "host",
            Self::Method => "method",
            Self::Site => "cross-site",
            Self::Token => "token",
            Self::Content => "content-type",
        }
    }
}

/// The rules and what of them is configured.
#[derive(Debug)]
pub struct Door {
    /// The token that is wanted, if one is.
    pub token: AdminToken,
    hosts: ArcSwap<Vec<Listed>>,
    listens_on: IpAddr,
}

impl Door {
    /// The door of a port that listens on an address and is also known by other names.
    #[must_use]
    pub fn new(token: AdminToken, listens_on: IpAddr, hosts: Vec<Listed>) -> Self {
        Self { token, hosts: ArcSwap::from_pointee(hosts), listens_on }
    }

    /// Goes by these names from the next request on.
    pub fn rename(&self, hosts: Vec<Listed>) {
        self.hosts.store(hosts.into());
    }

    /// Who comes in.
    pub(super) fn admit(&self, arrival: &Arrival<'_>, route: &Route) -> Result<Who, Refused> {
        let named = named(arrival);
        if !route.is_probe() && !named.is_some_and(|named| self.is_called(named)) {
            return Err(Refused::Host);
        }
        if !route.takes(arrival.method) {
            return Err(Refused::Method);
        }
        let acts = matches!(route, Route::Act(_));
        if acts && is_cross_site(arrival.headers, named.unwrap_or_default()) {
            return Err(Refused::Site);
        }
        let who = if route.is_probe() { Some(Who::Anybody) } else { self.token.admits(arrival.headers) };
        let who = who.ok_or(Refused::Token)?;
        if acts && !is_json_or_nothing(arrival.headers) {
            return Err(Refused::Content);
        }
        Ok(who)
    }

    /// Whether `authority` is loopback, the address that is listened on, or a configured name, on any port but where one
    /// is configured: ports are forwarded.
    fn is_called(&self, authority: &str) -> bool {
        let Some(authority) = Authority::parse(authority) else { return false };
        if authority.is_named("localhost") {
            return true;
        }
        let address = authority.address();
        address.is_some_and(|address| address.is_loopback() || address == self.listens_on.to_canonical())
            || self.hosts.load().iter().any(|listed| listed.is(&authority, false))
    }
}

/// The one host that a request names.
fn named<'a>(arrival: &Arrival<'a>) -> Option<&'a str> {
    let mut hosts = arrival.headers.get_all(HOST).iter();
    match (arrival.uri.authority(), hosts.next(), hosts.next()) {
        (_, _, Some(_)) | (None, None, None) => None,
        (Some(authority), _, None) => Some(authority.as_str()),
        (None, Some(host), None) => host.to_str().ok(),
    }
}

/// Whether a browser says that another site's page sent this to `host`. TLS may end before this port, so either scheme is
/// its own.
fn is_cross_site(headers: &HeaderMap, host: &str) -> bool {
    let is_own = |origin: &[u8]| {
        let origin = str::from_utf8(origin).unwrap_or_default();
        let authority = origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://"));
        authority.is_some_and(|authority| authority.eq_ignore_ascii_case(host))
    };
    let other = headers.get_all(ORIGIN).iter().any(|origin| !is_own(origin.as_bytes()));
    let mut sites = headers.get_all(SEC_FETCH_SITE).iter();
    other || sites.any(|site| !matches!(site.as_bytes(), b"same-origin" | b"none"))
}

fn is_json_or_nothing(headers: &HeaderMap) -> bool {
    let mut types = headers.get_all(CONTENT_TYPE).iter();
    match (types.next(), types.next()) {
        (Some(_), Some(_)) => false,
        (Some(named), None) => {
            let essence = named.as_bytes().split(|byte| *byte == b';').next().unwrap_or_default();
            essence.trim_ascii().eq_ignore_ascii_case(b"application/json")
        }
        (None, _) => is_bare(headers),
    }
}

/// Whether nothing came that would need a content type.
fn is_bare(headers: &HeaderMap) -> bool {
    use http::header::{CONTENT_LENGTH, TRANSFER_ENCODING};
    let empty = headers.get_all(CONTENT_LENGTH).iter().all(|length| length.as_bytes() == b"0");
    empty && !headers.contains_key(TRANSFER_ENCODING) && !headers.contains_key(ORIGIN)
}

#[cfg(test)]
mod tests;
