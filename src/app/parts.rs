//! What a reload can change in a running proxy, part by part.
//!
//! Owns which keys each part obeys and how it is given them. Must not know when a reload comes, nor what is done when
//! one part refuses.

use std::sync::Arc;

use super::Registries;
use crate::admin::Door;
use crate::archive;
use crate::base::{Listed, Rule};
use crate::cache::Bounds;
use crate::config::{Config, ConfigError, HostPattern, Limits, Origin};
use crate::limit::places::Capacity;
use crate::listen::Certificates;
use crate::pipeline::Pipeline;
use crate::reload::{Part, Ready};
use crate::store::Ceiling;

/// Keys that documents obey, and the registries they come from.
pub(super) const LIVE: &[&str] = &[
    "upstreams",
    "cache.index_ttl",
    "cache.release_ttl",
    "cache.trust_ttl",
    "cache.advisories_ttl",
    "cache.search_ttl",
    "cache.capabilities_ttl",
    "cache.negative_ttl",
    "cache.stale_while_revalidate",
    "cache.stale_if_error",
    "cache.offline",
    "cache.offline_rows",
    "consistency.on_divergence",
    "limits.max_document",
];

/// Keys that bound the files that are brought in.
pub(super) const BOUNDS: &[&str] = &["limits.max_archive", "limits.max_unpacked", "limits.max_entries"];

/// Keys that bound what clients send.
pub(super) const BODIES: &[&str] = &["limits.max_request_body"];

/// Keys that say how often each client may ask.
pub(super) const LIMITING: &[&str] = &["rate_limits", "tokens", "server.trusted_proxies"];

/// Keys that say how many requests may be under way.
pub(super) const SIZES: &[&str] = &[
    "limits.max_requests",
    "limits.max_requests_per_client",
    "limits.max_downloads",
    "limits.max_downloads_per_client",
];

/// What a reload puts in force: the keys each part obeys, and the part. Keys of none need a restart.
pub(super) fn reloadable(
    config: &Config,
    pipeline: &Arc<Pipeline>,
    ceiling: &Arc<Ceiling>,
    door: &Arc<Door>,
    upstreams: Registries,
    certificates: Option<&Certificates>,
) -> Vec<Part> {
    let (documents, files) = (Arc::clone(&pipeline.documents), Arc::clone(&pipeline.files));
    let (limiter, places) = (Arc::clone(&pipeline.limiter), Arc::clone(&pipeline.places));
    let (ground, waiting) = (Arc::clone(&pipeline.ground), Arc::clone(&documents));
    let (pipeline, door, named) = (Arc::clone(pipeline), Arc::clone(door), Arc::clone(door));
    let (certificates, ceiling) = (certificates.cloned(), Arc::clone(ceiling));
    let guarded = !config.server.admin_listen.ip().is_loopback();
    vec![
        Part::checked(LIVE, move |config| {
            let live = upstreams.live(config, Some(&documents.live().upstreams));
            let live = live.map_err(|error| refused("upstreams", &error))?;
            let documents = Arc::clone(&documents);
            Ok(Ready::now(move |_| documents.reload(live)))
        }),
        Part::new(LIMITING, move |config| limiter.reload(&config.into())),
        Part::new(SIZES, move |config| {
            waiting.share_places(config.limits.max_requests);
            places.reload(sizes(config));
        }),
        Part::new(BOUNDS, move |config| files.reload(bounds(config))),
        Part::new(BODIES, move |config| ground.reload(config.limits.max_request_body)),
        Part::new(&["storage.max_size"], move |config| ceiling.resize(config.storage.max_size)),
        Part::new(&["server.public_url", "server.hosts"], move |config| pipeline.base.reload(base(config))),
        Part::new(&["server.admin_hosts"], move |config| named.rename(listed(&config.server.admin_hosts))),
        Part::checked(&["server.tls"], move |config| match (&certificates, &config.server.tls) {
            (Some(running), Some(tls)) => {
                let fresh =
                    Certificates::read(&tls.cert, &tls.key).map_err(|error| refused("server.tls", &error))?;
                // Another certificate under the same name is a change, too.
                let renewed = if running.shows(&fresh) { Vec::new() } else { vec!["server.tls.cert"] };
                let running = running.clone();
                Ok(Ready::renewing(renewed, move |_| running.replace(&fresh)))
            }
            (None, None) => Ok(Ready::now(|_| {})),
            (Some(_), None) | (None, Some(_)) => Ok(Ready::AfterRestart),
        }),
        Part::checked(&["server.admin_token_sha256"], move |config| {
            let door = Arc::clone(&door);
            match config.server.admin_token_sha256 {
                // Until the admin port is back on loopback, it is not left open.
                None if guarded => Ok(Ready::AfterRestart),
                digest => Ok(Ready::now(move |_| door.token.reload(digest))),
            }
        }),
    ]
}

/// What cannot be put in force, though the configuration is valid.
fn refused(key: &str, why: &impl ToString) -> ConfigError {
    ConfigError { origin: Origin::Unset, key: key.to_owned(), message: why.to_string() }
}

/// Bounds of the files that are brought in.
pub(super) fn bounds(config: &Config) -> Bounds {
    let Limits { max_archive, max_unpacked, max_entries, .. } = config.limits;
    Bounds { max_archive, limits: archive::Limits { max_unpacked, max_entries } }
}

/// How many requests may be under way.
pub(super) fn sizes(config: &Config) -> Capacity {
    let Limits { max_requests, max_requests_per_client, max_downloads, max_downloads_per_client, .. } =
        config.limits;
    Capacity {
        requests: max_requests,
        requests_per_client: max_requests_per_client,
        downloads: max_downloads,
        downloads_per_client: max_downloads_per_client,
    }
}

/// The base of links, and the hosts that are answered for. Where some are listed, that of the base is one of them.
pub(super) fn base(config: &Config) -> Rule {
    let public = config.server.public_url.as_ref();
    let mut hosts = listed(&config.server.hosts);
    if !hosts.is_empty() {
        let own = public.and_then(|url| url.host_str());
        hosts.extend(own.map(|host| Listed { host: host.to_owned(), port: None }));
    }
    Rule { public_url: public.map(|url| url.as_str().to_owned()), hosts }
}

/// Hosts as the configuration has them.
pub(super) fn listed(hosts: &[HostPattern]) -> Vec<Listed> {
    hosts.iter().map(|HostPattern { host, port }| Listed { host: host.clone(), port: *port }).collect()
}
