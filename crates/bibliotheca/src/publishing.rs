//! A registry that accepts uploads: it announces them, takes their bytes, publishes the releases and withdraws them.
//!
//! Owns the write routes. It checks tokens, keys, states, digests and identities itself, independently of the proxy.
//! A test can make it lie, expire uploads, or accept them on another port. Faults of single requests are accidents of
//! its [`RegistryServer`].

mod release;
mod trust;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Deref;
use std::sync::{Arc, Weak};
use std::time::{Duration, SystemTime};

use parking_lot::{Mutex, MutexGuard};
use serde_json::{Value, json};

use crate::idempotency::{KeyUse, KeyedReplies};
use crate::release::{PublishedRelease, capabilities};
use crate::reply::ScriptedReply;
use crate::request::{ReceivedRequest, hex_digest};
use crate::server::RegistryServer;

/// The registry. It stops when dropped.
pub struct PublishingRegistry {
    server: Arc<RegistryServer>,
    /// Accepts the bytes of uploads.
    uploads: Arc<RegistryServer>,
    state: Arc<Mutex<PublishingState>>,
}

/// Where the registry names a false integrity of the releases that are published from now on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FalseIntegrity {
    /// It tells the truth.
    #[default]
    Nowhere,
    /// In the answer to finalize only.
    Answer,
    /// In that answer and in every document afterwards.
    Everywhere,
}

/// Name and version of a release.
type VersionKey = (String, String);

struct PublishingState {
    server: Weak<RegistryServer>,
    uploads_url: String,
    uploads: BTreeMap<String, AnnouncedUpload>,
    releases: BTreeMap<VersionKey, PublishedRelease>,
    /// Versions that must never be used again.
    withdrawn: BTreeSet<VersionKey>,
    /// The attachments of each release, in the order of their arrival.
    attachments: BTreeMap<VersionKey, Vec<Value>>,
    replies: KeyedReplies,
    forbidden: BTreeSet<String>,
    lifetime: i64,
    method: Option<String>,
    false_integrity: FalseIntegrity,
}

/// An upload that was announced.
struct AnnouncedUpload {
    token: String,
    volume: VersionKey,
    request: Value,
    signature: String,
    expires: SystemTime,
    bytes: Option<Vec<u8>>,
    is_done: bool,
    is_trust: bool,
}

impl PublishingRegistry {
    /// A token that may publish.
    pub const TOKEN: &str = "publishers-token";
    /// The token of another publisher.
    pub const OTHER_TOKEN: &str = "another-publishers-token";
    /// The integrity that a lying registry names.
    pub const UNTRUE: &str = "sha256:0000000000000000000000000000000000000000000000000000000000000000";

    /// A registry that accepts uploads itself.
    pub fn start() -> Self {
        let server = Arc::new(RegistryServer::start());
        Self::over(Arc::clone(&server), server)
    }

    /// A registry that accepts uploads on another port.
    pub fn start_with_uploads_elsewhere() -> Self {
        Self::over(Arc::new(RegistryServer::start()), Arc::new(RegistryServer::start()))
    }

    fn over(server: Arc<RegistryServer>, uploads: Arc<RegistryServer>) -> Self {
        let state = PublishingState {
            server: Arc::downgrade(&server),
            uploads_url: uploads.url(),
            uploads: BTreeMap::new(),
            releases: BTreeMap::new(),
            withdrawn: BTreeSet::new(),
            attachments: BTreeMap::new(),
            replies: KeyedReplies::default(),
            forbidden: BTreeSet::new(),
            lifetime: 3600,
            method: None,
            false_integrity: FalseIntegrity::Nowhere,
        };
        let state = Arc::new(Mutex::new(state));
        for side in [&uploads, &server] {
            let state = Arc::clone(&state);
            side.handle(move |request| state.lock().respond(request));
        }
        server.reply("/api/v1/capabilities", ScriptedReply::json(&capabilities(true)));
        Self { server, uploads, state }
    }

    /// The server that accepts the bytes of uploads.
    pub fn uploads(&self) -> &RegistryServer {
        &self.uploads
    }

