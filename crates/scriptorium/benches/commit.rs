//! The cost of durable writes: each kind of write with `storage.durability` "commit" and "relaxed".
//!
//! The two take turns, and the medians are printed. Directories exist already, as in a store in use.
//! `cargo bench --bench commit -- FOLDER` measures the disk of FOLDER; the default is the disk of `target/`.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout, missing_docs)]

use std::path::PathBuf;
use std::time::{Duration, Instant};

use scriptorium::facade::DiskStore;
use tempfile::TempDir;
use tokio::runtime::Runtime;

const SMALL_ROUNDS: usize = 101;
const KIB: usize = 1 << 10;
const MIB: usize = 1 << 20;
/// The size of the pieces in which an archive is staged.
const PIECE: usize = 16 * KIB;

/// A store, and names that share one of its directories.
struct Bench {
    store: DiskStore,
    runtime: Runtime,
    next: u64,
}

impl Bench {
    fn below(folder: &TempDir, durable: bool) -> Self {
        let store = DiskStore::open(&folder.path().join(format!("durable-{durable}")), durable).unwrap();
        Self { store, runtime: Runtime::new().unwrap(), next: 0 }
    }

    fn name(&mut self) -> [u8; 32] {
        self.next += 1;
        let mut name = [0; 32];
        name[24..].copy_from_slice(&self.next.to_be_bytes());
        name
    }

    fn document(&mut self) -> Duration {
        let (name, started) = (self.name(), Instant::now());
        self.runtime.block_on(self.store.write_document(name, vec![7; 2 * KIB].into())).unwrap();
        started.elapsed()
    }

    fn refusal(&mut self) -> Duration {
        let (name, started) = (self.name(), Instant::now());
        self.runtime.block_on(self.store.write_refusal(name, vec![7; KIB].into())).unwrap();
        started.elapsed()
    }

    fn pin(&mut self) -> Duration {
        let (name, started) = (self.name(), Instant::now());
        assert!(self.runtime.block_on(self.store.create_pin(name, vec![7; 200].into())).unwrap());
        started.elapsed()
    }

    /// How long staging so many bytes takes, and their commit.
    fn archive(&mut self, bytes: usize) -> [Duration; 2] {
        let (name, piece) = (self.name(), vec![7; PIECE]);
        self.runtime.block_on(self.store.write_archive(name, &piece, bytes / PIECE)).unwrap()
    }
}

fn median(mut times: Vec<Duration>) -> f64 {
    times.sort_unstable();
    times[times.len() / 2].as_secs_f64() * 1e3
}

/// Runs `work` on both stores in turns and prints a row for each of the steps it measures.
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
    compare(&mut stores, SMALL_ROUNDS, ["refusal"], |store| [store.refusal()]);
    compare(&mut stores, SMALL_ROUNDS, ["pin"], |store| [store.pin()]);
    let names = ["archive of 1 MiB, staging", "archive of 1 MiB, commit"];
    compare(&mut stores, 41, names, |store| store.archive(MIB));
    let names = ["archive of 64 MiB, staging", "archive of 64 MiB, commit"];
    compare(&mut stores, 7, names, |store| store.archive(64 * MIB));
}
