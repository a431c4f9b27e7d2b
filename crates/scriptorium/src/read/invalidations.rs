//! Invalidations: documents that an operator, or a write through this proxy, declared out of date.
//!
//! A document that was asked for before its invalidation is asked for again before it is served. It stays on the shelf
//! for the case that the registry cannot be asked. The list is stored, so that a restart does not undo it. Owns the list,
//! its bound and what it covers. Must not know how a document is renewed.

use std::sync::Arc;

use bytes::Bytes;
use parking_lot::RwLock;
use serde::{Deserialize, Serialize};
use tokio::sync::{Mutex, OnceCell};
use tracing::error;

use super::envelope::Meta;
use crate::clock::Timestamp;
use crate::domain::{DocumentKey, Registry, Version, VolumePattern};
use crate::store::{Damage, StorageKey, Store, StoreError, record};

/// At most so many invalidations are listed. One more, and the older half becomes a single one that covers everything.
const MOST: usize = 256;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Invalidation {
    pub(super) volumes: VolumePattern,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) version: Option<Version>,
    /// Only answers of this registry: the one that a single volume was routed to. `None`: of every registry.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) registry: Option<Registry>,
    pub(super) at: Timestamp,
    /// Its place in the order of this process's questions; 0 if an earlier process made it.
    #[serde(skip)]
    pub(super) question: u64,
}

impl Invalidation {
    /// Whether an answer to `key` is older than this: by the order of questions within one process, else by the clock.
    fn covers(&self, key: &DocumentKey, meta: &Meta, asked: u64) -> bool {
        let before = if asked == 0 { meta.fetched_at <= self.at } else { asked < self.question };
        let is_theirs = self.registry.as_ref().is_none_or(|registry| meta.is_of(registry));
        before && is_theirs && concerns(&self.volumes, self.version.as_ref(), key)
    }

    fn is_about_the_same(&self, other: &Self) -> bool {
        self.volumes == other.volumes && self.version == other.version && self.registry == other.registry
    }

    /// Whether it is about everything that `other` is about.
    fn says_all_of(&self, other: &Self) -> bool {
        let is_everything =
            self.volumes == VolumePattern::All && self.version.is_none() && self.registry.is_none();
        is_everything || self.is_about_the_same(other)
    }
}

/// Whether `key` is about a volume of `volumes` and, if one is named, its `version`. An index is about every version.
pub(super) fn concerns(volumes: &VolumePattern, version: Option<&Version>, key: &DocumentKey) -> bool {
    let versions = version.is_none_or(|version| key.version().is_none_or(|of| of == version));
    key.volume().map_or(*volumes == VolumePattern::All, |name| volumes.matches(name)) && versions
}

#[derive(Debug)]
pub(super) struct Invalidations {
    store: Arc<dyn Store>,
    loaded: OnceCell<()>,
    list: RwLock<Vec<Invalidation>>,
    writing: Mutex<()>,
}

impl Invalidations {
    pub(super) fn new(store: Arc<dyn Store>) -> Self {
        Self { store, loaded: OnceCell::new(), list: RwLock::default(), writing: Mutex::default() }
    }

    /// Reads the stored list, once. A damaged list makes everything out of date; it is reported to `damaged` and set aside.
    pub(super) async fn load(&self, now: Timestamp, damaged: impl Fn(&Damage)) -> Result<(), StoreError> {
        self.loaded.get_or_try_init(|| self.take_in(now, 0, damaged)).await.copied()
    }

    /// Adds what other processes declared; this one's answers from before its question `question` are older than that.
    pub(super) async fn reread(
        &self,
        now: Timestamp,
        question: u64,
        damaged: impl Fn(&Damage),
    ) -> Result<(), StoreError> {
        self.take_in(now, question, damaged).await
    }

    async fn take_in(
        &self,
        now: Timestamp,
        question: u64,
        damaged: impl Fn(&Damage),
    ) -> Result<(), StoreError> {
        let Some(stored) = self.store.read(&StorageKey::Invalidations).await? else { return Ok(()) };
        let declared = match record::decode(&stored) {
            Ok(declared) => declared,
            Err(error) => {
                let (place, everything) = (StorageKey::Invalidations, vec![everything(now, 0)]);
                let damage = Damage::of(&place, "what was declared out of date", error.to_string());
                damaged(&damage);
                // Its content is lost, also for the next start.
                let kept = async {
                    self.store.set_aside(&place, &damage).await?;
                    self.store.write(&place, record::encode(&everything)).await
                };
                if let Err(error) = kept.await {
                    error!(%error, "the damaged list of invalidations cannot be replaced");
                }
                everything
            }
        };
        let mut list = self.list.write();
        absorb(&mut list, declared, question);
        bound(&mut list);
        Ok(())
    }