    /// The bytes that arrived for an upload.
    pub fn bytes(&self, upload: &str) -> Option<Vec<u8>> {
        self.state().uploads.get(upload)?.bytes.clone()
    }

    /// The signature that the bytes of an upload must be sent with.
    pub fn signature(&self, upload: &str) -> String {
        self.state().uploads.get(upload).map(|upload| upload.signature.clone()).unwrap_or_default()
    }

    /// Whether a release is published.
    pub fn has(&self, name: &str, version: &str) -> bool {
        self.state().releases.contains_key(&(name.to_owned(), version.to_owned()))
    }

    /// Uploads that are announced from now on expire after this many seconds; a negative number is in the past.
    pub fn expire_after(&self, seconds: i64) {
        self.state().lifetime = seconds;
    }

    /// Lets the uploads announced so far expire.
    pub fn expire_all(&self) {
        self.state().uploads.values_mut().for_each(|upload| upload.expires = SystemTime::UNIX_EPOCH);
    }

    /// The method that instructions name from now on; without one, PUT is expected.
    pub fn instruct(&self, method: Option<&str>) {
        self.state().method = method.map(str::to_owned);
    }

    /// Where the registry lies from now on.
    pub fn lie(&self, false_integrity: FalseIntegrity) {
        self.state().false_integrity = false_integrity;
    }

    /// Makes a token one that is valid and may do nothing.
    pub fn forbid(&self, token: &str) {
        self.state().forbidden.insert(token.to_owned());
    }

    fn state(&self) -> MutexGuard<'_, PublishingState> {
        self.state.lock()
    }
}

impl Deref for PublishingRegistry {
    type Target = RegistryServer;

    fn deref(&self) -> &RegistryServer {
        &self.server
    }
}

/// The words of a route after `/api/v1/volumes`, the name of the volume first.
fn route(path: &str) -> Option<Vec<String>> {
    let mut words = path.strip_prefix("/api/v1/volumes/")?.split('/').map(str::to_owned);
    let mut name = words.next()?;
    if name.starts_with('@') {
        name = format!("{name}/{}", words.next()?);
    }
    Some(std::iter::once(name).chain(words).collect())
}

impl PublishingState {
    /// The reply to a write; none to a read.
    fn respond(&mut self, request: &ReceivedRequest) -> Option<ScriptedReply> {
        if let Some(upload) = request.path().strip_prefix("/take/") {
            return Some(self.take(upload, request));
        }
        if request.is_read() {
            return None;
        }
        let words = route(request.path())?;
        if let Some(refusal) = self.refuse(request) {
            return Some(refusal);
        }
        let body = request.json();
        let (header, member) = (request.header("idempotency-key"), body["idempotencyKey"].as_str());
        if header.is_some() && member.is_some() && header != member {
            return Some(problem(409, "idempotency-conflict"));
        }
        let key = header.or(member);
        match self.replies.look_up(request, key) {
            KeyUse::Same(reply) => return Some(reply),
            KeyUse::Other => return Some(problem(409, "idempotency-conflict")),
            KeyUse::New => {}
        }
        let words: Vec<_> = words.iter().map(String::as_str).collect();
        let reply = match (request.method.as_str(), words.as_slice()) {
            ("POST", [name]) => self.announce_release(request, name, body.clone()),
            ("POST", [_, "uploads", upload, "finalize"]) => self.finalize(request, upload),
            ("DELETE", [name, version]) => self.withdraw(name, version),
            ("POST", [name, version, "trust", "uploads"]) => {
                self.announce_trust(request, name, version, body.clone())
            }
            ("POST", [_, _, "trust", "uploads", upload, "finalize"]) => self.finalize(request, upload),
            _ => ScriptedReply::not_found(),
        };
        self.replies.keep(request, key, &reply);
        Some(reply)
    }

    fn refuse(&self, request: &ReceivedRequest) -> Option<ScriptedReply> {
        match request.bearer() {
            Some(token) if self.forbidden.contains(token) => Some(problem(403, "authorization-failed")),
            Some(PublishingRegistry::TOKEN | PublishingRegistry::OTHER_TOKEN) => None,
            _ => Some(problem(401, "authentication-required")),
        }
    }

