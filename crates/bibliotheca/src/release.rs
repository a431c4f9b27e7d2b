//! Releases as a registry publishes them: the documents and the archive of each, from one description.
//!
//! Owns the form of every document about a release. Must not know who answers with them.

use serde_json::{Map, Value, json};

use crate::archive::{TarMember, tar_gz, tree_digest};
use crate::reply::ScriptedReply;
use crate::request::hex_digest;

/// The route of the index of a volume.
pub fn index_path(name: &str) -> String {
    format!("/api/v1/index/volumes/{name}")
}

/// One published version.
#[derive(Clone)]
pub struct PublishedRelease {
    /// `name` or `@scope/name`.
    pub name: String,
    /// Its version.
    pub version: String,
    /// The members of its archive, in the order in which they are packed.
    pub entries: Vec<TarMember>,
    /// The `status` of its documents.
    pub status: Value,
    /// Its `dist`, where that is not the archive on this registry.
    pub dist: Option<Value>,
    /// Further members of its index row.
    pub row_members: Map<String, Value>,
    /// Further members of its exact metadata.
    pub exact_members: Map<String, Value>,
}

impl PublishedRelease {
    /// An available release with a valid manifest, a text and a script.
    pub fn new(name: &str, version: &str) -> Self {
        let guide = format!("# {name}\n\nRead this first, then {version}.\n");
        let entries = vec![
            TarMember::file("docs/guide.md", guide),
            TarMember::script("scripts/run.sh", "#!/bin/sh\necho ok\n"),
            TarMember::file("volume.toml", manifest(name, version)),
        ];
        Self::of(name, version, entries)
    }

    /// An available release with exactly these members.
    pub fn of(name: &str, version: &str, entries: Vec<TarMember>) -> Self {
        Self {
            name: name.to_owned(),
            version: version.to_owned(),
            entries,
            status: json!({ "state": "available" }),
            dist: None,
            row_members: Map::new(),
            exact_members: Map::new(),
        }
    }

    /// The same release with one more member.
    pub fn adding(mut self, entry: TarMember) -> Self {
        self.entries.push(entry);
        self
    }

    /// The same release with another manifest.
    pub fn manifest(mut self, text: &str) -> Self {
        self.entries.retain(|entry| entry.path != "volume.toml");
        self.adding(TarMember::file("volume.toml", text))
    }

    /// The same release in another state.
    pub fn state(mut self, state: &str, reason: &str) -> Self {
        self.status = json!({ "state": state, "reason": reason });
        self
    }

    /// The digest of its tree.
    pub fn integrity(&self) -> String {
        tree_digest(&self.entries)
    }

    /// Its archive.
    pub fn archive(&self) -> Vec<u8> {
        tar_gz(&self.entries)
    }

    /// The route of a trust view, on the proxy and on the registry.
    pub fn trust(&self, view: &str) -> String {
        format!("{}/trust/{view}", self.exact())
    }

    /// The exact route, on the proxy and on the registry.
    pub fn exact(&self) -> String {
        format!("/api/v1/volumes/{}/{}", self.name, self.version)
    }

    /// The index route, on the proxy and on the registry.
    pub fn index(&self) -> String {
        index_path(&self.name)
    }

    /// The archive route of the proxy.
    pub fn download(&self) -> String {
        format!("/archives/{}/{}.tar.gz", self.name, self.version)
    }

    /// The archive route of the registry.
    pub fn source(&self) -> String {
        format!("/cdn/{}/{}.tar.gz", self.name, self.version)
    }

    /// Its logical identity.
    pub fn purl(&self) -> String {
        format!("pkg:volume/{}@{}", self.name.replace('@', "%40"), self.version)
    }

    /// The exact metadata, from a registry at `base`.
    pub fn metadata(&self, base: &str) -> Value {
        let url = base.to_owned() + &self.source();
        let archive = || json!({ "source": "cdn", "mediaType": "application/gzip", "url": url });
        let metadata = json!({
            "name": self.name,
            "version": self.version,
            "purl": self.purl(),
            "integrity": self.integrity(),
            "status": self.status,
            "dist": self.dist.clone().unwrap_or_else(archive),
        });
        extended(metadata, &self.exact_members)
    }

    /// The row of this version in the index, from a registry at `base`.
    pub fn row(&self, base: &str) -> Value {
        let row = json!({
            "version": self.version,
            "status": self.status,
            "release": { "url": base.to_owned() + &self.exact() },
            "integrity": self.integrity(),
        });
        extended(row, &self.row_members)
    }

