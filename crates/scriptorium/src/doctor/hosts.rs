//! The hosts to which a registry points: those of archives and those of Git, each of which the configuration lists.
//!
//! A connection is made to each as the proxy makes it, and closed: nothing is sent. Owns these checks. Must not know how a
//! connection is made.

use futures_util::{StreamExt, stream};
use url::Url;

use super::Diagnosis;
use crate::config::{self, HostPattern, address::Listeners};
use crate::upstream::{ConnectTarget, HttpTransport, TransportError};

/// Hosts that are tried at once.
const AT_ONCE: usize = 8;

/// A finding on each listed host of `upstream`, and whether Git has a credential.
pub(super) async fn examine(upstream: &config::Upstream, listeners: Listeners) -> Vec<Diagnosis> {
    // What prevents a transport is told of the registry itself.
    let Ok(transport) = HttpTransport::new(upstream, listeners) else { return Vec::new() };
    let archives = upstream.archive_hosts.iter().map(|host| (["archive host", "archive_hosts"], host));
    let listed = archives.chain(upstream.git_hosts.iter().map(|host| (["Git host", "git_hosts"], host)));
    let tried = stream::iter(listed).map(|(kind, host)| tried(kind, host, upstream, &transport));
    let mut found: Vec<_> = tried.buffered(AT_ONCE).collect().await;
    if upstream.git_token_env.is_some() {
        found.push(Diagnosis::good("Git credential", &*upstream.name, first_host(upstream)));
    }
    found
}

/// Tries one host. `kind` has the name of the check, and the key that lists it.
async fn tried(
    [check, key]: [&'static str; 2],
    host: &HostPattern,
    upstream: &config::Upstream,
    transport: &HttpTransport,
) -> Diagnosis {
    let about = format!("{host} of {}", upstream.name);
    // The scheme of the registry: from https nothing leads down to http.
    let scheme = upstream.url.scheme();
    let Ok(url) = Url::parse(&format!("{scheme}://{host}/")) else {
        return Diagnosis::bad(check, about, "no URL can be made of it");
    };
    match transport.reach(&url).await {
        Ok(()) if scheme == "https" => {
            Diagnosis::good(check, about, "takes connections, and its certificate is valid and trusted")
        }
        Ok(()) => Diagnosis::good(check, about, "takes connections"),
        Err((why, causes)) => unreached(check, about, ConnectTarget::Listed(key), why, &causes),
    }
}

/// What prevents a connection, and what to do.
pub(super) fn unreached(
    check: &'static str,
    about: String,
    target: ConnectTarget,
    why: TransportError,
    causes: &str,
) -> Diagnosis {
    let causes = if causes.is_empty() { String::new() } else { format!(" ({causes})") };
    match why {
        TransportError::Unreachable(why) => {
            Diagnosis::bad(check, about, format!("{why}{causes}")).advise(why.remedy(target))
        }
        TransportError::Forbidden(rule) => Diagnosis::bad(check, about, format!("is not asked: {rule}")),
        TransportError::Timeout
        | TransportError::Broken
        | TransportError::Stale { .. }
        | TransportError::Unsent => Diagnosis::bad(check, about, format!("{why}{causes}")),
    }
}

/// Where the credential for Git goes.
fn first_host(upstream: &config::Upstream) -> String {
    let first = upstream.git_hosts.first().map(ToString::to_string);
    let host = first.unwrap_or_else(|| upstream.url.authority().to_owned());
    format!("is set, and goes to {host} alone")
}
