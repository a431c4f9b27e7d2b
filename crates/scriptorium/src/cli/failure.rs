//! Why a command ends without its answer, and how that is told.
//!
//! With `--json` standard output gets one object in every outcome, so whoever reads it needs no second way to learn why there is none.
//! Owns that form. Must not know what a command does.

use std::error::Error;
use std::process::ExitCode;

use serde_json::json;

use super::{answer, complain, with_causes};
use crate::config::ConfigErrors;

/// A command that ended without its answer.
#[derive(Debug)]
pub(crate) struct CommandFailure {
    code: u8,
    why: String,
}

impl CommandFailure {
    /// Tells it on standard error, and `as_json` also on standard output.
    pub(crate) fn told(self, as_json: bool) -> ExitCode {
        complain(&self.why);
        if as_json {
            answer(&json(&self.why));
        }
        ExitCode::from(self.code)
    }
}

/// The object of a command that has no answer.
pub(super) fn json(why: &str) -> String {
    format!("{}\n", json!({ "error": why }))
}

/// What was asked for makes no sense here.
pub(crate) fn usage(why: &str) -> CommandFailure {
    CommandFailure { code: 2, why: why.to_owned() }
}

/// The same for several reasons, one a line.
pub(crate) fn usages(reasons: &[impl ToString]) -> CommandFailure {
    usage(&reasons.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))
}

/// The errors of a configuration.
pub(crate) fn refuse(errors: &ConfigErrors) -> CommandFailure {
    usage(&errors.to_string())
}

/// The command failed at run time.
pub(crate) fn failed(why: &str) -> CommandFailure {
    CommandFailure { code: 1, why: why.to_owned() }
}

/// The same, with all causes.
pub(crate) fn fail(failure: &(dyn Error + 'static)) -> CommandFailure {
    failed(&with_causes(failure))
}
