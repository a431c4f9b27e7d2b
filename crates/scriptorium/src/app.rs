//! Wiring: a valid configuration becomes the parts of a running proxy, and the parts become a server.
//!
//! Owns which part is given to which. Must not hold any rule of its own.

use std::num::NonZeroU64;
use std::path::PathBuf;
use std::sync::Arc;

use tracing::info;

use crate::admin::{Admin, AdminReports, AdminTokens, Deliveries};
use crate::advisories::AdvisoryKeeper;
use crate::audit_record::{Actor, AuditAction, AuditEntry, AuditFile, AuditFileError, AuditRecord};
use crate::base::BaseUrl;
use crate::bundles::{ImportAge, KeptImports};
use crate::cluster::{ClusterError, ClusterNode};
use crate::config::{Config, ConfigError};
use crate::files::SealedFiles;
use crate::issuer_keys::KeyKeeper;
use crate::limit::InFlight;
use crate::limit::Limiter;
use crate::listen::{self, ListenError, ListenSettings, ProcessWork};
use crate::mirror::{MirrorDesk, MirrorLocks, Mirrors};
use crate::pipeline::Pipeline;
use crate::private::PrivateError;
use crate::read::Documents;
use crate::relay::{RelayServices, Volumes};
use crate::reload::{ConfigSource, Reload};
use crate::rights::MissingRight;
use crate::store::{BucketError, ProxyStore, StoreError};
use crate::telemetry::{AccessLog, Metrics, TelemetryError};
use crate::upstream::NoTransport;
pub(crate) use crate::upstream::registry;

mod answers;
mod background;
mod certificate;
mod folders;
mod parts;
mod ports;
mod registries;
mod storage;
mod together;
mod trials;

use background::background;
pub(crate) use folders::planted;
use parts::RunningParts;
pub(crate) use parts::carried_files;
pub(crate) use ports::descriptors_for;
use registries::RegistryFactory;
pub(crate) use registries::{documents, upstreams};
pub(crate) use storage::{import_store, kept_store};
pub(crate) use trials::{documents_under, documents_under_policy};

