//! Any route.
#![no_main]

#[path = "../../crates/scriptorium/tests/fuzz/document.rs"]
#[allow(dead_code)]
mod document;

libfuzzer_sys::fuzz_target!(|data: &[u8]| drop(document::fuzz_route(data)));
