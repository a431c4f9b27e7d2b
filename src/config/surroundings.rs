//! What the environment says of the way out, as every other program of the machine takes it.
//!
//! | variable | is the default of |
//! |---|---|
//! | `HTTPS_PROXY`, `https_proxy` | `proxy` of tables whose `url` begins with https |
//! | `http_proxy` (not `HTTP_PROXY`, which a client of a CGI program can set) | `proxy` of those that begin with http |
//! | `NO_PROXY`, `no_proxy` | `no_proxy` where there is a proxy |
//! | `SSL_CERT_FILE`, `SSL_CERT_DIR` | the built-in authorities |
//!
//! A proxy from here is not used for this machine itself. Owns that table. Must not know what any value leads to.

use std::collections::BTreeMap;

use url::Url;

use super::error::{ConfigError, Origin};
use super::kind::{is_proxy, user_and_password};
use super::model::{Config, Egress};
use super::value::{Credential, Exempt};

const HTTPS_PROXY: [&str; 2] = ["https_proxy", "HTTPS_PROXY"];
const HTTP_PROXY: [&str; 1] = ["http_proxy"];
const NO_PROXY: [&str; 2] = ["no_proxy", "NO_PROXY"];
const AUTHORITIES: [&str; 2] = ["SSL_CERT_FILE", "SSL_CERT_DIR"];
const THIS_MACHINE: [&str; 3] = ["localhost", "127.0.0.0/8", "::1/128"];

type Environment = BTreeMap<String, String>;

/// Fills in what no other source said, and tells of it: notes for the operator, and errors.
pub(super) fn fill(config: &mut Config, env: &Environment, given: impl Fn(&str) -> bool) -> Told {
    let mut told = Told::default();
    for (index, upstream) in config.upstreams.iter_mut().enumerate() {
        table(&format!("upstreams[{index}]"), &upstream.url, &mut upstream.egress, env, &given, &mut told);
    }
    for (index, relay) in config.relays.iter_mut().enumerate() {
        table(&format!("relays[{index}]"), &relay.url, &mut relay.egress, env, &given, &mut told);
    }
    let mut urls = config
        .upstreams
        .iter()
        .map(|upstream| &upstream.url)
        .chain(config.relays.iter().map(|relay| &relay.url));
    if !urls.any(|url| url.scheme() == "https") {
        return told;
    }
    for variable in AUTHORITIES {
        if let Some(place) = env.get(variable).filter(|place| !place.is_empty()) {
            told.notes.push(format!(
                "the built-in certificate authorities are those of {place}, as {variable} says"
            ));
        }
    }
    told
}

/// What is to be told of the environment.
#[derive(Debug, Default)]
pub(super) struct Told {
    pub(super) notes: Vec<String>,
    pub(super) errors: Vec<ConfigError>,
}

fn table(
    table: &str,
    url: &Url,
    egress: &mut Egress,
    env: &Environment,
    given: &impl Fn(&str) -> bool,
    told: &mut Told,
) {
    let key = |key: &str| format!("{table}.{key}");
    if egress.proxy.is_none() && !given(&key("proxy")) {
        let variables = if url.scheme() == "https" { &HTTPS_PROXY[..] } else { &HTTP_PROXY[..] };
        if let Some((variable, value)) = first(env, variables) {
            match proxy(value) {
                Some((proxy, credential)) => {
                    told.notes.push(format!("{} comes from {variable}", key("proxy")));
                    egress.proxy = Some(proxy);
                    if let Some(pair) = credential.filter(|_| egress.proxy_auth_env.is_none()) {
                        let variable = variable.to_owned();
                        egress.proxy_auth_env = Some(Credential { variable, token: pair.into() });
                    }
                    egress.no_proxy.extend(THIS_MACHINE.iter().filter_map(|exempt| exempt.parse().ok()));
                }
                None => told.errors.push(ConfigError {
                    origin: Origin::Environment(variable.to_owned()),
                    key: key("proxy"),
                    message: "expected the http:// or https:// URL of a proxy such as http://proxy.corp:3128"
                        .to_owned(),
                }),
            }
        }
    }
    if egress.proxy.is_some()
        && !given(&key("no_proxy"))
        && let Some((variable, value)) = first(env, &NO_PROXY)
    {
        told.notes.push(format!("{} comes from {variable}", key("no_proxy")));
        egress.no_proxy.extend(exempt(value));
    }
}

/// The first of `variables` that is set to something.
fn first<'a>(env: &'a Environment, variables: &[&'a str]) -> Option<(&'a str, &'a str)> {
    let set = |variable: &&'a str| Some((*variable, env.get(*variable)?.trim()));
    variables.iter().filter_map(set).find(|(_, value)| !value.is_empty())
}

/// A proxy's URL, and who may use it. Without a scheme it is http, as everywhere.
fn proxy(value: &str) -> Option<(Url, Option<String>)> {
    let whole = if value.contains("://") { value.to_owned() } else { format!("http://{value}") };
    let mut url = Url::parse(&whole).ok().filter(is_proxy)?;
    let credential = user_and_password(&url);
    url.set_username("").ok()?;
    url.set_password(None).ok()?;
    Some((url, credential))
}

/// Entries that cannot be read are for programs that read them otherwise.
fn exempt(value: &str) -> impl Iterator<Item = Exempt> {
    let without_port = |entry: &str| entry.rsplit_once(':')?.0.parse().ok();
    let read = move |entry: &str| entry.parse().ok().or_else(|| without_port(entry));
    value.split([',', ' ']).filter(|entry| !entry.is_empty()).filter_map(read)
}
