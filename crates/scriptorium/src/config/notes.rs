//! Notes on a configuration that is valid and probably not meant.
//!
//! Owns these sentences. Must not refuse anything.

use std::net::{IpAddr, Ipv4Addr};

use super::sections::{ClientAddress, Config, Limits, Upstream};
use super::sources::PREFIX;
use super::{address, check};
use crate::domain::VolumePattern;

/// One sentence per note.
pub(super) fn notes(config: &Config) -> Vec<String> {
    let takes_everything =
        |upstream: &Upstream| upstream.volumes.is_empty() || upstream.volumes.contains(&VolumePattern::All);
    let last_asked = config.upstreams.iter().position(takes_everything).unwrap_or(usize::MAX);
    let never_asked =
        config.upstreams.iter().enumerate().skip(last_asked.saturating_add(1)).map(|(index, upstream)| {
            format!(
                "upstreams[{index}] ({}) is never asked: one listed before it takes every volume",
                upstream.name
            )
        });
    let unreached = config.upstreams.iter().enumerate().flat_map(unreached);
    let mut notes: Vec<_> = never_asked.chain(unreached).chain(unshared(&config.limits)).collect();
    notes.extend(check::clients::notes(config));
    if config.server.client_address == ClientAddress::ProxyProtocol
        && config.server.trusted_proxies.is_empty()
    {
        let note = "server.client_address: no header of the PROXY protocol is accepted while \
                    server.trusted_proxies is empty";
        notes.push(note.to_owned());
    }
    notes
}

/// Variables with one underscore between section and key, where a setting has two.
pub(super) fn mistyped<'a>(
    variables: impl Iterator<Item = &'a String>,
    is_key: impl Fn(&str) -> bool,
) -> Vec<String> {
    let meant = |variable: &String| {
        let name = variable.strip_prefix(PREFIX)?;
        let parts = name.match_indices('_').map(|(at, _)| (&name[..at], &name[at + 1..]));
        let (section, key) =
            parts.into_iter().find(|(section, key)| is_key(&format!("{section}.{key}").to_lowercase()))?;
        Some(format!(
            "{variable} is no setting: two underscores stand between section and key, as in \
             {PREFIX}{section}__{key}"
        ))
    };
    variables.filter_map(meant).collect()
}

/// Bounds that let one client take everything.
fn unshared(limits: &Limits) -> impl Iterator<Item = String> {
    let bounds = [
        ("max_connections", limits.max_connections, limits.max_connections_per_client),
        ("max_requests", limits.max_requests, limits.max_requests_per_client),
        ("max_downloads", limits.max_downloads, limits.max_downloads_per_client),
    ];
    bounds.into_iter().filter(|(_, all, one)| all > &1 && one >= all).map(|(key, all, one)| {
        format!(
            "limits.{key}_per_client ({one}) lets one client take all of limits.{key} ({all}); a quarter leaves \
             room for others"
        )
    })
}

/// Addresses in `archive_hosts` and `git_hosts` to which the proxy does not connect.
fn unreached((index, upstream): (usize, &Upstream)) -> impl Iterator<Item = String> {
    let home = upstream.url.host_str().and_then(as_address);
    let is_dialled = move |ip| {
        let may_be = address::is_public(ip)
            || address::is_within(ip, &upstream.private_addresses)
            || home.is_some_and(|home| home == ip || address::are_neighbours(home, ip));
        may_be && !address::is_metadata(ip)
    };
    let lists = [("archive_hosts", &upstream.archive_hosts), ("git_hosts", &upstream.git_hosts)];
    let listed = lists
        .into_iter()
        .flat_map(|(key, hosts)| hosts.iter().enumerate().map(move |(at, named)| (key, at, named)));
    listed.filter(move |(_, _, named)| as_address(&named.host).is_some_and(|ip| !is_dialled(ip))).map(
        move |(key, at, named)| {
            format!(
                "upstreams[{index}].{key}[{at}] ({named}) is {}",
                match as_address(&named.host).is_some_and(address::is_metadata) {
                    true => "a cloud's metadata service, to which the proxy never connects",
                    false => {
                        "in a private network, to which the proxy connects only if `private_addresses` lists it"
                    }
                }
            )
        },
    )
}

/// The address that the host of a URL is.
fn as_address(host: &str) -> Option<IpAddr> {
    if address::is_localhost(host) {
        return Some(Ipv4Addr::LOCALHOST.into());
    }
    host.trim_start_matches('[').trim_end_matches(']').parse().ok()
}
