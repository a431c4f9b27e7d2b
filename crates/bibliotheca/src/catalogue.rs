//! The form of `sample.toml`, the catalogue of the demo as data.
//!
//! Owns what the file may say. Must not know how it becomes releases.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Map, Value, json};

/// The whole file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SampleCatalogue {
    pub(crate) volumes: Vec<SampleVolume>,
    /// Documents as they are served.
    pub(crate) advisories: Vec<Value>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SampleVolume {
    pub(crate) name: String,
    pub(crate) description: String,
    pub(crate) license: String,
    pub(crate) role: String,
    pub(crate) publisher: String,
    pub(crate) keywords: Vec<String>,
    #[serde(default)]
    pub(crate) providers: Vec<String>,
    #[serde(default)]
    pub(crate) runtimes: Vec<Value>,
    #[serde(default)]
    pub(crate) components: Vec<Value>,
    #[serde(default)]
    pub(crate) permissions: Map<String, Value>,
    pub(crate) files: BTreeMap<String, SampleFile>,
    /// The oldest first.
    pub(crate) releases: Vec<SampleRelease>,
}

#[derive(Clone, Deserialize)]
pub(crate) struct SampleFile {
    #[serde(default)]
    pub(crate) executable: bool,
    pub(crate) content: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SampleRelease {
    pub(crate) version: String,
    pub(crate) notes: String,
    #[serde(default = "available")]
    pub(crate) status: Value,
    /// Whether an unavailable release is so because the registry contradicts itself.
    #[serde(default)]
    pub(crate) inconsistent: bool,
    #[serde(default)]
    pub(crate) dependencies: Map<String, Value>,
    /// Packages of other ecosystems, declared for audits.
    #[serde(default)]
    pub(crate) external: Vec<Value>,
    /// Whether Git delivers it, from a repository on the registry, and no archive does.
    #[serde(default)]
    pub(crate) by_git: bool,
    #[serde(default)]
    pub(crate) trust: Vec<SampleAttachment>,
    /// Members that the protocol does not define, for the row and the exact metadata.
    #[serde(default)]
    pub(crate) extra: Map<String, Value>,
}

fn available() -> Value {
    json!({ "state": "available" })
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SampleAttachment {
    pub(crate) id: String,
    pub(crate) format: String,
    #[serde(default)]
    pub(crate) embedded: bool,
    pub(crate) template: String,
}
