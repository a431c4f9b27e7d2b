//! Asking registries for what they say about no volume.
//!
//! Owns which registries are asked, when an absence is believed, and that a list counts only as a whole. Must not know what is
//! recorded beyond the answers (`notices`), nor what an advisory says.

use std::collections::{BTreeMap, BTreeSet};

use super::bringing::held;
use super::desk::MirrorRun;
use super::notices::{Notice, NoticeAnswer, NoticeKind};
use super::patience::{Attempt, Setback, in_passes, refused};
use super::record::{LackSubject, MirrorLack, MirrorRecord};
use crate::domain::{AdvisoryPages, DocumentKey, MOST_ADVISORY_PAGES};
use crate::read::CachedAnswer;

/// Questions that are asked at once.
const AT_ONCE: usize = 2;

/// Asks the registries of what is selected in `record`, notes their answers there, and says what is missing: in the name of the first
/// release that a registry has.
pub(super) async fn inquire(run: &MirrorRun<'_>, record: &mut MirrorRecord) -> Vec<MirrorLack> {
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
