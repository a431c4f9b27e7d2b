//! The sample catalogue of the demo: a read-only registry in which every lifecycle state occurs.
//!
//! Owns how the catalogue becomes releases and routes. Must not know the form of documents; that is `release`.

use serde_json::{Value, json};

use crate::archive::TarMember;
use crate::catalogue::{SampleAttachment, SampleCatalogue, SampleFile, SampleRelease, SampleVolume};
use crate::registry::ScriptedRegistry;
use crate::release::{PublishedArtifact, PublishedRelease, capabilities};
use crate::reply::ScriptedReply;
use crate::repository::SampleRepository;
use crate::request::ReceivedRequest;
use crate::search::{advisories_of, search};

const SAMPLE: &str = include_str!("sample.toml");
/// When the trust metadata of the sample was revised last.
const UPDATED: &str = "2026-06-01T08:00:00Z";

/// Why the sample catalogue cannot be published.
#[derive(Debug, thiserror::Error)]
pub enum SampleError {
    /// The file does not have its form.
    #[error("the embedded sample catalogue is invalid: {0}")]
    Catalogue(#[from] toml::de::Error),
    /// A manifest has no TOML form.
    #[error("a manifest of the sample catalogue cannot be written: {0}")]
    Manifest(#[from] toml::ser::Error),
}

/// Publishes the sample on `registry`, which then answers every read route and refuses writes.
///
/// # Errors
/// When the embedded sample is at fault.
pub fn publish(registry: &ScriptedRegistry) -> Result<(), SampleError> {
    let catalogue: SampleCatalogue = toml::from_str(SAMPLE)?;
    registry.forget_requests();
    registry.reply("/api/v1/capabilities", ScriptedReply::json(&sample_capabilities()));
    for volume in &catalogue.volumes {
        for release in &volume.releases {
            release.publish(volume, registry)?;
        }
    }
    for advisory in &catalogue.advisories {
        let id = advisory["id"]["local"].as_str().unwrap_or_default();
        registry.reply(&format!("/api/v1/advisories/{id}"), ScriptedReply::json(advisory));
    }
    registry.handle(move |request| catalogue.respond(request));
    Ok(())
}

fn sample_capabilities() -> Value {
    let mut document = capabilities(false);
    document["compatibleSpecVersions"] = json!(["0.1.0-rc.1"]);
    document["deliveryModes"] = json!(["cdn", "git"]);
    document["apis"]["advisories"] = true.into();
    document["extensions"] = json!({ "sample-catalogue": { "readOnly": true } });
    document["cache"] = json!({ "maxAgeSeconds": 60, "revalidate": true });
    document
}

impl SampleCatalogue {
    /// The reply to a write, and on the two routes that have parameters.
    fn respond(&self, request: &ReceivedRequest) -> Option<ScriptedReply> {
        if !request.is_read() {
            let refusal = json!({
                "type": "about:blank", "title": "Method Not Allowed", "status": 405,
                "detail": "This registry is read-only: use GET or HEAD.",
            });
            let refusal = ScriptedReply::new(405, "application/problem+json", refusal.to_string());
            return Some(refusal.with("allow", "GET, HEAD"));
        }
        let selected = match request.path() {
            "/api/v1/search" => search(&self.volumes, request.query()),
            "/api/v1/advisories" => advisories_of(&self.advisories, request.query()),
            _ => return None,
        };
        Some(match selected {
            Ok(document) => ScriptedReply::json(&document),
            Err(reason) => ScriptedReply::problem(400, "validation-failed", "Validation failed", &reason),
        })
    }
}

impl SampleRelease {
    fn publish(&self, volume: &SampleVolume, registry: &ScriptedRegistry) -> Result<(), SampleError> {
        let mut release = self.describe(volume)?;
        if self.by_git {
            release.dist = Some(serve_repository(&release, registry));
        }
        let row = release.row(&registry.url());
        if let Some(refusal) = self.refusal() {
            registry.say(&release, [row], refusal);
            return Ok(());
        }
        match release.dist {
            None => registry.publish_with(&release, ScriptedReply::archive(release.archive()).tagged()),
            Some(_) => {
                registry.say(&release, [row], ScriptedReply::json(&release.metadata(&registry.url())));
            }
        }
        self.publish_trust(&release, registry);
        Ok(())
    }

    fn describe(&self, volume: &SampleVolume) -> Result<PublishedRelease, SampleError> {
        let mut files = volume.files.clone();
        let readme = format!("# {}\n\n{}\n\nLicense: {}\n", volume.name, volume.description, volume.license);
        let changes = format!("# Changes\n\n## {}\n\n{}\n", self.version, self.notes);
        let manifest = self.manifest(volume)?;
        for (path, content) in [("README.md", readme), ("CHANGELOG.md", changes), ("volume.toml", manifest)] {
            files.insert(path.to_owned(), SampleFile { executable: false, content });
        }
        let entries = files.into_iter().map(|(path, SampleFile { executable, content })| TarMember {
            executable,
            ..TarMember::file(&path, content)
        });
        let mut release = PublishedRelease::of(&volume.name, &self.version, entries.collect());
        release.status = self.status.clone();
        release.row_members = self.extra.clone();
        release.row_members.insert("dependencies".to_owned(), self.dependencies.clone().into());
        release.exact_members = self.extra.clone();
        if !self.external.is_empty() {
            release.exact_members.insert("externalDependencies".to_owned(), self.external.clone().into());
        }
        Ok(release)
    }

    fn manifest(&self, volume: &SampleVolume) -> Result<String, toml::ser::Error> {
        toml::to_string(&json!({
            "volume": {
                "schema": 1,
                "name": volume.name,
                "version": self.version,
                "description": volume.description,
                "license": volume.license,
                "keywords": volume.keywords,
                "role": volume.role,
                "providers": volume.providers,
            },
            "publisher": { "id": volume.publisher },
            "components": volume.components,
            "dependencies": self.dependencies,
            "external-dependencies": self.external,
            "runtimes": volume.runtimes,
            "permissions": volume.permissions,
        }))
    }

    /// The reply on the exact route of a release that has no metadata to show.
    fn refusal(&self) -> Option<ScriptedReply> {
        let (status, slug) = match self.status["state"].as_str() {
            Some("blocked") => (403, "authorization-failed"),
            Some("unavailable") if self.inconsistent => (409, "inconsistent-registry-state"),
            Some("tombstoned" | "unavailable") => (404, "not-found"),
            _ => return None,
        };
        let reason = self.status["reason"].as_str().unwrap_or_default();
        Some(ScriptedReply::problem(status, slug, "Not served", reason))
    }

    fn publish_trust(&self, release: &PublishedRelease, registry: &ScriptedRegistry) {
        let attachments: Vec<Value> =
            self.trust.iter().map(|attachment| attachment.publish(release, registry)).collect();
        let mut detail = release.attested(&attachments);
        detail["revision"]["updatedAt"] = UPDATED.into();
        let mut summary = release.trust_summary();
        let listed = attachments.iter().map(|attachment| {
            let formats = [&attachment["format"]["family"]];
            json!({ "category": attachment["category"], "formatsPresent": formats, "present": true })
        });
        summary["artifacts"] = listed.collect();
        summary["revision"] = detail["revision"].clone();
        registry.reply(&release.trust("summary"), ScriptedReply::json(&summary));
        registry.reply(&release.trust("detail"), ScriptedReply::json(&detail));
    }
}

/// Serves the files of `release` from a repository on `registry`, and returns its `dist`.
fn serve_repository(release: &PublishedRelease, registry: &ScriptedRegistry) -> Value {
    let repository = SampleRepository::of(&release.entries, &format!("v{}", release.version));
    let (path, commit) = (format!("/git/{}.git", release.name), repository.commit());
    repository.serve(registry, &path);
    json!({ "source": "git", "repository": registry.url() + &path, "ref": commit })
}

impl SampleAttachment {
    /// Serves the artifact where the attachment does not embed it, and returns the attachment.
    fn publish(&self, release: &PublishedRelease, registry: &ScriptedRegistry) -> Value {
        let integrity = release.integrity();
        let digest = integrity.strip_prefix("sha256:").unwrap_or(&integrity);
        let text = self.template.replace("$PURL", &release.purl()).replace("$DIGEST", digest);
        let (category, media_type, member, value) = match self.format.as_str() {
            "cyclonedx" => ("bom", "application/vnd.cyclonedx+json", "version", "1.6"),
            _ => {
                let predicate = "https://slsa.dev/provenance/v1";
                ("provenance", "application/vnd.in-toto+json", "predicateType", predicate)
            }
        };
        let format = json!({ "family": self.format, "mediaType": media_type, member: value });
        let artifact = PublishedArtifact::of(&self.id, category, format, text.clone());
        let mut attachment = artifact.attachment(&registry.url());
        if self.embedded {
            // The protocol leaves the form open: here it is a string whose UTF-8 bytes are the artifact.
            attachment["locator"] = json!({ "embedded": text });
        } else {
            registry.reply(&artifact.source(), artifact.reply().tagged());
        }
        attachment
    }
}
