//! A registry that is published to: it keeps intents, takes bytes, turns them into releases that it then
//! serves, and withdraws them. It believes nothing: tokens, keys, states, digests and identities are
//! checked here independently of the proxy. Knobs make it lie, expire and put its uploads elsewhere; what
//! befalls single requests is said to its upstream (`Accident`).

mod release;
mod trust;

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::ops::Deref;
use std::sync::{Arc, Mutex, MutexGuard, Weak};
use std::time::{Duration, SystemTime};

use serde_json::{Value, json};

use super::replay::{Replay, Replays};
use super::{Client, Release, Reply, Seen, Upstream, hex_digest};
use trust::Trust;

/// The registry; it stops when dropped.
pub(crate) struct Publishing {
    upstream: Arc<Upstream>,
    /// Where uploads go.
    uploads: Arc<Upstream>,
    state: Arc<Mutex<State>>,
}

/// Where the registry does not tell the truth about the integrity of what is published from now on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Untrue {
    #[default]
    Nowhere,
    /// In the answer to finalize only.
    Answer,
    /// In that answer and in all it serves afterwards.
    Everywhere,
}

struct State {
    upstream: Weak<Upstream>,
    uploads: String,
    intents: BTreeMap<String, Intent>,
    releases: BTreeMap<(String, String), Release>,
    /// Never to be used again.
    withdrawn: BTreeSet<(String, String)>,
    trust: Trust,
    replays: Replays,
    forbidden: BTreeSet<String>,
    lifetime: i64,
    method: Option<String>,
    untrue: Untrue,
}

/// An upload that was announced.
struct Intent {
    token: String,
    volume: (String, String),
    request: Value,
    signature: String,
    expires: SystemTime,
    bytes: Option<Vec<u8>>,
    done: bool,
    trust: bool,
}

impl Publishing {
    /// May publish.
    pub(crate) const TOKEN: &str = "publishers-token";
    /// May publish, too, as somebody else.
    pub(crate) const OTHER_TOKEN: &str = "another-publishers-token";
    /// What a lying registry says.
    pub(crate) const UNTRUE: &str = "sha256:0000000000000000000000000000000000000000000000000000000000000000";

    /// A registry that takes uploads itself.
    pub(crate) fn start() -> Self {
        let upstream = Arc::new(Upstream::start());
        Self::over(Arc::clone(&upstream), upstream)
    }

    /// A registry that sends uploads to another port.
    pub(crate) fn start_with_uploads_elsewhere() -> Self {
        Self::over(Arc::new(Upstream::start()), Arc::new(Upstream::start()))
    }

    fn over(upstream: Arc<Upstream>, uploads: Arc<Upstream>) -> Self {
        let state = State {
            upstream: Arc::downgrade(&upstream),
            uploads: uploads.url(),
            intents: BTreeMap::new(),
            releases: BTreeMap::new(),
            withdrawn: BTreeSet::new(),
            trust: Trust::default(),
            replays: Replays::default(),
            forbidden: BTreeSet::new(),
            lifetime: 3600,
            method: None,
            untrue: Untrue::Nowhere,
        };
        let state = Arc::new(Mutex::new(state));
        for side in [&uploads, &upstream] {
            let state = Arc::clone(&state);
            side.handle(move |seen| state.lock().unwrap().answer(seen));
        }
        upstream.reply("/api/v1/capabilities", Reply::json(&capabilities()));
        Self { upstream, uploads, state }
    }

    /// The port that uploads go to; the registry itself unless it was started otherwise.
    pub(crate) fn uploads(&self) -> &Upstream {
        &self.uploads
    }

    /// A client of the registry itself.
    pub(crate) fn client(&self) -> Client {
        Client(SocketAddr::from(([127, 0, 0, 1], self.port())))
    }

    /// The bytes that were taken for an upload.
    pub(crate) fn bytes(&self, upload: &str) -> Option<Vec<u8>> {
        self.state().intents.get(upload)?.bytes.clone()
    }

    /// The headers that an upload must be sent with.
    pub(crate) fn signature(&self, upload: &str) -> String {
        self.state().intents[upload].signature.clone()
    }

