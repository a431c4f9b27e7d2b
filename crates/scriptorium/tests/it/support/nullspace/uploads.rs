//! Uploads in parts: a session accepts parts in any order and more than once. Only the checksum of the whole completes
//! it.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{State, refusal, unknown};
use crate::support::{Reply, Seen, hex_digest};

const MOMENT: &str = "2026-01-01T00:00:00Z";
const EXPIRY: &str = "2099-01-01T00:00:00Z";
const MOST_AT_ONCE: u64 = 3;

/// The sandbox or volume that an upload goes to.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Resource {
    volume: bool,
    id: String,
}

impl Resource {
    pub(super) fn of(kind: &str, id: &str) -> Option<Self> {
        let volume = match kind {
            "sandboxes" => false,
            "volumes" => true,
            _ => return None,
        };
        Some(Self { volume, id: id.to_owned() })
    }
}

/// One upload.
pub(super) struct Session {
    id: String,
    resource: Resource,
    request: Value,
    part_size: u64,
    part_count: u64,
    pub(super) status: &'static str,
    pub(super) parts: BTreeMap<u64, Part>,
}

/// A part: the digest of each copy that arrived whole, and the bytes that were kept.
#[derive(Clone, Debug, Default)]
pub(crate) struct Part {
    pub(crate) came: Vec<String>,
    pub(crate) kept: Option<Vec<u8>>,
}

impl Session {
    fn length(&self) -> u64 {
        self.request["content_length"].as_u64().unwrap_or(0)
    }

    fn has(&self, part: u64) -> bool {
        self.parts.get(&part).is_some_and(|part| part.kept.is_some())
    }

    /// The whole, once every part is there.
    pub(super) fn whole(&self) -> Option<Vec<u8>> {
        let parts = (0..self.part_count).map(|part| self.parts.get(&part)?.kept.clone());
        parts.collect::<Option<Vec<_>>>().map(|parts| parts.concat())
    }

    pub(super) fn describe(&self) -> Value {
        let accepted: usize = self.parts.values().filter_map(|part| part.kept.as_ref()).map(Vec::len).sum();
        let quota = if self.resource.volume { "staging_quota_bytes" } else { "sandbox_staging_quota_bytes" };
        let mut session = json!({
            "upload_id": self.id,
            "kind": self.request["kind"],
            "source_kind": self.request["source_kind"],
            "target_path": self.request["target_path"],
            "content_length": self.length(),
            "accepted_bytes": accepted,
            "reserved_staging_bytes": self.length(),
            "part_size": self.part_size,
            "part_count": self.part_count,
            "max_concurrency": MOST_AT_ONCE,
            "status": self.status,
            "next_part": (0..self.part_count).find(|part| !self.has(*part)),
            "conflict": self.request["conflict"],
            "archive_format": self.request["archive_format"],
            "checksum_algorithm": "sha256",
            "whole_checksum_sha256": self.request["whole_checksum_sha256"],
            "limits": {
                "max_upload_bytes": 1u64 << 40,
                "max_part_bytes": self.part_size,
                "max_concurrency": MOST_AT_ONCE,
                (quota): 1u64 << 40,
            },
            "created_at": MOMENT,
            "updated_at": MOMENT,
            "expires_at": EXPIRY,
        });
        if !self.resource.volume {
            session["user"] = self.request.get("user").cloned().unwrap_or(Value::Null);
        }
        session
    }

    fn refuse(&self, status: u16, reason: &str, part: Option<u64>) -> Reply {
        let message = format!("The upload was refused: {reason}.");
        let mut detail = json!({
            "reason": reason, "message": message, "retryable": false, "upload_id": self.id,
        });
        if let Some(part) = part {
            detail["part_number"] = part.into();
        }
        let error = json!({
            "error": { "message": message, "code": "file_upload_error", "error_detail": detail },
        });
        Reply::answer(status, &error)
    }

    /// Why the session accepts nothing more, if it does not.
    fn over(&self) -> Option<Reply> {
        match self.status {
            "expired" => Some(self.refuse(410, "upload_expired", None)),
            "aborted" => Some(self.refuse(409, "upload_aborted", None)),
            "completed" => Some(self.refuse(409, "upload_already_completed", None)),
            _ => None,
        }
    }

