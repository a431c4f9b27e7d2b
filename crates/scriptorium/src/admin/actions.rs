//! What an operator does to the running proxy: each action, its answer, and the record of it.
//!
//! Owns the actions, for programs and for pages alike. Must not know how an action was asked for.

use std::sync::Arc;

use http::header::CONTENT_LENGTH;
use http::{HeaderMap, StatusCode};
use serde_json::{Value, json};
use tracing::info;

use super::door::AdminRequest;
use super::request::{Invalid, Invalidate};
use super::token::AdminCaller;
use super::{Admin, MAX_BODY, document};
use crate::audit_record::{AuditAction, AuditEntry};
use crate::domain::problem::{Problem, ProblemKind};
use crate::mirror::{NotStarted, RunKind};
use crate::reload::ReloadError;
use crate::respond::{ErrorResponse, Response, ResponseContext, problem, storage_failed};

/// An action that was done or refused.
pub(super) struct ActionOutcome {
    /// The subject of the action, for the log.
    pub(super) about: String,
    pub(super) done: Result<ActionDone, ErrorResponse>,
}

/// An action that was done.
pub(super) struct ActionDone {
    pub(super) status: StatusCode,
    /// The answer to a program.
    pub(super) says: Value,
    /// The answer to a person, in a sentence.
    pub(super) sentence: String,
}

impl ActionOutcome {
    pub(super) fn ok(about: impl Into<String>, says: Value, sentence: impl Into<String>) -> Self {
        let done = ActionDone { status: StatusCode::OK, says, sentence: sentence.into() };
        Self { about: about.into(), done: Ok(done) }
    }

    pub(super) fn refused(about: impl Into<String>, why: impl Into<ErrorResponse>) -> Self {
        Self { about: about.into(), done: Err(why.into()) }
    }

    fn status(&self) -> u16 {
        match &self.done {
            Ok(done) => done.status.as_u16(),
            Err(why) => why.problem.status,
        }
    }

    /// The answer to a program.
    pub(super) fn response(&self, asked: ResponseContext<'_>) -> Response {
        match &self.done {
            Ok(done) => {
                let mut response = document(&done.says, asked);
                *response.status_mut() = done.status;
                response
            }
            Err(why) => problem(why, asked),
        }
    }

    /// The answer to a person.
    pub(super) fn sentence(&self) -> String {
        let why = match &self.done {
            Ok(done) => return done.sentence.clone(),
            Err(why) => &why.problem,
        };
        let mut sentence = format!("Refused: {}.", why.detail.as_deref().unwrap_or(&why.title));
        for error in why.extra.get("errors").and_then(Value::as_array).into_iter().flatten() {
            let part = |name: &str| error[name].as_str().unwrap_or_default();
            sentence += &format!(" ({}: {}, at {})", part("key"), part("message"), part("place"));
        }
        sentence
    }
}

impl Admin {
    /// Does the `work` of an action, which the log and the audit record have from its begin to its end.
    pub(super) async fn recorded(
        &self,
        action: &'static str,
        caller: &AdminCaller,
        arrival: &AdminRequest<'_>,
        work: impl Future<Output = ActionOutcome>,
    ) -> ActionOutcome {
        let from = arrival.peer.map(|peer| peer.ip());
        let entry = AuditEntry::new(AuditAction::Named(action), &caller.actor(), from);
        let pending = self.audit_record.pending(entry.logged());
        let outcome = work.await;
        let (who, what, status) = (caller.to_string(), &outcome.about, outcome.status());
        let peer = arrival.peer.map(|peer| peer.to_string()).unwrap_or_default();
        info!(target: "scriptorium::admin", action, what, who, peer, status, "an operator acted");
        pending.about(what.clone()).ended(status).await;
        outcome
    }

    pub(super) async fn invalidate(&self, asked: Result<Invalidate, Invalid>) -> ActionOutcome {
        let Invalidate { volumes, version } = match asked {
            Ok(invalidate) => invalidate,
            Err(error) => return ActionOutcome::refused("", invalid(&error)),
        };
        let version = version.as_ref();
        let about = version.map_or_else(|| volumes.to_string(), |version| format!("{volumes}@{version}"));
        match self.documents.invalidate(&volumes, version).await {
            Ok(in_memory) => {
                // The next read asks the registry, so pauses end.
                for upstream in self.documents.live().upstreams.concerned_by(&volumes) {
                    upstream.resume();
                }
                let says = json!({"volumes": volumes, "version": version, "in_memory": in_memory});
                let sentence = format!("The next request for {about} asks the registry.");
                ActionOutcome::ok(about, says, sentence)
            }
            Err(error) => ActionOutcome::refused(about, storage_failed(&error)),
        }
    }

