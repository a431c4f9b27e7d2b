//! Which requests the admin port accepts, decided by the head of a request before anything else of it is read.
//!
//! ```text
//! 1. host     a name that is not this port's is refused: a web page whose name was made to resolve to this port (DNS
//!             rebinding) sends its own name. A probe reveals nothing and may use any name.
//! 2. method   a method that the route does not take is refused, and so is a browser's preflight (OPTIONS)
//! 3. site     an action sent by a page of another site is refused: browsers name it in `Origin` or `Sec-Fetch-Site`. A
//!             form must name this port there: it has no other proof that one of our pages sent it
//! 4. token    a request without a token is refused where one is configured. A browser's session stands for its token,
//!             but not in the API of programs
//! 5. role     an action is refused to a token that may only read
//! 6. content  an action is JSON, which no page can send elsewhere without a preflight, or has no body: forms name a
//!             content type, and scripts name their `Origin`. A form of our pages has a form's type
//! ```
//! Owns these rules and their configuration. Must not know what a route does.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use arc_swap::ArcSwap;
use http::header::{CONTENT_TYPE, HOST, HeaderName, ORIGIN};
use http::{HeaderMap, Method, Uri};

use super::route::AdminRoute;
use super::token::{AdminCaller, AdminRole, AdminTokens};
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
    Role,
    Content,
}

impl AdminRefusal {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Host => "host",
            Self::Method => "method",
            Self::Site => "cross-site",
            Self::Token => "token",
            Self::Role => "role",
            Self::Content => "content-type",
        }
    }
}

/// The rules and their configuration.
#[derive(Debug)]
pub(crate) struct Door {
    /// The tokens one of which is required, if any.
    pub(crate) tokens: AdminTokens,
    hosts: ArcSwap<Vec<ListedHost>>,
    listens_on: IpAddr,
}

impl Door {
    /// The rules of a port that listens on an address and has further names.
    pub(crate) fn new(tokens: AdminTokens, listens_on: IpAddr, hosts: Vec<ListedHost>) -> Self {
        Self { tokens, hosts: ArcSwap::from_pointee(hosts), listens_on }
    }

    /// Uses these names from the next request on.
    pub(crate) fn rename(&self, hosts: Vec<ListedHost>) {
        self.hosts.store(hosts.into());
    }

    /// Which caller is admitted at `now`, by a clock that never goes back.
    pub(super) fn admit(
        &self,
        arrival: &AdminRequest<'_>,
        route: &AdminRoute,
        now: Duration,
    ) -> Result<AdminCaller, AdminRefusal> {
        let AdminRequest { method, headers, .. } = *arrival;
        let named = named(arrival);
        if !route.is_probe() && !named.is_some_and(|named| self.is_called(named)) {
            return Err(AdminRefusal::Host);
        }
        if !route.takes(method) {
            return Err(AdminRefusal::Method);
        }
        let (acts, is_form) = (route.acts(), route.is_form() && method == Method::POST);
        let site = SenderSite::of(headers, named.unwrap_or_default());
        if (acts && site == SenderSite::Other) || (is_form && site != SenderSite::Own) {
            return Err(AdminRefusal::Site);
        }
        let who = match route.is_open() {
            true => AdminCaller::Anybody,
            false => {
                let session = route.is_for_browsers().then_some(now);
                self.tokens.admits(headers, session).ok_or(AdminRefusal::Token)?
            }
        };
        if acts && who.role() != AdminRole::Operate {
            return Err(AdminRefusal::Role);
        }
        let fits = match (is_form, acts) {
            (true, _) => is_form_content(headers),
            (false, true) => is_json_or_nothing(headers),
            (false, false) => true,
        };
        if fits { Ok(who) } else { Err(AdminRefusal::Content) }
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

/// Whose page sent a request, as far as a browser says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum SenderSite {
    Own,
    Other,
    /// No browser sent it, or no page.
    Unsaid,
}

impl SenderSite {
    /// The sender of a request to `host`. TLS may end before this port, so either scheme is its own.
    fn of(headers: &HeaderMap, host: &str) -> Self {
        let is_own = |origin: &[u8]| {
            let origin = str::from_utf8(origin).unwrap_or_default();
            let authority = origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://"));
            authority.is_some_and(|authority| authority.eq_ignore_ascii_case(host))
        };
        let origins = headers.get_all(ORIGIN).iter().map(|origin| match is_own(origin.as_bytes()) {
            true => Self::Own,
            false => Self::Other,
        });
        let sites = headers.get_all(SEC_FETCH_SITE).iter().map(|site| match site.as_bytes() {
            b"same-origin" => Self::Own,
            b"none" => Self::Unsaid,
            _ => Self::Other,
        });
        origins.chain(sites).fold(Self::Unsaid, |said, more| match (said, more) {
            (Self::Other, _) | (_, Self::Other) => Self::Other,
            (Self::Own, _) | (_, Self::Own) => Self::Own,
            (Self::Unsaid, Self::Unsaid) => Self::Unsaid,
        })
    }
}

fn is_form_content(headers: &HeaderMap) -> bool {
    let mut types = headers.get_all(CONTENT_TYPE).iter();
    let is_form = |named| fields::is_media_type(named, "application/x-www-form-urlencoded");
    types.next().is_some_and(is_form) && types.next().is_none()
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