/// Why the proxy cannot start or go on.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AppError {
    /// The store cannot be opened.
    #[error("storage.url cannot be used")]
    Store(#[from] StoreError),
    /// Something else is in the place of a folder.
    #[error("{key}: {} is no folder, nor a link to one; remove it, or name another folder", path.display())]
    NoFolder { key: &'static str, path: PathBuf },
    /// This user has too few rights on a folder.
    #[error("{key}: {right}")]
    Right { key: &'static str, right: MissingRight },
    /// The bucket cannot be used.
    #[error(transparent)]
    Bucket(#[from] BucketError),
    /// The folder for copies of the bucket's files cannot be used.
    #[error("storage.tier cannot be used")]
    Tier(#[source] StoreError),
    /// A folder that must belong to this process alone does not.
    #[error("it is not safe to start")]
    Folder(#[from] PrivateError),
    /// A command beside the proxy cannot see the memory of another process.
    #[error(
        "storage.url: memory:/// keeps nothing that this command could see; name the proxy's file:///… or s3://…"
    )]
    NothingKept,
    /// No client for registries can be made.
    #[error("no client for upstreams can be made")]
    Transport(#[from] NoTransport),
    /// The rules of the policy are not valid.
    #[error(transparent)]
    Policy(#[from] ConfigError),
    /// Metrics cannot be registered.
    #[error(transparent)]
    Telemetry(#[from] TelemetryError),
    /// A port cannot be served.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// The cluster can never be joined as it is configured.
    #[error(transparent)]
    Cluster(#[from] ClusterError),
    /// The audit record cannot be kept.
    #[error(transparent)]
    AuditFile(#[from] AuditFileError),
    /// The thread that writes the audit record cannot be started.
    #[error("log.audit: no thread can be started to write it")]
    AuditThread(#[source] std::io::Error),
}

/// The parts of a running proxy.
#[derive(Debug)]
pub(crate) struct App {
    pipeline: Arc<Pipeline>,
    admin: Arc<Admin>,
    store: Arc<ProxyStore>,
    mirrors: Arc<Mirrors>,
    advisories: Arc<AdvisoryKeeper>,
    reload: Arc<Reload>,
    metrics: Arc<Metrics>,
    imported: Arc<ImportAge>,
    kept: Arc<KeptImports>,
    audit_rate: Option<NonZeroU64>,
    keys: KeyKeeper,
    cluster: Option<Arc<ClusterNode>>,
    settings: ListenSettings,
}

impl App {
    /// Makes every part. Access records go to `access`. With `upgrade`, the listening sockets are taken over
    /// from a running instance. A reload reads `source`; without one there is nothing to read.
    ///
    /// # Errors
    /// `AppError` if a part cannot be made.
    pub(crate) fn new(
        config: &Config,
        access: AccessLog,
        upgrade: bool,
        source: Option<Box<ConfigSource>>,
    ) -> Result<Self, AppError> {
        let mut registries = RegistryFactory::new(config)?;
        registries.metrics.watch(&access)?;
        let store = storage::open(&config.storage, &registries.clock)?;
        let cluster = together::cluster(config, &mut registries, &store)?;
        let pipeline = Arc::new(pipeline(config, &registries, &store, access)?);
        let settings = ports::settings(config, upgrade, &pipeline.limiter, &registries)?;
        let tokens = AdminTokens::new(parts::admin_tokens(config));
        let door = Arc::new(ports::door(&config.server, tokens));
        let mirrors = mirrors(config, &registries, &store, Readers::of(&pipeline));
        let advisories = advisories(config, &registries, &pipeline.documents)?;
        let parts = RunningParts {
            pipeline: Arc::clone(&pipeline),
            store: Arc::clone(&store),
            door: Arc::clone(&door),
            mirrors: Arc::clone(&mirrors),
            advisories: Arc::clone(&advisories),
            registries: registries.clone(),
            certificates: settings.tls.clone(),
            admin_is_remote: !config.server.admin_listen.ip().is_loopback(),
        };
        let reload = Arc::new(Reload::new(config, source, Box::new(parts)));
        let keys = issuer_keys(&registries, &pipeline.limiter);
        let RegistryFactory { clock, metrics, .. } = registries;
        let imported = Arc::new(ImportAge::new(store.clone(), config.bundles.max_age));
        let kept = Arc::new(kept_imports(config, &store));
        let deliveries = Deliveries {
            mirrors: Arc::clone(&mirrors),
            imported: Arc::clone(&imported),
            kept: Arc::clone(&kept),
            advisories: Arc::clone(&advisories),
        };
        let audit_record = Arc::clone(&pipeline.audit_record);
        let reports =
            AdminReports { metrics: Arc::clone(&metrics), audit_record, clock, cluster: cluster.clone() };
        let admin = Arc::new(Admin::new(
            Arc::clone(&pipeline.documents),
            store.clone(),
            door,
            Arc::clone(&reload),
            deliveries,
            reports,
        ));
        let audit_rate = NonZeroU64::new(config.consistency.audit_rate);
        Ok(Self {
            pipeline,
            admin,
            store,
            mirrors,
            advisories,
            reload,
            metrics,
            imported,
            kept,
            audit_rate,
            keys,
            cluster,
            settings,
        })
    }

    /// The pipeline without its ports, and the work that must run in the background. For benches.
    pub(crate) fn without_ports(self) -> (Arc<Pipeline>, impl Future<Output = ()> + Send + use<>) {
        let Self { pipeline, store, mirrors, advisories, metrics, audit_rate, cluster, .. } = self;
        if let Some(cluster) = &cluster {
            pipeline.documents.join(cluster);
        }
        let work = background(&pipeline, store, mirrors, advisories, metrics, audit_rate);
        (pipeline, async move { futures_util::join!(work.steady, work.patient).0 })
    }

    /// What to name instead of the keys of both addresses where a flag gave them.
    pub(crate) fn blaming(mut self, given_by: [&'static str; 2]) -> Self {
        self.settings.given_by = given_by;
        self
    }

    /// Serves until the process is asked to stop; blocks the calling thread. `started` is called once both ports are served.
    ///
    /// # Errors
    /// [`AppError::Listen`] if a port cannot be served.
    pub(crate) fn run(self, started: impl FnOnce()) -> Result<(), AppError> {
        let Self { pipeline, admin, store, mirrors, advisories, kept, reload, metrics, .. } = self;
        let Self { imported, audit_rate, keys, cluster, mut settings, .. } = self;
        if let Some(cluster) = &cluster {
            pipeline.documents.join(cluster);
        }
        let counted = Arc::clone(&metrics);
        let work = background(&pipeline, store, mirrors, advisories, counted, audit_rate);
        let steady = async move {
            // Before anything that an earlier process stored may be evicted.
            kept.read().await;
            futures_util::join!(work.steady, imported.read(), keys.keep());
        };
        let background = ProcessWork { steady, patient: work.patient };
        let record = Arc::clone(&pipeline.audit_record);
        let reload = move || signalled(&reload, &record);
        settings.max_connections = ports::within_descriptors(settings.max_connections);
        let (listen, admin_listen) = (settings.listen, settings.admin_listen);
        let serving = move || {
            info!(%listen, admin = %admin_listen, "serving");
            started();
        };
        let record = Arc::clone(&pipeline.audit_record);
        let started = AuditEntry::new(AuditAction::Start, &Actor::Proxy, None);
        record.enter(started.with("version", env!("CARGO_PKG_VERSION")).logged());
        let served = listen::run(settings, pipeline, admin, metrics, background, reload, serving);
        if let Some(cluster) = &cluster {
            cluster.leave();
        }
        // Writes what waits.
        record.close();
        served.map_err(AppError::from)
    }
}

/// Reloads because of a signal. The reload logs its outcome.
fn signalled(reload: &Reload, record: &AuditRecord) {
    let entry = AuditEntry::new(AuditAction::Reload, &Actor::Signal, None).logged();
    let entry = match reload.reload() {
        Ok(report) => entry.with("about", report.to_string()),
        Err(refused) => entry.with("about", refused.summary()),
    };
    record.enter(entry);
}

/// What reads documents and files.
struct Readers {
    documents: Arc<Documents>,
    files: Arc<SealedFiles>,
}

impl Readers {
    fn of(Pipeline { documents, files, .. }: &Pipeline) -> Self {
        Self { documents: Arc::clone(documents), files: Arc::clone(files) }
    }

    fn new(config: &Config, registries: &RegistryFactory, store: &Arc<ProxyStore>) -> Result<Self, AppError> {
        let RegistryFactory { clock, metrics, .. } = registries;
        let live = registries.live(config, None)?;
        let documents = Arc::new(Documents::new(store.clone(), live, Arc::clone(clock), Arc::clone(metrics)));
        documents.share_places(config.limits.max_requests);
        let repositories = parts::repositories(config, folders::git(&config.storage)?);
        let (bounds, kept) = ((parts::bounds(config), repositories), store.clone());
        let files = Arc::new(SealedFiles::new(Arc::clone(&documents), kept, bounds, Arc::clone(metrics)));
        Ok(Self { documents, files })
    }
}

/// The mirrors of `config`.
fn mirrors(
    config: &Config,
    registries: &RegistryFactory,
    store: &Arc<ProxyStore>,
    Readers { documents, files }: Readers,
) -> Arc<Mirrors> {
    let desk =
        MirrorDesk { documents, files, store: Arc::clone(store), metrics: Arc::clone(&registries.metrics) };
    Arc::new(Mirrors::new(desk, locks(config), &config.mirrors))
}

/// The locks that the processes of this machine share for the storage of `config`.
pub(crate) fn locks(config: &Config) -> MirrorLocks {
    MirrorLocks::below(folders::locks(&config.storage))
}

/// What bundles of the keys that `config` trusts keep in `store`.
fn kept_imports(config: &Config, store: &Arc<ProxyStore>) -> KeptImports {
    KeptImports::new(Arc::clone(store), config.bundles.trusted_keys.iter().map(|key| key.id()).collect())
}

/// What keeps the keys of issuers up to date.
fn issuer_keys(registries: &RegistryFactory, limiter: &Arc<Limiter>) -> KeyKeeper {
    let RegistryFactory { clock, metrics, listeners, .. } = registries.clone();
    let limiter = Arc::clone(limiter);
    KeyKeeper::new(move || limiter.issuers(), listeners, clock, metrics)
}

/// Puts the rules of `config` in force, and answers with what keeps the advisories for them.
///
/// # Errors
/// [`AppError::Policy`] if the rules are not valid.
fn advisories(
    config: &Config,
    registries: &RegistryFactory,
    documents: &Arc<Documents>,
) -> Result<Arc<AdvisoryKeeper>, AppError> {
    documents.replace_rules(parts::policy_rules(config, registries.clock.now())?);
    Ok(Arc::new(AdvisoryKeeper::new(Arc::clone(documents), config.policy.osv.clone())))
}

/// The mirrors of `config` for a command that works without a proxy, and the work that must run beside it.
///
/// # Errors
/// [`AppError`] if a part cannot be made.
pub(crate) fn mirrors_alone(
    config: &Config,
) -> Result<(Arc<Mirrors>, impl Future<Output = ()> + use<>), AppError> {
    let registries = RegistryFactory::new(config)?;
    let store = storage::open(&config.storage, &registries.clock)?;
    let readers = Readers::new(config, &registries, &store)?;
    let documents = Arc::clone(&readers.documents);
    let advisories = advisories(config, &registries, &documents)?;
    let mirrors = mirrors(config, &registries, &store, readers);
    let kept = kept_imports(config, &store);
    let work = async move {
        kept.read().await;
        futures_util::join!(store.keep(), documents.write_pins(), advisories.keep());
    };
    Ok((mirrors, work))
}

/// Everything that answers on the public port.
fn pipeline(
    config: &Config,
    registries: &RegistryFactory,
    store: &Arc<ProxyStore>,
    access: AccessLog,
) -> Result<Pipeline, AppError> {
    let RegistryFactory { clock, metrics, .. } = registries;
    let Readers { documents, files } = Readers::new(config, registries, store)?;
    let services = Arc::new(RelayServices::new(
        store.clone(),
        Arc::clone(&documents),
        Arc::clone(&files),
        Arc::clone(clock),
        Arc::clone(metrics),
        config.limits.max_request_body,
        config.limits.send_timeout,
    ));
    let relays = config.relays.iter().map(|relay| registries.relay(relay, &services));
    Ok(Pipeline {
        documents,
        files,
        limiter: Arc::new(Limiter::new(&config.into(), Arc::clone(clock), registries.cluster.clone())),
        in_flight: Arc::new(InFlight::new(parts::capacity(config))),
        volumes: Volumes::new(Arc::clone(&services)),
        relays: relays.collect::<Result<_, _>>()?,
        services,
        base: BaseUrl::new(parts::base(config)),
        clock: Arc::clone(clock),
        metrics: Arc::clone(metrics),
        access,
        audit_record: Arc::new(audit_record(config, registries)?),
    })
}

/// The audit record of `config`.
fn audit_record(config: &Config, registries: &RegistryFactory) -> Result<AuditRecord, AppError> {
    let file = config.log.audit.as_deref().map(AuditFile::open).transpose()?;
    let RegistryFactory { clock, metrics, .. } = registries;
    AuditRecord::new(file, Arc::clone(clock), Arc::clone(metrics)).map_err(AppError::AuditThread)
}

#[cfg(test)]
mod tests;