    pub(super) fn covers(&self, key: &DocumentKey, meta: &Meta, asked: u64) -> bool {
        let list = self.list.read();
        list.iter().any(|invalidation| invalidation.covers(key, meta, asked))
    }

    /// Adds an invalidation to those that this process and others made, and forgets those before `horizon`: no fresh
    /// document is older.
    pub(super) async fn add(&self, invalidation: Invalidation, horizon: Timestamp) -> Result<(), StoreError> {
        let _turn = self.writing.lock().await;
        let (at, question) = (invalidation.at, invalidation.question);
        {
            let mut list = self.list.write();
            list.retain(|held| held.at >= horizon && !held.is_about_the_same(&invalidation));
            list.push(invalidation);
        }
        let mut add = |stored: Option<Bytes>| {
            let declared = stored.map(|stored| record::decode(&stored));
            // Damage is found when the list is read; what it said counts as everything until then.
            let declared = declared.unwrap_or(Ok(Vec::new())).unwrap_or(vec![everything(at, question)]);
            let mut list = self.list.write();
            absorb(&mut list, declared, question);
            list.retain(|held| held.at >= horizon);
            bound(&mut list);
            Some(record::encode(&*list))
        };
        let written = self.store.update(&StorageKey::Invalidations, &mut add).await;
        bound(&mut self.list.write());
        written
    }
}

/// Adds what is `declared` in the store. What this process did not know came before its question `question`.
fn absorb(list: &mut Vec<Invalidation>, declared: Vec<Invalidation>, question: u64) {
    for other in declared {
        let is_known = |held: &Invalidation| held.at >= other.at && held.says_all_of(&other);
        if !list.iter().any(is_known) {
            list.retain(|held| !held.is_about_the_same(&other));
            list.push(Invalidation { question, ..other });
        }
    }
}

fn bound(list: &mut Vec<Invalidation>) {
    if list.len() > MOST {
        merge_older_half(list);
    }
}

/// Replaces the older half by one invalidation of everything that is as old. Newer documents stay valid; otherwise a client
/// that writes to many volumes would invalidate them for all clients.
fn merge_older_half(list: &mut Vec<Invalidation>) {
    list.sort_by_key(|held| (held.at, held.question));
    let older = list.drain(..list.len() / 2);
    let (at, question) =
        older.fold((Timestamp(0), 0), |(at, question), held| (at.max(held.at), question.max(held.question)));
    list.insert(0, everything(at, question));
}

