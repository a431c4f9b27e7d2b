//! Writes from end to end, with a registry that follows a script.

use std::time::Duration;

use ::bytes::Bytes;
use bibliotheca::archive::{TarMember, tar_gz, tree_digest};
use http::{Method, StatusCode};
use http_body_util::Full;
use serde_json::{Value, json};

use super::*;
use crate::config::{self, OnDivergence};
use crate::domain::{Integrity, UploadId};
use crate::files::{Bounds, SealedFiles};
use crate::read::documents::LiveSettings;
use crate::read::{Documents, FetchContext};
use crate::relay::{RelayedContent, any_body};
use crate::repositories::Repositories;
use crate::store::{ObjectStorage, Store};
use crate::telemetry::Metrics;
use crate::upstream::testing::{Asked, HOME, REFUSED, Registry as Script, Step, answer};
use crate::upstream::{CouldNotAsk, RegistryClients, TransportError};
use archive::ArchiveLimits;

mod content;
mod intents;
mod settled;

const BASE: &str = "http://here";
const TOKEN: (&str, &str) = ("authorization", "Bearer mine");
const JSON: (&str, &str) = ("content-type", "application/json");
const GZIP: (&str, &str) = ("content-type", "application/gzip");

struct Desk {
    script: Script,
    services: Arc<RelayServices>,
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
        let upstreams = RegistryClients::new(vec![(upstream, Vec::new())]);
        let live = LiveSettings {
            policy,
            on_divergence: OnDivergence::Quarantine,
            max_document: 1 << 20,
            upstreams,
        };
        let metrics = Arc::new(Metrics::new().unwrap());
        let clock = script.clock.clone();
        let documents = Documents::new(Arc::clone(&store), live, clock.clone(), Arc::clone(&metrics));
        let documents = Arc::new(documents);
        let limits = ArchiveLimits { max_unpacked: 1 << 20, max_entries: 100 };
        let archive = Bounds { max_archive: 64 << 10, limits };
        let files = SealedFiles::new(
            Arc::clone(&documents),
            Arc::clone(&store),
            (archive, Repositories::nowhere()),
            Arc::clone(&metrics),
        );
        let services = RelayServices::new(
            Arc::clone(&store),
            documents,
            Arc::new(files),
            clock,
            Arc::clone(&metrics),
            1 << 20,
            Duration::from_secs(1),
        );
        let services = Arc::new(services);
        Self { script, volumes: Volumes::new(Arc::clone(&services)), services, store }
    }

    async fn send(
        &self,
        change: &Change,
        fields: &[(&'static str, &str)],
        body: impl Into<Bytes>,
    ) -> Result<(StatusCode, HeaderMap, Bytes), crate::relay::WriteRefusal> {
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
    ) -> Result<(StatusCode, HeaderMap, Bytes), crate::relay::WriteRefusal> {
        let headers = fields.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()));
        let headers = headers.collect();
        let request = RelayRequest {
            method: &Method::POST,
            path: "/",
            query: None,
            headers: &headers,
            base: BASE,
            context: FetchContext::foreground("id-1"),
        };
        let RelayedAnswer { status, headers, content } = self.volumes.answer(change, request, body).await?;
        let body = match content {
            RelayedContent::Whole(body) => body,
            RelayedContent::Streamed { pieces, .. } => {
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

fn manifest(version: &str) -> Vec<TarMember> {
    let text = format!("[volume]\nname = \"@acme/x\"\nversion = \"{version}\"\n");
    vec![TarMember::file("volume.toml", text)]
}

fn packed(files: &[TarMember]) -> Bytes {
    tar_gz(files).into()
}

fn integrity_of(files: &[TarMember]) -> Integrity {
    tree_digest(files).parse().unwrap()
}
