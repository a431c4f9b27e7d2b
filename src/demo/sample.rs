//! The shape of `sample.toml`, the catalogue as data.
//!
//! Owns what the file may say. Must not know how it becomes archives or documents.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::domain::lifecycle::{State, Status};
use crate::domain::{Version, VolumeName};

const SAMPLE: &str = include_str!("sample.toml");

/// The whole file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Sample {
    pub(super) volumes: Vec<VolumeSpec>,
    /// Documents as they are served.
    pub(super) advisories: Vec<Value>,
}

impl Sample {
    pub(super) fn parse() -> Result<Self, toml::de::Error> {
        toml::from_str(SAMPLE)
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct VolumeSpec {
    pub(super) name: VolumeName,
    pub(super) description: String,
    pub(super) license: String,
    pub(super) role: String,
    pub(super) publisher: String,
    pub(super) keywords: Vec<String>,
    #[serde(default)]
    pub(super) providers: Vec<String>,
    #[serde(default)]
    pub(super) runtimes: Vec<Runtime>,
    #[serde(default)]
    pub(super) components: Vec<Component>,
    #[serde(default)]
    pub(super) permissions: BTreeMap<String, String>,
    pub(super) files: BTreeMap<String, FileSpec>,
    pub(super) releases: Vec<ReleaseSpec>,
}

#[derive(Deserialize, Serialize)]
pub(super) struct Runtime {
    pub(super) name: String,
    compatibility: String,
}

#[derive(Deserialize, Serialize)]
pub(super) struct Component {
    #[serde(rename = "type")]
    pub(super) component_type: String,
    pub(super) name: String,
    entrypoint: String,
}

#[derive(Clone, Deserialize)]
pub(super) struct FileSpec {
    #[serde(default)]
    pub(super) executable: bool,
    pub(super) content: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ReleaseSpec {
    pub(super) version: Version,
    pub(super) notes: String,
    #[serde(default = "available")]
    pub(super) status: Status,
    /// Whether an unavailable release is so because the registry contradicts itself.
    #[serde(default)]
    pub(super) inconsistent: bool,
    #[serde(default)]
    pub(super) dependencies: BTreeMap<VolumeName, String>,
    /// Packages of other ecosystems, declared for audits.
    #[serde(default)]
    pub(super) external: Vec<Value>,
    /// Set where the release is delivered from a repository instead of an archive.
    pub(super) git: Option<Git>,
    #[serde(default)]
    pub(super) trust: Vec<AttachmentSpec>,
    /// Fields beyond the protocol, for the row and the exact metadata.
    #[serde(default)]
    pub(super) extra: Map<String, Value>,
}

fn available() -> Status {
    Status { state: State::Available, reason: None }
}

#[derive(Deserialize)]
pub(super) struct Git {
    pub(super) repository: String,
    #[serde(rename = "ref")]
    pub(super) reference: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct AttachmentSpec {
    pub(super) id: String,
    pub(super) format: Format,
    #[serde(default)]
    pub(super) embedded: bool,
    pub(super) template: String,
}

#[derive(Clone, Copy, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Format {
    Cyclonedx,
    SlsaProvenance,
}