    fn take(&mut self, number: u64, seen: &Seen) -> Reply {
        let expected = self.part_size.min(self.length().saturating_sub(number * self.part_size));
        let digest = seen.sha256();
        self.parts.entry(number).or_default().came.push(digest.clone());
        if let Some(refused) = self.over() {
            return refused;
        }
        if number >= self.part_count {
            return self.refuse(400, "part_out_of_range", Some(number));
        }
        if seen.length != expected {
            return self.refuse(400, "part_size_mismatch", Some(number));
        }
        if seen.header("x-nullspace-part-sha256").is_some_and(|claimed| claimed != digest) {
            return self.refuse(400, "invalid_part_checksum", Some(number));
        }
        let part = self.parts.entry(number).or_default();
        if part.kept.as_ref().is_some_and(|kept| *kept != seen.body) {
            return refusal(409, "conflict", "The part is there with other bytes.");
        }
        part.kept = Some(seen.body.clone());
        let whole = (0..self.part_count).all(|part| self.has(part));
        self.status = if whole { "staged" } else { "uploading" };
        Reply::answer(200, &self.describe())
    }

    fn complete(&mut self, seen: &Seen) -> Reply {
        if let Some(refused) = self.over() {
            return refused;
        }
        let Some(whole) = self.whole() else { return self.refuse(409, "missing_parts", None) };
        let said = [&self.request["whole_checksum_sha256"], &seen.json()["whole_checksum_sha256"]]
            .into_iter()
            .any(|said| said.as_str().is_some_and(|said| said != hex_digest(&whole)));
        if said {
            return self.refuse(400, "whole_checksum_mismatch", None);
        }
        self.status = "completed";
        let answer = json!({
            "session": self.describe(), "published_bytes": whole.len(), "published_file_count": 1,
        });
        Reply::answer(200, &answer)
    }
}

impl State {
    pub(super) fn uploads(&mut self, method: &str, to: &Resource, rest: &[&str], seen: &Seen) -> Reply {
        let (id, rest) = match (method, rest) {
            ("POST", []) => return self.begin(to, seen.json()),
            (_, [id, rest @ ..]) => (id, rest),
            _ => return unknown(),
        };
        let found = self.sessions.iter_mut().find(|session| session.id == **id && session.resource == *to);
        let Some(session) = found else { return unknown() };
        match (method, rest) {
            ("GET", []) => Reply::answer(200, &session.describe()),
            ("DELETE", []) => {
                session.status = "aborted";
                Reply::answer(200, &session.describe())
            }
            ("PUT", ["parts", number]) => match number.parse() {
                Ok(number) => session.take(number, seen),
                Err(_) => unknown(),
            },
            ("POST", ["complete"]) => session.complete(seen),
            _ => unknown(),
        }
    }

    fn begin(&mut self, resource: &Resource, request: Value) -> Reply {
        let Some(length) = request["content_length"].as_u64() else {
            return refusal(400, "invalid_request", "content_length is required.");
        };
        let session = Session {
            id: format!("upl-{}", self.sessions.len() + 1),
            resource: resource.clone(),
            request,
            part_size: self.part_size,
            part_count: length.div_ceil(self.part_size),
            status: "created",
            parts: BTreeMap::new(),
        };
        let answer = json!({ "session": session.describe() });
        self.sessions.push(session);
        Reply::answer(200, &answer)
    }

    /// The description of a file that an upload wrote.
    pub(super) fn file(&self, body: &Value) -> Reply {
        let path = &body["path"];
        let done =
            |session: &&Session| session.status == "completed" && session.request["target_path"] == *path;
        let Some(session) = self.sessions.iter().rfind(done) else { return unknown() };
        let name = path.as_str().and_then(|path| path.rsplit('/').next());
        let file = json!({ "name": name, "path": path, "is_dir": false, "size": session.length() });
        Reply::answer(200, &file)
    }
}
