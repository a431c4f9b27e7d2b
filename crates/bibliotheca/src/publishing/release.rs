//! How an upload is announced, becomes a release that the registry serves, and is withdrawn.

use std::io::Read;

use flate2::read::GzDecoder;
use serde_json::{Value, json};

use super::{FalseIntegrity, PublishingRegistry, PublishingState, problem};
use crate::archive::TarMember;
use crate::release::PublishedRelease;
use crate::reply::ScriptedReply;
use crate::request::ReceivedRequest;
use crate::server::RegistryServer;

impl PublishingState {
    pub(super) fn announce_release(
        &mut self,
        request: &ReceivedRequest,
        name: &str,
        body: Value,
    ) -> ScriptedReply {
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
        self.announce(request, volume, body, false)
    }

    pub(super) fn publish(&mut self, server: &RegistryServer, upload: &str, bytes: &[u8]) -> ScriptedReply {
        let volume = self.uploads[upload].volume.clone();
        let Some(entries) = unpack(bytes) else { return problem(400, "invalid-archive") };
        let release = PublishedRelease::of(&volume.0, &volume.1, entries);
        let base = server.url();
        let (mut metadata, mut row) = (release.metadata(&base), release.row(&base));
        if self.false_integrity == FalseIntegrity::Everywhere {
            for document in [&mut metadata, &mut row] {
                document["integrity"] = PublishingRegistry::UNTRUE.into();
            }
        }
        server.reply(&release.source(), ScriptedReply::archive(bytes));
        server.say(&release, [row], ScriptedReply::json(&metadata));
        if self.false_integrity != FalseIntegrity::Nowhere {
            metadata["integrity"] = PublishingRegistry::UNTRUE.into();
        }
        let answer = json!({
            "uploadId": upload,
            "release": metadata,
            "detailUrl": base + &release.exact(),
        });
        self.releases.insert(volume, release);
        ScriptedReply::answer(201, &answer)
    }

    pub(super) fn withdraw(&mut self, name: &str, version: &str) -> ScriptedReply {
        let volume = (name.to_owned(), version.to_owned());
        let Some(server) = self.server.upgrade() else { return ScriptedReply::failure(503) };
        let Some(release) = self.releases.remove(&volume) else { return ScriptedReply::not_found() };
        self.withdrawn.insert(volume);
        let release = release.state("tombstoned", "withdrawn by its publisher");
        let mut row = release.row(&server.url());
        row.as_object_mut().and_then(|row| row.remove("integrity"));
        server.say(&release, [row], ScriptedReply::not_found());
        ScriptedReply::answer(202, &json!({}))
    }
}

/// The regular files of a `.tar.gz`; `None` where the bytes are no such archive.
fn unpack(bytes: &[u8]) -> Option<Vec<TarMember>> {
    let mut archive = tar::Archive::new(GzDecoder::new(bytes));
    let mut entries = Vec::new();
    for entry in archive.entries().ok()? {
        let mut entry = entry.ok()?;
        if !entry.header().entry_type().is_file() {
            continue;
        }
        let path = String::from_utf8(entry.path_bytes().into_owned()).ok()?;
        let executable = entry.header().mode().ok()? & 0o111 != 0;
        let mut content = Vec::new();
        entry.read_to_end(&mut content).ok()?;
        entries.push(TarMember { executable, ..TarMember::file(&path, content) });
    }
    (!entries.is_empty()).then_some(entries)
}
