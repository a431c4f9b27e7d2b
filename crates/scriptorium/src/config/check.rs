//! The rules that no key can check alone: ports against one another, certificates against their keys, URLs
//! against the proxy's own ports.
//!
//! Owns those rules. Must not know how values are written down.

use std::net::SocketAddr;
use std::path::PathBuf;

use policy::PolicyError;
use rustls::RootCertStore;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use url::{Host, Url};

use super::address::{self, Listeners};
use super::error::ValueOrigin;
use super::reading::ConfigReading;
use super::sections::{Config, Egress, Mirror, PolicyKeys, Server};
use super::value::{Location, PemFile};
use crate::clock::Timestamp;

pub(super) mod clients;

const METADATA: &str = "expected no address of a cloud's metadata service, which is never asked";

/// Adds what is wrong between keys. Only a command that asks registries `needs_upstreams`, and an offline proxy asks
/// none.
pub(super) fn check(config: &Config, needs_upstreams: bool, reading: &mut ConfigReading<'_>) {
    let missing = needs_upstreams && !config.cache.offline && config.upstreams.is_empty();
    if missing && !reading.errors.iter().any(|error| error.key.starts_with("upstreams")) {
        let message = "expected at least one [[upstreams]] table with name and url, or --upstream URL";
        reading.refuse("upstreams", message);
    }
    check_ports(&config.server, reading);
    let listeners = config.server.listeners();
    for (index, upstream) in config.upstreams.iter().enumerate() {
        check_home(&format!("upstreams[{index}]"), &upstream.url, &listeners, reading);
        check_egress(&format!("upstreams[{index}]"), &upstream.egress, &listeners, reading);
    }
    for (index, relay) in config.relays.iter().enumerate() {
        check_home(&format!("relays[{index}]"), &relay.url, &listeners, reading);
        check_egress(&format!("relays[{index}]"), &relay.egress, &listeners, reading);
    }
    clients::check(config, &listeners, reading);
    if config.cluster.is_some() && !matches!(config.storage.url, Location::S3 { .. }) {
        let message =
            "expected storage.url = \"s3://bucket/prefix\" beside it: proxies agree on what is in one bucket";
        reading.refuse("cluster", message);
    }
    // The text itself may be the password.
    if config
        .cluster
        .as_ref()
        .is_some_and(|cluster| !cluster.url.username().is_empty() && cluster.password_env.is_none())
    {
        let message = "expected no user before the host without a password: put a password into a variable that \
                       `cluster.password_env` names, and only the name of a user into the URL";
        reading.refuse("cluster.url", message);
    }
    for (index, mirror) in config.mirrors.iter().enumerate() {
        check_mirror(&format!("mirrors[{index}]"), mirror, reading);
    }
    if let Some(ca) = &config.telemetry.ca_file {
        refuse_authorities("telemetry.ca_file", ca, reading);
    }
    if let Some(tls) = &config.server.tls {
        check_identity(["server.tls.cert", "server.tls.key"], [&tls.cert, &tls.key], reading);
    }
}

fn check_ports(server: &Server, reading: &mut ConfigReading<'_>) {
    if collide(server.listen, server.admin_listen) {
        reading.refuse(
            "server.admin_listen",
            "expected another port than server.listen, which it must never share",
        );
    }
    // A digest that was given but is bad has its own error.
    let given = ["server.admin_token_sha256", "server.admin_tokens[0].sha256"];
    let has_token = given.iter().any(|key| reading.was_given(key));
    if !server.admin_listen.ip().is_loopback() && !has_token {
        let message = "missing; expected the output of `scriptorium token hash`, since server.admin_listen is \
                       not loopback";
        reading.refuse_at(reading.origin("server.admin_listen"), "server.admin_token_sha256", message);
    }
}

/// Whether both cannot be bound. Port 0 is a free port, another one each time.
fn collide(one: SocketAddr, other: SocketAddr) -> bool {
    let same_host = one.ip() == other.ip() || one.ip().is_unspecified() || other.ip().is_unspecified();
    one.port() != 0 && one.port() == other.port() && same_host
}

fn check_mirror(table: &str, mirror: &Mirror, reading: &mut ConfigReading<'_>) {
    let key = |name: &str| format!("{table}.{name}");
    for (index, list) in mirror.lists.iter().enumerate() {
        if let Err(why) = list.roots() {
            let message = format!("expected a list of roots at {}: {why}", list.path().display());
            reading.refuse(key(&format!("lists[{index}]")), message);
        }
    }
    // A root or list that was given but is bad has its own error.
    let was_given = ["roots", "lists"].iter().any(|name| reading.was_given(&key(name)));
    if !was_given || (reading.errors.is_empty() && mirror.all_roots().is_empty()) {
        reading.refuse(key("roots"), "expected at least one root, here or in `lists`");
    }
}

