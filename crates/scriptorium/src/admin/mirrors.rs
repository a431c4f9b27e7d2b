//! Mirrors on the admin port: how they stand, and the start of a run.
//!
//! Owns these answers. Must not know what a run does.

use http::StatusCode;
use serde_json::json;

use super::{ActionOutcome, document};
use crate::domain::problem::{Problem, ProblemKind};
use crate::mirror::{Mirrors, NotStarted, RunKind};
use crate::respond::{Response, ResponseContext, problem};

/// How every mirror stands.
pub(super) async fn list(mirrors: &Mirrors, asked: ResponseContext<'_>) -> Response {
    document(&json!({ "mirrors": mirrors.statuses().await }), asked)
}

/// Starts a run of the mirror `name`; it goes on after the answer.
pub(super) fn start(
    mirrors: &Mirrors,
    name: &str,
    kind: RunKind,
    asked: ResponseContext<'_>,
) -> ActionOutcome {
    let response = match mirrors.start(name, kind) {
        Ok(number) => {
            let mut response = document(&json!({ "mirror": name, "run": number }), asked);
            *response.status_mut() = StatusCode::ACCEPTED;
            response
        }
        Err(NotStarted::Unknown) => {
            let detail = NotStarted::Unknown.to_string();
            problem(&Problem::new(ProblemKind::NotFound, detail).into(), asked)
        }
        Err(NotStarted::Running) => {
            problem(&Problem::blank(409, "Conflict", NotStarted::Running.to_string()).into(), asked)
        }
    };
    ActionOutcome { about: name.to_owned(), response }
}
