//! Reloading: the configuration is read again, and what can change in a running proxy changes.
//!
//! Owns the order (read, refuse or prepare everything, put it in force, report), one reload at a time, and the
//! comparison of what is asked for with what is running. Must not know what any part of the proxy does with a key:
//! each is a [`Part`], made where the proxy is wired. Tells of keys, never of values.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use serde::Serialize;
use tracing::{error, info, warn};

use crate::config::{Config, ConfigError, ConfigErrors, Loaded};

/// Reads the configuration again, as the process was told to find it.
pub type Source = dyn Fn() -> Result<Loaded, ConfigErrors> + Send + Sync;

type Prepare = dyn Fn(&Config) -> Result<Ready, ConfigError> + Send + Sync;

/// Something that obeys a few keys and can be given others while it runs.
pub struct Part {
    keys: &'static [&'static str],
    prepare: Box<Prepare>,
}

impl Part {
    /// A part that takes every valid configuration. `keys` are keys or sections.
    pub fn new(keys: &'static [&'static str], put: impl Fn(&Config) + Send + Sync + 'static) -> Self {
        let put = Arc::new(put);
        Self::checked(keys, move |_| {
            let put = Arc::clone(&put);
            Ok(Ready::now(move |config| put(config)))
        })
    }

    /// A part that may refuse a configuration, and then nothing changes anywhere. `prepare` itself must change
    /// nothing: another part may still refuse.
    pub fn checked(
        keys: &'static [&'static str],
        prepare: impl Fn(&Config) -> Result<Ready, ConfigError> + Send + Sync + 'static,
    ) -> Self {
        Self { keys, prepare: Box::new(prepare) }
    }

    /// Whether `key` is one of its own.
    #[must_use]
    pub fn covers(&self, key: &str) -> bool {
        let is =
            |own: &&str| key.strip_prefix(*own).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'));
        self.keys.iter().any(is)
    }
}

impl fmt::Debug for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Part").field("keys", &self.keys).finish_non_exhaustive()
    }
}

/// What a part is prepared to do.
pub enum Ready {
    /// To put the configuration in force; nothing in that can fail.
    Now {
        /// Does it.
        put: Box<dyn FnOnce(&Config) + Send>,
        /// Keys that say the same and mean something new: the path of a file that was replaced.
        renewed: Vec<&'static str>,
    },
    /// To go on as it is: what is asked of it needs a restart.
    AfterRestart,
}

impl Ready {
    /// Puts the configuration in force by `put`.
    pub fn now(put: impl FnOnce(&Config) + Send + 'static) -> Self {
        Self::Now { put: Box::new(put), renewed: Vec::new() }
    }

    /// The same, and tells that `keys` count as changed.
    pub fn renewing(keys: Vec<&'static str>, put: impl FnOnce(&Config) + Send + 'static) -> Self {
        Self::Now { put: Box::new(put), renewed: keys }
    }
}

/// What came of a reload: keys, in alphabetical order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Changed since the last reload, and in force now.
    pub applied: Vec<String>,
    /// Changed since the start, and not in force before a restart.
    pub restart: Vec<String>,
}

/// Why everything stays as it was.
#[derive(Debug, thiserror::Error)]
pub enum ReloadError {
    /// The process was not started from a configuration.
    #[error("this proxy was started without a configuration that could be read again")]
    NothingToReread,
    /// The configuration is bad; all that is wrong with it.
    #[error(transparent)]
    Refused(#[from] ConfigErrors),
}

/// Reloads the configuration of a running proxy, for whoever asks.
pub struct Reload {
    source: Option<Box<Source>>,
    parts: Vec<Part>,
    known: Mutex<Known>,
}

/// What keys are compared with.
struct Known {
    started: Config,
    latest: Config,
}

impl Reload {
    /// A reload of what was `started`. Without a `source` there is nothing to re-read. Keys that no part covers
    /// need a restart.
    #[must_use]
    pub fn new(started: &Config, source: Option<Box<Source>>, parts: Vec<Part>) -> Self {
        let known = Known { started: started.clone(), latest: started.clone() };
        Self { source, parts, known: Mutex::new(known) }
    }

    /// Whether `key` changes without a restart.
    #[must_use]
    pub fn covers(&self, key: &str) -> bool {
        self.parts.iter().any(|part| part.covers(key))
    }

    /// Reads the configuration again and puts it in force, or nothing of it. Reads files, and waits for a
    /// reload that is under way: it belongs where blocking is allowed. Logs what came of it.
    ///
    /// # Errors
    /// [`ReloadError`] when nothing changed because nothing may.
    pub fn reload(&self) -> Result<Report, ReloadError> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let outcome = self.replace(&mut known);
        match &outcome {
            Ok(Report { applied, restart }) if applied.is_empty() && restart.is_empty() => {
                info!("configuration reloaded: nothing changed");
            }
            Ok(Report { applied, restart }) => {
                info!(applied = applied.join(", "), restart = restart.join(", "), "configuration reloaded");
            }
            Err(ReloadError::NothingToReread) => warn!("nothing is reloaded: there is nothing to re-read"),
            Err(ReloadError::Refused(errors)) => {
                error!("reload refused; the running configuration stays:\n{errors}");
            }
        }
        outcome
    }

    fn replace(&self, known: &mut Known) -> Result<Report, ReloadError> {
        let source = self.source.as_ref().ok_or(ReloadError::NothingToReread)?;
        let Loaded { config, notes, surroundings: _ } = source()?;
        let prepared = self.prepare(&config)?;
        for note in notes {
            warn!("{note}");
        }
        let changed = known.latest.differences(&config);
        let mut restart = known.started.differences(&config);
        let mut applied = BTreeSet::new();
        for (part, ready) in self.parts.iter().zip(prepared) {
            if let Ready::Now { put, renewed } = ready {
                put(&config);
                applied.extend(renewed.into_iter().map(str::to_owned));
                applied.extend(changed.iter().filter(|key| part.covers(key)).cloned());
                restart.retain(|key| !part.covers(key));
            }
        }
        known.latest = config;
        Ok(Report { applied: Vec::from_iter(applied), restart: Vec::from_iter(restart) })
    }

    fn prepare(&self, config: &Config) -> Result<Vec<Ready>, ConfigErrors> {
        let (mut ready, mut errors) = (Vec::new(), Vec::new());
        for part in &self.parts {
            match (part.prepare)(config) {
                Ok(prepared) => ready.push(prepared),
                Err(error) => errors.push(error),
            }
        }
        if errors.is_empty() { Ok(ready) } else { Err(ConfigErrors(errors)) }
    }
}

impl fmt::Debug for Reload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reload").field("parts", &self.parts).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
