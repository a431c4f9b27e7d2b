//! Loading a configuration: sources → values → defaults from the environment → rules between keys.
//!
//! Owns that order, and what can be asked of a configuration as a whole. Must not know how a value is read.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::Path;

use super::about::{self, AppliedBy};
use super::error::{ConfigError, ConfigErrors};
use super::reading::ConfigReading;
use super::section::{self, TableReader};
use super::sections::Config;
use super::sources::{Overrides, SourceValue};
use super::{check, environment, notes};
use crate::clock::Timestamp;

/// The keys whose errors leave the address of the admin port unknown.
const ADMIN_LISTEN: [&str; 2] = ["server", "server.admin_listen"];

/// A valid configuration, and what its operator should know.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Loaded {
    /// The effective configuration.
    pub config: Config,
    /// Settings that are valid and probably not meant, one sentence each.
    pub(crate) notes: Vec<String>,
    /// The values that variables of other programs gave, one sentence each.
    pub(crate) from_environment: Vec<String>,
}

impl Config {
    /// Reads flags over environment over file over defaults.
    ///
    /// `env` holds the settings (`SCRIPTORIUM_SECTION__KEY`), and the variables that keys such as `token_env`
    /// name. A waiver that ended before `now` is an error.
    ///
    /// # Errors
    /// Every error of every source at once. A file that is not TOML has its syntax errors only.
    pub(crate) fn load(
        file: Option<&Path>,
        env: impl Iterator<Item = (String, String)>,
        overrides: Overrides,
        now: Timestamp,
    ) -> Result<Loaded, ConfigErrors> {
        let env: BTreeMap<String, String> = env.collect();
        let needs_upstreams = !overrides.beside;
        let mut reading = ConfigReading::new(&env, file);
        let mut config = Self::read(file.map(SourceValue::from_file), overrides, &mut reading)?;
        let from_environment = environment::fill(&mut config, &mut reading);
        check::check(&config, needs_upstreams, &mut reading);
        let warnings = check::policy(&config.policy, now, &mut reading);
        if reading.errors.is_empty() {
            let mistyped = notes::mistyped(env.keys(), |key| Self::applied_by(key).is_some());
            let others = notes::notes(&config).into_iter().chain(warnings).chain(mistyped);
            let notes = reading.notes.into_iter().chain(others).collect();
            Ok(Loaded { notes, config, from_environment })
        } else {
            Err(ConfigErrors(reading.errors))
        }
    }

    /// The address of the admin port. Other keys may be wrong: a running proxy does not end because its file is being
    /// edited.
    ///
    /// # Errors
    /// What is wrong with `server.admin_listen`, or that the file cannot be read.
    pub(crate) fn admin_listen(
        file: Option<&Path>,
        env: impl Iterator<Item = (String, String)>,
        overrides: Overrides,
    ) -> Result<SocketAddr, ConfigErrors> {
        let env = env.collect();
        let mut reading = ConfigReading::new(&env, file);
        let recovered = |file| SourceValue::recovered(file).map(|(sources, _)| sources);
        let config = Self::read(file.map(recovered), overrides, &mut reading)?;
        reading.errors.retain(|error| error.key.as_deref().is_some_and(|key| ADMIN_LISTEN.contains(&key)));
        if reading.errors.is_empty() {
            Ok(config.server.admin_listen)
        } else {
            Err(ConfigErrors(reading.errors))
        }
    }

    /// Reads every key, and leaves a default where a value is wrong.
    fn read(
        sources: Option<Result<SourceValue, Vec<ConfigError>>>,
        overrides: Overrides,
        reading: &mut ConfigReading<'_>,
    ) -> Result<Self, ConfigErrors> {
        let mut sources = sources.transpose().map_err(ConfigErrors)?.unwrap_or_default();
        reading.errors = sources.overlay_environment(reading.env);
        sources.overlay_flags(overrides);
        let config = TableReader::read(sources, "", reading).unwrap_or_default();
        reading.end_values();
        Ok(config)
    }

    /// Notes on tokens that are past their last day at `now`, in milliseconds since 1970; one sentence each.
    #[must_use]
    pub(crate) fn expired_tokens(&self, now: u64) -> Vec<String> {
        check::clients::expired(self, now)
    }

    /// The effective configuration as TOML. It loads again as the same, except for secrets: a variable's name
    /// stands for its token, and `<redacted>` for a token's digest.
    #[must_use]
    pub(crate) fn to_toml(&self) -> String {
        section::print(self).to_string()
    }

    /// The keys in which two configurations differ, such as `cache.index_ttl`. A list of tables is one key.
    /// Secrets are compared too.
    #[must_use]
    pub(crate) fn differences(&self, other: &Self) -> BTreeSet<String> {
        let mut found = BTreeSet::new();
        section::compare([Some(self), Some(other)], "", &mut found);
        found
    }

    /// The part that applies a change of `key`; `None` if there is no such key.
    #[must_use]
    pub(crate) fn applied_by(key: &str) -> Option<AppliedBy> {
        about::applied_by(&section::about::<Self>(), key)
    }

    /// Every part that applies a key, a restart included.
    #[must_use]
    pub(crate) fn appliers() -> BTreeSet<AppliedBy> {
        about::appliers(&section::about::<Self>())
    }
}
