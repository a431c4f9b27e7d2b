//! The proxy under test, as its clients see it: a path goes in, a response comes out.
//!
//! Owns how the parts are put together, in one place, and what a client reads off a response. Must not know
//! what is promised.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{AGE, HOST};
use http::{HeaderMap, HeaderValue, Method, Version};
use http_body_util::BodyExt;
use policy::{Policy, PolicyDocument, PolicyMode, PolicySettings};
use serde_json::{Value, json};

use super::ledger::Id;
use super::world::{World, name};
use crate::audit_record::AuditRecord;
use crate::base::BaseUrl;
use crate::clock::Clock;
use crate::config::{self, OnDivergence};
use crate::explain::explain;
use crate::files::{Bounds, SealedFiles};
use crate::limit::{self, Limiter};
use crate::limit::{Capacity, InFlight};
use crate::pipeline::{IncomingRequest, Pipeline};
use crate::policies::{AdvisoryBook, BookSource};
use crate::read::Documents;
use crate::read::documents::LiveSettings;
use crate::relay::{RelayServices, Volumes, any_body};
use crate::repositories::Repositories;
use crate::respond::Body;
use crate::store::{ObjectStorage, Store};
use crate::telemetry::{AccessLog, Metrics};
use crate::upstream::testing::upstream_over;
use crate::upstream::{RegistryClient, RegistryClients};
use archive::ArchiveLimits;

pub(super) const BASE: &str = "http://proxy.example";

pub(super) struct Proxy {
    world: Arc<World>,
    store: Arc<ObjectStorage>,
    pipeline: Pipeline,
    home: Arc<RegistryClient>,
    pub(super) offline: bool,
    rules: Policy,
    advisories: BookSource,
}

/// What a client sees.
#[derive(Debug, Clone, Default)]
pub(super) struct Seen {
    pub(super) status: u16,
    /// The last segment of a problem's type.
    pub(super) slug: String,
    pub(super) json: Value,
    pub(super) body: Bytes,
    pub(super) cache_status: String,
    pub(super) age: u64,
    /// Whether the operator's rule refused it.
    pub(super) is_refused_by_rule: bool,
    /// The releases whose rows that lowered.
    pub(super) lowered: Vec<Id>,
}

impl Proxy {
    pub(super) fn new(world: Arc<World>) -> Self {
        let store = Arc::new(ObjectStorage::memory().unwrap());
        let home = upstream_over(world.clone(), world.clock.clone());
        let pipeline = pipeline(&world, store.clone(), live(&home, false));
        let (rules, advisories) = (Policy::default(), BookSource::default());
        Self { world, store, pipeline, home, offline: false, rules, advisories }
    }

    /// Puts these rules in force, as a reload does.
    pub(super) fn rule(&mut self, text: &str, mode: PolicyMode) {
        let document = PolicyDocument::parse("rules", text).unwrap();
        let settings = PolicySettings { mode: Some(mode), ..PolicySettings::default() };
        (self.rules, _) = Policy::compile(document, settings, self.world.clock.now().0 / 1000).unwrap();
        self.govern();
    }

    /// Advisories against these releases and no others are known and confirmed now.
    pub(super) fn advise(&mut self, against: &[Id]) {
        let advisory = |id: &Id| {
            let (name, version) = name(*id);
            let purl = format!("pkg:volume/{}", name.replace('@', "%40"));
            let osv = json!({"id": format!("OSV-{id}"), "affected": [{"package": {"purl": purl}, "versions": [version]}]});
            policy::read_osv(osv.to_string().as_bytes()).unwrap().0.remove(0).into()
        };
        let advisories = against.iter().map(advisory).collect();
        self.advisories =
            BookSource { advisories, confirmed: Some(self.world.clock.now()), ..BookSource::default() };
        self.govern();
    }

    fn govern(&self) {
        let documents = &self.pipeline.documents;
        documents.replace_rules(self.rules.clone());
        documents.replace_advisories(AdvisoryBook::of([], &self.advisories, true).unwrap());
    }

    /// Forgets all but what is stored.
    pub(super) fn restart(&mut self, offline: bool) {
        self.home = upstream_over(self.world.clone(), self.world.clock.clone());
        self.restart_before(offline, &Arc::clone(&self.home));
    }

    /// The same, with every name routed to `upstream`.
    pub(super) fn restart_before(&mut self, offline: bool, upstream: &Arc<RegistryClient>) {
        self.pipeline = pipeline(&self.world, self.store.clone(), live(upstream, offline));
        self.offline = offline;
        self.govern();
    }

