//! Any archive, from its gzip inwards.
#![no_main]

#[path = "../../crates/archive/tests/differential/verdict.rs"]
#[allow(dead_code)]
mod verdict;
#[path = "../../crates/archive/tests/fuzz/targets.rs"]
#[allow(dead_code)]
mod targets;

libfuzzer_sys::fuzz_target!(|data: &[u8]| drop(targets::fuzz_gzip(data)));
