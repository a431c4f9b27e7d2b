//! How uploaded bytes become a release that the registry serves, and how it is withdrawn.

use std::io::Read;

use flate2::read::GzDecoder;
use serde_json::{Value, json};

use super::{Publishing, State, Untrue, problem};
use crate::support::tarball::Entry;
use crate::support::{Release, Reply};

impl State {
    pub(super) fn publish(&mut self, upload: &str, bytes: &[u8]) -> Reply {
        let volume = self.intents[upload].volume.clone();
        let Some(entries) = unpack(bytes) else { return problem(400, "invalid-archive") };
        let mut release = Release::new(&volume.0, &volume.1);
        release.entries = entries;
        let Some(upstream) = self.upstream.upgrade() else { return Reply::failure(503) };
        let base = upstream.url();
        let (mut metadata, mut row) = (release.metadata(&base), release.row(&base));
        if self.untrue == Untrue::Everywhere {
            for document in [&mut metadata, &mut row] {
                document["integrity"] = Publishing::UNTRUE.into();
            }
        }
        upstream.reply(&release.source(), Reply::archive(bytes));
        upstream.say(&release, [row], Reply::json(&metadata));
        if self.untrue != Untrue::Nowhere {
            metadata["integrity"] = Publishing::UNTRUE.into();
        }
        let answer = json!({
            "uploadId": upload,
            "release": metadata,
            "detailUrl": base + &release.exact(),
        });
        self.releases.insert(volume, release);
        Reply::answer(201, &answer)
    }

    pub(super) fn withdraw(&mut self, name: &str, version: &str) -> Reply {
        let volume = (name.to_owned(), version.to_owned());
        let Some(upstream) = self.upstream.upgrade() else { return Reply::failure(503) };
        let Some(release) = self.releases.remove(&volume) else { return Reply::not_found() };
        self.withdrawn.insert(volume);
        let release = release.state("tombstoned", "withdrawn by its publisher");
        let mut row = release.row(&upstream.url());
        row.as_object_mut().and_then(|row| row.remove("integrity"));
        upstream.say(&release, [row], Reply::not_found());
        Reply::answer(202, &Value::Object(serde_json::Map::new()))
    }
}

/// The regular files of a `.tar.gz`; nothing where it is none.
fn unpack(bytes: &[u8]) -> Option<Vec<Entry>> {
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
        entries.push(Entry { executable, ..Entry::file(&path, content) });
    }
    (!entries.is_empty()).then_some(entries)
}
