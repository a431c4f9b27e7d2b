//! Any configuration file.
#![no_main]

#[path = "../../crates/scriptorium/tests/fuzz/config.rs"]
#[allow(dead_code)]
mod config;

libfuzzer_sys::fuzz_target!(|data: &[u8]| drop(config::fuzz(data)));
