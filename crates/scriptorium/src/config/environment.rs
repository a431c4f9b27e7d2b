//! Variables that other programs share: which proxy to use, and which certificate authorities to trust.
//!
//! | variable | is the default of |
//! |---|---|
//! | `HTTPS_PROXY`, `https_proxy` | `proxy` in tables whose `url` is https |
//! | `http_proxy` (not `HTTP_PROXY`, which a client of a CGI program can set) | `proxy` in tables whose `url` is http |
//! | `NO_PROXY`, `no_proxy` | `no_proxy` in tables with a proxy |
//! | `SSL_CERT_FILE`, `SSL_CERT_DIR` | the authorities of the machine |
//!
//! A proxy from the environment is not used for this machine itself. Owns this table. Must not know how a
//! connection is made.

use std::collections::BTreeMap;

use url::Url;

use super::error::ValueOrigin;
use super::formats::{is_proxy, user_and_password};
use super::reading::ConfigReading;
use super::sections::{Config, Egress};
use super::value::{Credential, NoProxyEntry};

const HTTPS_PROXY: &[&str] = &["https_proxy", "HTTPS_PROXY"];
const HTTP_PROXY: &[&str] = &["http_proxy"];
const NO_PROXY: &[&str] = &["no_proxy", "NO_PROXY"];
const AUTHORITIES: [&str; 2] = ["SSL_CERT_FILE", "SSL_CERT_DIR"];
const THIS_MACHINE: [&str; 3] = ["localhost", "127.0.0.0/8", "::1/128"];

/// Fills in what the configuration does not give. Returns a sentence for each value that the environment
/// gave.
pub(super) fn fill(config: &mut Config, reading: &mut ConfigReading<'_>) -> Vec<String> {
    let mut notes = Vec::new();
    let upstreams = config.upstreams.iter_mut().map(|upstream| (&upstream.url, &mut upstream.egress));
    let relays = config.relays.iter_mut().map(|relay| (&relay.url, &mut relay.egress));
    // Without `jwks_url` an issuer is not asked.
    let issuers = config
        .issuers
        .iter_mut()
        .enumerate()
        .filter_map(|(index, issuer)| Some((index, (issuer.jwks_url.as_ref()?, &mut issuer.egress))));
    let mut https = false;
    let tables = [
        ("upstreams", "url", upstreams.enumerate().collect::<Vec<_>>()),
        ("relays", "url", relays.enumerate().collect()),
        ("issuers", "jwks_url", issuers.collect()),
    ];
    for (list, home, tables) in tables {
        for (index, (url, egress)) in tables {
            let table = format!("{list}[{index}]");
            if reading.knows(&format!("{table}.{home}")) {
                https |= url.scheme() == "https";
                fill_table(&table, url, egress, reading, &mut notes);
            }
        }
    }
    for variable in AUTHORITIES.into_iter().filter(|_| https) {
        if let Some((variable, place)) = first(reading.env, &[variable]) {
            notes.push(format!(
                "the certificate authorities of the machine are those in {place}, as {variable} says"
            ));
        }
    }
    notes
}

fn fill_table(
    table: &str,
    url: &Url,
    egress: &mut Egress,
    reading: &mut ConfigReading<'_>,
    notes: &mut Vec<String>,
) {
    let (proxy_key, no_proxy_key) = (format!("{table}.proxy"), format!("{table}.no_proxy"));
    let variables = if url.scheme() == "https" { HTTPS_PROXY } else { HTTP_PROXY };
    if egress.proxy.is_none()
        && !reading.was_given(&proxy_key)
        && let Some((variable, value)) = first(reading.env, variables)
    {
        let Some((proxy, credential)) = proxy(value) else {
            let message = "expected the http:// or https:// URL of a proxy such as http://proxy.corp:3128";
            return reading.refuse_at(ValueOrigin::Environment(variable.to_owned()), proxy_key, message);
        };
        notes.push(format!("{proxy_key} comes from {variable}"));
        egress.proxy = Some(proxy);
        if egress.proxy_auth_env.is_none() {
            egress.proxy_auth_env =
                credential.map(|pair| Credential { variable: variable.to_owned(), token: pair.into() });
        }
        egress.no_proxy.extend(THIS_MACHINE.iter().filter_map(|exempt| exempt.parse().ok()));
    }
    if egress.proxy.is_some()
        && !reading.was_given(&no_proxy_key)
        && let Some((variable, value)) = first(reading.env, NO_PROXY)
    {
        notes.push(format!("{no_proxy_key} comes from {variable}"));
        egress.no_proxy.extend(exempt(value));
    }
}

/// The first of `variables` that is not empty.
fn first<'a>(env: &'a BTreeMap<String, String>, variables: &[&'a str]) -> Option<(&'a str, &'a str)> {
    let value = |variable: &&'a str| Some((*variable, env.get(*variable)?.trim()));
    variables.iter().filter_map(value).find(|(_, value)| !value.is_empty())
}

/// The URL of a proxy, and `user:password` for it. As in other programs, a URL without a scheme is http.
fn proxy(value: &str) -> Option<(Url, Option<String>)> {
    let whole = if value.contains("://") { value.to_owned() } else { format!("http://{value}") };
    let is_text = |_: &Url| !value.contains(char::REPLACEMENT_CHARACTER);
    let mut url = Url::parse(&whole).ok().filter(is_proxy).filter(is_text)?;
    let credential = user_and_password(&url);
    url.set_username("").ok()?;
    url.set_password(None).ok()?;
    Some((url, credential))
}

/// The entries of `NO_PROXY`. Other programs may understand entries that this one does not; these are
/// skipped.
fn exempt(value: &str) -> impl Iterator<Item = NoProxyEntry> {
    let without_port = |entry: &str| entry.rsplit_once(':')?.0.parse().ok();
    let read = move |entry: &str| entry.parse().ok().or_else(|| without_port(entry));
    value.split([',', ' ']).filter(|entry| !entry.is_empty()).filter_map(read)
}
