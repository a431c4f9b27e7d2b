//! Wiring: a validated configuration becomes the parts of a running proxy, and the parts become a server.
//!
//! Owns which part is given to which. Must not hold any rule of its own.

use std::collections::HashMap;
use std::num::NonZeroU64;
use std::sync::Arc;
use std::time::Duration;

use http::Request;
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use tracing::{info, warn};

use crate::admin::{self, Admin, AdminToken, Door};
use crate::audit::pace::Sleep;
use crate::audit::pass;
use crate::base::BaseUrl;
use crate::cache::documents::Live;
use crate::cache::{Documents, SealedFiles};
use crate::clock::{Clock, SystemClock};
use crate::config::address::Listeners;
use crate::config::{self, ClientAddress, Config, RelayKind};
use crate::limit::Limiter;
use crate::limit::places::Places;
use crate::listen::{self, Answer, Certificates, ListenError, Peer, Settings, Trust};
use crate::pipeline::{Arrival, Pipeline};
use crate::private::PrivateError;
use crate::relay::{Ground, Nullspace, Volumes, any_body};
use crate::reload::{Reload, Source};
use crate::respond::{Body, Response};
use crate::store::{BucketError, Store, StoreError};
use crate::telemetry::{AccessLog, Metrics, TelemetryError};
pub(crate) use crate::upstream::registry;
use crate::upstream::{Failed, HttpTransport, NoTransport, Observer, State, Upstream, Upstreams};

mod folders;
mod parts;
mod ports;
mod storage;

use ports::Counted;
use storage::Opened;
pub use storage::kept_store;

/// How long a relayed API may be silent; its clients wait as long for a checked upload.
const RELAY_PATIENCE: Duration = Duration::from_secs(300);
/// Requests to a relayed API that are under way at once, those that last among them.
const RELAY_SLOTS: usize = 256;

