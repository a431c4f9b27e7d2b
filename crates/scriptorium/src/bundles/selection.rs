//! What a mirror selected, as a bundle says it.
//!
//! Owns that, and the step from a mirror's record. Must not know how a record comes about, nor what is stored of it.

use bundle::{BundleGap, GapSubject};

use crate::domain::{Purl, Registry};
use crate::mirror::notices::{Notice, RegistryNotices};
use crate::mirror::record::{LackSubject, MirrorLack, MirrorRecord, MirroredRelease};

/// A release of a mirror.
#[derive(Debug, Clone)]
pub(crate) struct BundledRelease {
    pub(crate) registry: Registry,
    pub(crate) release: Purl,
    pub(crate) extent: BundledExtent,
    /// Whether its archive belongs to the mirror.
    pub(crate) wants_files: bool,
}

/// How much of a release goes along.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum BundledExtent {
    /// Everything.
    Whole,
    /// It is withheld, or not taken any more: what is here of its documents, and no file.
    Documents,
    /// The index that lists it.
    Index,
}

/// What a mirror has of what a registry says about no volume.
#[derive(Debug, Clone)]
pub(crate) struct BundledNotices {
    pub(crate) registry: Registry,
    pub(crate) capabilities: bool,
    pub(crate) advisories: bool,
}

/// What a mirror selected.
#[derive(Debug, Default)]
pub(crate) struct BundledSelection {
    pub(crate) releases: Vec<BundledRelease>,
    pub(crate) notices: Vec<BundledNotices>,
    pub(crate) missing: Vec<BundleGap>,
}

impl BundledSelection {
    /// Names a release among what is missing.
    pub(crate) fn leave_out(&mut self, release: &Purl, reason: &str) {
        self.missing.push(gap_of(release, reason));
    }
}

impl From<&MirrorRecord> for BundledSelection {
    /// Everything that belongs to the mirror; what its last sync missed is told.
    fn from(record: &MirrorRecord) -> Self {
        let release = |release: &MirroredRelease| {
            let registry = record.registry_of(release)?.clone();
            let purl = Purl::new(&release.volume, &release.version);
            let is_taken = !release.is_passed_over && release.state.serves_bytes();
            let extent = if is_taken { BundledExtent::Whole } else { BundledExtent::Documents };
            Some(BundledRelease { registry, release: purl, extent, wants_files: release.wants_files })
        };
        let releases = record.releases().filter_map(release).collect();
        let notices = |notices: &RegistryNotices| {
            let registry = record.registries.get(notices.registry)?.clone();
            let [capabilities, advisories] =
                [notices.capabilities, notices.advisories].map(|notice| notice == Notice::Here);
            Some(BundledNotices { registry, capabilities, advisories })
        };
        let notices = record.notices.iter().filter_map(notices).collect();
        Self { releases, notices, missing: record.missing.iter().map(gap).collect() }
    }
}

fn gap(lack: &MirrorLack) -> BundleGap {
    let subject = match &lack.subject {
        LackSubject::Root(root) => GapSubject::Root(line(root)),
        LackSubject::Release(release) => GapSubject::Release(line(release)),
    };
    BundleGap { subject, reason: line(&lack.reason) }
}

/// What is missing of a release.
pub(super) fn gap_of(release: &Purl, reason: &str) -> BundleGap {
    BundleGap { subject: subject_of(release), reason: line(reason) }
}

pub(super) fn subject_of(release: &Purl) -> GapSubject {
    GapSubject::Release(format!("{}@{}", release.name, release.version))
}

/// A text that a manifest takes: one line, not empty, bounded.
fn line(text: &str) -> String {
    let line: String = text.chars().map(|one| if one.is_control() { ' ' } else { one }).take(500).collect();
    if line.is_empty() { "unknown".to_owned() } else { line }
}
