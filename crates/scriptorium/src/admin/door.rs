//! Which requests the admin port accepts, decided by the head of a request before anything else of it is read.
//!
//! ```text
//! 1. host     a name that is not this port's is refused: a web page whose name was made to resolve to this port (DNS
//!             rebinding) sends its own name. A probe reveals nothing and may use any name.
//! 2. method   a method that the route does not take is refused, and so is a browser's preflight (OPTIONS)
//! 3. site     an action sent by a page of another site is refused: browsers name it in `Origin` or `Sec-Fetch-Site`
//! 4. token    a request without the token is refused where one is configured
//! 5. content  an action is JSON, which no page can send elsewhere without a preflight, or has no body: forms name a
//!             content type, and scripts name their `Origin`
//! ```
//! Owns these rules and their configuration. Must not know what a route does.

use std::net::{IpAddr, SocketAddr};

use arc_swap::ArcSwap;
use http::header::{CONTENT_TYPE, HOST, HeaderName, ORIGIN};
use http::{HeaderMap, Method, Uri};

use super::route::AdminRoute;
use super::token::{AdminCaller, AdminToken};
use crate::base::{Authority, ListedHost};
use crate::domain::fields;

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// The head of a request.
#[derive(Debug, Clone, Copy)]
pub(crate) struct AdminRequest<'a> {
    pub(crate) method: &'a Method,
    /// Path, query, and the authority where the request names one.
    pub(crate) uri: &'a Uri,
    pub(crate) headers: &'a HeaderMap,
    pub(crate) peer: Option<SocketAddr>,
}

/// Why a request is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum AdminRefusal {
    Host,
    Method,
    Site,
    Token,
    Content,
}

impl AdminRefusal {
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

/// The rules and their configuration.
#[derive(Debug)]
pub(crate) struct Door {
    /// The token that is required, if any.
    pub(crate) token: AdminToken,
    hosts: ArcSwap<Vec<ListedHost>>,
    listens_on: IpAddr,
}

impl Door {
    /// The rules of a port that listens on an address and has further names.
    pub(crate) fn new(token: AdminToken, listens_on: IpAddr, hosts: Vec<ListedHost>) -> Self {
        Self { token, hosts: ArcSwap::from_pointee(hosts), listens_on }
    }

    /// Uses these names from the next request on.
    pub(crate) fn rename(&self, hosts: Vec<ListedHost>) {
        self.hosts.store(hosts.into());
    }

    /// Which caller is admitted.
    pub(super) fn admit(
        &self,
        arrival: &AdminRequest<'_>,
        route: &AdminRoute,
    ) -> Result<AdminCaller, AdminRefusal> {
        let named = named(arrival);
        if !route.is_probe() && !named.is_some_and(|named| self.is_called(named)) {
            return Err(AdminRefusal::Host);
        }
        if !route.takes(arrival.method) {
            return Err(AdminRefusal::Method);
        }
        let acts = matches!(route, AdminRoute::Act(_));
        if acts && is_cross_site(arrival.headers, named.unwrap_or_default()) {
            return Err(AdminRefusal::Site);
        }
        let who =
            if route.is_probe() { Some(AdminCaller::Anybody) } else { self.token.admits(arrival.headers) };
        let who = who.ok_or(AdminRefusal::Token)?;
        if acts && !is_json_or_nothing(arrival.headers) {
            return Err(AdminRefusal::Content);
        }
        Ok(who)
    }

    /// Whether `authority` is loopback, the address that is listened on, or a configured name. The port does not
    /// count unless it is configured, since ports are forwarded.
    fn is_called(&self, authority: &str) -> bool {
        let Some(authority) = Authority::parse(authority) else { return false };
        if authority.is_named("localhost") {
            return true;
        }
        let address = authority.address();
        address.is_some_and(|address| address.is_loopback() || address == self.listens_on.to_canonical())
            || self.hosts.load().iter().any(|listed| listed.matches(&authority, false))
    }
}

/// The host that a request names, if it names exactly one.
fn named<'a>(arrival: &AdminRequest<'a>) -> Option<&'a str> {
    let mut hosts = arrival.headers.get_all(HOST).iter();
    match (arrival.uri.authority(), hosts.next(), hosts.next()) {
        (_, _, Some(_)) | (None, None, None) => None,
        (Some(authority), _, None) => Some(authority.as_str()),
        (None, Some(host), None) => host.to_str().ok(),
    }
}

/// Whether a browser says that a page of another site than `host` sent this. TLS may end before this port, so either
/// scheme is its own.
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
        (Some(named), None) => fields::is_media_type(named, "application/json"),
        (None, _) => is_bare(headers),
    }
}

/// Whether a request has no body, and does not come from a script.
fn is_bare(headers: &HeaderMap) -> bool {
    use http::header::{CONTENT_LENGTH, TRANSFER_ENCODING};
    let empty = headers.get_all(CONTENT_LENGTH).iter().all(|length| length.as_bytes() == b"0");
    empty && !headers.contains_key(TRANSFER_ENCODING) && !headers.contains_key(ORIGIN)
}

#[cfg(test)]
mod tests;
