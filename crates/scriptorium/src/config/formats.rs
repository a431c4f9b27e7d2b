//! The formats of plain values: numbers, URLs, names, folders, choices. The files below have those of other kinds.
//!
//! Owns what is accepted as each of them. Must not know any key, nor how values depend on one another.

use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::path::PathBuf;

use bundle::TrustedKey;
use ipnet::IpNet;
use selection::Root;
use toml::Value;
use url::Url;

use super::format::{Scope, ValueFormat};
use super::reading::ConfigReading;
use super::sources::SourceValue;
use super::value::{
    HostPattern, Location, NoProxyEntry, PolicyFile, PolicyTables, Rate, RootListFile, is_name,
};
use crate::domain::{VolumePattern, percent};

mod certificates;
mod clients;
mod cluster;
mod quantities;
mod secrets;
mod telemetry;

pub(super) use certificates::{authorities, certificate, private_key};
pub(super) use clients::{expected_claims, group, key_file, keys_url, last_day, phrase, reading_clients};
pub(super) use cluster::{engine_url, key_prefix};
pub(crate) use quantities::parse_size;
pub(super) use quantities::{bytes, interval, period, size, timeout, too_few};
pub(super) use secrets::{
    password_variable, proxy_credential, token_digest, token_variable, user_and_password,
};
pub(super) use telemetry::{collector_url, share};

/// An enum that has a word in the configuration for each variant.
pub(super) trait Choice: Copy + PartialEq + 'static {
    const WORDS: &'static [(&'static str, Self)];
}

pub(super) fn choice<T: Choice>() -> ValueFormat<T> {
    let words: Vec<_> = T::WORDS.iter().map(|(word, _)| format!("\"{word}\"")).collect();
    let (last, others) = words.split_last().map_or(("", &[][..]), |(last, others)| (last.as_str(), others));
    let expected =
        if others.is_empty() { last.to_owned() } else { format!("{} or {last}", others.join(", ")) };
    let parse = |text: &str, _: &Scope<'_>| Some(T::WORDS.iter().find(|(word, _)| *word == text)?.1);
    let print = |value: &T| T::WORDS.iter().filter(|(_, of)| of == value).map(|(word, _)| *word).collect();
    ValueFormat::text(expected, parse, print)
}

pub(super) fn flag() -> ValueFormat<bool> {
    ValueFormat::plain("true or false", |value, _| value.as_bool(), |flag| Value::Boolean(*flag))
}

/// A number of `what`.
pub(super) fn number<T: WholeNumber>(what: &str, bounds: RangeInclusive<i64>) -> ValueFormat<T> {
    integer(format!("a number of {what} from {} to {}", bounds.start(), bounds.end()), bounds)
}

/// A number of `what`, where 0 means `nothing`.
pub(super) fn number_or_zero<T: WholeNumber>(what: &str, zero: &str, most: i64) -> ValueFormat<T> {
    integer(format!("a number of {what} from 0 ({zero}) to {most}"), 0..=most)
}

/// The types of whole numbers that keys have.
pub(super) trait WholeNumber: Copy + PartialEq + TryFrom<i64> + TryInto<i64> + 'static {}

impl<T: Copy + PartialEq + TryFrom<i64> + TryInto<i64> + 'static> WholeNumber for T {}

fn integer<T: WholeNumber>(expected: String, bounds: RangeInclusive<i64>) -> ValueFormat<T> {
    let parse = move |value: &Value, _: &Scope<'_>| {
        value.as_integer().filter(|number| bounds.contains(number))?.try_into().ok()
    };
    ValueFormat::plain(expected, parse, |number: &T| Value::Integer((*number).try_into().unwrap_or(i64::MAX)))
}

/// Whose signatures are believed.
pub(super) fn trusted_key() -> ValueFormat<TrustedKey> {
    ValueFormat::parsed("a public key in minisign's format, as `scriptorium mirror key` prints it")
}

pub(super) fn socket() -> ValueFormat<SocketAddr> {
    ValueFormat::parsed("an address and a port such as \"127.0.0.1:8080\" or \"[::]:8080\"")
}

/// Where an API starts. The trailing slash of its path is dropped, except that of the root.
pub(super) fn base_url() -> ValueFormat<Url> {
    let parse = |text: &str, _: &Scope<'_>| {
        let mut url =
            Url::parse(text).ok().filter(|url| is_http(url) && is_anonymous(url) && ends_with_path(url))?;
        let path = url.path().trim_end_matches('/').to_owned();
        url.set_path(&path);
        Some(url)
    };
    ValueFormat::text(
        "an http:// or https:// URL without user, password, query or fragment",
        parse,
        Url::to_string,
    )
}

/// Where a proxy is.
pub(super) fn proxy_url() -> ValueFormat<Url> {
    let expected = "the http:// or https:// URL of a proxy with a host and a port only, such as \
                    \"http://proxy.corp:3128\"; `proxy_auth_env` names its user and password";
    let parse =
        |text: &str, _: &Scope<'_>| Url::parse(text).ok().filter(|url| is_proxy(url) && is_anonymous(url));
    ValueFormat::text(expected, parse, Url::to_string)
}

/// Whether `url` leads to a proxy: http or https, a host, and nothing after the port.
pub(super) fn is_proxy(url: &Url) -> bool {
    is_http(url) && url.has_host() && matches!(url.path(), "" | "/") && ends_with_path(url)
}

fn is_http(url: &Url) -> bool {
    matches!(url.scheme(), "http" | "https")
}