fn everything(at: Timestamp, question: u64) -> Invalidation {
    Invalidation { volumes: VolumePattern::All, version: None, registry: None, at, question }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::ObjectStorage;

    fn invalidation(volumes: &str, version: Option<&str>, at: u64) -> Invalidation {
        let version = version.map(|version| version.parse().unwrap());
        let volumes = volumes.parse().unwrap();
        Invalidation { volumes, version, registry: None, at: Timestamp(at), question: at }
    }

    /// What is known of an answer of the registry "public" that was fetched `at`.
    fn fetched(at: u64) -> Meta {
        Meta {
            key: String::new(),
            status: 200,
            fetched_at: Timestamp(at),
            upstream_age: 0,
            upstream: "public".into(),
            origin: "https://up".into(),
            etag: None,
            at: None,
            keeping: crate::read::keeping::Keeping::default(),
            turn: None,
        }
    }

    #[test]
    fn what_is_declared_of_one_registry_covers_no_other() {
        let key = DocumentKey::Index("x".parse().unwrap());
        let declared = |name: &str, origin: &str| {
            let registry = Some(Registry::new(name, origin));
            Invalidation { registry, ..invalidation("x", None, 10) }.covers(&key, &fetched(9), 0)
        };
        assert!(declared("public", "https://up"));
        assert!(!declared("public", "https://elsewhere") && !declared("internal", "https://up"));
    }

    #[test]
    fn what_a_declaration_covers() {
        let (name, version) = ("@acme/x".parse().unwrap(), "1.0.0".parse().unwrap());
        let index = DocumentKey::Index(name);
        let release = DocumentKey::Release("@acme/x".parse().unwrap(), version);
        for (volumes, version, of_index, of_release, of_capabilities) in [
            ("@acme/x", None, true, true, false),
            ("@acme/*", None, true, true, false),
            ("@acme/y", None, false, false, false),
            ("@acme/x", Some("1.0.0"), true, true, false),
            ("@acme/x", Some("1.0.1"), true, false, false),
            ("*", None, true, true, true),
        ] {
            let declared = invalidation(volumes, version, 10);
            for (key, covered) in
                [(&index, of_index), (&release, of_release), (&DocumentKey::Capabilities, of_capabilities)]
            {
                assert_eq!(declared.covers(key, &fetched(10), 0), covered, "{volumes} {version:?} {key}");
                assert_eq!(declared.covers(key, &fetched(99), 9), covered, "{volumes} {version:?} {key}");
                assert!(!declared.covers(key, &fetched(11), 0), "fetched later");
                assert!(!declared.covers(key, &fetched(9), 11), "asked for later");
            }
        }
    }

    #[tokio::test]
    async fn declarations_survive_a_restart_and_are_bounded() {
        let store: Arc<dyn Store> = Arc::new(ObjectStorage::memory().unwrap());
        let invalidations = Invalidations::new(store.clone());
        for at in 0..2 * MOST as u64 {
            let volumes = format!("v{at}");
            invalidations.add(invalidation(&volumes, None, at), Timestamp(0)).await.unwrap();
        }
        assert!(invalidations.list.read().len() <= MOST + 1);
        let restarted = Invalidations::new(store.clone());
        restarted.load(Timestamp(0), |_| ()).await.unwrap();
        let first = DocumentKey::Index("v0".parse().unwrap());
        assert!(restarted.covers(&first, &fetched(0), 0), "what was merged still covers");
        restarted.add(invalidation("x", None, 10_000), Timestamp(9_000)).await.unwrap();
        assert_eq!(restarted.list.read().len(), 1, "what nothing fresh is older than is forgotten");
    }

    #[tokio::test]
    async fn many_declarations_do_not_make_everything_out_of_date() {
        let invalidations = Invalidations::new(Arc::new(ObjectStorage::memory().unwrap()));
        let other = DocumentKey::Index("other".parse().unwrap());
        for at in 1..=4 * MOST as u64 {
            let volumes = format!("v{at}");
            invalidations.add(invalidation(&volumes, None, at), Timestamp(0)).await.unwrap();
            let recent = at.saturating_sub(MOST as u64 / 2 - 2);
            assert!(
                !invalidations.covers(&other, &fetched(recent), recent),
                "asked for at {recent}, now {at}"
            );
            for of in 1..=at {
                let key = DocumentKey::Index(format!("v{of}").parse().unwrap());
                assert!(invalidations.covers(&key, &fetched(of - 1), of - 1), "v{of}, now {at}");
            }
        }
        assert!(invalidations.covers(&other, &fetched(1), 1), "its bound has a price");
    }

    #[tokio::test]
    async fn what_two_processes_declare_at_once_both_stays() {
        let store: Arc<dyn Store> = Arc::new(ObjectStorage::memory().unwrap());
        let [one, other] = [(); 2].map(|()| Invalidations::new(store.clone()));
        let key = |volume: &str| DocumentKey::Index(volume.parse().unwrap());
        one.load(Timestamp(0), |_| ()).await.unwrap();
        other.load(Timestamp(0), |_| ()).await.unwrap();
        let declare = async |node: &Invalidations, from: u64| {
            for at in (from..from + 40).step_by(2) {
                node.add(invalidation(&format!("v{at}"), None, at), Timestamp(0)).await.unwrap();
            }
        };
        tokio::join!(declare(&one, 1), declare(&other, 2));
        assert!(!one.covers(&key("v40"), &fetched(9), 9), "it has not heard of the last");
        one.reread(Timestamp(50), 77, |_| ()).await.unwrap();
        assert!(one.covers(&key("v40"), &fetched(9), 76) && !one.covers(&key("v40"), &fetched(9), 77));
        assert!(one.covers(&key("v40"), &fetched(40), 0) && !one.covers(&key("v40"), &fetched(41), 0));
        let restarted = Invalidations::new(store);
        restarted.load(Timestamp(0), |_| ()).await.unwrap();
        assert!((1..=40).all(|at| restarted.covers(&key(&format!("v{at}")), &fetched(at), 0)));
    }

    #[tokio::test]
    async fn a_list_that_cannot_be_read_trusts_nothing() {
        let store: Arc<dyn Store> = Arc::new(ObjectStorage::memory().unwrap());
        store.write(&StorageKey::Invalidations, "garbage".into()).await.unwrap();
        let invalidations = Invalidations::new(store);
        invalidations.load(Timestamp(7), |_| ()).await.unwrap();
        assert!(invalidations.covers(&DocumentKey::Capabilities, &fetched(7), 0));
    }
}
