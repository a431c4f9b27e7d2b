//! The rules between tokens, issuers and readers.
//!
//! Owns what is refused of issuers, and the notes on what can never match. Must not know how values are written down.

use std::collections::BTreeSet;

use super::super::address::Listeners;
use super::super::reading::ConfigReading;
use super::super::sections::{Config, Issuer, Token};
use super::super::value::{ListedReader, Readers};
use super::{check_dialled, check_egress};

/// Adds what is wrong with issuers.
pub(super) fn check(config: &Config, listeners: &Listeners, reading: &mut ConfigReading<'_>) {
    for (index, issuer) in config.issuers.iter().enumerate() {
        let table = format!("issuers[{index}]");
        let name = format!("{table}.name");
        let has_it = |(index, token): (usize, &Token)| {
            token.name == issuer.name && reading.knows(&format!("tokens[{index}].name"))
        };
        let token = config.tokens.iter().enumerate().position(has_it);
        if let Some(token) = token.filter(|_| reading.knows(&name)) {
            let message = format!("expected a name of its own; tokens[{token}] has the same");
            reading.refuse(name, message);
        }
        check_keys(&table, issuer, listeners, reading);
    }
}

fn check_keys(table: &str, issuer: &Issuer, listeners: &Listeners, reading: &mut ConfigReading<'_>) {
    let key = |name: &str| format!("{table}.{name}");
    // A source that was given but is bad has its own error.
    if !["jwks_file", "jwks_url"].iter().any(|name| reading.was_given(&key(name))) {
        reading.refuse(key("jwks_file"), "missing; expected `jwks_file` or `jwks_url`");
    }
    if reading.was_given(&key("jwks_url")) {
        check_egress(table, &issuer.egress, listeners, reading);
    }
    if let Some(url) = &issuer.jwks_url {
        check_dialled(key("jwks_url"), url, listeners, reading);
    }
}

/// Notes on readers that no token can be, one sentence each.
pub(in crate::config) fn notes(config: &Config) -> Vec<String> {
    let names: BTreeSet<&str> = config
        .tokens
        .iter()
        .map(|token| &*token.name)
        .chain(config.issuers.iter().map(|issuer| &*issuer.name))
        .collect();
    let groups: BTreeSet<&str> = config
        .tokens
        .iter()
        .flat_map(|token| &token.groups)
        .chain(config.issuers.iter().flat_map(|issuer| &issuer.groups))
        .map(String::as_str)
        .collect();
    let mut notes = Vec::new();
    for (index, upstream) in config.upstreams.iter().enumerate() {
        let key = format!("upstreams[{index}].readers");
        match &upstream.readers {
            Readers::Anyone => {}
            Readers::Tokens if names.is_empty() => {
                notes.push(format!("{key} lets nobody read: there is neither a token nor an issuer"));
            }
            Readers::Tokens => {}
            Readers::Listed(listed) if listed.is_empty() => {
                notes.push(format!("{key} lets nobody read: the list is empty"));
            }
            Readers::Listed(listed) => notes.extend(listed.iter().enumerate().filter_map(|(at, reader)| {
                match reader {
                    ListedReader::Name(name) if !names.contains(&**name) => {
                        Some(format!("{key}[{at}] ({name}) lets nobody read: no token and no issuer has this name"))
                    }
                    ListedReader::Group(group) if !groups.contains(&**group) => {
                        Some(format!("{key}[{at}] (group:{group}) lets nobody read: no token and no issuer is in this group"))
                    }
                    ListedReader::Name(_) | ListedReader::Group(_) => None,
                }
            })),
        }
    }
    notes
}

/// Notes on tokens that are past their last day at `now`, in milliseconds since 1970.
pub(in crate::config) fn expired(config: &Config, now: u64) -> Vec<String> {
    let dated =
        config.tokens.iter().enumerate().filter_map(|(index, token)| Some((index, token, token.expires?)));
    dated
        .filter(|(_, _, last)| last.end() <= now)
        .map(|(index, token, last)| {
            format!("tokens[{index}] ({}) counts as no token: its last day was {last}", token.name)
        })
        .collect()
}
