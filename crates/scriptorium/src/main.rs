//! The `scriptorium` program.

use std::process::ExitCode;

fn main() -> ExitCode {
    scriptorium::cli::run()
}