    /// Whether a release is there to be had.
    pub(crate) fn has(&self, name: &str, version: &str) -> bool {
        self.state().releases.contains_key(&(name.to_owned(), version.to_owned()))
    }

    /// Uploads announced from now on expire after so many seconds, which may be past.
    pub(crate) fn expire_after(&self, seconds: i64) {
        self.state().lifetime = seconds;
    }

    /// Uploads announced so far have expired.
    pub(crate) fn expire_all(&self) {
        self.state().intents.values_mut().for_each(|intent| intent.expires = SystemTime::UNIX_EPOCH);
    }

    /// The method that instructions name from now on; none, and PUT is meant.
    pub(crate) fn instruct(&self, method: Option<&str>) {
        self.state().method = method.map(str::to_owned);
    }

    pub(crate) fn lie(&self, untrue: Untrue) {
        self.state().untrue = untrue;
    }

    /// Knows a token, and allows it nothing.
    pub(crate) fn forbid(&self, token: &str) {
        self.state().forbidden.insert(token.to_owned());
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }
}

impl Deref for Publishing {
    type Target = Upstream;

    fn deref(&self) -> &Upstream {
        &self.upstream
    }
}

/// The words of a route after `/api/v1/volumes`, the volume's name first.
fn route(path: &str) -> Option<Vec<String>> {
    let mut words = path.strip_prefix("/api/v1/volumes/")?.split('/').map(str::to_owned);
    let mut name = words.next()?;
    if name.starts_with('@') {
        name = format!("{name}/{}", words.next()?);
    }
    Some(std::iter::once(name).chain(words).collect())
}

impl State {
    /// The answer to a write; nothing to a read.
    fn answer(&mut self, seen: &Seen) -> Option<Reply> {
        if let Some(upload) = seen.path().strip_prefix("/take/") {
            return Some(self.take(upload, seen));
        }
        if matches!(seen.method.as_str(), "GET" | "HEAD") {
            return None;
        }
        let words = route(seen.path())?;
        let words: Vec<_> = words.iter().map(String::as_str).collect();
        if let Some(refusal) = self.refuse(seen) {
            return Some(refusal);
        }
        let body = seen.json();
        let (header, member) = (seen.header("idempotency-key"), body["idempotencyKey"].as_str());
        if header.is_some() && member.is_some() && header != member {
            return Some(problem(409, "idempotency-conflict"));
        }
        let key = header.or(member);
        match self.replays.look_up(seen, key) {
            Replay::Same(reply) => return Some(reply),
            Replay::Other => return Some(problem(409, "idempotency-conflict")),
            Replay::New => {}
        }
        let reply = match (seen.method.as_str(), words.as_slice()) {
            ("POST", [name]) => self.intend(seen, name, body.clone()),
            ("POST", [_, "uploads", upload, "finalize"]) => self.finalize(seen, upload),
            ("DELETE", [name, version]) => self.withdraw(name, version),
            ("POST", [name, version, "trust", "uploads"]) => {
                self.intend_trust(seen, name, version, body.clone())
            }
            ("POST", [_, _, "trust", "uploads", upload, "finalize"]) => self.finalize(seen, upload),
            _ => Reply::not_found(),
        };
        self.replays.keep(seen, key, &reply);
        Some(reply)
    }

    fn refuse(&self, seen: &Seen) -> Option<Reply> {
        match seen.bearer() {
            Some(token) if self.forbidden.contains(token) => Some(problem(403, "authorization-failed")),
            Some(Publishing::TOKEN | Publishing::OTHER_TOKEN) => None,
            _ => Some(problem(401, "authentication-required")),
        }
    }

    fn intend(&mut self, seen: &Seen, name: &str, body: Value) -> Reply {
        let Some(version) = body["version"].as_str().map(str::to_owned) else {
            return problem(400, "validation-failed");
        };
        if body["mediaType"] != "application/gzip" {
            return problem(415, "unsupported-media-type");
        }
        let volume = (name.to_owned(), version);
        if self.releases.contains_key(&volume) || self.withdrawn.contains(&volume) {
            return problem(409, "version-conflict");
        }
        self.announce(seen, volume, body, false)
    }

