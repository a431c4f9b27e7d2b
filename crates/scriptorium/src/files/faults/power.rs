//! The power is cut after every operation of a pull, and a proxy starts on whatever the disk may have kept.
//!
//! Owns the promises: what clients were told as definite still holds, nothing unverified is served, and with the
//! registry back everything is right. Must not know what a cut leaves (`store::power`).

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bibliotheca::RangeSupport;
use bytes::Bytes;
use fastrand::Rng;
use tempfile::TempDir;

use super::desk::{Proxy, Registry, Release};
use crate::clock::ManualClock;
use crate::consistency::Pins;
use crate::domain::{self, DocumentKey};
use crate::read::ReadFailure;
use crate::store::faulty::Faulty;
use crate::store::power::PoweredDisk;
use crate::store::{ObjectStorage, Store};
use crate::upstream::testing::HOME;

/// Longer than anything stays fresh, shorter than it may be served stale.
const LATER: Duration = Duration::from_secs(100_000);

/// What the disk may keep is drawn so often for each operation.
const DRAWS: u64 = 8;

/// What a client was told, and what therefore must hold after any later cut.
#[derive(Debug)]
enum Fact {
    /// Exact metadata was served: its integrity is pinned.
    Pinned,
    /// The registry refused with this body.
    Refused(DocumentKey, Bytes),
    /// The registry contradicts itself.
    Divergent(DocumentKey),
    /// This body was replaced.
    Replaced(DocumentKey, Bytes),
}

/// A registry, a proxy on a disk whose power will be cut, and what its clients were told.
struct Scene {
    root: TempDir,
    disk: Arc<PoweredDisk>,
    release: Release,
    registry: Arc<Registry>,
    clock: Arc<ManualClock>,
    proxy: Proxy,
    /// Facts with the number of operations before each.
    told: Vec<(usize, Fact)>,
    /// Every document that the registry ever answered with.
    said: Vec<Bytes>,
}

impl Scene {
    /// A scene in which everything was pulled cold, from a proxy over what `store` makes of the disk.
    async fn pulled(disk: fn(&Path) -> Arc<PoweredDisk>, store: fn(ObjectStorage) -> Arc<dyn Store>) -> Self {
        let root = TempDir::new().unwrap();
        let (disk, release) = (disk(root.path()), Release::new(1000, Vec::new()));
        let registry = Registry::of(&release, RangeSupport::Honoured);
        let clock = Arc::new(ManualClock::at(1_000_000));
        let proxy = Proxy::over(store(disk.store()), &registry, clock.clone());
        let (told, said) = (Vec::new(), Vec::new());
        let mut scene = Self { root, disk, release, registry, clock, proxy, told, said };
        for key in [scene.release.index(), scene.release.exact()] {
            scene.ask(&key).await.unwrap();
        }
        scene.tell(Fact::Pinned);
        let held = scene.proxy.archive(&scene.release).await.unwrap();
        assert_eq!(scene.proxy.read_all(&held).await.unwrap(), scene.release.archive);
        scene.proxy.idle().await;
        scene
    }

    async fn ask(&mut self, key: &DocumentKey) -> Result<Bytes, ReadFailure> {
        self.said.push(self.registry.says(key));
        self.proxy.document(key).await
    }

    fn tell(&mut self, fact: Fact) {
        self.told.push((self.disk.operations(), fact));
    }

    /// The registry blocks the release.
    async fn blocked(mut self) -> Self {
        let (index, exact) = (self.release.index(), self.release.exact());
        let before = self.registry.says(&index);
        let after = String::from_utf8(before.to_vec()).unwrap().replace("available", "blocked");
        assert_ne!(after.as_bytes(), &before[..]);
        self.registry.say(&index, &serde_json::from_str(&after).unwrap());
        self.registry.refuse(&exact);
        self.clock.advance(LATER);
        let refused = self.ask(&exact).await.unwrap();
        self.tell(Fact::Refused(exact, refused));
        assert_ne!(self.ask(&index).await.unwrap(), before);
        self.tell(Fact::Replaced(index, before));
        self.proxy.idle().await;
        self
    }

    /// The registry replaces what it published under this version.
    async fn replaced(mut self) -> Self {
        self.registry.publish(&Release::new(2000, Vec::new()));
        self.clock.advance(LATER);
        let exact = self.release.exact();
        let refused = self.ask(&exact).await;
        assert!(matches!(refused, Err(ReadFailure::Divergent(_))), "{refused:?}");
        self.tell(Fact::Divergent(exact));
        self.said.push(self.registry.says(&self.release.index()));
        self.proxy.idle().await;
        self
    }

    /// What a cut after so many operations breaks: of what the disk may have kept, `seed` draws one.
    async fn broken(&self, after: usize, seed: u64) -> Vec<String> {
        let folder = TempDir::new().unwrap();
        self.disk.cut(after, &mut Rng::with_seed(seed), folder.path());
        let store = Arc::new(ObjectStorage::local(folder.path(), false).unwrap());
        let start = || Proxy::over(store.clone(), &self.registry, self.clock.clone());
        self.registry.cut_off();
        let alone = start();
        let mut broken = self.forgotten(after, &alone, &store).await;
        broken.extend(self.invented(&alone).await);
        alone.idle().await;
        self.registry.connect();
        let again = start();
        broken.extend(self.lasting(after, &again).await);
        again.idle().await;
        broken
    }