    pub(super) fn resume(&self, name: &str) -> ActionOutcome {
        let live = self.documents.live();
        let Some(upstream) = live.upstreams.named(name) else {
            let detail = "no upstream has this name; `/admin/v1/status` lists them";
            return ActionOutcome::refused(name, Problem::new(ProblemKind::NotFound, detail));
        };
        let resumed = upstream.resume();
        let sentence = match resumed {
            true => format!("{name} is asked again."),
            false => format!("{name} was not paused."),
        };
        ActionOutcome::ok(name, json!({"upstream": upstream.name(), "resumed": resumed}), sentence)
    }

    /// Starts a run of the mirror `name`; it goes on after the answer.
    pub(super) fn run(&self, name: &str, kind: RunKind) -> ActionOutcome {
        match self.mirrors.start(name, kind) {
            Ok(number) => ActionOutcome {
                about: name.to_owned(),
                done: Ok(ActionDone {
                    status: StatusCode::ACCEPTED,
                    says: json!({ "mirror": name, "run": number }),
                    sentence: format!("Run {number} of the mirror {name} begins."),
                }),
            },
            Err(why @ NotStarted::Unknown) => {
                ActionOutcome::refused(name, Problem::new(ProblemKind::NotFound, why.to_string()))
            }
            Err(why @ NotStarted::Running) => {
                ActionOutcome::refused(name, Problem::blank(409, "Conflict", why.to_string()))
            }
        }
    }

    /// Reloads as SIGHUP does.
    pub(super) async fn reload(&self) -> ActionOutcome {
        let reload = Arc::clone(&self.reload);
        match tokio::task::spawn_blocking(move || reload.reload()).await {
            Ok(Ok(report)) => {
                let sentence = report.to_string();
                let says = serde_json::to_value(&report).unwrap_or_default();
                ActionOutcome::ok(
                    sentence.clone(),
                    says,
                    format!("The configuration was read again: {sentence}."),
                )
            }
            Ok(Err(refused)) => ActionOutcome::refused(refused.summary(), not_reloaded(&refused)),
            Err(_) => {
                let detail =
                    "the reload died; the log says why, and a restart puts the configuration in force";
                let why = Problem::blank(500, "Internal Server Error", detail);
                ActionOutcome::refused("it died, nothing is known to be applied", why)
            }
        }
    }
}

/// Refuses a request that announces a body where none is read.
pub(super) fn without_body(headers: &HeaderMap) -> Option<ActionOutcome> {
    (announced(headers) > MAX_BODY as u64).then(|| {
        let detail = format!("send no body; one of more than {MAX_BODY} bytes is not taken");
        ActionOutcome::refused("", Problem::new(ProblemKind::PayloadTooLarge, detail))
    })
}

/// The length of the body that a request announces.
fn announced(headers: &HeaderMap) -> u64 {
    let length = headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok());
    length.and_then(|length| length.parse().ok()).unwrap_or_default()
}

/// The answer to a request that makes no sense.
pub(super) fn invalid(error: &Invalid) -> ErrorResponse {
    Problem::new(ProblemKind::ValidationFailed, error.to_string()).into()
}

/// Every error with its key and place. No value is repeated.
fn not_reloaded(error: &ReloadError) -> Problem {
    match error {
        ReloadError::NothingToReread => Problem::blank(409, "Conflict", error.to_string()),
        ReloadError::Refused(errors) => {
            let detail = "the configuration is refused as a whole and the running one stays; put right what `errors` lists";
            let mut problem = Problem::new(ProblemKind::ValidationFailed, detail);
            let errors = errors.0.iter().map(|error| {
                json!({"key": error.key, "place": error.origin.to_string(), "message": error.message})
            });
            problem.extra.insert("errors".to_owned(), errors.collect());
            problem
        }
    }
}
