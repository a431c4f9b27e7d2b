//! What is in the store under a name, or under a part of one.
//!
//! A name that is written out is looked up. For a part of a name the store is walked, for a bounded time and to a bounded
//! number of releases. Owns these bounds, and how what was found is shown. Must not know how the store is walked.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{StreamExt, stream};
use maud::{Markup, html};
use tracing::warn;

use super::frame::{Visit, page};
use super::release_path;
use super::words::{ago, counted};
use crate::admin::Admin;
use crate::audit::releases::{ReleasesInStore, StoredRelease, gather, has_archive};
use crate::clock::Timestamp;
use crate::domain::{DocumentKey, LifecycleState, Purl, Version, VolumeName};
use crate::store::Store;

/// Releases that are shown.
const MOST: usize = 300;
/// How long the store is walked.
const LONGEST: Duration = Duration::from_secs(2);
/// Releases that are looked up at once.
const AT_ONCE: usize = 16;
/// A longer name is none.
const LONGEST_NAME: usize = 200;

/// Why not everything is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cut {
    Number,
    Time,
    /// Somebody else's search is under way.
    Busy,
    Storage,
}

/// What was found.
#[derive(Debug, Default)]
struct Findings {
    /// By volume: what an index lists and the store holds.
    volumes: BTreeMap<VolumeName, BTreeMap<Version, FoundRelease>>,
    cut: Option<Cut>,
}

/// A release that was found.
#[derive(Debug, Default)]
struct FoundRelease {
    /// Whether what is not here was looked for.
    is_whole: bool,
    /// The state that the held index shows.
    state: Option<LifecycleState>,
    stored: StoredRelease,
}

impl Admin {
    pub(super) async fn found(&self, visit: &Visit) -> String {
        let sought = visit.sought.as_str();
        if sought.is_empty() || sought.len() > LONGEST_NAME {
            let hint = html! {
                section.card.wide {
                    h1 { "Search the store" }
                    p { "Give a volume, a part of its name, or a release such as " code { "@acme/lamp@1.0.0" } "." }
                }
            };
            return page(visit, "Search", &hint);
        }
        let (name, version) = split(sought);
        let findings = self.findings(name).await;
        page(
            visit,
            &format!("{sought} – search"),
            &shown(sought, &findings, direct(name, version), self.documents.now()),
        )
    }

    async fn findings(&self, sought: &str) -> Findings {
        let (mut findings, mut stored) = (Findings::default(), ReleasesInStore::new());
        findings.cut = self.walk(sought, &mut stored).await;
        for ((name, version), stored) in stored {
            let found = FoundRelease { is_whole: findings.cut.is_none(), state: None, stored };
            findings.volumes.entry(name).or_default().insert(version, found);
        }
        if let Ok(name) = sought.parse::<VolumeName>() {
            let index = self.documents.held_index(&name).await;
            let rows = index.as_ref().and_then(|index| index.content.rows());
            for (version, _) in rows.iter().flat_map(|rows| rows.by_version()) {
                findings.volumes.entry(name.clone()).or_default().entry(version.clone()).or_default();
            }
        }
        findings.bound();
        // What is not looked at by then is shown as unknown.
        let _ = tokio::time::timeout(LONGEST, self.complete(&mut findings)).await;
        findings
    }

    /// Looks up what the walk did not come to.
    async fn complete(&self, findings: &mut Findings) {
        for (name, versions) in &mut findings.volumes {
            let index = self.documents.held_index(name).await;
            let rows = index.as_ref().and_then(|index| index.content.rows());
            for (version, found) in versions.iter_mut() {
                found.state = rows.and_then(|rows| rows.of(version).first().map(|row| row.status.state));
            }
            let open = versions.iter_mut().filter(|(_, found)| !found.is_whole);
            stream::iter(open)
                .for_each_concurrent(AT_ONCE, |(version, found)| self.complete_one(name, version, found))
                .await;
        }
    }

    async fn complete_one(&self, name: &VolumeName, version: &Version, found: &mut FoundRelease) {
        let key = DocumentKey::Release(name.clone(), version.clone());
        let held = self.documents.held(&key).await.filter(|held| held.content.release().is_some());
        let fetched = held.as_ref().map(|held| held.meta.fetched_at);
        found.stored.last_used = found.stored.last_used.max(fetched);
        let said = held.as_ref().and_then(|held| held.content.release()?.integrity);
        let store: Arc<dyn Store> = self.store.objects().clone();
        if let Some(integrity) = found.stored.integrity.or(said) {
            let Ok(has_archive) = has_archive(&store, integrity).await else { return };
            found.stored.has_archive = has_archive;
        }
        found.is_whole = true;
    }

