//! `config check`: the effective configuration, or every error at once.
//!
//! Owns where each goes: the configuration to standard output, all that is for people to standard error.

use std::path::Path;
use std::process::ExitCode;

use crate::config::Overrides;

pub(super) const EXAMPLES: &str = "\
Examples:
  scriptorium config check --config /etc/scriptorium.toml
  scriptorium config check --config new.toml > effective.toml && diff running.toml effective.toml

The effective configuration goes to standard output, secrets redacted. Every error goes to
standard error at once, each with its place, its key and what was expected; exit code 2.";

pub(super) fn run(file: Option<&Path>) -> ExitCode {
    match super::load(file, Overrides::default()) {
        Ok(loaded) => {
            for note in loaded.notes.iter().chain(&loaded.from_environment) {
                super::complain(&format!("note: {note}"));
            }
            super::answer(&loaded.config.to_toml())
        }
        Err(errors) => super::refuse(&errors).told(false),
    }
}