    /// The facts that do not hold any more, though no registry can be asked.
    async fn forgotten(&self, after: usize, proxy: &Proxy, store: &Arc<ObjectStorage>) -> Vec<String> {
        let public = domain::Registry::new("public", HOME);
        let mut forgotten = Vec::new();
        for (_, fact) in self.told.iter().filter(|(told, _)| *told <= after) {
            let holds = match fact {
                Fact::Pinned => {
                    let pin = Pins::new(store.clone()).of(&public, &self.release.purl()).await;
                    pin.is_ok_and(|pin| pin.is_some_and(|pin| pin.integrity == self.release.integrity))
                }
                Fact::Refused(key, body) => proxy.document(key).await.is_ok_and(|said| said == body),
                Fact::Divergent(key) => {
                    matches!(proxy.document(key).await, Err(ReadFailure::Divergent(_)))
                }
                Fact::Replaced(key, body) => proxy.document(key).await.map_or(true, |said| said != body),
            };
            if !holds {
                forgotten.push(format!("forgotten: {fact:?}"));
            }
        }
        forgotten
    }

    /// What is served and was never said.
    async fn invented(&self, proxy: &Proxy) -> Vec<String> {
        let mut invented = Vec::new();
        for key in [self.release.index(), self.release.exact()] {
            if let Ok(said) = proxy.document(&key).await
                && !self.said.contains(&said)
            {
                invented.push(format!("invented: {key}"));
            }
        }
        if let Ok(held) = proxy.archive(&self.release).await
            && let Ok(read) = proxy.read_all(&held).await
            && read != self.release.archive
        {
            invented.push("invented: the archive".to_owned());
        }
        invented
    }

    /// What is wrong although the registry can be asked.
    async fn lasting(&self, after: usize, proxy: &Proxy) -> Vec<String> {
        let mut lasting = Vec::new();
        for key in [self.release.index(), self.release.exact()] {
            let is_right = match proxy.document(&key).await {
                Ok(said) => said == self.registry.says(&key),
                // A release that was pinned and is another one now.
                Err(ReadFailure::Divergent(_)) => self.is_replaced() && after > 0,
                Err(_) => false,
            };
            if !is_right {
                lasting.push(format!("still wrong with the registry: {key}"));
            }
        }
        if !self.is_replaced() && !self.is_blocked() {
            let read = match proxy.archive(&self.release).await {
                Ok(held) => proxy.read_all(&held).await,
                Err(failure) => Err(failure),
            };
            if !read.is_ok_and(|read| read == self.release.archive) {
                lasting.push("still wrong with the registry: the archive".to_owned());
            }
        }
        lasting
    }

    fn is_replaced(&self) -> bool {
        self.told.iter().any(|(_, fact)| matches!(fact, Fact::Divergent(_)))
    }

    fn is_blocked(&self) -> bool {
        self.told.iter().any(|(_, fact)| matches!(fact, Fact::Refused(..)))
    }

    /// Cuts the power after every operation. Answers with everything that broke.
    async fn sweep(&self, seed: u64) -> Vec<String> {
        let (mut broken, operations) = (Vec::new(), self.disk.operations());
        assert!(operations > 0 && self.root.path().exists(), "nothing was stored, so nothing is proved");
        for after in 0..=operations {
            for draw in 0..DRAWS {
                let seed = seed.wrapping_add(after as u64 * DRAWS + draw);
                let case = |what| format!("seed {seed}, cut after {after} of {operations}: {what}");
                broken.extend(self.broken(after, seed).await.into_iter().map(case));
            }
        }
        broken
    }
}

fn seed() -> u64 {
    let given = std::env::var("SCRIPTORIUM_POWER_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed = given.unwrap_or_else(|| fastrand::u64(..));
    eprintln!("SCRIPTORIUM_POWER_SEED={seed}");
    seed
}

fn honest(store: ObjectStorage) -> Arc<dyn Store> {
    Arc::new(store)
}

#[tokio::test]
async fn a_power_cut_anywhere_in_a_pull_costs_no_truth() {
    let scene = Scene::pulled(PoweredDisk::below, honest).await;
    assert_eq!(scene.sweep(seed()).await, Vec::<String>::new());
}

#[tokio::test]
async fn a_power_cut_around_a_block_brings_nothing_back() {
    let scene = Scene::pulled(PoweredDisk::below, honest).await.blocked().await;
    assert_eq!(scene.sweep(seed()).await, Vec::<String>::new());
}

#[tokio::test]
async fn a_power_cut_around_a_divergence_makes_nothing_true() {
    let scene = Scene::pulled(PoweredDisk::below, honest).await.replaced().await;
    assert_eq!(scene.sweep(seed()).await, Vec::<String>::new());
}

#[tokio::test]
async fn a_cold_pull_flushes_its_pin_and_its_archive_and_no_document() {
    let scene = Scene::pulled(PoweredDisk::below, honest).await;
    // The pin, its content and its name; the archive's content; the pin again, as a proved one, and its former name.
    assert_eq!(scene.disk.flushes(), 2 + 1 + 2 + 1);
}

#[tokio::test]
async fn a_pin_that_follows_is_found_out() {
    let scene = Scene::pulled(PoweredDisk::below, |store| Arc::new(Faulty::careless(store))).await;
    let broken = scene.sweep(seed()).await;
    assert!(broken.iter().any(|broken| broken.contains("forgotten: Pinned")), "{broken:?}");
}

#[tokio::test]
async fn a_disk_that_lies_is_found_out() {
    let scene = Scene::pulled(PoweredDisk::lying, honest).await.blocked().await;
    let (seed, mut broken) = (seed(), Vec::new());
    for draw in 0..200 {
        broken.extend(scene.broken(scene.disk.operations(), seed.wrapping_add(draw)).await);
    }
    for fact in ["Pinned", "Refused", "Replaced"] {
        assert!(broken.iter().any(|broken| broken.contains(&format!("forgotten: {fact}"))), "{fact}");
    }
}
