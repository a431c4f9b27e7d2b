//! Which volumes there are, for patterns: every page of search of every registry that a pattern concerns.
//!
//! A name counts only if it is routed to the registry that lists it. The pages end where `total` says so, or with one that brings
//! nothing new. Owns the paging and its bounds, and what is remarked about a search. Must not know what is selected of a volume.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::desk::MirrorRun;
use super::patience::{Attempt, Setback, in_passes, refused};
use crate::domain::several::RegistryList;
use crate::domain::{DocumentKey, SearchQuery, VolumeName, VolumePattern};

/// The most that search gives on one page.
const PAGE: &str = "limit=100";
/// Pages of one registry; a registry that never comes to an end must not be followed for ever.
const MOST_PAGES: usize = 4_000;

/// Names of one registry that are shown, of those that no volume can have.
const MOST_SHOWN: usize = 20;
/// Characters of such a name that are shown.
const LONGEST_SHOWN: usize = 100;

/// What is odd about the search of a registry, which takes what it lists all the same.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SearchRemark {
    pub(crate) registry: String,
    /// How many names it lists that no volume can have, and the first of them.
    pub(crate) unusable: u64,
    pub(crate) names: Vec<String>,
    /// How many items it brought.
    pub(crate) listed: u64,
    /// How many it states, if it ended before.
    pub(crate) stated: Option<u64>,
}

/// What search said.
#[derive(Debug, Default)]
pub(super) struct Enumerated {
    /// The names that it lists for each pattern, or the reason why it could not be asked.
    pub(super) patterns: HashMap<VolumePattern, Result<Vec<VolumeName>, String>>,
    pub(super) remarks: Vec<SearchRemark>,
}

/// What one registry lists.
#[derive(Debug, Default)]
struct RegistryNames {
    /// Those that are routed to it.
    names: BTreeSet<VolumeName>,
    /// Hashes of everything that it listed.
    seen: HashSet<u64>,
    remark: SearchRemark,
}

/// Asks search for the names of these patterns.
pub(super) async fn enumerate(run: &MirrorRun<'_>, patterns: &[VolumePattern]) -> Enumerated {
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
    let (mut listed, mut remarks) = (HashMap::new(), Vec::new());
    let attempt = |registry: String| list(run, registry);
    let end = |registry: String, found: RegistryNames, why: Option<String>| {
        let RegistryNames { names, remark, .. } = found;
        if remark.unusable > 0 || remark.stated.is_some() {
            remarks.push(SearchRemark { registry: registry.clone(), ..remark });
        }
        listed.insert(registry, why.map_or(Ok(names), Err));
        Ok::<(), std::convert::Infallible>(())
    };
    let Ok(()) = in_passes(registries.into_iter().collect(), 2, attempt, end).await;
    remarks.sort_by(|one, other| one.registry.cmp(&other.registry));
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
    Enumerated { patterns: concerned.into_iter().map(answer).collect(), remarks }
}

/// Every volume that one registry lists and that is routed to it.
async fn list(run: &MirrorRun<'_>, registry: String) -> Attempt<RegistryNames> {
    let mut found = RegistryNames::default();
    let Ok(mut query) = SearchQuery::parse(PAGE) else {
        return Attempt::short(found, Setback::Final("no page can be asked for".to_owned()));
    };
    for _ in 0..MOST_PAGES {
        let key = DocumentKey::Search(query.clone()).at_registry(&registry);
        let answer = match run.document(&key).await {
            Ok(answer) => answer,
            Err(failure) => return Attempt::short(found, failure),
        };
        let content = &answer.document.content;
        if let Some(problem) = content.problem() {
            return Attempt::short(found, Setback::Final(refused(problem)));
        }
        let Some(page) = content.listed() else {
            return Attempt::short(found, Setback::passing("its search answers with no list"));
        };
        let is_news = found.add(page, content.body(), |name| is_routed_to(run, name, &registry));
        let next = u64::from(query.offset()) + page.items.len() as u64;
        let is_open = page.total.is_none_or(|total| next < total);
        found.remark.listed = next;
        match u32::try_from(next) {
            Ok(next) if is_news && is_open => query = query.at(next),
            // A registry may state any total, or ignore which page is asked for.
            Ok(_) | Err(_) => {
                found.remark.stated = page.total.filter(|_| is_open);
                return Attempt::whole(found);
            }
        }
    }
    let why = format!("its search does not end within {MOST_PAGES} pages");
    Attempt::short(found, Setback::Final(why))
}

impl RegistryNames {
    /// Takes a page in. Whether it brought anything that was not listed before.
    fn add(&mut self, page: &RegistryList, body: &[u8], is_routed: impl Fn(&VolumeName) -> bool) -> bool {
        let mut is_news = false;
        for item in &page.items {
            let named = match &item.subject {
                Some(Some(name)) => Ok(name),
                Some(None) | None => Err(body.get(item.span.clone()).unwrap_or_default()),
            };
            let mut hasher = DefaultHasher::new();
            named.hash(&mut hasher);
            if !self.seen.insert(hasher.finish()) {
                continue;
            }
            is_news = true;
            match named {
                Ok(name) if is_routed(name) => drop(self.names.insert(name.clone())),
                Ok(_) => {}
                Err(item) => {
                    self.remark.unusable += 1;
                    if self.remark.names.len() < MOST_SHOWN {
                        self.remark.names.push(shown(item));
                    }
                }
            }
        }
        is_news
    }
}

/// The start of the name in an item, or else of the item.
fn shown(item: &[u8]) -> String {
    let text = String::from_utf8_lossy(item);
    let named: Option<serde_json::Value> = serde_json::from_str(&text).ok();
    let name = named.as_ref().and_then(|named| named["name"].as_str());
    name.unwrap_or(&text).escape_debug().take(LONGEST_SHOWN).collect()
}

fn is_routed_to(run: &MirrorRun<'_>, name: &VolumeName, registry: &str) -> bool {
    let live = run.desk.documents.live();
    live.upstreams.for_volume(name).map(Arc::as_ref).is_some_and(|upstream| upstream.name() == registry)
}
