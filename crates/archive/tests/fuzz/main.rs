//! Fuzz targets, run for a bounded time: no input panics or hangs, and every accepted archive has the hashed tree.
//!
//! `fuzz/` gives the same functions to `cargo fuzz`. Here a simple mutator drives them:
//!
//! ```text
//! SCRIPTORIUM_FUZZ_CASES=100000 SCRIPTORIUM_FUZZ_SEED=7 cargo test -p archive --test fuzz
//! ```

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)]

mod campaign;
mod targets;
#[path = "../differential/verdict.rs"]
#[allow(dead_code)]
mod verdict;

use campaign::run;

#[test]
fn any_gzip() {
    run(targets::fuzz_gzip, &targets::gzips(), targets::WORDS, 2000);
}

#[test]
fn any_tar() {
    run(targets::fuzz_tar, &targets::tars(), targets::WORDS, 2000);
}

#[test]
fn any_pax_record() {
    run(targets::fuzz_pax, &targets::records(), targets::WORDS, 2000);
}
