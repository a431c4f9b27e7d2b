//! What an audit found, in words for whoever must act on it.
//!
//! Owns the kinds of findings, the advice that goes with each, and how many are kept. Must not know how anything
//! was found or is shown.

use serde::Serialize;

use crate::store::StoreError;

/// Findings kept in full: a store that is damaged throughout must not fill the memory too.
const MOST_KEPT: usize = 10_000;

/// What is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// A stored document is not what was written, or not in its place.
    Document,
    /// A stored archive is not what was sealed.
    Archive,
    /// A stored archive is what was sealed, and not every reader unpacks it alike.
    Framing,
    /// A pin is not what was written.
    Pin,
    /// A history of trust is not what was written.
    History,
    /// What is stored of one release contradicts itself; each part of it is whole.
    Disagreement,
    /// The medium did not give it out.
    Unreadable,
}

impl Kind {
    /// One word for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
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

    /// Whether moving it to quarantine mends it, because the proxy can fetch it or begin it anew.
    #[must_use]
    pub fn is_replaceable(self) -> bool {
        matches!(self, Self::Document | Self::Archive | Self::History)
    }

    fn advice(self) -> &'static str {
        match self {
            Self::Document | Self::Archive => {
                "run `audit` or `store verify` with --repair: it is moved to quarantine/ and the proxy fetches it \
                 anew"
            }
            Self::Framing => "run `audit` with --repair: it is packed anew where it lies, from the same tree",
            Self::Pin => {
                "nothing where its archive is held: the proxy makes it out anew when it is next asked for; else find out \
                 what the release must be, from another proxy's `pins export` say, and `pins import` that line, or \
                 `pins remove` it"
            }
            Self::History => {
                "run `audit` or `store verify` with --repair: it is moved to quarantine/ and the proxy begins it anew with \
                 the trust metadata that is held"
            }
            Self::Disagreement => {
                "ask the proxy for the release anew and run `pins check`; if they still disagree, report it to \
                 the registry's operator"
            }
            Self::Unreadable => "look at the medium and who may read there, then look again",
        }
    }
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What is wrong.
    pub kind: Kind,
    /// Where, inside the storage.
    pub path: String,
    /// The release it concerns, where that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub release: Option<String>,
    /// What should be there.
    pub expected: String,
    /// What is there.
    pub found: String,
    /// What to do about it.
    pub advice: &'static str,
    /// Whether that was done already.
    pub repaired: bool,
}

impl Finding {
    pub(super) fn new(
        kind: Kind,
        path: impl Into<String>,
        expected: impl Into<String>,
        found: impl Into<String>,
    ) -> Self {
        let (path, expected, found) = (path.into(), expected.into(), found.into());
        Self { kind, path, release: None, expected, found, advice: kind.advice(), repaired: false }
    }

    pub(super) fn unreadable(path: impl Into<String>, error: &StoreError) -> Self {
        Self::new(Kind::Unreadable, path, "bytes", error.to_string())
    }

    pub(super) fn of(mut self, release: impl ToString) -> Self {
        self.release = Some(release.to_string());
        self
    }

    pub(super) fn repaired(mut self) -> Self {
        self.repaired = true;
        self.advice = match self.kind {
            Kind::Framing => "nothing: it was packed anew",
            Kind::History => "nothing: it was moved to quarantine/ and the proxy begins it anew",
            _ => "nothing: it was moved to quarantine/ and the proxy fetches it anew",
        };
        self
    }
}

/// So many values, of so many bytes in all.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Count {
    /// How many.
    pub count: u64,
    /// Their bytes in the store.
    pub bytes: u64,
}

impl Count {
    pub(super) fn add(&mut self, bytes: u64) {
        self.count += 1;
        self.bytes += bytes;
    }
}

/// What was looked at.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Walked {
    /// Stored documents.
    pub documents: Count,
    /// Sealed archives.
    pub archives: Count,
    /// Pins.
    pub pins: Count,
    /// Releases of which more than one thing is stored, held against one another; none where nothing is compared.
    pub releases: u64,
}

/// All that an audit found.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// What was looked at.
    pub walked: Walked,
    /// How many things are wrong, those included that were repaired.
    pub wrong: u64,
    /// How many of them were repaired.
    pub repaired: u64,
    /// What is wrong; of very many, the first.
    pub findings: Vec<Finding>,
}

impl Report {
    pub(super) fn add(&mut self, finding: Finding) {
        self.wrong += 1;
        self.repaired += u64::from(finding.repaired);
        if self.findings.len() < MOST_KEPT {
            self.findings.push(finding);
        }
    }

    /// How many things are still wrong.
    #[must_use]
    pub fn remaining(&self) -> u64 {
        self.wrong - self.repaired
    }
}

/// Words that somebody else chose, fit for a terminal and a log line.
pub(super) fn quoted(text: &str) -> String {
    text.escape_debug().take(300).collect()
}
