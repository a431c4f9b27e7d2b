//! Documents and archives of a given size, for measurements.
//!
//! The documents have no entity tag, so that the proxy computes the tag that is measured.

use serde_json::json;
use sha2::{Digest, Sha256};

use crate::archive::{TarMember, gzip_at, tar};
use crate::registry::ScriptedRegistry;
use crate::release::{PublishedRelease, index_path, manifest};
use crate::reply::ScriptedReply;

impl ScriptedRegistry {
    /// Publishes an index of about `size` bytes. The releases in it are not published.
    pub fn publish_index_of_size(&self, name: &str, size: usize) {
        let (mut rows, mut length) = (Vec::new(), 0);
        while length < size {
            let version = format!("1.{}.0", rows.len());
            rows.push(with_dependency(PublishedRelease::of(name, &version, Vec::new())).row(&self.url()));
            length = json!({ "items": rows }).to_string().len();
        }
        self.reply(&index_path(name), ScriptedReply::answer(200, &json!({ "items": rows })));
    }

    /// Publishes a release of about `size` bytes, most of them in one file that does not compress.
    pub fn publish_release_of_size(&self, name: &str, version: &str, size: usize) {
        let noise: Vec<u8> = (0_u64..).flat_map(|at| Sha256::digest(at.to_le_bytes())).take(size).collect();
        let entries = vec![
            TarMember::file("data/noise.bin", noise),
            TarMember::file("docs/guide.md", "# Guide\n"),
            TarMember::file("volume.toml", manifest(name, version)),
        ];
        let archive = gzip_at(1, &tar(&entries));
        let release = with_dependency(PublishedRelease::of(name, version, entries));
        let index = json!({ "items": [release.row(&self.url())] });
        self.reply(&release.index(), ScriptedReply::answer(200, &index));
        self.reply(&release.exact(), ScriptedReply::answer(200, &release.metadata(&self.url())));
        self.reply(&release.source(), ScriptedReply::archive(archive));
    }
}

fn with_dependency(mut release: PublishedRelease) -> PublishedRelease {
    release.row_members.insert("dependencies".to_owned(), json!({ "base-prompts": "^1.2.0" }));
    release
}