/// Why the proxy cannot start or go on.
#[derive(Debug, thiserror::Error)]
pub enum AppError {
    /// The store cannot be opened.
    #[error("storage.url cannot be used")]
    Store(#[from] StoreError),
    /// The bucket cannot be used.
    #[error(transparent)]
    Bucket(#[from] BucketError),
    /// The folder before the bucket cannot be used.
    #[error("storage.tier cannot be used")]
    Tier(#[source] StoreError),
    /// A folder that must be this process's own is not.
    #[error("it is not safe to start")]
    Folder(#[from] PrivateError),
    /// A command beside the proxy cannot see into another process's memory.
    #[error(
        "storage.url: memory:/// keeps nothing that this command could see; name the proxy's file:///… or s3://…"
    )]
    NothingKept,
    /// A client for upstreams cannot be made.
    #[error("no client for upstreams can be made")]
    Transport(#[from] NoTransport),
    /// Metrics cannot be registered.
    #[error(transparent)]
    Telemetry(#[from] TelemetryError),
    /// A port cannot be served.
    #[error(transparent)]
    Listen(#[from] ListenError),
}

/// The parts of a running proxy.
#[derive(Debug)]
pub struct App {
    pipeline: Arc<Pipeline>,
    admin: Arc<Admin>,
    storage: Opened,
    reload: Arc<Reload>,
    metrics: Arc<Metrics>,
    audit_rate: Option<NonZeroU64>,
    settings: Settings,
}

impl App {
    /// Makes every part. Access records go to `access`. `upgrade` takes the listening sockets over from a running instance; `source` is where a
    /// reload reads from, if there is anything to read.
    ///
    /// # Errors
    /// [`AppError`] when a part cannot be made.
    pub fn new(
        config: &Config,
        access: AccessLog,
        upgrade: bool,
        source: Option<Box<Source>>,
    ) -> Result<Self, AppError> {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::default());
        let metrics = Arc::new(Metrics::new()?);
        let storage = storage::open(&config.storage, &clock)?;
        let listeners = config.server.listeners();
        let upstreams = Registries { clock: Arc::clone(&clock), metrics: Arc::clone(&metrics), listeners };
        let live = upstreams.live(config, None)?;
        let documents =
            Arc::new(Documents::new(storage.store.clone(), live, Arc::clone(&clock), Arc::clone(&metrics)));
        documents.share_places(config.limits.max_requests);
        let files = Arc::new(SealedFiles::new(
            Arc::clone(&documents),
            storage.store.clone(),
            parts::bounds(config),
            Arc::clone(&metrics),
        ));
        let ground = Arc::new(Ground::new(
            storage.store.clone(),
            Arc::clone(&documents),
            Arc::clone(&files),
            Arc::clone(&clock),
            Arc::clone(&metrics),
            (config.limits.max_request_body, config.limits.send_timeout),
        ));
        let relays = config.relays.iter().map(|relay| upstreams.relay(relay, &ground));
        let relays = relays.collect::<Result<_, _>>()?;
        let limiter = Arc::new(Limiter::new(&config.into(), Arc::clone(&clock)));
        let places = Arc::new(Places::new(parts::sizes(config)));
        let base = BaseUrl::new(parts::base(config));
        let pipeline = Arc::new(Pipeline {
            documents: Arc::clone(&documents),
            files,
            limiter,
            places,
            volumes: Volumes::new(Arc::clone(&ground)),
            ground,
            relays,
            base,
            clock: Arc::clone(&clock),
            metrics: Arc::clone(&metrics),
            access,
        });
        let token = AdminToken::new(config.server.admin_token_sha256);
        let listens_on = config.server.admin_listen.ip();
        let door = Arc::new(Door::new(token, listens_on, parts::listed(&config.server.admin_hosts)));
        let settings = settings(config, upgrade, &pipeline.limiter)?;
        let parts =
            parts::reloadable(config, &pipeline, &storage.ceiling, &door, upstreams, settings.tls.as_ref());
        let reload = Arc::new(Reload::new(config, source, parts));
        let admin = Admin::new(
            documents,
            storage.store.clone(),
            Arc::clone(&metrics),
            (door, clock),
            Arc::clone(&reload),
        );
        Ok(Self {
            pipeline,
            admin: Arc::new(admin),
            storage,
            reload,
            metrics,
            audit_rate: NonZeroU64::new(config.consistency.audit_rate),
            settings,
        })
    }

    /// The proxy without its ports, for who measures it: what answers, and what has to run beside that.
    pub fn without_ports(self) -> (Arc<Pipeline>, impl Future<Output = ()> + Send + use<>) {
        let background = background(&self.pipeline.documents, self.storage, self.metrics, self.audit_rate);
        (self.pipeline, background)
    }

    /// Serves until told to stop; blocks the calling thread.
    ///
    /// # Errors
    /// [`AppError::Listen`] when a port cannot be served.
    pub fn run(self) -> Result<(), AppError> {
        let Self { pipeline, admin, storage, reload, metrics, audit_rate, mut settings } = self;
        let observers = Counted::both(&metrics);
        let background = background(&pipeline.documents, storage, metrics, audit_rate);
        // What comes of it is logged where it is done.
        let reload = move || drop(reload.reload());
        settings.max_connections = ports::within_descriptors(settings.max_connections);
        info!(listen = %settings.listen, admin = %settings.admin_listen, "serving");
        listen::run(settings, pipeline, admin, observers, background, reload).map_err(AppError::from)
    }
}

/// What a proxy does beside answering. Never ends.
fn background(
    documents: &Arc<Documents>,
    storage: Opened,
    metrics: Arc<Metrics>,
    audit_rate: Option<NonZeroU64>,
) -> impl Future<Output = ()> + Send + use<> {
    let Opened { store, audited, ceiling } = storage;
    let documents = Arc::clone(documents);
    let audit = async move {
        if let Some(rate) = audit_rate {
            pass::for_ever(audited, rate, metrics, Arc::new(Sleep)).await;
        }
    };
    async move {
        let store = async { futures_util::join!(store.sweep(), store.watch(), ceiling.keep()) };
        futures_util::join!(store, documents.write_pins(), audit);
    }
}

/// What a proxy of `config` holds in `store`, for a command beside it.
///
/// # Errors
/// [`AppError`] when a part cannot be made.
pub fn documents(config: &Config, store: Arc<dyn Store>) -> Result<Documents, AppError> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::default());
    let metrics = Arc::new(Metrics::new()?);
    let listeners = config.server.listeners();
    let registries = Registries { clock: Arc::clone(&clock), metrics: Arc::clone(&metrics), listeners };
    let live = registries.live(config, None)?;
    Ok(Documents::new(store, live, clock, metrics))
}

/// The registries of `config`, for a command beside the proxy.
///
/// # Errors
/// [`AppError`] when no client can be made.
pub fn upstreams(config: &Config) -> Result<Upstreams, AppError> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::default());
    let registries =
        Registries { clock, metrics: Arc::new(Metrics::new()?), listeners: config.server.listeners() };
    Ok(registries.live(config, None)?.upstreams)
}

fn settings(config: &Config, upgrade: bool, limiter: &Arc<Limiter>) -> Result<Settings, ListenError> {
    let server = &config.server;
    let tls = server.tls.as_ref().map(|tls| Certificates::read(&tls.cert, &tls.key)).transpose()?;
    let limiter = Arc::clone(limiter);
    Ok(Settings {
        listen: server.listen,
        admin_listen: server.admin_listen,
        threads: server.threads,
        tls,
        max_connections: config.limits.max_connections,
        max_connections_per_client: config.limits.max_connections_per_client,
        max_connection_memory: usize::try_from(config.limits.max_connection_memory).unwrap_or(usize::MAX),
        trusted: Trust::new(move |address| limiter.trusts(address)),
        proxy_protocol: server.client_address == ClientAddress::ProxyProtocol,
        header_timeout: config.limits.header_timeout,
        send_timeout: config.limits.send_timeout,
        shutdown_grace: server.shutdown_grace,
        upgrade,
        meeting: folders::meeting(config),
    })
}

