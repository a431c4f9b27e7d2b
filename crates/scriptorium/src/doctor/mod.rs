//! Checks from this machine whether a configuration will work here, and says what to do where it will not.
//!
//! | file | checks |
//! |---|---|
//! | `certificate` | dates and hosts of the public port's certificate |
//! | `machine` | open files, ports, and private keys that others can read |
//! | `disk` | rights, speed and space of a folder |
//! | `storage` | where things are kept: the folder, or the bucket and the folder before it |
//! | `audit` | the file of the audit record |
//! | `engine` | the Redis or Valkey through which several proxies agree |
//! | `advisories` | the folders with advisories |
//! | `collector` | the way to the collector of spans, and whether it takes them |
//! | `registries` | the way to each registry, what it answers, and the clock |
//! | `hosts` | the way to the hosts of archives and of Git that each registry may point to |
//!
//! Every check goes the way that the proxy goes: the same look-ups, guard, TLS and storage. Owns the order of the checks and
//! the form of a finding. Must not know how findings are shown.

mod advisories;
mod audit;
mod certificate;
mod collector;
mod disk;
mod engine;
mod hosts;
mod machine;
mod registries;
mod storage;

use crate::app;
use crate::clock::{Clock, SystemClock};
use crate::config::Config;

/// What came of one check.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CheckOutcome {
    /// It works.
    Good,
    /// It works, and is probably not meant so.
    Doubtful,
    /// It will not work.
    Bad,
    /// It was not checked, because something before it failed.
    Unchecked,
}

/// One line of the report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Diagnosis {
    /// The check, from a closed set.
    pub(crate) check: &'static str,
    /// What was checked: a registry's name, a folder, an address; empty where there is only one.
    pub(crate) about: String,
    pub(crate) outcome: CheckOutcome,
    /// What was found.
    pub(crate) found: String,
    /// What to do, where there is something.
    pub(crate) advice: Option<String>,
}

impl Diagnosis {
    pub(crate) fn good(check: &'static str, about: impl Into<String>, found: impl Into<String>) -> Self {
        Self { check, about: about.into(), outcome: CheckOutcome::Good, found: found.into(), advice: None }
    }

    pub(crate) fn bad(check: &'static str, about: impl Into<String>, found: impl Into<String>) -> Self {
        Self { outcome: CheckOutcome::Bad, ..Self::good(check, about, found) }
    }

    pub(crate) fn doubtful(check: &'static str, about: impl Into<String>, found: impl Into<String>) -> Self {
        Self { outcome: CheckOutcome::Doubtful, ..Self::good(check, about, found) }
    }

    fn advise(self, advice: impl Into<String>) -> Self {
        Self { advice: Some(advice.into()), ..self }
    }
}

/// Makes every check, and tells each finding as soon as it is known.
pub(crate) async fn examine(config: &Config, tell: &mut dyn FnMut(Diagnosis)) {
    machine::ports(&config.server).into_iter().for_each(&mut *tell);
    tell(machine::descriptors(config.limits.max_connections));
    machine::private_keys(config).into_iter().for_each(&mut *tell);
    let now = SystemClock::default().now();
    certificate::examine(&config.server, now).into_iter().for_each(&mut *tell);
    storage::examine(&config.storage).await.into_iter().for_each(&mut *tell);
    if let Some(planted) = app::planted(config) {
        tell(Diagnosis::bad("private folder", "", planted.to_string()));
    }
    if let Some(file) = &config.log.audit {
        tell(audit::examine(file, &config.storage));
    }
    if let Some(cluster) = &config.cluster {
        tell(engine::examine(cluster).await);
    }
    advisories::examine(&config.policy, now).into_iter().for_each(&mut *tell);
    let listeners = || config.server.listeners();
    collector::examine(&config.telemetry, listeners()).await.into_iter().for_each(&mut *tell);
    if config.cache.offline {
        return;
    }
    for upstream in &config.upstreams {
        registries::examine(upstream, listeners()).await.into_iter().for_each(&mut *tell);
        hosts::examine(upstream, listeners()).await.into_iter().for_each(&mut *tell);
    }
}
