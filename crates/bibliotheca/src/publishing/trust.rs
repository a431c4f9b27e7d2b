//! How an upload becomes a trust attachment of a release, and the views that list it.

use serde_json::{Value, json};

use super::{PublishingState, problem};
use crate::release::PublishedArtifact;
use crate::reply::ScriptedReply;
use crate::request::ReceivedRequest;
use crate::server::RegistryServer;

impl PublishingState {
    pub(super) fn announce_trust(
        &mut self,
        request: &ReceivedRequest,
        name: &str,
        version: &str,
        body: Value,
    ) -> ScriptedReply {
        let volume = (name.to_owned(), version.to_owned());
        let Some(release) = self.releases.get(&volume) else { return ScriptedReply::not_found() };
        let subject = &body["subject"];
        if subject["purl"] != release.purl() || subject["integrity"] != release.integrity() {
            return problem(400, "subject-binding-mismatch");
        }
        let known = body["attachment"]["category"].is_string() && body["attachment"]["format"].is_object();
        if !known || !body["declaredDigest"].is_string() {
            return problem(400, "validation-failed");
        }
        self.announce(request, volume, body, true)
    }

    pub(super) fn attach(&mut self, server: &RegistryServer, upload: &str, bytes: &[u8]) -> ScriptedReply {
        let announced = &self.uploads[upload];
        let Some(release) = self.releases.get(&announced.volume) else { return ScriptedReply::not_found() };
        let described = &announced.request["attachment"];
        let category = described["category"].as_str().unwrap_or_default();
        let id = format!("attached-{upload}");
        let artifact = PublishedArtifact::of(&id, category, described["format"].clone(), bytes);
        let attachments = self.attachments.entry(announced.volume.clone()).or_default();
        attachments.push(artifact.attachment(&server.url()));
        server.reply(&artifact.source(), artifact.reply());
        server.reply(&release.trust("detail"), ScriptedReply::json(&release.attested(attachments)));
        server.reply(&release.trust("summary"), ScriptedReply::json(&release.trust_summary()));
        let answer = json!({
            "uploadId": upload,
            "attachmentId": id,
            "subject": announced.request["subject"],
            "status": { "state": "active" },
            "detailUrl": server.url() + &release.trust("detail"),
        });
        ScriptedReply::answer(201, &answer)
    }
}
