//! Reloading: reading the configuration again, and changing in a running proxy what can be changed.
//!
//! A reload reads, then lets every part of the proxy prepare, then lets all of them apply; if anything is
//! wrong, nothing changes. Owns that order, one reload at a time, and the comparison with the running
//! configuration. Must not know what a part does with a key. Reports keys, never values.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use parking_lot::Mutex;
use serde::Serialize;
use tracing::{error, info, warn};

use crate::config::{AppliedBy, Config, ConfigError, ConfigErrors, Loaded};

/// Reads the configuration again, from where the process was told to find it.
pub(crate) type ConfigSource = dyn Fn() -> Result<Loaded, ConfigErrors> + Send + Sync;

/// The parts of the proxy that apply a configuration while it runs.
pub(crate) trait ReloadableParts: Send + Sync {
    /// Prepares what one part has to change. It changes nothing yet, since another part may refuse.
    ///
    /// # Errors
    /// Why the part cannot apply a configuration that is valid.
    fn prepare(&self, part: AppliedBy, config: &Config) -> Result<PreparedChange, ConfigError>;
}

/// What one part prepared.
pub(crate) enum PreparedChange {
    /// Applies the configuration. It cannot fail.
    Apply(Box<dyn FnOnce(&Config) + Send>),
    /// The part stays as it is until a restart.
    NeedsRestart,
}

impl PreparedChange {
    /// Applies the configuration by `apply`.
    pub(crate) fn apply(apply: impl FnOnce(&Config) + Send + 'static) -> Self {
        Self::Apply(Box::new(apply))
    }
}

/// The keys that a reload found changed, in alphabetical order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct ReloadReport {
    /// Changed since the last reload, and applied.
    pub(crate) applied: Vec<String>,
    /// Changed since the start, and not applied before a restart.
    pub(crate) restart: Vec<String>,
}

/// How many keys; which they are is in the log.
impl fmt::Display for ReloadReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "applied {}, after a restart {}", self.applied.len(), self.restart.len())
    }
}

/// Why a reload changed nothing.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReloadError {
    /// The process was not started from a configuration.
    #[error("this proxy was started without a configuration that could be read again")]
    NothingToReread,
    /// The configuration is not valid, or a part cannot apply it. It holds every error.
    #[error(transparent)]
    Refused(#[from] ConfigErrors),
}

impl ReloadError {
    /// What the audit record says of it, without a value of the configuration: the log has every error.
    pub(crate) fn summary(&self) -> String {
        match self {
            Self::NothingToReread => "refused: there is no configuration to read again".to_owned(),
            Self::Refused(errors) => format!("refused: {} errors, nothing applied", errors.0.len()),
        }
    }
}

/// Reloads the configuration of a running proxy.
pub(crate) struct Reload {
    source: Option<Box<ConfigSource>>,
    parts: Box<dyn ReloadableParts>,
    compared: Mutex<ComparedConfigs>,
}

/// The configurations with which a new one is compared.
struct ComparedConfigs {
    started: Config,
    latest: Config,
}

impl Reload {
    /// A reload of what was `started`. Without a `source` there is nothing to read again.
    #[must_use]
    pub(crate) fn new(
        started: &Config,
        source: Option<Box<ConfigSource>>,
        parts: Box<dyn ReloadableParts>,
    ) -> Self {
        let compared = ComparedConfigs { started: started.clone(), latest: started.clone() };
        Self { source, parts, compared: Mutex::new(compared) }
    }

    /// Reads the configuration again and applies it, or changes nothing. Logs the outcome. It reads files and
    /// waits for a reload that is under way, so call it where blocking is allowed.
    ///
    /// # Errors
    /// [`ReloadError`] if nothing changed because of an error.
    pub(crate) fn reload(&self) -> Result<ReloadReport, ReloadError> {
        let mut compared = self.compared.lock();
        let outcome = self.replace(&mut compared);
        match &outcome {
            Ok(ReloadReport { applied, restart }) if applied.is_empty() && restart.is_empty() => {
                info!("configuration reloaded: nothing changed");
            }
            Ok(ReloadReport { applied, restart }) => {
                info!(applied = applied.join(", "), restart = restart.join(", "), "configuration reloaded");
            }
            Err(ReloadError::NothingToReread) => {
                warn!("nothing is reloaded: there is no configuration to read again")
            }
            Err(ReloadError::Refused(errors)) => {
                error!("reload refused; the running configuration stays:\n{errors}");
            }
        }
        outcome
    }

    fn replace(&self, compared: &mut ComparedConfigs) -> Result<ReloadReport, ReloadError> {
        let source = self.source.as_ref().ok_or(ReloadError::NothingToReread)?;
        let Loaded { config, notes, from_environment: _ } = source()?;
        let prepared = self.prepare(&config)?;
        for note in notes {
            warn!("{note}");
        }
        let mut applying = BTreeSet::new();
        for (part, change) in prepared {
            if let PreparedChange::Apply(apply) = change {
                apply(&config);
                applying.insert(part);
            }
        }
        let is_applied = |key: &String| Config::applied_by(key).is_some_and(|part| applying.contains(&part));
        let applied = compared.latest.differences(&config).into_iter().filter(is_applied).collect();
        let restart =
            compared.started.differences(&config).into_iter().filter(|key| !is_applied(key)).collect();
        compared.latest = config;
        Ok(ReloadReport { applied, restart })
    }

    fn prepare(&self, config: &Config) -> Result<BTreeMap<AppliedBy, PreparedChange>, ConfigErrors> {
        let (mut prepared, mut errors) = (BTreeMap::new(), Vec::new());
        for part in Config::appliers() {
            match self.parts.prepare(part, config) {
                Ok(change) => drop(prepared.insert(part, change)),
                Err(error) => errors.push(error),
            }
        }
        if errors.is_empty() { Ok(prepared) } else { Err(ConfigErrors(errors)) }
    }
}

impl fmt::Debug for Reload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reload").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
