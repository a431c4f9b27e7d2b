//! Every document of the read protocol, prepared once for one base URL.
//!
//! Owns the routes and the shape of what they answer. Must not know sockets.

use std::collections::HashMap;
use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::answer::Answer;
use super::catalogue::Release;
use super::query;
use super::sample::ReleaseSpec;
use super::{Catalogue, trust};
use crate::domain::lifecycle::{State, Status};
use crate::domain::problem::Kind;
use crate::domain::{Problem, percent};

/// Answers by decoded path, beside the two that depend on the query.
pub(super) struct Shelf {
    answers: HashMap<String, Answer>,
    catalogue: Arc<Catalogue>,
}

impl Shelf {
    /// Prepares everything; links start with `base`, which has no trailing slash.
    pub(super) fn new(catalogue: Arc<Catalogue>, base: &str) -> Self {
        let mut answers = HashMap::from([("/api/v1/capabilities".into(), Answer::document(&capabilities()))]);
        for advisory in &catalogue.advisories {
            if let Some(id) = advisory["id"]["local"].as_str() {
                answers.insert(format!("/api/v1/advisories/{id}"), Answer::document(advisory));
            }
        }
        for volume in &catalogue.volumes {
            let rows: Vec<Value> = volume.releases.iter().map(|release| row(base, release)).collect();
            let path = format!("/api/v1/index/volumes/{}", volume.spec.name);
            answers.insert(path, Answer::document(&json!({"items": rows})));
            answers.extend(volume.releases.iter().flat_map(|release| exact_routes(base, release)));
        }
        Self { answers, catalogue }
    }

    /// What a GET of `path` with `query` answers.
    pub(super) fn answer(&self, path: &str, query: &str) -> Answer {
        let selected = match decode(path).as_deref() {
            Some("/api/v1/search") => query::search(&self.catalogue.volumes, query),
            Some("/api/v1/advisories") => query::advisories(&self.catalogue.advisories, query),
            decoded => {
                let prepared = decoded.and_then(|decoded| self.answers.get(decoded)).cloned();
                return prepared.unwrap_or_else(|| Answer::problem(&unknown(), path));
            }
        };
        match selected {
            Ok(document) => Answer::document(&document),
            Err(error) => Answer::problem(&Problem::new(Kind::ValidationFailed, error.to_string()), path),
        }
    }
}

fn unknown() -> Problem {
    Problem::new(Kind::NotFound, "Nothing is published here; check the name and the version.")
}

/// Decodes segment by segment, so that an encoded slash never becomes a separator.
fn decode(path: &str) -> Option<String> {
    let segments = path.split('/').map(|segment| percent::decode(segment).filter(|text| !text.contains('/')));
    Some(segments.collect::<Option<Vec<_>>>()?.join("/"))
}

fn capabilities() -> Value {
    json!({
        "schemaVersion": "1",
        "specVersion": "0.1.0-rc.1",
        "compatibleSpecVersions": ["0.1.0-rc.1"],
        "apiVersion": "v1",
        "scopePolicy": {"scopesSupported": true, "scopelessSupported": true, "scopesRequired": false},
        "deliveryModes": ["cdn", "git"],
        "apis": {
            "trustMetadata": true,
            "versionIndex": true,
            "releaseUploads": false,
            "trustUploads": false,
            "advisories": true,
        },
        "uploadProfiles": {"releaseUploads": [], "trustUploads": []},
        "extensions": {"sample-catalogue": {"readOnly": true}},
        "cache": {"maxAgeSeconds": 60, "revalidate": true},
    })
}

fn row(base: &str, release: &Release) -> Value {
    let spec = &release.spec;
    let row = json!({
        "version": spec.version,
        "status": status(&spec.status),
        "integrity": release.integrity,
        "dependencies": spec.dependencies,
        "release": {"url": format!("{base}{}", exact_path(release))},
    });
    extended(row, &spec.extra)
}

fn exact_path(release: &Release) -> String {
    format!("/api/v1/volumes/{}/{}", release.purl.name, release.purl.version)
}

/// The exact route of a release and all that hangs off it; a refused release has nothing but its refusal.
fn exact_routes(base: &str, release: &Release) -> Vec<(String, Answer)> {
    let path = exact_path(release);
    if let Some(problem) = refusal(&release.spec) {
        return vec![(path.clone(), Answer::problem(&problem, &path))];
    }
    let mut routes = vec![
        (format!("{path}/trust/summary"), trust::summary(release)),
        (format!("{path}/trust/detail"), trust::detail(base, release)),
        (path, Answer::document(&exact(base, release))),
    ];
    if release.spec.git.is_none() {
        routes.push((archive_path(release), Answer::bytes("application/gzip", release.archive.clone())));
    }
    routes.extend(trust::artifacts(release));
    routes
}

/// What the exact route of a release answers when it has no metadata to show.
fn refusal(spec: &ReleaseSpec) -> Option<Problem> {
    let kind = match spec.status.state {
        State::Available | State::Yanked => return None,
        State::Blocked => Kind::AuthorizationFailed,
        State::Unavailable if spec.inconsistent => Kind::InconsistentRegistryState,
        State::Tombstoned | State::Unavailable => Kind::NotFound,
    };
    Some(Problem::new(kind, spec.status.reason.clone().unwrap_or_default()))
}

fn status(status: &Status) -> Value {
    match &status.reason {
        Some(reason) => json!({"state": status.state.to_string(), "reason": reason}),
        None => json!({"state": status.state.to_string()}),
    }
}

fn exact(base: &str, release: &Release) -> Value {
    let spec = &release.spec;
    let dist = match &spec.git {
        Some(git) => json!({"source": "git", "repository": git.repository, "ref": git.reference}),
        None => json!({
            "source": "cdn",
            "mediaType": "application/gzip",
            "url": format!("{base}{}", archive_path(release)),
        }),
    };
    let mut exact = json!({
        "name": release.purl.name,
        "version": spec.version,
        "purl": release.purl.to_string(),
        "integrity": release.integrity,
        "status": status(&spec.status),
        "dist": dist,
    });
    if !spec.external.is_empty() {
        exact["externalDependencies"] = json!(spec.external);
    }
    extended(exact, &spec.extra)
}

fn archive_path(release: &Release) -> String {
    format!("/cdn/{}.tar.gz", release.integrity.digest().hex())
}

/// The document with the fields that the protocol does not know and a reader carries along.
fn extended(mut document: Value, extra: &Map<String, Value>) -> Value {
    if let Some(fields) = document.as_object_mut() {
        fields.extend(extra.clone());
    }
    document
}