    /// Routes every name to `upstream`; to its own registry where there is none.
    pub(super) fn route(&self, upstream: Option<&Arc<RegistryClient>>) {
        self.pipeline.documents.reload(live(upstream.unwrap_or(&self.home), self.offline));
    }

    /// The status that an explanation foretells for a release's exact metadata, or else for its archive; `None` where that
    /// depends on what the registry says, or on a comparison.
    pub(super) async fn explained(&self, id: Id, is_exact: bool) -> Option<u16> {
        let (volume, version) = name(id);
        let (volume, version) = (volume.parse().unwrap(), version.parse().unwrap());
        let store: Arc<dyn Store> = self.store.clone();
        let told = explain(&self.pipeline.documents, &store, &volume, &version).await.unwrap().verdict;
        let is_settled = !told.exact.why.contains("compared with index and pin");
        let rule = if is_exact { told.exact } else { told.archive };
        rule.status.filter(|_| is_settled)
    }

    pub(super) async fn get(&self, path: &str) -> Seen {
        let mut headers = HeaderMap::from_iter([(HOST, HeaderValue::from_static("proxy.example"))]);
        headers.insert("x-request-id", HeaderValue::from_static("id-1"));
        let uri = path.parse().unwrap();
        let arrival = IncomingRequest {
            method: Method::GET,
            uri,
            version: Version::HTTP_11,
            headers,
            peer: None,
            tls: false,
        };
        let (head, body) = self.pipeline.answer(&arrival, any_body(Body::empty())).await.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        let json: Value = serde_json::from_slice(&body).unwrap_or_default();
        let text = |name: &str| head.headers.get(name).map_or("", |value| value.to_str().unwrap()).to_owned();
        Seen {
            status: head.status.as_u16(),
            slug: json["type"]
                .as_str()
                .and_then(|kind| kind.rsplit('/').next())
                .unwrap_or_default()
                .to_owned(),
            cache_status: text("cache-status"),
            age: text(AGE.as_str()).parse().unwrap_or_default(),
            json,
            body,
            ..Seen::default()
        }
    }
}

fn live(upstream: &Arc<RegistryClient>, offline: bool) -> LiveSettings {
    let policy =
        config::Cache { stale_if_error: Duration::from_secs(3600), offline, ..config::Cache::default() };
    let upstreams = RegistryClients::new(vec![(Arc::clone(upstream), Vec::new())]);
    LiveSettings { policy, on_divergence: OnDivergence::Quarantine, max_document: 1 << 20, upstreams }
}

/// The only place that knows how the rooms are wired.
fn pipeline(world: &Arc<World>, store: Arc<dyn Store>, live: LiveSettings) -> Pipeline {
    let metrics = Arc::new(Metrics::new().unwrap());
    let documents = Arc::new(Documents::new(store.clone(), live, world.clock.clone(), metrics.clone()));
    let bounds =
        Bounds { max_archive: 1 << 20, limits: ArchiveLimits { max_unpacked: 1 << 20, max_entries: 100 } };
    let files = Arc::new(SealedFiles::new(
        documents.clone(),
        store.clone(),
        (bounds, Repositories::nowhere()),
        metrics.clone(),
    ));
    let rates =
        config::RateLimits { anonymous: "1000000/s".parse().unwrap(), ..config::RateLimits::default() };
    let settings = limit::LimitSettings {
        rates,
        tokens: Vec::new(),
        issuers: Vec::new(),
        trusted_proxies: Vec::new(),
        client_address: config::ClientAddress::Peer,
    };
    let limiter = Arc::new(Limiter::new(&settings, world.clock.clone(), None));
    let room =
        Capacity { requests: 100, requests_per_client: 100, downloads: 100, downloads_per_client: 100 };
    let in_flight = Arc::new(InFlight::new(room));
    let (base, clock) = (BaseUrl::default(), world.clock.clone());
    let access = AccessLog::default();
    let patience = Duration::from_secs(60);
    let services = RelayServices::new(
        store,
        documents.clone(),
        files.clone(),
        clock.clone(),
        metrics.clone(),
        1 << 20,
        patience,
    );
    let services = Arc::new(services);
    let (volumes, relays) = (Volumes::new(services.clone()), Vec::new());
    let record = AuditRecord::new(None, clock.clone(), metrics.clone()).unwrap();
    Pipeline {
        documents,
        files,
        limiter,
        in_flight,
        services,
        volumes,
        relays,
        base,
        clock,
        metrics,
        access,
        audit_record: Arc::new(record),
    }
}
