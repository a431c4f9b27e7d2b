//! Writes from end to end, with a registry that follows a script.

use std::time::Duration;

use ::bytes::Bytes;
use http::{Method, StatusCode};
use http_body_util::Full;
use serde_json::{Value, json};

use super::*;
use crate::archive::Limits;
use crate::archive::fixture::{Tar, TestFile, integrity_of};
use crate::cache::documents::Live;
use crate::cache::{Bounds, Documents, Errand, SealedFiles};
use crate::config::{self, OnDivergence};
use crate::domain::{Integrity, UploadId};
use crate::relay::{Content, any_body};
use crate::store::{ObjectStorage, Store};
use crate::telemetry::Metrics;
use crate::upstream::testing::{Asked, HOME, REFUSED, Registry as Script, Step, answer};
use crate::upstream::{CouldNotAsk, TransportError, Upstreams};

mod content;
mod intents;
mod settled;

const BASE: &str = "http://here";
const TOKEN: (&str, &str) = ("authorization", "Bearer mine");
const JSON: (&str, &str) = ("content-type", "application/json");
const GZIP: (&str, &str) = ("content-type", "application/gzip");

struct Desk {
    script: Script,
    ground: Arc<Ground>,
    store: Arc<dyn Store>,
    volumes: Volumes,
}

impl Desk {
    fn strict(steps: impl IntoIterator<Item = Step>) -> Self {
        Self::over(Arc::new(ObjectStorage::memory().unwrap()), Script::of(steps), |_, _| {})
    }

    fn relaying(steps: impl IntoIterator<Item = Step>) -> Self {
        let store = Arc::new(ObjectStorage::memory().unwrap());
        Self::over(store, Script::of(steps), |upstream, _| upstream.writes_check = WritesCheck::Relay)
    }

    fn over(
        store: Arc<dyn Store>,
        script: Script,
        adjust: impl Fn(&mut config::Upstream, &mut config::Cache),
    ) -> Self {
        let mut policy = config::Cache::default();
        let upstream = script.upstream_with(|upstream| {
            upstream.writes = true;
            upstream.retries = 0;
            adjust(upstream, &mut config::Cache::default());
        });
        adjust(&mut config::Upstream::new("public", HOME.parse().unwrap()), &mut policy);
        let upstreams = Upstreams::new(vec![(upstream, Vec::new())]);
        let live = Live { policy, on_divergence: OnDivergence::Quarantine, max_document: 1 << 20, upstreams };
        let metrics = Arc::new(Metrics::new().unwrap());
        let clock = script.clock.clone();
        let documents = Documents::new(Arc::clone(&store), live, clock.clone(), Arc::clone(&metrics));
        let documents = Arc::new(documents);
        let limits = Limits { max_unpacked: 1 << 20, max_entries: 100 };
        let archive = Bounds { max_archive: 64 << 10, limits };
        let files =
            SealedFiles::new(Arc::clone(&documents), Arc::clone(&store), archive, Arc::clone(&metrics));
        let bodies = (1 << 20, Duration::from_secs(1));
        let ground =
            Ground::new(Arc::clone(&store), documents, Arc::new(files), clock, Arc::clone(&metrics), bodies);
        let ground = Arc::new(ground);
        Self { script, volumes: Volumes::new(Arc::clone(&ground)), ground, store }
    }

    async fn send(
        &self,
        change: &Change,
        fields: &[(&'static str, &str)],
        body: impl Into<Bytes>,
    ) -> Result<(StatusCode, HeaderMap, Bytes), crate::relay::Refused> {
        let body = body.into();
        let announced = Some(body.len() as u64);
        let body = ClientBody::new(any_body(Full::new(body)), announced, Duration::from_secs(1));
        self.send_body(change, fields, body).await
    }

    async fn send_body(
        &self,
        change: &Change,
        fields: &[(&'static str, &str)],
        body: ClientBody,
    ) -> Result<(StatusCode, HeaderMap, Bytes), crate::relay::Refused> {
        let headers = fields.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()));
        let headers = headers.collect();
        let request = Request {
            method: &Method::POST,
            path: "/",
            query: None,
            headers: &headers,
            base: BASE,
            errand: Errand::foreground("id-1"),
        };
        let Answer { status, headers, content } = self.volumes.answer(change, request, body).await?;
        let body = match content {
            Content::Whole(body) => body,
            Content::Coming { pieces, .. } => {
                use futures_util::TryStreamExt;
                pieces.try_collect::<Vec<_>>().await.unwrap().concat().into()
            }
        };
        Ok((status, headers, body))
    }

    /// Publishes and answers with the place and what must be sent there.
    async fn granted(&self, declared: &str) -> (Change, Value) {
        let body = format!(r#"{{"version":"1.0.0","mediaType":"application/gzip"{declared}}}"#);
        let (status, _, body) = self.send(&publish(), &[JSON, TOKEN], body).await.unwrap();
        assert_eq!(status, 201);
        let granted: Value = serde_json::from_slice(&body).unwrap();
        let place = granted["upload"]["url"].as_str().unwrap().strip_prefix("http://here/uploads/").unwrap();
        (Change::Upload(place.parse().unwrap()), granted)
    }

    fn asked(&self) -> Vec<Asked> {
        self.script.asked()
    }
}

fn publish() -> Change {
    Change::Publish("@acme/x".parse().unwrap())
}

fn finalize() -> Change {
    Change::Finalize("@acme/x".parse().unwrap(), "u-1".parse().unwrap())
}

/// A grant that lasts for an hour, to be followed at `url`.
fn grant_at(url: &str) -> Step {
    let body = json!({
        "uploadId": "u-1",
        "target": {"name": "@acme/x", "version": "1.0.0"},
        "mediaType": "application/gzip",
        "upload": {"instructionType": "http-put", "url": url, "method": "PUT", "headers": {"x-amz-sign": "signed"}},
        "expiresAt": "1970-01-01T01:00:00+00:00",
        "state": "pending-upload",
    });
    answer(201, &[("etag", "\"theirs\""), ("x-internal", "theirs")], body.to_string().leak())
}

fn grant() -> Step {
    grant_at("/put/u-1?signature=secret")
}

fn manifest(version: &str) -> Vec<TestFile> {
    let text = format!("[volume]\nname = \"@acme/x\"\nversion = \"{version}\"\n");
    vec![("volume.toml".to_owned(), false, text.into_bytes())]
}

fn packed(files: &[TestFile]) -> Bytes {
    let tar = files.iter().fold(Tar::default(), |tar, (path, _, content)| tar.file(path, content));
    tar.gz().into()
}
