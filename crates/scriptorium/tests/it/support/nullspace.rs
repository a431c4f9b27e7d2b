//! A Nullspace API as its own client knows it: agent deployments with their bundles, and resumable uploads. It computes
//! every digest itself from the bytes that arrived. Faults of single requests are accidents of its server (`Accident`);
//! the targets are predictable.

mod bundle;
mod deployments;
mod uploads;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::ops::Deref;
use std::sync::{Arc, Mutex, MutexGuard};

use bibliotheca::idempotency::{KeyUse, KeyedReplies};
use serde_json::{Value, json};

use super::{Accident, Client, Reply, Seen, Upstream};
pub(crate) use bundle::digest;
pub(crate) use uploads::Part;
use uploads::{Resource, Session};

/// The API. It stops when dropped.
pub(crate) struct Nullspace {
    upstream: Arc<Upstream>,
    state: Arc<Mutex<State>>,
}

struct State {
    deployments: Vec<Value>,
    versions: Vec<Value>,
    /// The bundles that arrived, by version.
    bundles: BTreeMap<String, Vec<u8>>,
    sessions: Vec<Session>,
    part_size: u64,
    replays: KeyedReplies,
}

impl Nullspace {
    pub(crate) const KEY: &str = "ns-key-of-a-client";
    pub(crate) const OTHER_KEY: &str = "ns-key-of-another";
    pub(crate) const SANDBOX: &str = "sb-1";
    /// The part size that it asks for, unless a test changes it.
    pub(crate) const PART: u64 = 256 << 10;

    pub(crate) fn start() -> Self {
        let upstream = Arc::new(Upstream::start());
        let state = State {
            deployments: Vec::new(),
            versions: Vec::new(),
            bundles: BTreeMap::new(),
            sessions: Vec::new(),
            part_size: Self::PART,
            replays: KeyedReplies::default(),
        };
        let state = Arc::new(Mutex::new(state));
        let answering = Arc::clone(&state);
        upstream.handle(move |seen| Some(answering.lock().unwrap().answer(seen)));
        Self { upstream, state }
    }

    /// A client of the API itself.
    pub(crate) fn client(&self) -> Client {
        Client(SocketAddr::from(([127, 0, 0, 1], self.port())))
    }

    /// Sets the part size of uploads that begin from now on.
    pub(crate) fn ask_for_parts_of(&self, bytes: u64) {
        self.state().part_size = bytes;
    }

    /// The route of the bundle of the `version`th version, counted from one.
    pub(crate) fn bundle(&self, version: usize) -> String {
        format!("/v1/agent-deployments/dep-1/versions/ver-{version}/bundle")
    }

    /// The route of the `upload`th upload to the sandbox, counted from one.
    pub(crate) fn upload(&self, upload: usize) -> String {
        format!("/v1/sandboxes/{}/uploads/upl-{upload}", Self::SANDBOX)
    }

    /// The route of one of its parts, counted from zero.
    pub(crate) fn part(&self, upload: usize, part: u64) -> String {
        format!("{}/parts/{part}", self.upload(upload))
    }

    /// The route that completes it.
    pub(crate) fn complete(&self, upload: usize) -> String {
        self.upload(upload) + "/complete"
    }

    /// Accepts the part the next time it arrives, and closes the connection without an answer.
    pub(crate) fn lose_part_answer(&self, upload: usize, part: u64) {
        self.befall("PUT", &self.part(upload, part), Accident::AnswerLost);
    }

    /// Closes the connection after this many bytes of the part.
    pub(crate) fn cut_part(&self, upload: usize, part: u64, after: u64) {
        self.befall("PUT", &self.part(upload, part), Accident::BodyCut(after));
    }

    /// Completes the upload at the next request, and closes the connection without an answer.
    pub(crate) fn lose_complete_answer(&self, upload: usize) {
        self.befall("POST", &self.complete(upload), Accident::AnswerLost);
    }