/// Adds what is wrong with rules and waivers. Answers with what is probably not meant, one sentence each.
pub(super) fn policy(policy: &PolicyKeys, now: Timestamp, reading: &mut ConfigReading<'_>) -> Vec<String> {
    if let Some((path, Err(why))) = policy.file.as_ref().map(|file| (file.path(), file.text())) {
        reading.refuse("policy.file", format!("expected a readable file at {}: {why}", path.display()));
    }
    match policy.compile(now.0 / 1000) {
        Ok((_, warnings)) => {
            warnings.iter().map(ToString::to_string).chain(unread_folders(&policy.osv)).collect()
        }
        Err(errors) => {
            for PolicyError { place, fault } in errors {
                let list =
                    if place.key.starts_with("policy.waivers") { "policy.waivers" } else { "policy.rules" };
                let origin = match place.source.is_empty() {
                    true => reading.origin(list),
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

fn check_home(table: &str, url: &Url, listeners: &Listeners, reading: &mut ConfigReading<'_>) {
    if let Some(why) = never_dialled(url, listeners) {
        reading.refuse(format!("{table}.url"), why);
    }
}

fn check_egress(table: &str, egress: &Egress, listeners: &Listeners, reading: &mut ConfigReading<'_>) {
    let key = |name: &str| format!("{table}.{name}");
    if let Some(why) = egress.proxy.as_ref().and_then(|proxy| never_dialled(proxy, listeners)) {
        reading.refuse(key("proxy"), why);
    }
    if egress.proxy_auth_env.is_some() && egress.proxy.is_none() {
        reading.refuse(key("proxy_auth_env"), "expected `proxy` beside it");
    }
    if let Some(ca) = &egress.ca_file {
        refuse_authorities(&key("ca_file"), ca, reading);
    }
    match (&egress.client_cert, &egress.client_key) {
        (None, None) => {}
        (Some(_), None) => {
            reading.refuse(key("client_key"), "missing; expected the private key of `client_cert`")
        }
        (None, Some(_)) => {
            reading.refuse(key("client_cert"), "missing; expected the certificate of `client_key`")
        }
        (Some(cert), Some(private)) => {
            check_identity([&key("client_cert"), &key("client_key")], [cert, private], reading)
        }
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

/// Checks a certificate chain and its private key.
fn check_identity([cert, key]: [&str; 2], [chain, private]: [&PemFile; 2], reading: &mut ConfigReading<'_>) {
    let certificates = refuse_pem(cert, "a certificate", chain, certificates(chain), reading);
    let private_key = private
        .contents()
        .map_err(str::to_owned)
        .and_then(|pem| PrivateKeyDer::from_pem_slice(pem).map_err(|error| error.to_string()));
    let private_key = refuse_pem(key, "a private key", private, private_key, reading);
    if let (Some(certificates), Some(private_key)) = (certificates, private_key)
        && let Err(error) = CertifiedKey::from_der(certificates, private_key, &ring::default_provider())
    {
        let name = cert.rsplit_once('.').map_or(cert, |(_, name)| name);
        reading.refuse(key, format!("expected the private key of `{name}`: {error}"));
    }
}

/// Records why a PEM file without `what` cannot be used.
fn refuse_pem<T>(
    key: &str,
    what: &str,
    file: &PemFile,
    read: Result<T, String>,
    reading: &mut ConfigReading<'_>,
) -> Option<T> {
    let refuse = |why| {
        reading.refuse(key, format!("expected a PEM file with {what} at {}: {why}", file.path().display()))
    };
    read.map_err(refuse).ok()
}

fn refuse_authorities(key: &str, file: &PemFile, reading: &mut ConfigReading<'_>) {
    refuse_pem(key, "certificates of authorities", file, authorities(file), reading);
}

fn certificates(file: &PemFile) -> Result<Vec<CertificateDer<'static>>, String> {
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(file.contents()?).collect();
    let certificates = certificates.map_err(|error| error.to_string())?;
    if certificates.is_empty() { Err("no certificate in it".to_owned()) } else { Ok(certificates) }
}

fn authorities(file: &PemFile) -> Result<(), String> {
    let mut store = RootCertStore::empty();
    let certificates = certificates(file)?;
    certificates
        .into_iter()
        .try_for_each(|certificate| store.add(certificate))
        .map_err(|error| error.to_string())
}
