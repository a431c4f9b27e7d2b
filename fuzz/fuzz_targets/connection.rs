//! Any head and any chunked body on a connection.
#![no_main]

#[path = "../../crates/scriptorium/tests/fuzz/connection.rs"]
#[allow(dead_code)]
mod connection;

libfuzzer_sys::fuzz_target!(|data: &[u8]| drop(connection::fuzz(data)));
