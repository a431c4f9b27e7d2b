//! What registries say about no volume: their capabilities and their lists of advisories.
//!
//! A mirror has them of every registry that it has a release of, whether or not a rule of the policy needs them here: a site that takes
//! a bundle in has no other way to know them. Owns what is recorded of them, and which stored values they are. Must not know how
//! a registry is asked.

use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;
use crate::domain::{AdvisoryQuery, DocumentKey, MOST_ADVISORY_PAGES, Registry};
use crate::read::place::place;
use crate::store::StorageKey;

/// What is known of one kind of a registry's notices.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Notice {
    /// The registry was not asked, or could not answer.
    #[default]
    Unknown,
    Here,
    /// The registry said so then.
    Absent(Timestamp),
}

/// The notices of one registry, as far as they are here.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RegistryNotices {
    /// Its place among the registries of the record.
    pub(crate) registry: usize,
    pub(crate) capabilities: Notice,
    pub(crate) advisories: Notice,
    /// How many advisories it lists.
    pub(crate) listed: usize,
    /// The queries of the pages of that list.
    pub(crate) pages: Vec<String>,
}

/// The kinds of notices.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NoticeKind {
    Capabilities,
    Advisories,
}

impl NoticeKind {
    /// The word for it in a reason.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Capabilities => "capabilities",
            Self::Advisories => "list of advisories",
        }
    }
}

/// What a question came to.
pub(super) enum NoticeAnswer {
    Capabilities,
    Advisories { listed: usize, pages: Vec<String> },
    Absent,
    Unknown,
}

impl RegistryNotices {
    /// Where they are stored.
    pub(super) fn places(&self, registry: &Registry) -> impl Iterator<Item = StorageKey> {
        let capabilities = (self.capabilities == Notice::Here).then_some(DocumentKey::Capabilities);
        let page = |query: &String| Some(DocumentKey::Advisories(AdvisoryQuery::parse(query).ok()?));
        let keys = capabilities.into_iter().chain(self.pages.iter().filter_map(page));
        keys.map(|key| place(registry, &key))
    }

    /// Requests that a sync puts for them.
    pub(super) fn requests(&self) -> u64 {
        1 + self.pages.len().max(1) as u64
    }

    /// Adds a page that came by another way than a sync, and does nothing for one that is known.
    pub(crate) fn add_page(&mut self, query: String) {
        self.advisories = Notice::Here;
        if !self.pages.contains(&query) && self.pages.len() < MOST_ADVISORY_PAGES {
            self.pages.push(query);
        }
    }

    pub(super) fn note(&mut self, kind: NoticeKind, answer: NoticeAnswer, now: Timestamp) {
        let known = match kind {
            NoticeKind::Capabilities => &mut self.capabilities,
            NoticeKind::Advisories => &mut self.advisories,
        };
        match answer {
            NoticeAnswer::Capabilities => *known = Notice::Here,
            NoticeAnswer::Advisories { listed, pages } => {
                *known = Notice::Here;
                (self.listed, self.pages) = (listed, pages);
            }
            NoticeAnswer::Absent => {
                *known = Notice::Absent(now);
                if kind == NoticeKind::Advisories {
                    (self.listed, self.pages) = (0, Vec::new());
                }
            }
            // What is here stays.
            NoticeAnswer::Unknown => {}
        }
    }

    pub(super) fn known(&self, kind: NoticeKind) -> Notice {
        match kind {
            NoticeKind::Capabilities => self.capabilities,
            NoticeKind::Advisories => self.advisories,
        }
    }
}
