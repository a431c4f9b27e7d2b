//! Whoever deploys an agent or uploads in parts without the real client, so that each request can be made
//! wrongly: a bundle with its manifest, and the requests that carry it.

use serde_json::{Value, json};
use tar::EntryType;

use super::nullspace::digest;
use super::sending::Upload;
use super::tarball::{Entry, tar};
use super::{Announced, Answer, Client, Nullspace, hex_digest};

/// An agent's project as a bundle holds it.
#[derive(Clone)]
pub(crate) struct Agent(pub(crate) Vec<Entry>);

impl Agent {
    /// Two files, one of them executable, a folder and a link.
    pub(crate) fn new() -> Self {
        Self(vec![
            Entry::special("agent/", EntryType::Directory, ""),
            Entry::file("agent/main.py", "print('hello')\n"),
            Entry::special("agent/same.py", EntryType::Symlink, "main.py"),
            Entry::script("run.sh", "#!/bin/sh\nexec python agent/main.py\n"),
        ])
    }

    /// The manifest that lists it, and one file that was left out.
    pub(crate) fn manifest(&self) -> Value {
        let mut entries: Vec<_> = self.0.iter().map(listed).collect();
        entries.push(json!({
            "path": ".env", "kind": "file", "included": false, "reason": "excluded", "size": 9, "mode": 0o600,
        }));
        json!({
            "config_digest": hex_digest(b"{}"),
            "archive_format": "tar",
            "total_size": self.0.iter().map(|entry| entry.content.len()).sum::<usize>(),
            "file_count": self.0.iter().filter(|entry| entry.kind != EntryType::Directory).count(),
            "entries": entries,
        })
    }

    pub(crate) fn digest(&self) -> String {
        digest(&self.manifest())
    }

    pub(crate) fn tar(&self) -> Vec<u8> {
        tar(&self.0)
    }
}

fn listed(entry: &Entry) -> Value {
    let mut listed = json!({
        "path": entry.path.trim_end_matches('/'),
        "included": true,
        "reason": "included",
        "size": entry.content.len(),
        "mode": if entry.executable { 0o755 } else { 0o644 },
    });
    let (kind, digest) = match entry.kind {
        EntryType::Directory => ("dir", None),
        EntryType::Symlink => ("symlink", Some(hex_digest(entry.target.as_bytes()))),
        _ => ("file", Some(hex_digest(&entry.content))),
    };
    listed["kind"] = kind.into();
    if let Some(digest) = digest {
        listed["digest"] = digest.into();
    }
    if entry.kind == EntryType::Symlink {
        listed["symlink_target"] = entry.target.as_str().into();
    }
    listed
}

/// Somebody with a key for the API.
#[derive(Clone)]
pub(crate) struct Deployer {
    client: Client,
    base: String,
    key: String,
}

impl Deployer {
    /// Reaches the API below `base`, which is empty where it is asked directly.
    pub(crate) fn at(client: Client, base: &str) -> Self {
        Self { client, base: base.to_owned(), key: Nullspace::KEY.to_owned() }
    }

    pub(crate) fn with_key(self, key: &str) -> Self {
        Self { key: key.to_owned(), ..self }
    }

    /// The client and where a target of the API is for it.
    pub(crate) fn reach(&self, target: &str) -> (Client, String) {
        (self.client, format!("{}{target}", self.base))
    }

    /// One request with the key, these headers and this body.
    pub(crate) fn ask(&self, method: &str, target: &str, fields: &[(&str, &str)], body: &[u8]) -> Answer {
        let bearer = format!("Bearer {}", self.key);
        let mut all = vec![("authorization", bearer.as_str())];
        all.extend(fields);
        self.client.send_body(method, &format!("{}{target}", self.base), &all, body)
    }

    /// Sends JSON under an idempotency key.
    pub(crate) fn post(&self, target: &str, idempotency: &str, body: &Value) -> Answer {
        let fields = [("idempotency-key", idempotency), ("content-type", "application/json")];
        self.ask("POST", target, &fields, body.to_string().as_bytes())
    }

    /// Creates a deployment and a version of it for this agent; what the version says of itself.
    pub(crate) fn create(&self, agent: &Agent) -> Value {
        let deployment = json!({ "name": "reviewer", "mode": "job" });
        let deployment = self.post("/v1/agent-deployments", "a deployment", &deployment).json();
        let version = json!({
            "bundle_digest": agent.digest(),
            "bundle_manifest": agent.manifest(),
            "config": { "name": "reviewer", "entrypoint": "./run.sh" },
        });
        let target = format!("/v1/agent-deployments/{}/versions", deployment["id"].as_str().unwrap());
        self.post(&target, "a version", &version).json()
    }

    /// Sends a bundle to where it is taken, with this digest.
    pub(crate) fn send_bundle(&self, target: &str, digest: &str, tar: &[u8]) -> Answer {
        let fields = [
            ("idempotency-key", "a bundle"),
            ("content-type", "application/x-tar"),
            ("x-nullspace-bundle-digest", digest),
        ];
        self.ask("PUT", target, &fields, tar)
    }

    /// Begins to send a bundle by hand to where it is taken, with this digest.
    pub(crate) fn sending_bundle(&self, target: &str, digest: &str, announced: Announced) -> Upload {
        let bearer = format!("Bearer {}", self.key);
        let fields = [
            ("authorization", bearer.as_str()),
            ("idempotency-key", "a bundle"),
            ("content-type", "application/x-tar"),
            ("x-nullspace-bundle-digest", digest),
        ];
        let (client, target) = self.reach(target);
        client.upload("PUT", &target, &fields, announced).unwrap()
    }

    /// Begins an upload of so many bytes to the sandbox; the session.
    pub(crate) fn begin(&self, length: u64, idempotency: &str) -> Value {
        let body = json!({
            "kind": "file", "source_kind": "restartable_file", "target_path": "/workspace/data.bin",
            "content_length": length, "conflict": "merge", "archive_format": null,
            "checksum_algorithm": "sha256", "whole_checksum_sha256": null, "metadata": {},
        });
        let target = format!("/v1/sandboxes/{}/uploads", Nullspace::SANDBOX);
        self.post(&target, idempotency, &body).ok().json()["session"].clone()
    }

    /// Sends a part with its digest.
    pub(crate) fn send_part(&self, target: &str, bytes: &[u8]) -> Answer {
        self.send_part_as(target, &hex_digest(bytes), bytes)
    }

    pub(crate) fn send_part_as(&self, target: &str, digest: &str, bytes: &[u8]) -> Answer {
        let fields = [("content-type", "application/octet-stream"), ("x-nullspace-part-sha256", digest)];
        self.ask("PUT", target, &fields, bytes)
    }

    /// Completes an upload by the checksum of the whole.
    pub(crate) fn complete(&self, target: &str, idempotency: &str, checksum: &str) -> Answer {
        self.post(target, idempotency, &json!({ "whole_checksum_sha256": checksum }))
    }
}