/// Makes the configured upstreams.
#[derive(Debug, Clone)]
struct Registries {
    clock: Arc<dyn Clock>,
    metrics: Arc<Metrics>,
    /// Where this proxy listens, which no registry makes it dial.
    listeners: Listeners,
}

impl Registries {
    /// What `config` puts in force. A reload keeps an upstream whose configuration is unchanged, with its
    /// connections and what is known about its health.
    fn live(&self, config: &Config, running: Option<&Upstreams>) -> Result<Live, NoTransport> {
        let kept: HashMap<_, _> = running
            .into_iter()
            .flat_map(Upstreams::iter)
            .map(|upstream| (upstream.name(), upstream))
            .collect();
        let routes = config.upstreams.iter().map(|configured| {
            let before = kept.get(&*configured.name).copied();
            let upstream = match before.filter(|before| before.is_as(configured)) {
                Some(kept) => Arc::clone(kept),
                None => Arc::new(self.upstream(configured)?.following(before.map(|before| &**before))),
            };
            Ok((upstream, configured.volumes.clone()))
        });
        Ok(Live {
            policy: config.cache.clone(),
            on_divergence: config.consistency.on_divergence,
            max_document: config.limits.max_document,
            upstreams: Upstreams::new(routes.collect::<Result<_, NoTransport>>()?),
        })
    }

    /// The API that `relay` mounts, called by its mount.
    fn relay(&self, relay: &config::Relay, ground: &Arc<Ground>) -> Result<Nullspace, NoTransport> {
        let config::Relay { kind: RelayKind::Nullspace, path, url, egress } = relay;
        let upstream = self.upstream(&config::Upstream {
            read_timeout: RELAY_PATIENCE,
            max_concurrent: RELAY_SLOTS,
            egress: egress.clone(),
            ..config::Upstream::new(path.trim_start_matches('/'), url.clone())
        })?;
        Ok(Nullspace::new(Arc::clone(ground), path.clone(), Arc::new(upstream)))
    }

    fn upstream(&self, configured: &config::Upstream) -> Result<Upstream, NoTransport> {
        let transport = Arc::new(HttpTransport::new(configured, self.listeners.clone())?);
        let observer = Arc::new(Exchanges(Arc::clone(&self.metrics)));
        observer.up(&configured.name, true);
        Ok(Upstream::new(configured, transport, Arc::clone(&self.clock), observer))
    }
}

/// Counts and logs every exchange with an upstream.
struct Exchanges(Arc<Metrics>);

impl Observer for Exchanges {
    fn exchanged(
        &self,
        upstream: &str,
        resource: &'static str,
        status: &'static str,
        elapsed: Duration,
        request_id: &str,
        error: Option<Failed<'_>>,
    ) {
        self.0.upstream_request(upstream, resource, status, elapsed);
        let micros = u64::try_from(elapsed.as_micros()).unwrap_or(u64::MAX);
        match error {
            None => info!(target: "scriptorium::upstream", request_id, upstream, resource, status, micros),
            Some(Failed { why: error, causes }) => {
                warn!(target: "scriptorium::upstream", request_id, upstream, resource, status, micros, error, causes);
            }
        }
    }

    fn up(&self, upstream: &str, up: bool) {
        self.0.upstream_up(upstream, up);
        if !up {
            warn!(target: "scriptorium::upstream", upstream, "not asked for now, after the failures told above");
        }
    }

    fn state(&self, upstream: &str, state: State) {
        self.0.upstream_state(upstream, &State::ALL.map(State::as_str), state.as_str());
    }

    fn budget_left(&self, upstream: &str, left: u32) {
        self.0.upstream_budget_left(upstream, left);
    }
}

impl Answer for Pipeline {
    type Body = Body;

    fn answer(
        self: Arc<Self>,
        request: Request<Incoming>,
        peer: Peer,
    ) -> impl Future<Output = Response> + Send {
        let (parts, body) = request.into_parts();
        let Peer { address, tls } = peer;
        let arrival = Arrival {
            method: parts.method,
            uri: parts.uri,
            version: parts.version,
            headers: parts.headers,
            peer: address,
            tls,
        };
        let body = any_body(body);
        // The future of a hit is kept small, and what a function is given is in it twice where it is an `async fn`.
        async move { Self::answer(&self, &arrival, body).await }
    }
}

impl Answer for Admin {
    type Body = Body;

    async fn answer(self: Arc<Self>, request: Request<Incoming>, peer: Peer) -> Response {
        let (parts, body) = request.into_parts();
        // Nothing of it is read before this is polled.
        let read = async move {
            let body =
                tokio::time::timeout(admin::BODY_TIMEOUT, Limited::new(body, admin::MAX_BODY).collect());
            body.await.ok().and_then(Result::ok).map(|body| body.to_bytes())
        };
        let arrival = admin::Arrival {
            method: &parts.method,
            uri: &parts.uri,
            headers: &parts.headers,
            peer: peer.address,
        };
        Self::answer(&self, &arrival, read).await
    }
}

#[cfg(test)]
mod tests;