    /// The trust summary.
    pub fn trust_summary(&self) -> Value {
        json!({
            "subject": self.subject(),
            "artifacts": [],
            "detailAvailable": true,
            "revision": { "revision": "1" },
        })
    }

    /// The trust detail, without attachments.
    pub fn trust_detail(&self) -> Value {
        self.attested(&[])
    }

    /// The trust detail with these attachments.
    pub fn attested(&self, attachments: &[Value]) -> Value {
        json!({
            "subject": self.subject(),
            "revision": { "revision": attachments.len().to_string() },
            "attachments": attachments,
        })
    }

    fn subject(&self) -> Value {
        json!({ "purl": self.purl(), "integrity": self.integrity() })
    }
}

fn extended(mut document: Value, members: &Map<String, Value>) -> Value {
    if let Some(document) = document.as_object_mut() {
        document.extend(members.clone());
    }
    document
}

/// The artifact of a trust attachment.
pub struct PublishedArtifact {
    /// Its bytes.
    pub bytes: Vec<u8>,
    id: String,
    category: String,
    format: Value,
}

impl PublishedArtifact {
    /// An SBOM.
    pub fn new(id: &str, media_type: &str, bytes: impl Into<Vec<u8>>) -> Self {
        let format = json!({ "family": "cyclonedx", "mediaType": media_type });
        Self::of(id, "sbom", format, bytes)
    }

    /// An artifact of this category and format.
    pub fn of(id: &str, category: &str, format: Value, bytes: impl Into<Vec<u8>>) -> Self {
        Self { bytes: bytes.into(), id: id.to_owned(), category: category.to_owned(), format }
    }

    /// The SHA-256 of its bytes, in hex.
    pub fn hex(&self) -> String {
        hex_digest(&self.bytes)
    }

    /// The route of the proxy for it, as an artifact of `release`.
    pub fn download(&self, release: &PublishedRelease) -> String {
        format!("/trust-artifacts/{}/{}/{}", release.name, release.version, self.hex())
    }

    /// The route of the registry for it.
    pub fn source(&self) -> String {
        format!("/cdn/trust/{}", self.id)
    }

    /// The reply of the registry on that route.
    pub fn reply(&self) -> ScriptedReply {
        let media_type = self.format["mediaType"].as_str().unwrap_or("application/octet-stream");
        ScriptedReply::new(200, media_type, self.bytes.clone())
    }

    /// Its attachment in a trust detail, from a registry at `base`.
    pub fn attachment(&self, base: &str) -> Value {
        json!({
            "id": self.id,
            "category": self.category,
            "format": self.format,
            "artifactDigest": format!("sha256:{}", self.hex()),
            "artifactSize": self.bytes.len(),
            "locator": { "url": base.to_owned() + &self.source() },
            "status": { "state": "active" },
        })
    }
}

/// The attachment of an in-toto statement with this content, in this state.
pub fn attachment(id: &str, content: &str, state: &str) -> Value {
    let mut attachment = PublishedArtifact::new(id, "application/vnd.in-toto+json", content).attachment("");
    attachment["status"]["state"] = state.into();
    attachment
}

/// A valid manifest.
pub fn manifest(name: &str, version: &str) -> String {
    format!(
        "[volume]\nschema = 1\nname = \"{name}\"\nversion = \"{version}\"\ndescription = \"A sample\"\n\
         license = \"Apache-2.0\"\nrole = \"library\"\n\n[publisher]\nid = \"acme\"\n\n\
         [[components]]\ntype = \"skill\"\nname = \"guide\"\nentrypoint = \"docs/guide.md\"\n\n\
         [permissions]\nfilesystem = \"read\"\n"
    )
}

/// The capability document of a registry; `uploads` tells whether it accepts releases and trust artifacts.
pub fn capabilities(uploads: bool) -> Value {
    let profiles: &[&str] = if uploads { &["http-put"] } else { &[] };
    json!({
        "schemaVersion": "1",
        "specVersion": "0.1.0-rc.1",
        "apiVersion": "v1",
        "scopePolicy": { "scopesSupported": true, "scopelessSupported": true, "scopesRequired": false },
        "deliveryModes": ["cdn"],
        "apis": {
            "trustMetadata": true, "versionIndex": true, "releaseUploads": uploads, "trustUploads": uploads,
            "advisories": false,
        },
        "uploadProfiles": { "releaseUploads": profiles, "trustUploads": profiles },
    })
}
