//! What no key of the way out can judge alone: files that must be what they are called, and keys that need another.
//!
//! Owns those rules. Must not know how connections are made.

use rustls::RootCertStore;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use url::{Host, Url};

use super::super::address::{self, Listeners};
use super::super::model::{Config, Egress};
use super::super::read::Reader;
use super::super::value::PemFile;

/// Judges every table that has a way out.
pub(super) fn check(config: &Config, reader: &mut Reader<'_>) {
    let listeners = config.server.listeners();
    for (index, upstream) in config.upstreams.iter().enumerate() {
        table(&format!("upstreams[{index}]"), &upstream.url, &upstream.egress, &listeners, reader);
    }
    for (index, relay) in config.relays.iter().enumerate() {
        table(&format!("relays[{index}]"), &relay.url, &relay.egress, &listeners, reader);
    }
}

fn table(table: &str, url: &Url, egress: &Egress, listeners: &Listeners, reader: &mut Reader<'_>) {
    let mut refuse = |key: &str, message: String| {
        let key = format!("{table}.{key}");
        reader.error(reader.origin(&key), key, message);
    };
    for (key, url) in [("url", Some(url)), ("proxy", egress.proxy.as_ref())] {
        if let Some(why) = url.and_then(|url| never_dialled(url, listeners)) {
            refuse(key, why.to_owned());
        }
    }
    if egress.proxy_auth_env.is_some() && egress.proxy.is_none() {
        refuse("proxy_auth_env", "expected `proxy` beside it".to_owned());
    }
    if let Some(ca) = &egress.ca_file
        && let Err(why) = authorities(ca)
    {
        refuse("ca_file", unusable("certificates of authorities", ca, &why));
    }
    match (&egress.client_cert, &egress.client_key) {
        (None, None) => {}
        (Some(_), None) => {
            refuse("client_key", "missing; expected the private key of `client_cert`".to_owned())
        }
        (None, Some(_)) => {
            refuse("client_cert", "missing; expected the certificate of `client_key`".to_owned())
        }
        (Some(cert), Some(key)) => identity(cert, key, &mut refuse),
    }
}

/// What no list of private networks allows.
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
    let port = url.port_or_known_default().unwrap_or_default();
    listeners
        .answer(ip, port, |_| false)
        .then_some("expected another address than server.listen and server.admin_listen")
}

const METADATA: &str = "expected no address of a cloud's metadata service, which is never asked";

fn authorities(file: &PemFile) -> Result<(), String> {
    let mut store = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(file.contents()?) {
        let certificate = certificate.map_err(|error| error.to_string())?;
        store.add(certificate).map_err(|error| error.to_string())?;
    }
    if store.is_empty() { Err("no certificate in it".to_owned()) } else { Ok(()) }
}

fn identity(cert: &PemFile, key: &PemFile, refuse: &mut impl FnMut(&str, String)) {
    let chain = cert.contents().map_err(str::to_owned).and_then(|contents| {
        let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(contents).collect();
        chain.map_err(|error| error.to_string())
    });
    let chain = chain
        .and_then(|chain| if chain.is_empty() { Err("no certificate in it".to_owned()) } else { Ok(chain) });
    let private = key.contents().map_err(str::to_owned);
    let private = private
        .and_then(|contents| PrivateKeyDer::from_pem_slice(contents).map_err(|error| error.to_string()));
    if let Err(why) = &chain {
        refuse("client_cert", unusable("a certificate", cert, why));
    }
    if let Err(why) = &private {
        refuse("client_key", unusable("a private key", key, why));
    }
    if let (Ok(chain), Ok(private)) = (chain, private)
        && let Err(error) = CertifiedKey::from_der(chain, private, &ring::default_provider())
    {
        refuse("client_key", format!("expected the private key of `client_cert`: {error}"));
    }
}

fn unusable(what: &str, file: &PemFile, why: &str) -> String {
    format!("expected a PEM file with {what} at {}: {why}", file.path().display())
}