    /// What arrived of each part of an upload, counted from one.
    pub(crate) fn parts(&self, upload: usize) -> BTreeMap<u64, Part> {
        self.state().sessions.get(upload - 1).map(|session| session.parts.clone()).unwrap_or_default()
    }

    /// The description of an upload.
    pub(crate) fn session(&self, upload: usize) -> Value {
        self.state().sessions[upload - 1].describe()
    }

    /// The bytes of a completed upload.
    pub(crate) fn uploaded(&self, upload: usize) -> Option<Vec<u8>> {
        self.state().sessions.get(upload - 1)?.whole()
    }

    /// The bundle that arrived for a version.
    pub(crate) fn bundle_bytes(&self, version: &str) -> Option<Vec<u8>> {
        self.state().bundles.get(version).cloned()
    }

    /// The description of a version.
    pub(crate) fn version(&self, version: &str) -> Option<Value> {
        self.state().versions.iter().find(|known| known["id"] == version).cloned()
    }

    /// Lets the uploads that began so far expire.
    pub(crate) fn expire_uploads(&self) {
        self.state().sessions.iter_mut().for_each(|session| session.status = "expired");
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }
}

impl Deref for Nullspace {
    type Target = Upstream;

    fn deref(&self) -> &Upstream {
        &self.upstream
    }
}

impl State {
    fn answer(&mut self, seen: &Seen) -> Reply {
        if !matches!(seen.bearer(), Some(Nullspace::KEY | Nullspace::OTHER_KEY)) {
            return refusal(401, "unauthorized", "This key is not known.");
        }
        let key = seen.header("idempotency-key");
        match self.replays.look_up(seen, key) {
            KeyUse::Same(reply) => return reply,
            KeyUse::Other => return refusal(409, "idempotency_conflict", "The key was used otherwise."),
            KeyUse::New => {}
        }
        let reply = self.route(seen);
        self.replays.keep(seen, key, &reply);
        reply
    }

    fn route(&mut self, seen: &Seen) -> Reply {
        let words: Vec<_> = seen.path().trim_start_matches('/').split('/').collect();
        let keyed = seen.header("idempotency-key").is_some();
        match (seen.method.as_str(), words.as_slice()) {
            ("GET", ["v1", "agent-deployments"]) => page(&self.deployments),
            ("POST", ["v1", "agent-deployments", ..] | ["v1", _, _, "uploads"]) if !keyed => keyless(),
            ("PUT", ["v1", "agent-deployments", ..]) if !keyed => keyless(),
            ("POST", ["v1", _, _, "uploads", _, "complete"]) if !keyed => keyless(),
            ("POST", ["v1", "agent-deployments"]) => self.create_deployment(&seen.json()),
            (method, ["v1", "agent-deployments", deployment, rest @ ..]) => {
                self.deployment(method, deployment, rest, seen)
            }
            ("GET", ["v1", "sandboxes", Nullspace::SANDBOX]) => Reply::answer(200, &sandbox()),
            ("POST", ["v1", _, _, "files", "info"]) => self.file(&seen.json()),
            (method, ["v1", kind, id, "uploads", rest @ ..]) => match Resource::of(kind, id) {
                Some(resource) => self.uploads(method, &resource, rest, seen),
                None => unknown(),
            },
            _ => unknown(),
        }
    }
}

/// An error in the API's own form.
fn refusal(status: u16, code: &str, message: &str) -> Reply {
    let error = json!({
        "error": { "message": message, "code": code, "request_id": "req-of-nullspace", "retryable": false },
    });
    Reply::answer(status, &error)
}

fn unknown() -> Reply {
    refusal(404, "not_found", "There is no such thing.")
}

fn keyless() -> Reply {
    refusal(400, "invalid_request", "Idempotency-Key is required.")
}

fn page(items: &[Value]) -> Reply {
    Reply::answer(200, &json!({ "items": items, "next_cursor": null }))
}

fn sandbox() -> Value {
    json!({
        "id": Nullspace::SANDBOX,
        "status": "running",
        "config": { "vcpus": 1, "memory_mb": 512 },
        "template": "base",
        "metadata": {},
    })
}
