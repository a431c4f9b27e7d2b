//! The report of an import.
//!
//! Owns its JSON, its outcome, and the bound on what it lists. Must not know why something is left out.

use std::fmt;

use bundle::{Coverage, KeyId, ManifestHead};
use serde::Serialize;

use crate::store::StoreError;

/// Reasons that are listed; the others are counted.
pub(super) const MOST_TOLD: usize = 10_000;

/// What became of a bundle.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum ImportOutcome {
    /// All of it is in.
    Imported,
    /// Some of it was left out.
    Partial,
    /// All of it was in already.
    Unchanged,
    /// Nothing of it was written.
    Refused,
}

impl ImportOutcome {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Imported => "imported",
            Self::Partial => "partial",
            Self::Unchanged => "unchanged",
            Self::Refused => "refused",
        }
    }
}

/// What can be left out.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum LeftOutSubject {
    /// `name@version`, or a volume as a whole.
    Release(String),
    /// A blob, by its digest; also one of a document that is about no volume.
    Blob(String),
    /// A tar file, by its name.
    Part(String),
}

impl fmt::Display for LeftOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let subject = match &self.subject {
            LeftOutSubject::Release(subject) | LeftOutSubject::Part(subject) => subject.clone(),
            LeftOutSubject::Blob(digest) => format!("blob {digest}"),
        };
        write!(f, "{subject}: {}", self.reason)
    }
}

/// What was left out, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct LeftOut {
    #[serde(flatten)]
    pub(crate) subject: LeftOutSubject,
    pub(crate) reason: String,
}

/// What an import did. The fields of a head that cannot be read are null.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct ImportReport {
    pub(crate) origin: Option<String>,
    pub(crate) key_id: Option<KeyId>,
    pub(crate) sequence: Option<u64>,
    pub(crate) kind: Option<Coverage>,
    pub(crate) outcome: ImportOutcome,
    /// Releases whose exact metadata is here now.
    pub(crate) releases: u64,
    pub(crate) left_out: Vec<LeftOut>,
    /// How much more was left out than is listed.
    #[serde(skip_serializing_if = "is_zero")]
    pub(crate) untold: u64,
    /// Why it is refused, or why the import ended early.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) reason: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) warnings: Vec<String>,
}

fn is_zero(count: &u64) -> bool {
    *count == 0
}

impl ImportReport {
    pub(crate) fn of(head: Option<&ManifestHead>) -> Self {
        Self {
            origin: head.map(|head| head.origin.clone()),
            key_id: head.map(|head| head.key_id),
            sequence: head.map(|head| head.sequence),
            kind: head.map(|head| head.kind),
            outcome: ImportOutcome::Imported,
            releases: 0,
            left_out: Vec::new(),
            untold: 0,
            reason: None,
            warnings: Vec::new(),
        }
    }

    pub(crate) fn refused(self, why: String) -> Box<Self> {
        Box::new(Self { outcome: ImportOutcome::Refused, reason: Some(why), ..self })
    }

    pub(super) fn unchanged(self) -> Box<Self> {
        Box::new(Self { outcome: ImportOutcome::Unchanged, ..self })
    }

    /// The storage failed or is full, so the rest is not in.
    pub(super) fn interrupted(self, error: &StoreError) -> Self {
        let reason = match error {
            StoreError::Full => format!("the rest was not imported: {error}, and run the import again"),
            error => {
                format!("the storage failed, and the rest was not imported; run the import again: {error}")
            }
        };
        Self { outcome: ImportOutcome::Partial, reason: Some(reason), ..self }
    }

    pub(super) fn leave_out(&mut self, subject: LeftOutSubject, reason: String) {
        self.outcome = ImportOutcome::Partial;
        if self.left_out.len() < MOST_TOLD {
            self.left_out.push(LeftOut { subject, reason });
        } else {
            self.untold += 1;
        }
    }

    pub(super) fn left_out_count(&self) -> u64 {
        self.left_out.len() as u64 + self.untold
    }

    pub(super) fn warn(&mut self, warning: String) {
        self.warnings.push(warning);
    }
}
