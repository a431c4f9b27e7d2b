//! The rules that no key can check alone: ports against one another, certificates against their keys, URLs
//! against the proxy's own ports.
//!
//! A rule waits until all of its values are known, and for no others. So each asks for them: after an error a default
//! or an example stands in for a value.
//! Owns those rules. Must not know how values are written down.

use std::path::PathBuf;

use policy::PolicyError;
use rustls::crypto::ring;
use rustls::sign::CertifiedKey;
use url::{Host, Url};

use super::address::{self, Listeners};
use super::error::ValueOrigin;
use super::reading::ConfigReading;
use super::sections::{Cluster, Config, Egress, Mirror, PolicyKeys, Server};
use super::value::{Location, PemFile};
use crate::clock::Timestamp;

pub(super) mod clients;

const METADATA: &str = "expected no address of a cloud's metadata service, which is never asked";

/// Adds what is wrong between keys. Only a command that asks registries `needs_upstreams`, and an offline proxy asks
/// none.
pub(super) fn check(config: &Config, needs_upstreams: bool, reading: &mut ConfigReading<'_>) {
    let missing = needs_upstreams && !config.cache.offline && config.upstreams.is_empty();
    if missing && reading.knows("upstreams") && reading.knows("cache.offline") {
        let message = "expected at least one [[upstreams]] table with name and url, or --upstream URL";
        reading.refuse("upstreams", message);
    }
    check_ports(&config.server, reading);
    let listeners = listeners(&config.server, reading);
    for (index, upstream) in config.upstreams.iter().enumerate() {
        check_home(&format!("upstreams[{index}]"), &upstream.url, &upstream.egress, &listeners, reading);
    }
    for (index, relay) in config.relays.iter().enumerate() {
        check_home(&format!("relays[{index}]"), &relay.url, &relay.egress, &listeners, reading);
    }
    clients::check(config, &listeners, reading);
    if let Some(cluster) = &config.cluster {
        check_cluster(cluster, &config.storage.url, reading);
    }
    for (index, mirror) in config.mirrors.iter().enumerate() {
        check_mirror(&format!("mirrors[{index}]"), mirror, reading);
    }
    if let Some(tls) = &config.server.tls {
        check_pair(["server.tls.cert", "server.tls.key"], [&tls.cert, &tls.key], reading);
    }
}

/// The addresses of this proxy that are known.
fn listeners(server: &Server, reading: &ConfigReading<'_>) -> Listeners {
    let given = [("server.listen", server.listen), ("server.admin_listen", server.admin_listen)];
    Listeners::new(given.into_iter().filter(|(key, _)| reading.knows(key)).map(|(_, address)| address))
}

fn check_cluster(cluster: &Cluster, storage: &Location, reading: &mut ConfigReading<'_>) {
    if reading.knows("storage.url") && !matches!(storage, Location::S3 { .. }) {
        let message =
            "expected storage.url = \"s3://bucket/prefix\" beside it: proxies agree on what is in one bucket";
        reading.refuse("cluster", message);
    }
    let has_password = reading.was_given("cluster.password_env");
    // The text itself may be the password.
    if reading.knows("cluster.url") && !cluster.url.username().is_empty() && !has_password {
        let message = "expected no user before the host without a password: put a password into a variable that \
                       `cluster.password_env` names, and only the name of a user into the URL";
        reading.refuse("cluster.url", message);
    }
}

fn check_ports(server: &Server, reading: &mut ConfigReading<'_>) {
    if reading.knows("server.listen") && reading.knows("server.admin_listen") && server.ports_collide() {
        reading.refuse(
            "server.admin_listen",
            "expected another port than server.listen, which it must never share",
        );
    }
    // A digest that was given but is bad has its own error.
    let given = ["server.admin_token_sha256", "server.admin_tokens[0].sha256"];
    let has_token = given.iter().any(|key| reading.was_given(key));
    if reading.knows("server.admin_listen") && !server.admin_listen.ip().is_loopback() && !has_token {
        let message = "missing; expected the output of `scriptorium token hash`, since server.admin_listen is \
                       not loopback";
        reading.refuse_at(reading.origin("server.admin_listen"), "server.admin_token_sha256", message);
    }
}

fn check_mirror(table: &str, mirror: &Mirror, reading: &mut ConfigReading<'_>) {
    let key = |name: &str| format!("{table}.{name}");
    // A root or list that was given but is bad has its own error.
    let was_given = ["roots", "lists"].iter().any(|name| reading.was_given(&key(name)));
    let are_known = ["roots", "lists"].iter().all(|name| reading.knows(&key(name)));
    if !was_given || (are_known && mirror.all_roots().is_empty()) {
        reading.refuse(key("roots"), "expected at least one root, here or in `lists`");
    }
}

