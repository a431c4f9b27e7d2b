//! Differential tests of archives: every reader must unpack the tree that was hashed.
//!
//! Archives of ordinary packers are mutated in every way that tar and gzip allow. The crate decides which of them would be
//! sent, unchanged or packed anew. Every reader of this machine unpacks those, and must find the hashed tree: nothing added,
//! lost or replaced. This is a test target of its own, because it calls the crate, needs readers that a machine may not have,
//! and can run alone for hours:
//!
//! ```text
//! SCRIPTORIUM_FUZZ_CASES=100000 SCRIPTORIUM_FUZZ_SEED=7 cargo test --test differential -- --nocapture
//! ```
//!
//! `SCRIPTORIUM_FUZZ_ONLY` repeats one case. `SCRIPTORIUM_FUZZ_FIRST` sets the first case. `SCRIPTORIUM_PYTHONS` adds
//! interpreters. With `SCRIPTORIUM_REQUIRE_READERS`, a missing reader of Debian is a failure.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)]

mod bench;
mod block;
mod campaign;
mod case;
mod corpus;
mod draft;
mod escape;
mod mutate;
mod readers;
mod traps;
mod tree;
mod verdict;

use bench::{Bench, Outcome};
use campaign::Plan;
use verdict::{Verdict, judge};

/// The number of cases in the gate.
const USUAL: u64 = 5000;

#[test]
fn every_reader_unpacks_an_accepted_archive_to_the_hashed_tree() {
    let plan = Plan::from_environment(USUAL);
    let count = plan.run();
    println!("seed {}: {}", plan.seed, count.summary());
    assert!(count.differences.is_empty(), "{}", count.differences.join("\n"));
    // A run without any archive of one outcome proves nothing about that outcome.
    if plan.cases >= USUAL {
        for (way, times) in
            [("as it came", count.as_it_came), ("anew", count.anew), ("refused", count.refused)]
        {
            assert!(times >= count.cases / 20, "only {times} of {} cases went {way}", count.cases);
        }
        assert!(count.tried >= count.cases / 20, "only {} archives were unpacked", count.tried);
        for (reader, asked) in &count.readers {
            assert!(asked.loud * 10 <= asked.times, "{reader} refused {} of {}", asked.loud, asked.times);
        }
    }
}

#[test]
fn archives_of_ordinary_packers_are_accepted() {
    let mut bench = Bench::new();
    let mut wrong = Vec::new();
    for (name, archive) in corpus::packed() {
        match bench.put(&archive) {
            Outcome::Refused(why) => wrong.push(format!("{name} is refused: {why}")),
            Outcome::Known { .. } => {}
            Outcome::Tried(trial) if trial.differences.is_empty() => {
                println!("{name}: {}", if trial.anew { "packed anew" } else { "as it came" });
            }
            Outcome::Tried(trial) => wrong.push(format!("{name}\n{}", trial.told())),
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn no_trap_is_sent_unchanged() {
    let mut bench = Bench::new();
    for (why, draft) in traps::traps() {
        if let Outcome::Tried(trial) = bench.put(&draft.bytes()) {
            assert!(trial.differences.is_empty(), "{why}\n{}", trial.told());
        }
    }
}

/// The campaign must be able to find a difference: readers disagree about each trap that is sent unchanged.
#[test]
fn readers_disagree_about_every_trap() {
    let mut bench = Bench::new();
    if !bench.readers.of_debian() {
        return println!("skipped: some of GNU tar, bsdtar, busybox and Python is missing");
    }
    let mut harmless = Vec::new();
    for (why, draft) in traps::traps() {
        let sent = draft.bytes();
        let claimed = bench.view(0, &sent).map(|tree| tree.digest()).unwrap_or_default();
        if bench.try_out(false, &claimed, sent).differences.is_empty() {
            harmless.push(why);
        }
    }
    if !bench.readers.has("node-tar") {
        harmless.retain(|why| !traps::FOR_OTHERS.contains(why));
    }
    assert!(
        harmless.is_empty(),
        "no reader differs from {} over: {harmless:#?}",
        bench.readers.readers[0].name
    );
}

#[test]
fn every_reader_reports_a_changed_file() {
    let mut bench = Bench::new();
    let hashed = corpus::volume(vec![corpus::file(b"docs/odd.md", b"hashed")]);
    let sent = corpus::volume(vec![corpus::file(b"docs/odd.md", b"sent")]);
    let Verdict::AsItCame(digest) = judge(&draft::Draft::new(hashed).bytes()) else {
        panic!("it is canonical")
    };
    let trial = bench.try_out(true, &digest, draft::Draft::new(sent).bytes());
    let all = bench.readers.readers.len();
    let saw: usize = trial.differences.iter().map(|(readers, _)| readers.split(" · ").count()).sum();
    assert_eq!(saw, all, "{}", trial.told());
}