    /// Gives an upload an address and replies with it.
    fn announce(
        &mut self,
        request: &ReceivedRequest,
        volume: VersionKey,
        body: Value,
        is_trust: bool,
    ) -> ScriptedReply {
        let number = self.uploads.len() + 1;
        let (upload, signature) = (format!("up-{number}"), format!("signed-{number}"));
        let (now, lifetime) = (SystemTime::now(), Duration::from_secs(self.lifetime.unsigned_abs()));
        let expires = if self.lifetime < 0 { now - lifetime } else { now + lifetime };
        let media_type =
            if is_trust { &body["attachment"]["format"]["mediaType"] } else { &body["mediaType"] };
        let mut answer = json!({
            "uploadId": upload,
            "target": { "name": volume.0, "version": volume.1 },
            "mediaType": media_type,
            "upload": {
                "instructionType": "http-put",
                "url": format!("{}/take/{upload}?signature={signature}", self.uploads_url),
                "headers": { "content-type": media_type, "x-upload-signature": signature },
            },
            "expiresAt": humantime::format_rfc3339_seconds(expires).to_string(),
            "state": "pending-upload",
        });
        if let Some(method) = &self.method {
            answer["upload"]["method"] = method.as_str().into();
        }
        for member in ["declaredDigest", "declaredSize", "idempotencyKey"] {
            if let Some(declared) = body.get(member) {
                answer[member] = declared.clone();
            }
        }
        let token = request.bearer().unwrap_or_default().to_owned();
        let announced = AnnouncedUpload {
            token,
            volume,
            request: body,
            signature,
            expires,
            bytes: None,
            is_done: false,
            is_trust,
        };
        self.uploads.insert(upload, announced);
        ScriptedReply::answer(201, &answer)
    }

    /// Takes the bytes of an upload from any client that knows its signature.
    fn take(&mut self, upload: &str, request: &ReceivedRequest) -> ScriptedReply {
        let expected = self.method.clone().unwrap_or_else(|| "PUT".to_owned());
        let Some(announced) = self.uploads.get_mut(upload) else { return ScriptedReply::failure(404) };
        if request.method != expected {
            return ScriptedReply::failure(405);
        }
        if request.header("x-upload-signature") != Some(&announced.signature) {
            return ScriptedReply::failure(403);
        }
        if announced.expires < SystemTime::now() {
            return problem(410, "upload-expired");
        }
        announced.bytes = Some(request.body.clone());
        ScriptedReply::new(200, "text/plain", "")
    }

    fn finalize(&mut self, request: &ReceivedRequest, upload: &str) -> ScriptedReply {
        let Some(announced) = self.uploads.get(upload) else { return ScriptedReply::not_found() };
        if request.bearer() != Some(&announced.token) {
            return problem(403, "authorization-failed");
        }
        if announced.is_done {
            return problem(409, "invalid-upload-state");
        }
        if announced.expires < SystemTime::now() {
            return problem(410, "upload-expired");
        }
        let Some(bytes) = announced.bytes.clone() else { return problem(400, "missing-uploaded-bytes") };
        let (digest, size) = (&announced.request["declaredDigest"], &announced.request["declaredSize"]);
        let bare = digest.as_str().map(|digest| digest.strip_prefix("sha256:").unwrap_or(digest));
        if bare.is_some_and(|digest| digest != hex_digest(&bytes))
            || size.as_u64().is_some_and(|size| size != bytes.len() as u64)
        {
            return problem(400, "digest-mismatch");
        }
        let Some(server) = self.server.upgrade() else { return ScriptedReply::failure(503) };
        let reply = match announced.is_trust {
            true => self.attach(&server, upload, &bytes),
            false => self.publish(&server, upload, &bytes),
        };
        if let Some(announced) = self.uploads.get_mut(upload) {
            announced.is_done = reply.is_success();
        }
        reply
    }
}

/// A problem of the registry that a proxy must pass on unchanged.
fn problem(status: u16, slug: &str) -> ScriptedReply {
    ScriptedReply::problem(status, slug, "Refused", &format!("The registry says {slug}."))
}
