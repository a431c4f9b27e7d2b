//! Whatever bytes come, nothing panics, hangs or answers a wrong byte: the fuzz targets, run for a bounded time.
//!
//! A target is a function of bytes with its seeds and its words; each file here is one. `fuzz/` gives the same
//! functions to `cargo fuzz`, which knows what was covered and runs as long as it is left alone. Here they are driven
//! by a simple mutator, so that every machine with a stable compiler runs them with all other tests:
//!
//! ```text
//! SCRIPTORIUM_FUZZ_CASES=100000 SCRIPTORIUM_FUZZ_SEED=7 cargo test --test fuzz
//! ```

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)]

mod address;
mod archive;
#[path = "../../benches/hit/bibliotheca.rs"]
mod bibliotheca;
mod campaign;
mod config;
mod connection;
mod document;
#[path = "../differential/verdict.rs"]
#[allow(dead_code)]
mod verdict;

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
fn any_gzip() {
    run(archive::fuzz_gzip, &archive::gzips(), archive::WORDS, 2000);
}

#[test]
fn any_tar() {
    run(archive::fuzz_tar, &archive::tars(), archive::WORDS, 2000);
}

#[test]
fn any_pax_record() {
    run(archive::fuzz_pax, &archive::records(), archive::WORDS, 2000);
}

#[test]
fn any_configuration() {
    run(config::fuzz, &config::seeds(), config::WORDS, 1500);
}

#[test]
fn any_forwarded_address() {
    run(address::fuzz, &address::seeds(), address::WORDS, 20_000);
}
