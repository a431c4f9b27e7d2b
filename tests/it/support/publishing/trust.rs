//! How uploaded bytes become an attachment of a release, and the views that list it.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{State, problem};
use crate::support::{Reply, Seen, hex_digest};

/// The attachments of each release, in the order they came.
#[derive(Default)]
pub(super) struct Trust(BTreeMap<(String, String), Vec<Value>>);

impl State {
    pub(super) fn intend_trust(&mut self, seen: &Seen, name: &str, version: &str, body: Value) -> Reply {
        let volume = (name.to_owned(), version.to_owned());
        let Some(release) = self.releases.get(&volume) else { return Reply::not_found() };
        let subject = &body["subject"];
        if subject["purl"] != release.purl() || subject["integrity"] != release.integrity() {
            return problem(400, "subject-binding-mismatch");
        }
        let known = body["attachment"]["category"].is_string() && body["attachment"]["format"].is_object();
        if !known || !body["declaredDigest"].is_string() {
            return problem(400, "validation-failed");
        }
        self.announce(seen, volume, body, true)
    }

    pub(super) fn attach(&mut self, upload: &str, bytes: &[u8]) -> Reply {
        let intent = &self.intents[upload];
        let Some(release) = self.releases.get(&intent.volume) else { return Reply::not_found() };
        let Some(upstream) = self.upstream.upgrade() else { return Reply::failure(503) };
        let described = &intent.request["attachment"];
        let (id, source) = (format!("attached-{upload}"), format!("/cdn/trust/attached-{upload}"));
        let media_type = described["format"]["mediaType"].as_str().unwrap_or("application/octet-stream");
        let attachments = self.trust.0.entry(intent.volume.clone()).or_default();
        attachments.push(json!({
            "id": id,
            "category": described["category"],
            "format": described["format"],
            "artifactDigest": format!("sha256:{}", hex_digest(bytes)),
            "artifactSize": bytes.len(),
            "locator": { "url": upstream.url() + &source },
            "status": { "state": "active" },
        }));
        upstream.reply(&source, Reply::new(200, media_type, bytes));
        upstream.reply(&release.trust("detail"), Reply::json(&release.attested(attachments)));
        upstream.reply(&release.trust("summary"), Reply::json(&release.trust_summary()));
        let answer = json!({
            "uploadId": upload,
            "attachmentId": id,
            "subject": intent.request["subject"],
            "status": { "state": "active" },
            "detailUrl": upstream.url() + &release.trust("detail"),
        });
        Reply::answer(201, &answer)
    }
}
