//! Any header that says where a request came from.
#![no_main]

#[path = "../../crates/scriptorium/tests/fuzz/address.rs"]
#[allow(dead_code)]
mod address;

libfuzzer_sys::fuzz_target!(|data: &[u8]| drop(address::fuzz(data)));
