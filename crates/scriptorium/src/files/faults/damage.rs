//! Every kind of byte of what is stored, flipped, in front of registries that send ranges, none, or lies.
//!
//! Owns the promises: nobody is sent a wrong byte, what was damaged is whole again where the registry can be asked,
//! and the damaged value is kept with a note. Must not know what is asked for on the way (`pieces`).

use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::Arc;

use bibliotheca::RangeSupport;
use bytes::Bytes;
use futures_util::TryStreamExt;
use serde_json::Value;

use super::desk::{Proxy, Registry, Release, noise, places};
use crate::clock::ManualClock;
use crate::files::PermittedFile;
use crate::read::ReadFailure;
use crate::store::sealed::BLOCK;
use crate::store::{KeyPrefix, ObjectStorage, StorageKey, ValueStore};

const RANGINGS: [RangeSupport; 4] =
    [RangeSupport::Ignored, RangeSupport::Honoured, RangeSupport::Garbled, RangeSupport::Elsewhere];

/// A file of a release.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum File {
    Archive,
    Artifact,
}

impl File {
    async fn hold(self, proxy: &Proxy, release: &Release) -> Result<PermittedFile, ReadFailure> {
        match self {
            Self::Archive => proxy.archive(release).await,
            Self::Artifact => proxy.artifact(release).await,
        }
    }

    fn of(self, release: &Release) -> (StorageKey, &Bytes) {
        let [archive, artifact] = places(release);
        match self {
            Self::Archive => (archive, &release.archive),
            Self::Artifact => (artifact, &release.artifact),
        }
    }
}

/// A store that holds a file with one byte flipped.
struct Rot<'a> {
    release: &'a Release,
    file: File,
    place: StorageKey,
    content: &'a Bytes,
    store: Arc<ObjectStorage>,
    clock: Arc<ManualClock>,
    registry: Arc<Registry>,
    /// The process that stored the file, its documents and its seal in memory.
    warm: Proxy,
    sound: Bytes,
    damaged: Bytes,
}

impl<'a> Rot<'a> {
    async fn new(release: &'a Release, file: File, ranging: RangeSupport) -> Self {
        let store = Arc::new(ObjectStorage::memory().unwrap());
        let (clock, registry) = (Arc::new(ManualClock::at(1_000_000)), Registry::of(release, ranging));
        let warm = Proxy::over(store.clone(), &registry, clock.clone());
        let (place, content) = file.of(release);
        let held = file.hold(&warm, release).await.unwrap();
        assert!(warm.read_all(&held).await.unwrap() == *content);
        let sound = store.read(&place).await.unwrap().unwrap();
        Self { release, file, place, content, store, clock, registry, warm, damaged: sound.clone(), sound }
    }

    fn fresh(&self) -> Proxy {
        Proxy::over(self.store.clone(), &self.registry, self.clock.clone())
    }

    async fn flip(&mut self, at: usize) {
        let mut damaged = self.sound.to_vec();
        damaged[at] ^= 0x20;
        self.damaged = damaged.into();
        self.store.write(&self.place, self.damaged.clone()).await.unwrap();
    }

    async fn read(&self, proxy: &Proxy) -> Result<Bytes, ReadFailure> {
        let held = self.file.hold(proxy, self.release).await?;
        let read = proxy.read_all(&held).await;
        proxy.idle().await;
        read
    }

    /// The quarantine: values and notes.
    async fn aside(&self) -> Vec<(String, Bytes)> {
        let mut aside = Vec::new();
        let listed: Vec<_> = self.store.list(KeyPrefix::Quarantine).try_collect().await.unwrap();
        for (key, _) in listed {
            aside.push((key.path(), self.store.read(&key).await.unwrap().unwrap()));
        }
        aside.sort_by_key(|(path, _)| path.len());
        aside
    }

    async fn assert_whole_again(&self, what: &str) {
        self.registry.cut_off();
        assert!(self.store.read(&self.place).await.unwrap().unwrap() == self.sound, "{what}: still damaged");
        assert!(self.read(&self.fresh()).await.unwrap() == *self.content, "{what}");
        let [(_, value), (path, note)] = self.aside().await.try_into().unwrap();
        assert!(value == self.damaged, "{what}: another value is kept");
        let note: Value = serde_json::from_slice(&note).unwrap();
        assert_eq!(note["path"], self.place.path(), "{what}: {path}");
        let said = |member: &str| note[member].as_str().is_some_and(|text| !text.is_empty());
        assert!(said("expected") && said("found") && note["expected"] != note["found"], "{what}: {note}");
    }
}

/// The first, a middle and the last byte of every block.
fn of_content(length: u64) -> BTreeSet<usize> {
    let blocks = (0..length).step_by(BLOCK as usize).map(|start| start..(start + BLOCK).min(length));
    let of = |Range { start, end }: Range<u64>| [start, (start + end) / 2, end - 1];
    blocks.flat_map(of).map(|at| at as usize).collect()
}

