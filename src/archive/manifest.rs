//! The manifest, `volume.toml` at the root of the tree.
//!
//! Owns what a proxy must hold against the release: the identity it names and the permissions its components
//! claim. Every other key is between the publisher and the runtime. Must not know archives.

use serde::de::{DeserializeOwned, Error, IntoDeserializer};
use serde::{Deserialize, Deserializer};

use super::{ArchiveError, Excerpt};
use crate::domain::{Purl, Version, VolumeName};

/// Where the manifest lies in the tree.
pub(super) const MANIFEST: &str = "volume.toml";
/// Longest manifest, in bytes.
pub(super) const MAX_MANIFEST: u64 = 1 << 20;

/// Why a manifest cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ManifestError {
    /// There is none.
    #[error("expected a regular file {MANIFEST} at the root")]
    Missing,
    /// It is longer than any honest one.
    #[error("{MANIFEST} has {size} bytes, expected at most {MAX_MANIFEST}")]
    TooLong {
        /// Its length.
        size: u64,
    },
    /// It is not TOML, or a key that matters has no valid value.
    #[error("{MANIFEST} is invalid: {0}")]
    Invalid(Excerpt),
}

/// A permission that a component can claim and its volume can grant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Permission {
    /// Files of the host.
    Filesystem,
    /// The network.
    Network,
    /// A browser.
    Browser,
    /// Commands of the host.
    Shell,
}

impl std::fmt::Display for Permission {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Filesystem => "filesystem",
            Self::Network => "network",
            Self::Browser => "browser",
            Self::Shell => "shell",
        })
    }
}

/// The part of a manifest that concerns a proxy.
#[derive(Debug, Deserialize)]
pub(super) struct Manifest {
    volume: Table<Volume>,
    #[serde(default)]
    permissions: Table<Permissions>,
    #[serde(default)]
    components: Vec<Table<Component>>,
}

impl Manifest {
    /// Parses a manifest's bytes.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, ManifestError> {
        let invalid = |why: &str| ManifestError::Invalid(why.into());
        let manifest: Self = toml::from_slice(bytes).map_err(|error| invalid(error.message()))?;
        match manifest.volume.0.schema {
            None | Some(1) => Ok(manifest),
            Some(_) => Err(invalid("expected volume.schema = 1")),
        }
    }

    /// Holds the manifest against the release it should describe: its identity, then its permissions.
    pub(super) fn check(&self, name: &VolumeName, version: &Version) -> Result<(), ArchiveError> {
        let Volume { name: found_name, version: found_version, .. } = &self.volume.0;
        if (found_name, found_version) != (name, version) {
            return Err(ArchiveError::Identity {
                expected: Box::new(Purl::new(name, version)),
                found: Box::new(Purl::new(found_name, found_version)),
            });
        }
        for (place, Table(component)) in self.components.iter().enumerate() {
            if let Some(permission) = component.permissions.0.exceeds(&self.permissions.0) {
                return Err(ArchiveError::Escalation { component: component.label(place), permission });
            }
        }
        Ok(())
    }
}

/// A TOML table and nothing else: a derived struct alone would take an array or a date.
#[derive(Debug, Default)]
struct Table<T>(T);

impl<'de, T: DeserializeOwned> Deserialize<'de> for Table<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match toml::Value::deserialize(deserializer)? {
            toml::Value::Table(table) => {
                T::deserialize(table).map(Self).map_err(|error| D::Error::custom(error.message()))
            }
            other => Err(D::Error::custom(format_args!("expected a table, found {}", other.type_str()))),
        }
    }
}

#[derive(Debug, Deserialize)]
struct Volume {
    schema: Option<i64>,
    name: VolumeName,
    version: Version,
}

#[derive(Debug, Deserialize)]
struct Component {
    name: Option<String>,
    #[serde(default)]
    permissions: Table<Permissions>,
}

impl Component {
    fn label(&self, place: usize) -> Excerpt {
        match &self.name {
            Some(name) => name.as_str().into(),
            None => format!("#{}", place + 1).as_str().into(),
        }
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Permissions {
    #[serde(deserialize_with = "word")]
    filesystem: Access,
    #[serde(deserialize_with = "word")]
    network: Access,
    #[serde(deserialize_with = "word")]
    browser: Access,
    #[serde(deserialize_with = "word")]
    shell: Shell,
}

/// Takes a string and nothing else: a derived enum alone would take `{ read = {} }` for `read`.
fn word<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<T, D::Error> {
    T::deserialize(String::deserialize(deserializer)?.into_deserializer())
}

impl Permissions {
    /// The first permission that goes beyond what is `granted`.
    fn exceeds(&self, granted: &Self) -> Option<Permission> {
        [
            (self.filesystem.within(granted.filesystem), Permission::Filesystem),
            (self.network.within(granted.network), Permission::Network),
            (self.browser.within(granted.browser), Permission::Browser),
            (self.shell <= granted.shell, Permission::Shell),
        ]
        .into_iter()
        .find_map(|(within, permission)| (!within).then_some(permission))
    }
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Access {
    #[default]
    Deny,
    Read,
    Write,
    ReadWrite,
}

impl Access {
    /// Reading and writing are siblings: neither includes the other.
    fn within(self, granted: Self) -> bool {
        self == Self::Deny || self == granted || granted == Self::ReadWrite
    }
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Shell {
    #[default]
    Deny,
    Allow,
}

#[cfg(test)]
mod tests;
