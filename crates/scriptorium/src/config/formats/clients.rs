//! The formats of values about clients: who may read, signed tokens and their keys, days.
//!
//! Owns what is accepted as each of them. Must not know any key.

use std::collections::BTreeSet;

use toml::{Table, Value};
use url::{Host, Url};

use super::super::about::Nested;
use super::super::address;
use super::super::format::ValueFormat;
use super::super::reading::ConfigReading;
use super::super::sources::{SourceTree, SourceValue};
use super::super::value::{ExpectedClaim, JwksFile, LastDay, ListedReader, Readers};
use super::{is_anonymous, name};

const READERS: &str = "\"anyone\", \"tokens\", or a list of names of tokens and issuers, and of groups such as \"group:release\"";
const CLAIMS: &str = "a table of claims with the text of each, such as { repository = \"acme/*\" }";

/// Who may read.
pub(in crate::config) fn reading_clients() -> ValueFormat<Readers> {
    let entries = ValueFormat::<ListedReader>::parsed(
        "the name of a token or an issuer, or \"group:\" and the name of a group",
    );
    let list = entries.list();
    let (read_list, print_list) = (list.read, list.print);
    let read = move |given: SourceValue, key: &str, reading: &mut ConfigReading<'_>| {
        if matches!(given.tree, SourceTree::List(_)) {
            return read_list(given, key, reading).map(Readers::Listed);
        }
        let word = given.plain().find_map(|value| Readers::word(value.as_str()?));
        if word.is_none() {
            reading.refuse_at(given.origin, key, format!("expected {READERS}"));
        }
        word
    };
    let print = move |readers: &Readers| match readers {
        Readers::Anyone => Some("anyone".into()),
        Readers::Tokens => Some("tokens".into()),
        Readers::Listed(entries) => print_list(entries),
    };
    ValueFormat {
        expected: READERS.to_owned(),
        example: None,
        nested: Nested::Nothing,
        read: Box::new(read),
        print: Box::new(print),
        compare: Box::new(compare),
    }
}

/// Claims with the pattern of each.
pub(in crate::config) fn expected_claims() -> ValueFormat<Vec<ExpectedClaim>> {
    let read = |given: SourceValue, key: &str, reading: &mut ConfigReading<'_>| {
        let SourceTree::Table(table) = given.tree else {
            reading.refuse_at(given.origin, key, format!("expected {CLAIMS}"));
            return None;
        };
        let mut claims = Vec::with_capacity(table.len());
        for (name, given) in table {
            let text = given.plain().find_map(|value| value.as_str().map(str::to_owned));
            match text.and_then(|text| text.parse().ok()) {
                Some(pattern) => claims.push(ExpectedClaim { name, pattern }),
                None => reading.refuse_at(
                    given.origin,
                    format!("{key}.{name}"),
                    "expected a text such as \"acme/*\"",
                ),
            }
        }
        Some(claims)
    };
    let print = |claims: &Vec<ExpectedClaim>| {
        let entry = |claim: &ExpectedClaim| (claim.name.clone(), Value::from(claim.pattern.as_str()));
        Some(Value::Table(claims.iter().map(entry).collect::<Table>()))
    };
    ValueFormat {
        expected: CLAIMS.to_owned(),
        example: None,
        nested: Nested::Nothing,
        read: Box::new(read),
        print: Box::new(print),
        compare: Box::new(compare),
    }
}

fn compare<T: PartialEq>([one, other]: [Option<&T>; 2], key: &str, found: &mut BTreeSet<String>) {
    if one != other {
        found.insert(key.to_owned());
    }
}

/// The name of a group.
pub(in crate::config) fn group() -> ValueFormat<String> {
    name()
}

/// The last day of something.
pub(in crate::config) fn last_day() -> ValueFormat<LastDay> {
    ValueFormat::parsed("a day such as \"2027-01-31\"")
}

/// A text that is compared to the letter.
pub(in crate::config) fn phrase() -> ValueFormat<String> {
    let is_phrase = |text: &str| (1..=512).contains(&text.len()) && !text.contains(char::is_control);
    ValueFormat::text(
        "a text of 1 to 512 bytes",
        move |text, _| is_phrase(text).then(|| text.to_owned()),
        String::clone,
    )
}

/// A set of keys.
pub(in crate::config) fn key_file() -> ValueFormat<JwksFile> {
    ValueFormat::file("the path of a file with public keys (JWKS)", JwksFile::read, JwksFile::path)
}

/// Where keys are published. Whoever could change them on their way could sign tokens.
pub(in crate::config) fn keys_url() -> ValueFormat<Url> {
    let is_this_machine = |url: &Url| match url.host() {
        Some(Host::Ipv4(ip)) => ip.is_loopback(),
        Some(Host::Ipv6(ip)) => ip.is_loopback(),
        Some(Host::Domain(name)) => address::is_localhost(name),
        None => false,
    };
    let is_safe = move |url: &Url| {
        let is_private = url.scheme() == "https" || (url.scheme() == "http" && is_this_machine(url));
        is_private && url.has_host() && is_anonymous(url) && url.fragment().is_none()
    };
    ValueFormat::text(
        "an https:// URL, or an http:// URL of this machine, without user, password or fragment",
        move |text, _| Url::parse(text).ok().filter(|url| is_safe(url)),
        Url::to_string,
    )
}
