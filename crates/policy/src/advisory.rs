//! Advisories: statements that some versions of a volume are vulnerable or malicious.
//!
//! Owns what an advisory says, whichever source it came from. A withdrawn one affects nothing. Must not know rules, nor
//! where documents come from.

mod affected;
mod index;
mod naming;
mod osv;
mod registry;
mod severity;
mod unread;

use archive::{Version, VolumeName};

pub use index::{Advisories, TooManyAdvisories};
pub use osv::read_osv;
pub use registry::read_registry_advisory;
pub use severity::{AdvisorySeverity, InvalidAdvisorySeverity};
pub use unread::UnreadAdvisory;

use affected::Affected;

/// The longest id that is kept, and the most ids of one advisory.
const MAX_ID: usize = 256;
const MAX_IDS: usize = 256;

/// Why a document about advisories cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AdvisoryFault {
    /// Not the JSON that is expected.
    #[error("expected {expected}: {why}")]
    Json {
        /// What is expected.
        expected: &'static str,
        /// What the parser says.
        why: String,
    },
    /// Nothing names it.
    #[error("expected an id of 1 to {MAX_ID} characters")]
    Id,
    /// More aliases than anybody needs.
    #[error("expected at most {MAX_IDS} ids and aliases")]
    Ids,
    /// It does not say which volume it is about.
    #[error("expected `affected` to name a volume")]
    Volume,
}

/// An advisory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Advisory {
    /// Its id, then its aliases, as written.
    ids: Vec<Box<str>>,
    affected: Vec<Affected>,
    withdrawn: bool,
}

impl Advisory {
    /// The id that its source gave it.
    #[must_use]
    pub fn id(&self) -> &str {
        self.ids.first().map_or("", |id| id)
    }

    /// The id and all aliases.
    pub fn ids(&self) -> impl Iterator<Item = &str> {
        self.ids.iter().map(|id| &**id)
    }

    /// Whether `id` is one of them, in whichever case it is written.
    #[must_use]
    pub fn is_called(&self, id: &str) -> bool {
        self.ids().any(|own| own.eq_ignore_ascii_case(id))
    }

    /// Whether its source took it back.
    #[must_use]
    pub fn is_withdrawn(&self) -> bool {
        self.withdrawn
    }

    /// The volumes that it is about, each as often as it is named.
    pub fn volumes(&self) -> impl Iterator<Item = &VolumeName> {
        self.affected.iter().map(|affected| &affected.volume)
    }

    /// How severely it affects a release; `None` if it does not.
    #[must_use]
    pub fn affects(&self, name: &VolumeName, version: &Version) -> Option<AdvisorySeverity> {
        if self.withdrawn {
            return None;
        }
        let affected =
            self.affected.iter().filter(|affected| affected.volume == *name && affected.contains(version));
        affected.map(|affected| affected.severity).max()
    }

    /// An advisory with a usable id that is about a volume.
    fn new(ids: Vec<String>, affected: Vec<Affected>, withdrawn: bool) -> Result<Self, AdvisoryFault> {
        if ids.len() > MAX_IDS {
            return Err(AdvisoryFault::Ids);
        }
        let ids: Vec<Box<str>> = ids.into_iter().filter(|id| is_id(id)).map(Into::into).collect();
        if ids.is_empty() {
            return Err(AdvisoryFault::Id);
        }
        if affected.is_empty() {
            return Err(AdvisoryFault::Volume);
        }
        Ok(Self { ids, affected, withdrawn })
    }
}

/// Whether a text may be the id of an advisory.
pub(crate) fn is_id(text: &str) -> bool {
    !text.is_empty() && text.len() <= MAX_ID && !text.chars().any(|c| c.is_control() || c.is_whitespace())
}

/// Whether a member says when something was done. An advisory is withdrawn only if it says when: nothing that an author left empty
/// takes a warning back.
fn is_time(value: &serde_json::Value) -> bool {
    value.as_str().is_some_and(|text| !text.trim().is_empty())
}

#[cfg(test)]
mod tests;