fn is_anonymous(url: &Url) -> bool {
    url.username().is_empty() && url.password().is_none()
}

fn ends_with_path(url: &Url) -> bool {
    url.query().is_none() && url.fragment().is_none()
}

pub(super) fn network() -> ValueFormat<IpNet> {
    let parse = |text: &str, _: &Scope<'_>| {
        text.parse().ok().or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from))
    };
    ValueFormat::text("a network such as \"10.0.0.0/8\" or an address", parse, IpNet::to_string)
}

pub(super) fn pattern() -> ValueFormat<VolumePattern> {
    ValueFormat::parsed(
        "\"*\", a volume name, or the start of one and a star such as \"@acme/*\" or \"tools-*\"",
    )
}

pub(super) fn host() -> ValueFormat<HostPattern> {
    ValueFormat::parsed("a host or host:port such as \"cdn.example.com\", without scheme, path or star")
}

/// A host that connections reach without the proxy.
pub(super) fn exempt() -> ValueFormat<NoProxyEntry> {
    ValueFormat::parsed(
        "\"*\", a host such as \"corp.example\", which stands for all names below it too, an address or a network",
    )
}

pub(super) fn rate() -> ValueFormat<Rate> {
    ValueFormat::parsed("a rate of at least one such as \"60/min\" (/s, /min, /h)")
}

pub(super) fn location() -> ValueFormat<Location> {
    let parse = |text: &str, scope: &Scope<'_>| match text
        .strip_prefix("file://")
        .filter(|path| path.starts_with('.'))
    {
        Some(relative) => Some(Location::File(scope.resolve(&*percent::decode(relative)?)?)),
        None => text.parse().ok(),
    };
    ValueFormat::text(
        "file:///folder, file://./folder, memory:/// or s3://bucket/prefix",
        parse,
        Location::to_string,
    )
}

pub(super) fn folder() -> ValueFormat<PathBuf> {
    ValueFormat::text("the path of a folder", resolved, |path| path.display().to_string())
}

/// The path of a file that is written.
pub(super) fn file() -> ValueFormat<PathBuf> {
    ValueFormat::text("the path of a file", resolved, |path| path.display().to_string())
}

fn resolved(text: &str, scope: &Scope<'_>) -> Option<PathBuf> {
    scope.resolve(Some(text).filter(|path| !path.is_empty())?)
}

pub(super) fn name() -> ValueFormat<String> {
    let expected = "a name of 1 to 64 ASCII letters, digits, dots, hyphens or underscores";
    ValueFormat::text(expected, |text, _| is_name(text).then(|| text.to_owned()), String::clone)
}

/// The name of a mirror, which is a segment of a path on the admin port.
pub(super) fn mirror_name() -> ValueFormat<String> {
    let expected = "a name of 1 to 64 lowercase ASCII letters, digits and hyphens, without a hyphen first, last or doubled";
    let is_name = |text: &&str| {
        let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        text.len() <= 64 && text.split('-').all(|word| !word.is_empty() && word.bytes().all(is_plain))
    };
    ValueFormat::text(expected, move |text, _| Some(text).filter(is_name).map(str::to_owned), String::clone)
}

/// What a mirror takes.
pub(super) fn root() -> ValueFormat<Root> {
    ValueFormat::parsed(
        "a volume name, the start of one and a star such as \"@acme/*\", or a name with a version or a range such as \
         \"review-agent@^2.0\"",
    )
}

/// A list of roots.
pub(super) fn root_list() -> ValueFormat<RootListFile> {
    ValueFormat::file("the path of a list of roots", RootListFile::read, RootListFile::path)
}

/// A file with rules and waivers.
pub(super) fn policy_file() -> ValueFormat<PolicyFile> {
    let expected = "the path of a file with [[policy.rules]] and [[policy.waivers]]";
    ValueFormat::file(expected, PolicyFile::read, PolicyFile::path)
}

/// Tables that the crate `policy` reads, each under a `heading`.
pub(super) fn policy_tables(heading: &str) -> ValueFormat<PolicyTables> {
    let expected = format!("a list of tables, each under {heading}");
    let message = format!("expected {expected}");
    let read = move |given: SourceValue, key: &str, reading: &mut ConfigReading<'_>| {
        let origin = given.origin.clone();
        given.each(key, &mut |name, origin| reading.give(name.to_owned(), origin.clone()));
        match given.into_toml() {
            Value::Array(tables) if tables.iter().all(Value::is_table) => Some(PolicyTables(tables)),
            _ => {
                reading.refuse_at(origin, key, &message);
                None
            }
        }
    };
    ValueFormat {
        read: Box::new(read),
        print: Box::new(|tables| (!tables.0.is_empty()).then(|| Value::Array(tables.0.clone()))),
        ..ValueFormat::plain(expected, |_, _| None, |_| Value::Array(Vec::new()))
    }
}

/// The path below which an API is mounted.
pub(super) fn mount() -> ValueFormat<String> {
    let expected = "a path such as \"/nullspace\" that does not start with /api, /archives or /trust-artifacts and ends \
                    without a slash";
    ValueFormat::text(expected, |text, _| is_mount(text).then(|| text.to_owned()), String::clone)
}

fn is_mount(path: &str) -> bool {
    let Some(segments) = path.strip_prefix('/') else { return false };
    let whole =
        segments.split('/').all(|part| !matches!(part, "" | "." | "..") && part.bytes().all(is_plain));
    whole && !matches!(segments.split('/').next(), Some("api" | "archives" | "trust-artifacts"))
}

fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_')
}