/// Flips each kind of byte of `file`, before registries of every kind, and none. Answers with how many.
async fn survives(release: &Release, file: File) -> usize {
    let length = file.of(release).1.len() as u64;
    let mut flips = 0;
    for ranging in RANGINGS {
        for at in of_content(length) {
            for restarted in [false, true] {
                let mut rot = Rot::new(release, file, ranging).await;
                rot.flip(at).await;
                let what = format!("{file:?} of {length}, byte {at}, {ranging:?}, restarted: {restarted}");
                let proxy = if restarted { &rot.fresh() } else { &rot.warm };
                assert!(rot.read(proxy).await.unwrap() == *rot.content, "{what}: wrong bytes");
                rot.assert_whole_again(&what).await;
                flips += 1;
            }
        }
    }
    for at in of_content(length) {
        let mut rot = Rot::new(release, file, RangeSupport::Honoured).await;
        rot.flip(at).await;
        rot.registry.cut_off();
        for proxy in [&rot.warm, &rot.fresh()] {
            assert!(rot.read(proxy).await.is_err(), "{file:?} of {length}, byte {at}: cut off");
        }
        flips += 1;
    }
    flips
}

/// Flips every byte of the seal of `file`. Answers with how many.
async fn survives_without_its_seal(release: &Release, file: File) -> usize {
    let length = file.of(release).1.len();
    let seal = length..Rot::new(release, file, RangeSupport::Honoured).await.sound.len();
    for at in seal.clone() {
        let what = format!("{file:?} of {length}, byte {at} of its seal");
        let mut rot = Rot::new(release, file, RangeSupport::Honoured).await;
        rot.flip(at).await;
        assert!(rot.read(&rot.warm).await.unwrap() == *rot.content, "{what}: the seal is in memory");
        assert!(rot.read(&rot.fresh()).await.unwrap() == *rot.content, "{what}: wrong bytes");
        rot.assert_whole_again(&what).await;

        let mut rot = Rot::new(release, file, RangeSupport::Honoured).await;
        rot.flip(at).await;
        rot.registry.cut_off();
        for _ in 0..2 {
            assert!(rot.read(&rot.fresh()).await.is_err(), "{what}: cut off");
        }
    }
    seal.len()
}

#[tokio::test]
async fn a_flipped_byte_of_content_is_never_sent_and_is_mended() {
    let block = BLOCK as usize;
    let mut flips = 0;
    for length in [1, block - 1, block, block + 1, 3 * block] {
        flips += survives(&Release::new(100, noise(2, length)), File::Artifact).await;
    }
    flips += survives(&Release::new(3 * block + 1000, Vec::new()), File::Archive).await;
    eprintln!("{flips} flips of content");
}

#[tokio::test]
async fn a_flipped_byte_of_a_seal_is_noticed() {
    let block = BLOCK as usize;
    let mut flips = 0;
    for length in [0, 1, block - 1, block, block + 1, 3 * block] {
        flips += survives_without_its_seal(&Release::new(100, noise(2, length)), File::Artifact).await;
    }
    flips += survives_without_its_seal(&Release::new(1000, Vec::new()), File::Archive).await;
    eprintln!("{flips} flips of seals");
}

#[tokio::test]
async fn a_value_that_is_gone_cut_or_longer_is_never_sent_otherwise_than_it_was() {
    let release = Release::new(3 * BLOCK as usize + 1000, noise(2, 2 * BLOCK as usize + 1));
    for file in [File::Archive, File::Artifact] {
        for keep in
            [None, Some(0), Some(1), Some(BLOCK as usize), Some(2 * BLOCK as usize + 9), Some(usize::MAX)]
        {
            for restarted in [false, true] {
                let rot = Rot::new(&release, file, RangeSupport::Honoured).await;
                match keep {
                    None => rot.store.remove(&rot.place).await.unwrap(),
                    Some(keep) => {
                        let mut bytes = rot.sound.to_vec();
                        bytes.push(7);
                        bytes.truncate(keep);
                        rot.store.write(&rot.place, bytes.into()).await.unwrap();
                    }
                }
                let proxy = if restarted { &rot.fresh() } else { &rot.warm };
                let what = format!("{file:?}, {keep:?} bytes left, restarted: {restarted}");
                assert!(rot.read(proxy).await.unwrap() == *rot.content, "{what}");
                // Started anew, since a byte too many is nothing to who knows the seal.
                assert!(rot.read(&rot.fresh()).await.unwrap() == *rot.content, "{what}");
                rot.registry.cut_off();
                assert!(rot.read(&rot.fresh()).await.unwrap() == *rot.content, "{what}: it was not kept");
            }
        }
    }
}
