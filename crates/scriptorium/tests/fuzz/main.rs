//! The fuzz targets, run for a bounded time: no input causes a panic, a hang or a wrong byte.
//!
//! A target is a function of bytes, with seeds and words. Each file here is one target. `fuzz/` runs the same functions with
//! `cargo fuzz`, which measures coverage and runs without an end. Here a simple mutator runs them, so that every machine with a
//! stable compiler runs them with all other tests. The targets of archives are in the crate `archive`.
//!
//! ```text
//! SCRIPTORIUM_FUZZ_CASES=100000 SCRIPTORIUM_FUZZ_SEED=7 cargo test -p scriptorium --test fuzz
//! ```

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)]

mod address;
#[path = "../../../archive/tests/fuzz/campaign.rs"]
mod campaign;
mod config;
mod connection;
mod document;

use campaign::run;

#[test]
fn any_head_and_any_chunked_body() {
    run(connection::fuzz, &connection::seeds(), connection::WORDS, 1500);
}

#[test]
fn any_route() {
    run(document::fuzz_route, &document::routes(), document::WORDS, 20_000);
}

#[test]
fn any_document() {
    run(document::fuzz, &document::seeds(), document::WORDS, 20_000);
}

#[test]
fn any_configuration() {
    run(config::fuzz, &config::seeds(), config::WORDS, 1500);
}

#[test]
fn any_forwarded_address() {
    run(address::fuzz, &address::seeds(), address::WORDS, 20_000);
}
