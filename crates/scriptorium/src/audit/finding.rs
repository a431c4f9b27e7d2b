//! The findings of an audit, in words for the operator.
//!
//! Owns the kinds of findings, the advice for each, and how many are kept. Must not know how a finding was made or is
//! shown.

use serde::Serialize;

use crate::store::StoreError;

/// Findings that are kept in full. A store that is damaged throughout must not fill the memory.
const MOST_KEPT: usize = 10_000;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum FindingKind {
    /// A stored document is not what was written, or not in its place.
    Document,
    /// A stored archive is not what was sealed.
    Archive,
    /// A stored archive is what was sealed, but some readers unpack it differently.
    Framing,
    Pin,
    /// A history of trust is not what was written.
    History,
    /// The stored records of one release contradict each other, and none of them is damaged.
    Disagreement,
    /// The store could not read it.
    Unreadable,
}

impl FindingKind {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Document => "document",
            Self::Archive => "archive",
            Self::Framing => "framing",
            Self::Pin => "pin",
            Self::History => "history",
            Self::Disagreement => "disagreement",
            Self::Unreadable => "unreadable",
        }
    }

    /// Whether moving it to quarantine mends it, because the proxy can fetch it again or start it anew.
    pub(crate) fn is_replaceable(self) -> bool {
        matches!(self, Self::Document | Self::Archive | Self::History)
    }

    fn advice(self) -> &'static str {
        match self {
            Self::Document | Self::Archive => {
                "run `audit` or `store verify` with --repair: it is moved to quarantine/, and the proxy fetches it again"
            }
            Self::Framing => "run `audit` with --repair: it is packed anew in its place, from the same tree",
            Self::Pin => {
                "if its archive is stored, nothing: the proxy restores the pin at the next request; else find out the \
                 right integrity, for example with `pins export` of another proxy, and `pins import` that line, or \
                 `pins remove` the pin"
            }
            Self::History => {
                "run `audit` or `store verify` with --repair: it is moved to quarantine/, and the proxy starts it anew \
                 with the stored trust metadata"
            }
            Self::Disagreement => {
                "request the release from the proxy again and run `pins check`; if they still disagree, report it to \
                 the registry's operator"
            }
            Self::Unreadable => "check the disk and its permissions, then run the audit again",
        }
    }
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Finding {
    pub(crate) kind: FindingKind,
    /// Within the storage.
    pub(crate) path: String,
    /// The release it concerns, if known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) release: Option<String>,
    pub(crate) expected: String,
    pub(crate) found: String,
    pub(crate) advice: &'static str,
    pub(crate) repaired: bool,
}

impl Finding {
    pub(super) fn new(
        kind: FindingKind,
        path: impl Into<String>,
        expected: impl Into<String>,
        found: impl Into<String>,
    ) -> Self {
        let (path, expected, found) = (path.into(), expected.into(), found.into());
        Self { kind, path, release: None, expected, found, advice: kind.advice(), repaired: false }
    }

    pub(super) fn unreadable(path: impl Into<String>, error: &StoreError) -> Self {
        Self::new(FindingKind::Unreadable, path, "bytes", error.to_string())
    }

    pub(super) fn of(mut self, release: impl ToString) -> Self {
        self.release = Some(release.to_string());
        self
    }

    pub(super) fn repaired(mut self) -> Self {
        self.repaired = true;
        self.advice = match self.kind {
            FindingKind::Framing => "nothing: it was packed anew",
            FindingKind::History => "nothing: it was moved to quarantine/, and the proxy starts it anew",
            _ => "nothing: it was moved to quarantine/, and the proxy fetches it again",
        };
        self
    }
}

/// A number of values, and their bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub(crate) struct AuditCount {
    pub(crate) count: u64,
    pub(crate) bytes: u64,
}

impl AuditCount {
    pub(super) fn add(&mut self, bytes: u64) {
        self.count += 1;
        self.bytes += bytes;
    }
}

/// The checked values.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub(crate) struct AuditCounts {
    pub(crate) documents: AuditCount,
    pub(crate) archives: AuditCount,
    pub(crate) pins: AuditCount,
    /// Releases of which more than one thing is stored and compared.
    pub(crate) releases: u64,
}

/// Everything that an audit found.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub(crate) struct AuditReport {
    pub(crate) walked: AuditCounts,
    /// How many things are wrong, including those that were repaired.
    pub(crate) wrong: u64,
    pub(crate) repaired: u64,
    /// The first findings.
    pub(crate) findings: Vec<Finding>,
}

impl AuditReport {
    pub(super) fn add(&mut self, finding: Finding) {
        self.wrong += 1;
        self.repaired += u64::from(finding.repaired);
        if self.findings.len() < MOST_KEPT {
            self.findings.push(finding);
        }
    }

    /// How many things are still wrong.
    pub(crate) fn remaining(&self) -> u64 {
        self.wrong - self.repaired
    }
}

/// A text from outside, safe for a terminal and a log line.
pub(super) fn quoted(text: &str) -> String {
    text.escape_debug().take(300).collect()
}
