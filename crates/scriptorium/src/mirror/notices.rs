//! What registries say about no volume: their capabilities and their lists of advisories.
//!
//! A mirror has them of every registry that it has a release of, whether or not a rule of the policy needs them here: a site that takes
//! a bundle in has no other way to know them. Owns how they are asked for, what is recorded of them, and which stored values
//! they are. Must not know what an advisory says.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::bringing::held;
use super::desk::MirrorRun;
use super::patience::{Attempt, Setback, in_passes, refused};
use super::record::{LackSubject, MirrorLack, MirrorRecord};
use crate::clock::Timestamp;
use crate::domain::{AdvisoryPages, AdvisoryQuery, DocumentKey, MOST_ADVISORY_PAGES, Registry};
use crate::read::CachedAnswer;
use crate::read::place::place;
use crate::store::StorageKey;

/// Questions that are asked at once.
const AT_ONCE: usize = 2;

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
    /// Its place in [`MirrorRecord::registries`].
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
enum NoticeKind {
    Capabilities,
    Advisories,
}

impl NoticeKind {
    /// The word for it in a reason.
    fn as_str(self) -> &'static str {
        match self {
            Self::Capabilities => "capabilities",
            Self::Advisories => "list of advisories",
        }
    }
}

/// What a question came to.
enum NoticeAnswer {
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

    fn note(&mut self, kind: NoticeKind, answer: NoticeAnswer, now: Timestamp) {
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

    fn known(&self, kind: NoticeKind) -> Notice {
        match kind {
            NoticeKind::Capabilities => self.capabilities,
            NoticeKind::Advisories => self.advisories,
        }
    }
}

impl MirrorRecord {
    /// The notices of the registry at this place.
    pub(crate) fn notices_of(&mut self, registry: usize) -> &mut RegistryNotices {
        let at = self.notices.iter().position(|known| known.registry == registry);
        let at = at.unwrap_or_else(|| {
            self.notices.push(RegistryNotices { registry, ..RegistryNotices::default() });
            self.notices.len() - 1
        });
        &mut self.notices[at]
    }
}

/// Asks the registries of what is selected in `record`, notes their answers there, and says what is missing: in the name of the first
/// release that a registry has.
pub(super) async fn ask(run: &MirrorRun<'_>, record: &mut MirrorRecord) -> Vec<MirrorLack> {
    let registries: BTreeSet<usize> = record.selected.iter().map(|release| release.registry).collect();
    let mut open = Vec::new();
    for registry in registries {
        for kind in [NoticeKind::Capabilities, NoticeKind::Advisories] {
            match record.notices_of(registry).known(kind) {
                Notice::Absent(at) if run.is_young_absence(at) => {}
                known => open.push((registry, kind, known != Notice::Unknown)),
            }
        }
    }
    let names: BTreeMap<usize, String> =
        record.registries.iter().map(|registry| registry.name().to_owned()).enumerate().collect();
    let (now, mut lacks) = (run.desk.documents.now(), Vec::new());
    let attempt = |(registry, kind, was_asked)| {
        let name = names.get(&registry).cloned().unwrap_or_default();
        ask_one(run, name, kind, was_asked)
    };
    let end = |(registry, kind, _): (usize, NoticeKind, bool), answer, why: Option<String>| {
        record.notices_of(registry).note(kind, answer, now);
        let first = record.selected.iter().find(|release| release.registry == registry);
        lacks.extend(first.zip(why).map(|(release, why)| MirrorLack {
            subject: LackSubject::Release(release.id()),
            reason: format!(
                "the {} of its registry {}: {why}",
                kind.as_str(),
                names.get(&registry).map_or("", String::as_str)
            ),
        }));
        Ok::<(), std::convert::Infallible>(())
    };
    let Ok(()) = in_passes(open, run.at_once(AT_ONCE), attempt, end).await;
    lacks
        .sort_by(|one: &MirrorLack, other| (&one.subject, &one.reason).cmp(&(&other.subject, &other.reason)));
    lacks
}

async fn ask_one(
    run: &MirrorRun<'_>,
    registry: String,
    kind: NoticeKind,
    was_asked: bool,
) -> Attempt<NoticeAnswer> {
    let asked = match kind {
        NoticeKind::Capabilities => {
            let key = DocumentKey::Capabilities.at_registry(&registry);
            let answer = document(run, &key, was_asked).await;
            answer.map(|answer| answer.map_or(NoticeAnswer::Absent, |_| NoticeAnswer::Capabilities))
        }
        NoticeKind::Advisories => advisories(run, &registry, was_asked).await,
    };
    match asked {
        Ok(answer) => Attempt::whole(answer),
        Err(setback) => Attempt::short(NoticeAnswer::Unknown, setback),
    }
}

/// Every page of a list. A list of which a page is missing says nothing about what is not on it.
async fn advisories(run: &MirrorRun<'_>, registry: &str, was_asked: bool) -> Result<NoticeAnswer, Setback> {
    let (mut paging, mut pages) = (AdvisoryPages::default(), Vec::new());
    while let Some(query) = paging.question() {
        let text = query.to_string().trim_start_matches('?').to_owned();
        let key = DocumentKey::Advisories(query).at_registry(registry);
        let Some(page) = document(run, &key, was_asked).await? else {
            if pages.is_empty() {
                return Ok(NoticeAnswer::Absent);
            }
            return Err(Setback::passing(format!("its page `{text}` is not there")));
        };
        pages.push(text);
        if !paging.is_followed(page.document.content.listed()) {
            return Ok(NoticeAnswer::Advisories { listed: paging.advisories(), pages });
        }
    }
    Err(Setback::Final(format!("it does not end within {MOST_ADVISORY_PAGES} pages")))
}

/// A document as its registry has it now; none where the registry says that there is none.
async fn document(
    run: &MirrorRun<'_>,
    key: &DocumentKey,
    was_asked: bool,
) -> Result<Option<CachedAnswer>, Setback> {
    let _borrowed = run.borrow(key.clone());
    let answer = run.document_if_any(key, was_asked).await?;
    match answer.document.content.problem() {
        Some(problem) if problem.status == 404 => Ok(None),
        Some(problem) => Err(Setback::Final(refused(problem))),
        None => held(&answer).map(|()| Some(answer)),
    }
}
