//! The sample's volumes, packed.
//!
//! Owns what a release consists of: its identity, its file tree with the manifest, its archive. Must not know
//! addresses or HTTP: links are `documents`' part.

use bytes::Bytes;
use serde_json::{Value, json};

use super::DemoError;
use super::archive::{self, Tree};
use super::sample::{FileSpec, ReleaseSpec, Sample, VolumeSpec};
use crate::domain::lifecycle::State;
use crate::domain::{Integrity, Purl, Version};

/// Everything the sample bibliotheca holds.
pub struct Catalogue {
    pub(super) volumes: Vec<Volume>,
    pub(super) advisories: Vec<Value>,
}

/// A volume and its releases, oldest first.
pub(super) struct Volume {
    /// Its `releases` have moved to the field of that name.
    pub(super) spec: VolumeSpec,
    pub(super) releases: Vec<Release>,
}

/// One release, its archive included.
pub(super) struct Release {
    pub(super) spec: ReleaseSpec,
    pub(super) purl: Purl,
    pub(super) integrity: Integrity,
    pub(super) archive: Bytes,
}

impl Catalogue {
    /// The embedded sample.
    ///
    /// # Errors
    /// [`DemoError`] when the sample itself is at fault.
    pub fn sample() -> Result<Self, DemoError> {
        let Sample { volumes, advisories } = Sample::parse()?;
        Ok(Self { volumes: volumes.into_iter().map(Volume::new).collect::<Result<_, _>>()?, advisories })
    }
}

impl Volume {
    fn new(mut spec: VolumeSpec) -> Result<Self, DemoError> {
        let releases = std::mem::take(&mut spec.releases);
        let releases =
            releases.into_iter().map(|release| Release::new(&spec, release)).collect::<Result<_, _>>()?;
        Ok(Self { spec, releases })
    }

    /// The version a catalogue search shows: the highest available one, a prerelease only for want of others.
    pub(super) fn latest(&self) -> Option<&Version> {
        let available = self.releases.iter().filter(|release| release.spec.status.state == State::Available);
        available
            .map(|release| &release.spec.version)
            .max_by_key(|version| (!is_prerelease(version), *version))
    }
}

/// A hyphen in a version opens its prerelease, unless build metadata came first.
fn is_prerelease(version: &Version) -> bool {
    version.to_string().split('+').next().is_some_and(|core| core.contains('-'))
}

impl Release {
    fn new(volume: &VolumeSpec, spec: ReleaseSpec) -> Result<Self, DemoError> {
        let tree = tree(volume, &spec)?;
        let purl = Purl::new(&volume.name, &spec.version);
        Ok(Self { purl, integrity: archive::integrity(&tree), archive: archive::pack(&tree)?, spec })
    }
}

/// The release's files: the volume's own, and those that every volume has.
fn tree(volume: &VolumeSpec, release: &ReleaseSpec) -> Result<Tree, toml::ser::Error> {
    let (name, version) = (&volume.name, &release.version);
    let readme = format!("# {name}\n\n{}\n\nLicense: {}\n", volume.description, volume.license);
    let changelog = format!("# Changes\n\n## {version}\n\n{}\n", release.notes);
    let common =
        [("README.md", readme), ("CHANGELOG.md", changelog), ("volume.toml", manifest(volume, release)?)];
    let common = common.map(|(path, content)| (path.to_owned(), FileSpec { executable: false, content }));
    Ok(volume.files.clone().into_iter().chain(common).collect())
}

fn manifest(volume: &VolumeSpec, release: &ReleaseSpec) -> Result<String, toml::ser::Error> {
    toml::to_string(&json!({
        "volume": {
            "schema": 1,
            "name": volume.name,
            "version": release.version,
            "description": volume.description,
            "license": volume.license,
            "keywords": volume.keywords,
            "role": volume.role,
            "providers": volume.providers,
        },
        "publisher": {"id": volume.publisher},
        "components": volume.components,
        "dependencies": release.dependencies,
        "external-dependencies": release.external,
        "runtimes": volume.runtimes,
        "permissions": volume.permissions,
    }))
}
