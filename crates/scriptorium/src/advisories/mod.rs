//! The advisories that the operator's policy looks at: asked of every registry behind requests, and read from files.
//!
//! ```text
//! registries ─> documents (cached, revalidated, offline too) ─┐
//! folders of OSV files ───────────────────────────────────────┴─> AdvisoryBook ─> the policy in force
//! ```
//! Nothing is asked while no rule looks at advisories. Owns when both are looked at, and which answers count. Must not know
//! rules, nor what an advisory says.

mod faults;
mod files;
mod lists;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;
use tracing::{error, info};

use self::files::ReadFiles;
use self::lists::LookUp;
use crate::clock::Timestamp;
use crate::domain::Registry;
use crate::policies::{AdvisoryBook, BookSource};
use crate::read::Documents;

/// How often registries are looked at, at least. A list that is fresh in the cache (`cache.advisories_ttl`) costs no request.
const SELDOM: Duration = Duration::from_secs(60);
/// How often at most.
const OFTEN: Duration = Duration::from_secs(1);

/// What the files in `folder` say, without a proxy.
pub(crate) fn read_folder(folder: &Path, now: Timestamp) -> BookSource {
    ReadFiles::default().read(&[folder.to_owned()], now)
}

/// Keeps the advisories of a proxy up to date.
#[derive(Debug)]
pub(crate) struct AdvisoryKeeper {
    documents: Arc<Documents>,
    folders: Mutex<Vec<PathBuf>>,
    changed: Notify,
}

impl AdvisoryKeeper {
    /// A keeper that reads the files in `folders`.
    pub(crate) fn new(documents: Arc<Documents>, folders: Vec<PathBuf>) -> Self {
        Self { documents, folders: Mutex::new(folders), changed: Notify::new() }
    }

    /// Reads the files in `folders`, and looks at everything anew.
    pub(crate) fn reload(&self, folders: &[PathBuf]) {
        *self.folders.lock() = folders.to_vec();
        self.changed.notify_one();
    }

    /// Looks at everything anew: another process changed what is stored.
    pub(crate) fn look_again(&self) {
        self.changed.notify_one();
    }

    /// Keeps the book up to date. Never ends.
    pub(crate) async fn keep(&self) {
        let mut known = KnownSources::default();
        loop {
            known.is_reread = false;
            loop {
                self.look(&mut known, LookUp::Asking).await;
                // A reload reads the files again.
                if tokio::time::timeout(self.look_every(), self.changed.notified()).await.is_ok() {
                    break;
                }
            }
        }
    }

    /// A list is looked at as soon as it is stale, so that it is as old as the configuration lets it be.
    fn look_every(&self) -> Duration {
        self.documents.live().policy.advisories_ttl.clamp(OFTEN, SELDOM)
    }

    /// Looks once at what is held, for a command that works without a proxy. No registry is asked.
    pub(crate) async fn look_at_held(&self) {
        self.look(&mut KnownSources::default(), LookUp::Held).await;
    }

    async fn look(&self, known: &mut KnownSources, look_up: LookUp) {
        let rules_since = self.documents.policy().rules_since;
        self.look_for_rules(known, look_up).await;
        self.documents.looked_at_advisories(rules_since);
    }

    async fn look_for_rules(&self, known: &mut KnownSources, look_up: LookUp) {
        if !self.documents.policy().rules.needs_of_all().advisories {
            return;
        }
        let mut news = false;
        if !known.is_reread {
            let (folders, now) = (self.folders.lock().clone(), self.documents.now());
            let mut files = std::mem::take(&mut known.files);
            let read = tokio::task::spawn_blocking(move || (files.read(&folders, now), files)).await;
            // What was in force stays if the reading died.
            if let Ok(read) = read {
                (known.of_files, known.files) = read;
            }
            known.is_reread = true;
            news = true;
        }
        let registries: Vec<Registry> = {
            let live = self.documents.live();
            live.upstreams.iter().map(|upstream| Registry::clone(upstream.registry())).collect()
        };
        news |= known.lists.len() != registries.len();
        known.lists.retain(|registry, _| registries.contains(registry));
        for registry in registries {
            let before = known.lists.get(&registry).map(|(stamp, _)| stamp.clone());
            if let Some((stamp, source)) =
                lists::read(&self.documents, &registry, look_up, before.as_ref()).await
            {
                known.lists.insert(registry, (stamp, source));
                news = true;
            }
        }
        if news {
            self.publish(known);
        }
    }

    fn publish(&self, known: &KnownSources) {
        let lists = known.lists.iter().map(|(registry, (_, source))| (registry, source));
        let is_offline = self.documents.live().policy.offline;
        match AdvisoryBook::of(lists, &known.of_files, is_offline) {
            Ok(book) => {
                let count: usize = known.lists.values().map(|(_, source)| source.advisories.len()).sum();
                let of_files = known.of_files.advisories.len();
                info!(of_registries = count, of_files, "advisories are in force");
                self.documents.replace_advisories(book);
            }
            Err(too_many) => error!(%too_many, "the advisories known before stay in force"),
        }
    }
}

/// What was read last.
#[derive(Debug, Default)]
struct KnownSources {
    lists: BTreeMap<Registry, (lists::ListStamp, BookSource)>,
    of_files: BookSource,
    files: ReadFiles,
    /// Whether files were read since the start or the last reload.
    is_reread: bool,
}
