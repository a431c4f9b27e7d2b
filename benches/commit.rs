//! What it costs that a finished write outlives a power cut: each kind of write with `storage.durability` "commit"
//! and "relaxed". Medians, the two taking turns; directories are there already, as they are in a store in use.
//!
//! `cargo bench --bench commit -- FOLDER` measures the disk that FOLDER lies on, otherwise that of `target/`.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout, missing_docs)]

use std::io::Write;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use scriptorium::domain::{Integrity, Resource, Sha256};
use scriptorium::store::{ObjectStorage, StorageKey, Store};
use tempfile::TempDir;
use tokio::runtime::Runtime;

const SMALL_ROUNDS: usize = 101;
const KIB: usize = 1 << 10;
const MIB: usize = 1 << 20;
/// An archive comes in pieces of about this size.
const PIECE: usize = 16 * KIB;

/// A store, and names that all belong in one of its directories.
struct Bench {
    store: ObjectStorage,
    runtime: Runtime,
    next: u64,
}

impl Bench {
    fn below(folder: &TempDir, durable: bool) -> Self {
        let store = ObjectStorage::local(&folder.path().join(format!("durable-{durable}")), durable).unwrap();
        Self { store, runtime: Runtime::new().unwrap(), next: 0 }
    }

    fn name(&mut self) -> Sha256 {
        loop {
            self.next += 1;
            let name = Sha256::of(&self.next.to_le_bytes());
            if name.hex().starts_with("00") {
                return name;
            }
        }
    }

    fn document(&mut self) -> Duration {
        let key = StorageKey::Document { resource: Resource::Index, name: self.name() };
        let started = Instant::now();
        self.runtime.block_on(self.store.write(&key, vec![7; 2 * KIB].into())).unwrap();
        started.elapsed()
    }

    fn pin(&mut self) -> Duration {
        let key = StorageKey::Pin { volume: Sha256::of(b"volume"), release: self.name() };
        let started = Instant::now();
        assert!(self.runtime.block_on(self.store.create(&key, vec![7; 200].into())).unwrap());
        started.elapsed()
    }

    /// How long it takes to stage so many bytes, and to commit them.
    fn archive(&mut self, bytes: usize) -> [Duration; 2] {
        let key = StorageKey::Archive(Integrity::new(self.name()));
        let (piece, started) = (vec![7; PIECE], Instant::now());
        let mut staged = self.store.stage().unwrap();
        (0..bytes / PIECE).for_each(|_| staged.write_all(&piece).unwrap());
        let written = started.elapsed();
        let started = Instant::now();
        self.runtime.block_on(self.store.commit(&key, staged)).unwrap();
        let committed = started.elapsed();
        self.runtime.block_on(self.store.remove(&key)).unwrap();
        [written, committed]
    }
}

fn median(mut times: Vec<Duration>) -> f64 {
    times.sort_unstable();
    times[times.len() / 2].as_secs_f64() * 1e3
}

/// Runs `work` on either store in turns and prints a row for each of the things it measures.
fn compare<const N: usize>(
    stores: &mut [Bench; 2],
    rounds: usize,
    names: [&str; N],
    mut work: impl FnMut(&mut Bench) -> [Duration; N],
) {
    let mut times = [(); 2].map(|()| vec![Vec::new(); N]);
    for round in 0..=rounds {
        for (store, times) in stores.iter_mut().zip(&mut times) {
            let took = work(store);
            // The first makes the directories.
            if round > 0 {
                took.into_iter().zip(times).for_each(|(took, times)| times.push(took));
            }
        }
    }
    let [durable, relaxed] = times;
    for ((name, durable), relaxed) in names.into_iter().zip(durable).zip(relaxed) {
        let (durable, relaxed) = (median(durable), median(relaxed));
        println!("{name:32} {durable:9.3} {relaxed:9.3} {:8.1}", durable / relaxed);
    }
}

fn main() {
    let asked = std::env::args().skip(1).find(|argument| !argument.starts_with("--"));
    let folder = asked.map_or_else(|| PathBuf::from(env!("CARGO_TARGET_TMPDIR")), PathBuf::from);
    let folder = TempDir::new_in(folder).unwrap();
    let mut stores = [true, false].map(|durable| Bench::below(&folder, durable));
    println!("{:32} {:>9} {:>9} {:>8}", "ms", "commit", "relaxed", "ratio");
    compare(&mut stores, SMALL_ROUNDS, ["document of 2 KB"], |store| [store.document()]);
    compare(&mut stores, SMALL_ROUNDS, ["pin"], |store| [store.pin()]);
    let names = ["archive of 1 MiB, staging", "archive of 1 MiB, commit"];
    compare(&mut stores, 41, names, |store| store.archive(MIB));
    let names = ["archive of 64 MiB, staging", "archive of 64 MiB, commit"];
    compare(&mut stores, 7, names, |store| store.archive(64 * MIB));
}
