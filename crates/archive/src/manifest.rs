//! The manifest, `volume.toml` at the root of the tree.
//!
//! Owns the members that a proxy compares with the release (the identity, and the permissions that components claim) and
//! those by which an operator may judge it ([`ManifestFacts`]). All other keys concern only the publisher and the runtime. Must not
//! know archives.

use std::collections::BTreeSet;

use serde::de::{DeserializeOwned, Error, IntoDeserializer};
use serde::{Deserialize, Deserializer, Serialize};

use super::{ArchiveError, Excerpt, ManifestError, Permission, Purl, Version, VolumeName};

/// The part of a manifest that concerns a proxy.
#[derive(Debug, Deserialize)]
pub(crate) struct VolumeManifest {
    volume: TomlTable<VolumeTable>,
    #[serde(default)]
    permissions: TomlTable<DeclaredPermissions>,
    #[serde(default)]
    components: Vec<TomlTable<ComponentTable>>,
    publisher: Option<toml::Value>,
}

/// The longest text of a manifest that is kept, in bytes. A longer one counts as unreadable.
const MAX_TEXT: usize = 256;
/// The component types of the specification.
const KNOWN_TYPES: [&str; 7] = ["agent", "skill", "command", "tool", "hook", "mcp-server", "lsp-server"];
/// The most other types that are kept of a manifest; the first ones in their order.
const MAX_TYPES: usize = 64;

/// What a manifest says of its release, as far as an operator may judge by it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ManifestFacts {
    /// `volume.license`; none if it is absent, no text, or longer than 256 bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub licence: Option<String>,
    /// `publisher.id`, likewise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub publisher: Option<String>,
    /// The types of the components, sorted, each once: all of the specification's, and at most 64 others.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub component_types: Vec<String>,
    /// The permissions of the volume; none of its components has more.
    #[serde(default)]
    pub permissions: DeclaredPermissions,
}

impl VolumeManifest {
    /// Parses a manifest's bytes.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, ManifestError> {
        let invalid = |why: &str| ManifestError::Invalid(why.into());
        let manifest: Self = toml::from_slice(bytes).map_err(|error| invalid(error.message()))?;
        match manifest.volume.0.schema {
            None | Some(1) => Ok(manifest),
            Some(_) => Err(invalid("expected volume.schema = 1")),
        }
    }

    /// What an operator may judge by.
    pub(crate) fn facts(&self) -> ManifestFacts {
        let kinds = self.components.iter().filter_map(|TomlTable(component)| text(component.kind.as_ref()));
        let (known, others): (BTreeSet<String>, BTreeSet<String>) = kinds
            .map(|kind| kind.trim().to_ascii_lowercase())
            .partition(|kind| KNOWN_TYPES.contains(&kind.as_str()));
        let kinds: BTreeSet<String> = known.into_iter().chain(others.into_iter().take(MAX_TYPES)).collect();
        let publisher = self.publisher.as_ref().and_then(|publisher| publisher.get("id"));
        ManifestFacts {
            licence: text(self.volume.0.license.as_ref()),
            publisher: text(publisher),
            component_types: kinds.into_iter().collect(),
            permissions: self.permissions.0,
        }
    }

    /// Compares the identity in the manifest with the release, then checks the permissions.
    pub(crate) fn check(&self, name: &VolumeName, version: &Version) -> Result<(), ArchiveError> {
        let VolumeTable { name: found_name, version: found_version, .. } = &self.volume.0;
        if (found_name, found_version) != (name, version) {
            return Err(ArchiveError::Identity {
                expected: Box::new(Purl::new(name, version)),
                found: Box::new(Purl::new(found_name, found_version)),
            });
        }
        for (place, TomlTable(component)) in self.components.iter().enumerate() {
            if let Some(permission) = component.permissions.0.exceeds(&self.permissions.0) {
                return Err(ArchiveError::Escalation { component: component.label(place), permission });
            }
        }
        Ok(())
    }
}

/// The text that a member holds.
fn text(member: Option<&toml::Value>) -> Option<String> {
    member?.as_str().filter(|text| text.len() <= MAX_TEXT).map(str::to_owned)
}

/// A TOML table and nothing else: a derived struct alone would accept an array or a date.
#[derive(Debug, Default)]
struct TomlTable<T>(T);

impl<'de, T: DeserializeOwned> Deserialize<'de> for TomlTable<T> {
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
struct VolumeTable {
    schema: Option<i64>,
    name: VolumeName,
    version: Version,
    license: Option<toml::Value>,
}

#[derive(Debug, Deserialize)]
struct ComponentTable {
    name: Option<String>,
    #[serde(rename = "type")]
    kind: Option<toml::Value>,
    #[serde(default)]
    permissions: TomlTable<DeclaredPermissions>,
}

impl ComponentTable {
    fn label(&self, place: usize) -> Excerpt {
        match &self.name {
            Some(name) => name.as_str().into(),
            None => format!("#{}", place + 1).as_str().into(),
        }
    }
}

/// The permissions that a volume or a component declares. What is not named is denied.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct DeclaredPermissions {
    /// Files.
    #[serde(deserialize_with = "word")]
    pub filesystem: AccessLevel,
    /// The network.
    #[serde(deserialize_with = "word")]
    pub network: AccessLevel,
    /// A browser.
    #[serde(deserialize_with = "word")]
    pub browser: AccessLevel,
    /// Commands.
    #[serde(deserialize_with = "word")]
    pub shell: ShellAccess,
}

/// Accepts only a string: a derived enum alone would accept `{ read = {} }` for `read`.
fn word<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<T, D::Error> {
    T::deserialize(String::deserialize(deserializer)?.into_deserializer())
}

impl DeclaredPermissions {
    /// The first permission that exceeds the `granted` ones.
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

/// How a resource may be used.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AccessLevel {
    /// Not at all.
    #[default]
    Deny,
    /// Reading only.
    Read,
    /// Writing only.
    Write,
    /// Both.
    ReadWrite,
}

impl AccessLevel {
    /// Whether `granted` includes this. Neither of reading and writing includes the other.
    #[must_use]
    pub fn within(self, granted: Self) -> bool {
        self == Self::Deny || self == granted || granted == Self::ReadWrite
    }
}

/// Whether commands may be run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ShellAccess {
    /// No.
    #[default]
    Deny,
    /// Yes.
    Allow,
}

#[cfg(test)]
mod tests;
