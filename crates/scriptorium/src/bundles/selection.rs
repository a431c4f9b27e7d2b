//! What a mirror selected, as a bundle says it.
//!
//! Owns that, and the step from a mirror's record. Must not know how a record comes about, nor what is stored of it.

use bundle::{BundleGap, GapSubject};

use crate::domain::{Purl, Registry};
use crate::mirror::record::{LackSubject, MirrorLack, MirrorRecord};

/// A release of a mirror.
#[derive(Debug, Clone)]
pub(crate) struct BundledRelease {
    pub(crate) registry: Registry,
    pub(crate) release: Purl,
}

/// What a mirror selected.
#[derive(Debug, Default)]
pub(crate) struct BundledSelection {
    pub(crate) releases: Vec<BundledRelease>,
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
        let release = |release| {
            let registry = record.registry_of(release)?.clone();
            Some(BundledRelease { registry, release: Purl::new(&release.volume, &release.version) })
        };
        let releases = record.releases().filter_map(release).collect();
        Self { releases, missing: record.missing.iter().map(gap).collect() }
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
    let subject = GapSubject::Release(format!("{}@{}", release.name, release.version));
    BundleGap { subject, reason: line(reason) }
}

/// A text that a manifest takes: one line, not empty, bounded.
fn line(text: &str) -> String {
    let line: String = text.chars().map(|one| if one.is_control() { ' ' } else { one }).take(500).collect();
    if line.is_empty() { "unknown".to_owned() } else { line }
}