    /// Walks the store for releases with `sought` in their names.
    async fn walk(&self, sought: &str, stored: &mut ReleasesInStore) -> Option<Cut> {
        let Ok(_alone) = self.searching.try_acquire() else { return Some(Cut::Busy) };
        let store: Arc<dyn Store> = self.store.objects().clone();
        let wanted = |name: &VolumeName| name.as_str().contains(sought);
        let walk = gather(&store, wanted, MOST, stored, |_| {});
        match tokio::time::timeout(LONGEST, walk).await {
            Ok(Ok(true)) => None,
            Ok(Ok(false)) => Some(Cut::Number),
            Ok(Err(error)) => {
                warn!(%error, "the store cannot be searched");
                Some(Cut::Storage)
            }
            Err(_) => Some(Cut::Time),
        }
    }
}

impl Findings {
    /// Keeps no more than may be shown.
    fn bound(&mut self) {
        let mut left = MOST;
        for versions in self.volumes.values_mut() {
            while versions.len() > left {
                versions.pop_first();
                self.cut = self.cut.or(Some(Cut::Number));
            }
            left -= versions.len();
        }
        self.volumes.retain(|_, versions| !versions.is_empty());
    }
}

/// A name and the version behind it, if there is one.
fn split(sought: &str) -> (&str, Option<&str>) {
    match sought.rsplit_once('@') {
        Some((name, version)) if !name.is_empty() => (name, Some(version)),
        Some(_) | None => (sought, None),
    }
}

/// The release that is named as a whole.
fn direct(name: &str, version: Option<&str>) -> Option<Purl> {
    Some(Purl { name: name.parse().ok()?, version: version?.parse().ok()? })
}

fn shown(sought: &str, findings: &Findings, direct: Option<Purl>, now: Timestamp) -> Markup {
    let releases: usize = findings.volumes.values().map(BTreeMap::len).sum();
    html! {
        div.above {
            h1 { "“" (sought) "” in the store" }
            p { (counted(releases as u64, "release", "releases")) " of " (counted(findings.volumes.len() as u64, "volume", "volumes")) "." }
            @if let Some(Purl { name, version }) = &direct {
                p { "The page of " a href=(release_path(name, version)) { (name) "@" (version) } }
            }
            @if let Some(cut) = findings.cut { p.said.warn { (cut.words()) } }
        }
        div.cards {
            @for (name, versions) in &findings.volumes {
                section.card.wide {
                    h2 { a href={ "/search?q=" (name) } { (name) } }
                    table.short {
                        thead { tr { th { "Release" } th { "State" } th { "Archive" } th { "Metadata" } } }
                        tbody {
                            // The latest first.
                            @for (version, FoundRelease { is_whole, state, stored }) in versions.iter().rev() {
                                @let absent = if *is_whole { "–" } else { "not looked at" };
                                tr {
                                    td.long { a href=(release_path(name, version)) { (version) } }
                                    td { @if let Some(state) = state { (state) } @else { (absent) } }
                                    td { @if stored.has_archive { "here" } @else { (absent) } }
                                    td { @if let Some(at) = stored.last_used { (ago(now, at)) } @else { (absent) } }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

impl Cut {
    fn words(self) -> String {
        match self {
            Self::Number => {
                format!("The list is cut: more than {MOST} releases match. Give more of the name.")
            }
            Self::Time => format!(
                "The list is cut: the store was searched for {} seconds and not to its end. Give the whole name of a volume.",
                LONGEST.as_secs()
            ),
            Self::Busy => "The store was not searched: another search is under way. Try again.".to_owned(),
            Self::Storage => "The list is cut: the storage could not be read. The log says why.".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_may_stand_behind_a_name() {
        assert_eq!(split("lamp"), ("lamp", None));
        assert_eq!(split("@acme/la"), ("@acme/la", None));
        assert_eq!(split("@acme/lamp@1.0.0"), ("@acme/lamp", Some("1.0.0")));
        assert!(direct("lamp", Some("1.0.0")).is_some() && direct("lamp", Some("1")).is_none());
    }

    #[test]
    fn a_long_list_is_cut_and_says_so() {
        let mut findings = Findings::default();
        for name in ["lamp", "lamp-2"] {
            let version = |patch| format!("1.0.{patch}").parse().unwrap();
            let versions = (1..MOST).map(|patch| (version(patch), FoundRelease::default()));
            findings.volumes.insert(name.parse().unwrap(), versions.collect());
        }
        findings.bound();
        assert_eq!(findings.volumes.values().map(BTreeMap::len).sum::<usize>(), MOST);
        let text = shown("<script>", &findings, None, Timestamp(0)).into_string();
        assert!(text.contains("The list is cut") && text.contains("“&lt;script&gt;”"), "{text}");
    }
}
