//! The `scriptorium` program.

use std::process::ExitCode;

use tikv_jemallocator::Jemalloc;

/// Returns what it no longer needs to the system, where glibc keeps what long documents and imports took.
#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;

fn main() -> ExitCode {
    scriptorium::cli::run()
}
