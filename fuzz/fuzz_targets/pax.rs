//! Any pax record.
#![no_main]

#[path = "../../tests/differential/verdict.rs"]
#[allow(dead_code)]
mod verdict;
#[path = "../../tests/fuzz/archive.rs"]
#[allow(dead_code)]
mod archive;

libfuzzer_sys::fuzz_target!(|data: &[u8]| drop(archive::fuzz_pax(data)));
