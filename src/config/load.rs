//! Loading: sources → tree → settings → checks, in that order and on one page.
//!
//! Owns the precedence of sources and the notes for the operator. Must not know how any one value is read.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};

use super::address;
use super::check;
use super::error::ConfigErrors;
use super::model::{ClientAddress, Config, Limits, Upstream};
use super::read::Reader;
use super::schema;
use super::source::Node;
use super::surroundings;
use crate::domain::pattern::VolumePattern;

/// What the command line says; it has the last word.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Overrides {
    /// `--upstream`: the only upstream, for everything.
    pub upstream: Option<String>,
    /// `--listen`
    pub listen: Option<String>,
    /// `--data`: the folder that storage is kept in.
    pub data: Option<PathBuf>,
    /// The command works beside a proxy and asks no registry, so that none need be named.
    pub beside: bool,
}

/// A configuration that holds, and what its operator should know.
#[derive(Debug, Clone, PartialEq)]
pub struct Loaded {
    /// The effective configuration.
    pub config: Config,
    /// What is legal and probably not meant, one sentence each.
    pub notes: Vec<String>,
    /// What the environment decided that other programs share, one sentence each.
    pub surroundings: Vec<String>,
}

impl Config {
    /// Reads flags over environment over file over defaults.
    ///
    /// `env` holds the settings (`SCRIPTORIUM_SECTION__KEY`) as well as the variables that `token_env` names.
    ///
    /// # Errors
    /// Every error of every source at once; a file that is no TOML is told about alone.
    pub fn load(
        file: Option<&Path>,
        env: impl Iterator<Item = (String, String)>,
        overrides: Overrides,
    ) -> Result<Loaded, ConfigErrors> {
        let env: BTreeMap<String, String> = env.collect();
        let mut tree = file.map_or_else(|| Ok(Node::default()), Node::from_file).map_err(ConfigErrors)?;
        let mut errors = tree.overlay_environment(&env);
        let asks = !overrides.beside;
        tree.overlay_flags(overrides);
        let mut reader = Reader::new(&env, file);
        let mut config = reader.read_root(tree, |reader| schema::config(reader, &Config::default()));
        let surroundings = surroundings::fill(&mut config, &env, |key| reader.was_given(key));
        errors.extend(surroundings.errors);
        check::check(&config, asks, &mut reader);
        errors.append(&mut reader.errors);
        if errors.is_empty() {
            let notes = notes(&config);
            Ok(Loaded { config, notes, surroundings: surroundings.notes })
        } else {
            Err(ConfigErrors(errors))
        }
    }
}

fn notes(config: &Config) -> Vec<String> {
    let mut notes = Vec::new();
    let greedy = config.upstreams.iter().position(takes_everything);
    for (index, upstream) in config.upstreams.iter().enumerate().skip(greedy.map_or(usize::MAX, |at| at + 1))
    {
        notes.push(format!(
            "upstreams[{index}] ({}) is never asked: one listed before it takes every volume",
            upstream.name
        ));
    }
    notes.extend(config.upstreams.iter().enumerate().flat_map(unreached));
    notes.extend(unshared(&config.limits));
    if config.server.client_address == ClientAddress::ProxyProtocol
        && config.server.trusted_proxies.is_empty()
    {
        let why = "server.client_address: no header of the PROXY protocol is accepted while server.trusted_proxies is empty";
        notes.push(why.to_owned());
    }
    notes
}

/// Bounds below which one client may take every place.
fn unshared(limits: &Limits) -> impl Iterator<Item = String> {
    let bounds = [
        ("max_connections", limits.max_connections, limits.max_connections_per_client),
        ("max_requests", limits.max_requests, limits.max_requests_per_client),
        ("max_downloads", limits.max_downloads, limits.max_downloads_per_client),
    ];
    bounds.into_iter().filter(|(_, all, one)| all > &1 && one >= all).map(|(key, all, one)| {
        format!(
            "limits.{key}_per_client ({one}) lets one client take every place of limits.{key} ({all}); a quarter leaves \
             room for others"
        )
    })
}

/// Addresses that are listed and not dialled all the same.
fn unreached((index, upstream): (usize, &Upstream)) -> impl Iterator<Item = String> {
    let home = upstream.url.host_str().and_then(as_address);
    let is_dialled = move |ip| {
        address::is_public(ip)
            || address::is_within(ip, &upstream.private_addresses)
            || home.is_some_and(|home| home == ip || address::are_neighbours(home, ip))
    };
    let listed = upstream.archive_hosts.iter().enumerate();
    listed.filter(move |(_, named)| as_address(&named.host).is_some_and(|ip| !is_dialled(ip))).map(
        move |(at, named)| {
            format!(
                "upstreams[{index}].archive_hosts[{at}] ({named}) is in a private network, where nothing is dialled \
                 unless `private_addresses` lists it"
            )
        },
    )
}

/// The address that a host in a URL is.
fn as_address(host: &str) -> Option<IpAddr> {
    if address::is_localhost(host) {
        return Some(Ipv4Addr::LOCALHOST.into());
    }
    host.trim_start_matches('[').trim_end_matches(']').parse().ok()
}

fn takes_everything(upstream: &Upstream) -> bool {
    upstream.volumes.is_empty() || upstream.volumes.contains(&VolumePattern::All)
}