/// Adds what is wrong with rules and waivers. Answers with what is probably not meant, one sentence each.
pub(super) fn policy(policy: &PolicyKeys, now: Timestamp, reading: &mut ConfigReading<'_>) -> Vec<String> {
    match policy.compile(now.0 / 1000) {
        Ok((_, warnings)) => {
            warnings.iter().map(ToString::to_string).chain(unread_folders(&policy.osv)).collect()
        }
        Err(errors) => {
            // A mode that is wrong has its own error, and is not missing.
            let has_mode = reading.was_given("policy.mode");
            let errors = errors.into_iter().filter(|error| !(has_mode && error.place.key == "policy.mode"));
            for PolicyError { place, fault } in errors {
                let origin = match place.source.is_empty() {
                    true => reading.origin(&place.key),
                    false => ValueOrigin::File { path: place.source.into(), position: place.position },
                };
                reading.refuse_at(origin, place.key, fault.to_string());
            }
            Vec::new()
        }
    }
}

/// One sentence for each folder of advisories that cannot be read. It may be mounted later, so the proxy starts all the same.
fn unread_folders(folders: &[PathBuf]) -> impl Iterator<Item = String> {
    let unread = |(index, folder): (usize, &PathBuf)| {
        let why = std::fs::read_dir(folder).err()?;
        Some(format!(
            "policy.osv[{index}] ({}) cannot be read, so no advisory in it counts: {why}",
            folder.display()
        ))
    };
    folders.iter().enumerate().filter_map(unread)
}

/// Checks where the table of a registry leads, and how.
fn check_home(
    table: &str,
    url: &Url,
    egress: &Egress,
    listeners: &Listeners,
    reading: &mut ConfigReading<'_>,
) {
    check_dialled(format!("{table}.url"), url, listeners, reading);
    check_egress(table, egress, listeners, reading);
}

fn check_dialled(key: String, url: &Url, listeners: &Listeners, reading: &mut ConfigReading<'_>) {
    if reading.knows(&key)
        && let Some(why) = never_dialled(url, listeners)
    {
        reading.refuse(key, why);
    }
}

fn check_egress(table: &str, egress: &Egress, listeners: &Listeners, reading: &mut ConfigReading<'_>) {
    let key = |name: &str| format!("{table}.{name}");
    let was_given = |name: &str, reading: &ConfigReading<'_>| reading.was_given(&key(name));
    if let Some(proxy) = &egress.proxy {
        check_dialled(key("proxy"), proxy, listeners, reading);
    } else if was_given("proxy_auth_env", reading) && !was_given("proxy", reading) {
        reading.refuse(key("proxy_auth_env"), "expected `proxy` beside it");
    }
    match ["client_cert", "client_key"].map(|name| was_given(name, reading)) {
        [true, false] => {
            reading.refuse(key("client_key"), "missing; expected the private key of `client_cert`")
        }
        [false, true] => {
            reading.refuse(key("client_cert"), "missing; expected the certificate of `client_key`")
        }
        [true, true] | [false, false] => {}
    }
    if let (Some(cert), Some(private)) = (&egress.client_cert, &egress.client_key) {
        check_pair([&key("client_cert"), &key("client_key")], [cert, private], reading);
    }
}

/// Why the proxy refuses to connect to `url`, whatever `private_addresses` allows.
fn never_dialled(url: &Url, listeners: &Listeners) -> Option<&'static str> {
    let ip = match url.host()? {
        Host::Ipv4(ip) => ip.into(),
        Host::Ipv6(ip) => ip.into(),
        Host::Domain(name) if address::is_metadata_name(name) => return Some(METADATA),
        Host::Domain(name) if address::is_localhost(name) => std::net::Ipv4Addr::LOCALHOST.into(),
        Host::Domain(_) => return None,
    };
    if address::is_metadata(ip) {
        return Some(METADATA);
    }
    let is_ours = listeners.answer(ip, url.port_or_known_default().unwrap_or_default(), |_| false);
    is_ours.then_some("expected another address than server.listen and server.admin_listen")
}

/// Checks a certificate chain against its private key.
fn check_pair([cert, key]: [&str; 2], [chain, private]: [&PemFile; 2], reading: &mut ConfigReading<'_>) {
    if reading.knows(cert)
        && reading.knows(key)
        && let (Ok(chain), Ok(private)) = (chain.certificates(), private.private_key())
        && let Err(error) = CertifiedKey::from_der(chain, private, &ring::default_provider())
    {
        let name = cert.rsplit_once('.').map_or(cert, |(_, name)| name);
        reading.refuse(key, format!("expected the private key of `{name}`: {error}"));
    }
}
