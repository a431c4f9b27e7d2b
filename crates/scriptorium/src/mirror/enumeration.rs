//! Which volumes there are, for patterns: every page of search of every registry that a pattern concerns.
//!
//! A name counts only if it is routed to the registry that lists it. Owns the paging and its bounds. Must not know what is
//! selected of a volume.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use super::desk::MirrorRun;
use super::patience::{Attempt, Setback, in_passes, refused};
use crate::domain::{DocumentKey, SearchQuery, VolumeName, VolumePattern};

/// The most that search gives on one page.
const PAGE: &str = "limit=100";
/// Pages of one registry; a registry that never comes to an end must not be followed for ever.
const MOST_PAGES: usize = 4_000;

/// The names that search lists for each pattern, or the reason why it could not be asked.
pub(super) async fn enumerate(
    run: &MirrorRun<'_>,
    patterns: &[VolumePattern],
) -> HashMap<VolumePattern, Result<Vec<VolumeName>, String>> {
    let live = run.desk.documents.live();
    let mut registries = BTreeSet::new();
    let mut concerned = HashMap::new();
    for pattern in patterns {
        let names: Vec<String> =
            live.upstreams.concerned_by(pattern).map(|upstream| upstream.name().to_owned()).collect();
        registries.extend(names.iter().cloned());
        concerned.insert(pattern.clone(), names);
    }
    drop(live);
    let mut listed: HashMap<String, Result<Vec<VolumeName>, String>> = HashMap::new();
    let attempt = |registry: String| list(run, registry);
    let end = |registry: String, names: Vec<VolumeName>, why: Option<String>| {
        listed.insert(registry, why.map_or(Ok(names), Err));
        Ok::<(), std::convert::Infallible>(())
    };
    let Ok(()) = in_passes(registries.into_iter().collect(), 2, attempt, end).await;
    let answer = |(pattern, registries): (VolumePattern, Vec<String>)| {
        let mut names = Vec::new();
        for registry in &registries {
            match listed.get(registry) {
                Some(Ok(listed)) => names.extend(listed.iter().filter(|name| pattern.matches(name)).cloned()),
                Some(Err(why)) => return (pattern, Err(format!("{registry}: {why}"))),
                None => {}
            }
        }
        (pattern, Ok(names))
    };
    concerned.into_iter().map(answer).collect()
}

/// Every volume that one registry lists and that is routed to it.
async fn list(run: &MirrorRun<'_>, registry: String) -> Attempt<Vec<VolumeName>> {
    let Ok(mut query) = SearchQuery::parse(PAGE) else {
        return Attempt::short(Vec::new(), Setback::Final("no page can be asked for".to_owned()));
    };
    let mut names = BTreeSet::new();
    for _ in 0..MOST_PAGES {
        let key = DocumentKey::Search(query.clone()).at_registry(&registry);
        let answer = match run.document(&key).await {
            Ok(answer) => answer,
            Err(failure) => return Attempt::short(Vec::new(), failure),
        };
        let content = &answer.document.content;
        if let Some(problem) = content.problem() {
            return Attempt::short(Vec::new(), Setback::Final(refused(problem)));
        }
        let Some(page) = content.listed() else {
            return Attempt::short(Vec::new(), Setback::passing("its search answers with no list"));
        };
        let found = page.items.iter().filter_map(|item| item.subject.clone().flatten());
        names.extend(found.filter(|name| is_routed_to(run, name, &registry)));
        let next = u64::from(query.offset()) + page.items.len() as u64;
        let is_last = page.items.is_empty() || page.total.is_some_and(|total| next >= total);
        match u32::try_from(next) {
            Ok(next) if !is_last => query = query.at(next),
            Ok(_) | Err(_) => return Attempt::whole(names.into_iter().collect()),
        }
    }
    let why = format!("its search does not end within {MOST_PAGES} pages");
    Attempt::short(Vec::new(), Setback::Final(why))
}

fn is_routed_to(run: &MirrorRun<'_>, name: &VolumeName, registry: &str) -> bool {
    let live = run.desk.documents.live();
    live.upstreams.for_volume(name).map(Arc::as_ref).is_some_and(|upstream| upstream.name() == registry)
}
