//! Releases as a registry publishes them: documents and archive from one description, integrity
//! computed here. Which routes carry them is the upstream's affair.

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::Reply;
use super::tarball::{Entry, tar_gz, tree_digest};

pub(crate) fn index_path(name: &str) -> String {
    format!("/api/v1/index/volumes/{name}")
}

/// One published version.
#[derive(Clone)]
pub(crate) struct Release {
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) entries: Vec<Entry>,
    state: Value,
}

impl Release {
    /// A release with a valid manifest, a text and a script.
    pub(crate) fn new(name: &str, version: &str) -> Self {
        let entries = vec![
            Entry::file("docs/guide.md", format!("# {name}\n\nRead this first, then {version}.\n")),
            Entry::script("scripts/run.sh", "#!/bin/sh\necho ok\n"),
            Entry::file("volume.toml", manifest(name, version)),
        ];
        let state = json!({ "state": "available" });
        Self { name: name.to_owned(), version: version.to_owned(), entries, state }
    }

    pub(crate) fn adding(mut self, entry: Entry) -> Self {
        self.entries.push(entry);
        self
    }

    /// The same release with another manifest.
    pub(crate) fn manifest(mut self, text: &str) -> Self {
        self.entries.retain(|entry| entry.path != "volume.toml");
        self.adding(Entry::file("volume.toml", text))
    }

    pub(crate) fn state(mut self, state: &str, reason: &str) -> Self {
        self.state = json!({ "state": state, "reason": reason });
        self
    }

    pub(crate) fn integrity(&self) -> String {
        tree_digest(&self.entries)
    }

    pub(crate) fn archive(&self) -> Vec<u8> {
        tar_gz(&self.entries)
    }

    /// The route of a trust view, here and upstream.
    pub(crate) fn trust(&self, view: &str) -> String {
        format!("{}/trust/{view}", self.exact())
    }

    /// The exact route, here and upstream.
    pub(crate) fn exact(&self) -> String {
        format!("/api/v1/volumes/{}/{}", self.name, self.version)
    }

    pub(crate) fn index(&self) -> String {
        index_path(&self.name)
    }

    /// Where the proxy serves the archive.
    pub(crate) fn download(&self) -> String {
        format!("/archives/{}/{}.tar.gz", self.name, self.version)
    }

    /// Where the upstream keeps the archive.
    pub(crate) fn source(&self) -> String {
        format!("/cdn/{}/{}.tar.gz", self.name, self.version)
    }

    /// Exact release metadata of a registry that lives at `base`.
    pub(crate) fn metadata(&self, base: &str) -> Value {
        json!({
            "name": self.name,
            "version": self.version,
            "purl": self.purl(),
            "integrity": self.integrity(),
            "status": self.state,
            "dist": { "source": "cdn", "mediaType": "application/gzip", "url": base.to_owned() + &self.source() },
        })
    }

    pub(crate) fn purl(&self) -> String {
        format!("pkg:volume/{}@{}", self.name.replace('@', "%40"), self.version)
    }

    pub(crate) fn trust_summary(&self) -> Value {
        json!({
            "subject": { "purl": self.purl(), "integrity": self.integrity() },
            "artifacts": [],
            "detailAvailable": true,
            "revision": { "revision": "1" },
        })
    }

    pub(crate) fn trust_detail(&self) -> Value {
        self.attested(&[])
    }

    /// Trust detail with these attachments.
    pub(crate) fn attested(&self, attachments: &[Value]) -> Value {
        json!({
            "subject": { "purl": self.purl(), "integrity": self.integrity() },
            "revision": { "revision": attachments.len().to_string() },
            "attachments": attachments,
        })
    }

    /// This version's row of the index.
    pub(crate) fn row(&self, base: &str) -> Value {
        json!({
            "version": self.version,
            "status": self.state,
            "release": { "url": base.to_owned() + &self.exact() },
            "integrity": self.integrity(),
        })
    }
}

/// The bytes of a trust attachment.
pub(crate) struct Artifact {
    pub(crate) bytes: Vec<u8>,
    id: String,
    media_type: String,
}

impl Artifact {
    pub(crate) fn new(id: &str, media_type: &str, bytes: impl Into<Vec<u8>>) -> Self {
        Self { bytes: bytes.into(), id: id.to_owned(), media_type: media_type.to_owned() }
    }

    pub(crate) fn hex(&self) -> String {
        data_encoding::HEXLOWER.encode(&Sha256::digest(&self.bytes))
    }

    /// Where the proxy serves it as an artifact of `release`.
    pub(crate) fn download(&self, release: &Release) -> String {
        format!("/trust-artifacts/{}/{}/{}", release.name, release.version, self.hex())
    }

    /// Where the upstream keeps it.
    pub(crate) fn source(&self) -> String {
        format!("/cdn/trust/{}", self.id)
    }

    pub(crate) fn reply(&self) -> Reply {
        Reply::new(200, &self.media_type, self.bytes.clone())
    }

    /// Its entry in a trust detail of a registry that lives at `base`.
    pub(crate) fn attachment(&self, base: &str) -> Value {
        json!({
            "id": self.id,
            "category": "sbom",
            "format": { "family": "cyclonedx", "mediaType": self.media_type },
            "artifactDigest": format!("sha256:{}", self.hex()),
            "artifactSize": self.bytes.len(),
            "locator": { "url": base.to_owned() + &self.source() },
            "status": { "state": "active" },
        })
    }
}

/// An attachment of a trust detail whose artifact has this content.
pub(crate) fn attachment(id: &str, content: &str, state: &str) -> Value {
    let mut attachment = Artifact::new(id, "application/vnd.in-toto+json", content).attachment("");
    attachment["status"]["state"] = state.into();
    attachment
}

/// A manifest with nothing to object to.
pub(crate) fn manifest(name: &str, version: &str) -> String {
    format!(
        "[volume]\nschema = 1\nname = \"{name}\"\nversion = \"{version}\"\ndescription = \"A sample\"\n\
         license = \"Apache-2.0\"\nrole = \"library\"\n\n[publisher]\nid = \"acme\"\n\n\
         [[components]]\ntype = \"skill\"\nname = \"guide\"\nentrypoint = \"docs/guide.md\"\n\n\
         [permissions]\nfilesystem = \"read\"\n"
    )
}