    /// Gives an upload a place and says where it is.
    fn announce(&mut self, seen: &Seen, volume: (String, String), request: Value, trust: bool) -> Reply {
        let number = self.intents.len() + 1;
        let (upload, signature) = (format!("up-{number}"), format!("signed-{number}"));
        let moment = Duration::from_secs(self.lifetime.unsigned_abs());
        let now = SystemTime::now();
        let expires = if self.lifetime < 0 { now - moment } else { now + moment };
        let media_type = match trust {
            true => &request["attachment"]["format"]["mediaType"],
            false => &request["mediaType"],
        };
        let mut body = json!({
            "uploadId": upload,
            "target": { "name": volume.0, "version": volume.1 },
            "mediaType": media_type,
            "upload": {
                "instructionType": "http-put",
                "url": format!("{}/take/{upload}?signature={signature}", self.uploads),
                "headers": { "content-type": media_type, "x-upload-signature": signature },
            },
            "expiresAt": humantime::format_rfc3339_seconds(expires).to_string(),
            "state": "pending-upload",
        });
        if let Some(method) = &self.method {
            body["upload"]["method"] = method.as_str().into();
        }
        for member in ["declaredDigest", "declaredSize", "idempotencyKey"] {
            if let Some(declared) = request.get(member) {
                body[member] = declared.clone();
            }
        }
        let token = seen.bearer().unwrap_or_default().to_owned();
        let intent = Intent { token, volume, request, signature, expires, bytes: None, done: false, trust };
        self.intents.insert(upload, intent);
        Reply::answer(201, &body)
    }

    /// Takes the bytes of an upload from whoever knows its signature.
    fn take(&mut self, upload: &str, seen: &Seen) -> Reply {
        let expected = self.method.clone().unwrap_or_else(|| "PUT".to_owned());
        let Some(intent) = self.intents.get_mut(upload) else { return Reply::failure(404) };
        if seen.method != expected {
            return Reply::failure(405);
        }
        if seen.header("x-upload-signature") != Some(&intent.signature) {
            return Reply::failure(403);
        }
        if intent.expires < SystemTime::now() {
            return problem(410, "upload-expired");
        }
        intent.bytes = Some(seen.body.clone());
        Reply::new(200, "text/plain", "")
    }

    fn finalize(&mut self, seen: &Seen, upload: &str) -> Reply {
        let Some(intent) = self.intents.get(upload) else { return Reply::not_found() };
        if seen.bearer() != Some(&intent.token) {
            return problem(403, "authorization-failed");
        }
        if intent.done {
            return problem(409, "invalid-upload-state");
        }
        if intent.expires < SystemTime::now() {
            return problem(410, "upload-expired");
        }
        let Some(bytes) = intent.bytes.clone() else { return problem(400, "missing-uploaded-bytes") };
        let (digest, size) = (&intent.request["declaredDigest"], &intent.request["declaredSize"]);
        let bare = digest.as_str().map(|digest| digest.strip_prefix("sha256:").unwrap_or(digest));
        if bare.is_some_and(|digest| digest != hex_digest(&bytes))
            || size.as_u64().is_some_and(|size| size != bytes.len() as u64)
        {
            return problem(400, "digest-mismatch");
        }
        let reply = match intent.trust {
            true => self.attach(upload, &bytes),
            false => self.publish(upload, &bytes),
        };
        if let Some(intent) = self.intents.get_mut(upload) {
            intent.done = reply.is_success();
        }
        reply
    }
}

/// A problem of the registry's own that a proxy must hand on untouched.
fn problem(status: u16, slug: &str) -> Reply {
    Reply::problem(status, slug, "Refused", &format!("The registry says {slug}."))
}

/// What a registry that takes both kinds of uploads says of itself.
fn capabilities() -> Value {
    json!({
        "schemaVersion": "1",
        "specVersion": "0.1.0-rc.1",
        "apiVersion": "v1",
        "scopePolicy": { "scopesSupported": true, "scopelessSupported": true, "scopesRequired": false },
        "deliveryModes": ["cdn"],
        "apis": {
            "trustMetadata": true, "versionIndex": true, "releaseUploads": true, "trustUploads": true,
            "advisories": false,
        },
        "uploadProfiles": { "releaseUploads": ["http-put"], "trustUploads": ["http-put"] },
    })
}
