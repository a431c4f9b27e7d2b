//! The parts of a running proxy that a reload changes.
//!
//! Owns how each part is given its keys; the declaration of a key says which part applies it. Must not know
//! when a reload comes, nor what is done if one part refuses.

use std::path::PathBuf;
use std::sync::Arc;

use git_delivery::GitLimits;
use policy::Policy;
use tracing::error;

use super::certificate;
use super::registries::RegistryFactory;
use crate::admin::{AdminRole, AdminToken, Door};
use crate::advisories::AdvisoryKeeper;
use crate::audit_record::AuditFile;
use crate::base::{BaseSettings, ListedHost};
use crate::causes::with_causes;
use crate::clock::Timestamp;
use crate::config::{
    AdminTokenKeys, AdminTokenRole, AppliedBy, Config, ConfigError, HostPattern, Limits, ValueOrigin,
};
use crate::files::{Bounds, CarriedFiles};
use crate::limit::Capacity;
use crate::listen::Certificates;
use crate::mirror::Mirrors;
use crate::pipeline::Pipeline;
use crate::reload::{PreparedChange, ReloadableParts};
use crate::repositories::{GitBounds, GitFolder, Repositories};
use crate::store::{ProxyStore, Store};
use crate::telemetry::{Metrics, TelemetryError};

/// The parts of a running proxy that a reload changes; clones share them.
#[derive(Clone)]
pub(super) struct RunningParts {
    pub(super) pipeline: Arc<Pipeline>,
    pub(super) store: Arc<ProxyStore>,
    pub(super) door: Arc<Door>,
    pub(super) mirrors: Arc<Mirrors>,
    pub(super) advisories: Arc<AdvisoryKeeper>,
    pub(super) registries: RegistryFactory,
    pub(super) certificates: Option<Certificates>,
    /// Whether the admin port can be reached from other machines.
    pub(super) admin_is_remote: bool,
}

impl ReloadableParts for RunningParts {
    fn prepare(&self, part: AppliedBy, config: &Config) -> Result<PreparedChange, ConfigError> {
        let apply = |put: fn(&Self, &Config)| {
            let parts = self.clone();
            Ok(PreparedChange::apply(move |config| put(&parts, config)))
        };
        match part {
            AppliedBy::Restart => Ok(PreparedChange::NeedsRestart),
            AppliedBy::Documents => self.prepare_documents(config),
            AppliedBy::Certificate => self.prepare_certificate(config),
            AppliedBy::Files => {
                apply(|parts, config| parts.pipeline.files.reload(bounds(config), git_bounds(config)))
            }
            AppliedBy::Uploads => {
                apply(|parts, config| parts.pipeline.services.reload(config.limits.max_request_body))
            }
            AppliedBy::ClientRates => apply(|parts, config| parts.pipeline.limiter.reload(&config.into())),
            AppliedBy::Concurrency => apply(|parts, config| {
                parts.pipeline.documents.share_places(config.limits.max_requests);
                parts.pipeline.in_flight.reload(capacity(config));
            }),
            AppliedBy::StorageCeiling => {
                apply(|parts, config| parts.store.ceiling().resize(config.storage.max_size))
            }
            AppliedBy::Links => apply(|parts, config| parts.pipeline.base.reload(base(config))),
            AppliedBy::AdminHosts => {
                apply(|parts, config| parts.door.rename(listed(&config.server.admin_hosts)))
            }
            // Without its token the admin port would be open to other machines.
            AppliedBy::AdminToken if self.admin_is_remote && admin_tokens(config).is_empty() => {
                Ok(PreparedChange::NeedsRestart)
            }
            AppliedBy::Policy => self.prepare_policy(config),
            AppliedBy::AuditRecord => self.prepare_audit_record(config),
            AppliedBy::Mirrors => apply(|parts, config| parts.mirrors.reload(&config.mirrors)),
            AppliedBy::AdminToken => apply(|parts, config| parts.door.tokens.reload(admin_tokens(config))),
        }
    }
}

impl RunningParts {
    fn prepare_documents(&self, config: &Config) -> Result<PreparedChange, ConfigError> {
        let documents = Arc::clone(&self.pipeline.documents);
        let live = self.registries.live(config, Some(&documents.live().upstreams));
        let live = live.map_err(|error| refused("upstreams", with_causes(&error)))?;
        Ok(PreparedChange::apply(move |_| documents.reload(live)))
    }

    fn prepare_policy(&self, config: &Config) -> Result<PreparedChange, ConfigError> {
        let rules = policy_rules(config, self.registries.clock.now())?;
        let (documents, advisories) = (Arc::clone(&self.pipeline.documents), Arc::clone(&self.advisories));
        Ok(PreparedChange::apply(move |config| {
            documents.replace_rules(rules);
            advisories.reload(&config.policy.osv);
        }))
    }

    /// Opens the file again: it may have been renamed.
    fn prepare_audit_record(&self, config: &Config) -> Result<PreparedChange, ConfigError> {
        let file = config.log.audit.as_deref().map(AuditFile::open).transpose();
        let file = file.map_err(|error| refused("log.audit", with_causes(&error)))?;
        let record = Arc::clone(&self.pipeline.audit_record);
        Ok(PreparedChange::apply(move |_| {
            if let Err(error) = record.follow(file) {
                error!(%error, "the audit record goes to the log: no thread can be started to write it");
            }
        }))
    }

    fn prepare_certificate(&self, config: &Config) -> Result<PreparedChange, ConfigError> {
        match (self.certificates.clone(), &config.server.tls) {
            (Some(running), Some(tls)) => {
                let renewed = Certificates::read(tls.cert.path(), tls.key.path())
                    .map_err(|error| refused("server.tls", with_causes(&error)))?;
                let registries = self.registries.clone();
                Ok(PreparedChange::apply(move |_| {
                    running.replace(&renewed);
                    certificate::tell(&running, &registries);
                }))
            }
            (None, None) => Ok(PreparedChange::apply(|_| {})),
            (Some(_), None) | (None, Some(_)) => Ok(PreparedChange::NeedsRestart),
        }
    }
}

/// The rules of `config` at `now`.
///
/// # Errors
/// The first thing that is wrong with them; the check of the configuration named all.
pub(super) fn policy_rules(config: &Config, now: Timestamp) -> Result<Policy, ConfigError> {
    match config.policy.compile(now.0 / 1000) {
        Ok((rules, _)) => Ok(rules),
        Err(errors) => Err(refused("policy", errors.first().map(ToString::to_string).unwrap_or_default())),
    }
}

/// Why a part cannot apply a valid configuration.
fn refused(key: &str, message: String) -> ConfigError {
    ConfigError { origin: ValueOrigin::Unset, key: Some(key.to_owned()), message }
}

/// The bounds of files that are fetched.
pub(super) fn bounds(config: &Config) -> Bounds {
    let Limits { max_archive, max_unpacked, max_entries, .. } = config.limits;
    Bounds { max_archive, limits: archive::ArchiveLimits { max_unpacked, max_entries } }
}

/// The most bytes of an object that Git's form of differences makes this proxy hold.
const MAX_HELD: usize = 32 << 20;

/// What Git may cost. The limits of archives count for what a tree may have.
pub(super) fn git_bounds(config: &Config) -> GitBounds {
    let Limits { max_unpacked, max_entries, max_git_pack, max_git_time, .. } = config.limits;
    let limits = GitLimits {
        max_time: max_git_time,
        max_pack: max_git_pack,
        // A server without shallow fetches sends the history too.
        max_objects: u32::try_from(max_entries.saturating_mul(8)).unwrap_or(u32::MAX),
        // The archive is held against `max_unpacked` while it is made, whatever its files are like.
        max_file: max_unpacked.saturating_mul(4),
        max_held: MAX_HELD,
        max_inflated: max_unpacked.saturating_mul(4),
        max_delta_depth: 250,
        max_tree_depth: 128,
        max_listing: 4 << 20,
    };
    GitBounds { limits, max_kept: config.storage.max_git }
}

/// The repositories from which files are brought.
pub(super) fn repositories(config: &Config, places: Vec<PathBuf>) -> Repositories {
    Repositories::new(GitFolder::in_one_of(places), git_bounds(config))
}

/// What takes files into `store` that did not come from their registry, within the limits of `config`.
///
/// # Errors
/// [`TelemetryError`] if its metrics cannot be made.
pub(crate) fn carried_files(config: &Config, store: Arc<dyn Store>) -> Result<CarriedFiles, TelemetryError> {
    Ok(CarriedFiles::new(store, Arc::new(Metrics::new()?), bounds(config)))
}

/// The bounds of requests in flight.
pub(super) fn capacity(config: &Config) -> Capacity {
    let limits = &config.limits;
    Capacity {
        requests: limits.max_requests,
        requests_per_client: limits.max_requests_per_client,
        downloads: limits.max_downloads,
        downloads_per_client: limits.max_downloads_per_client,
    }
}

/// The base of links, and the hosts that requests may name. If hosts are listed, the base's own is one of
/// them.
pub(super) fn base(config: &Config) -> BaseSettings {
    let public = config.server.public_url.as_ref();
    let mut hosts = listed(&config.server.hosts);
    if !hosts.is_empty() {
        let own = public.and_then(|url| url.host_str());
        hosts.extend(own.map(|host| ListedHost { host: host.to_owned(), port: None }));
    }
    BaseSettings { public_url: public.map(|url| url.as_str().to_owned()), hosts }
}

/// The tokens of the admin port.
pub(super) fn admin_tokens(config: &Config) -> Vec<AdminToken> {
    let one = config.server.admin_token_sha256;
    let one = one.map(|digest| AdminToken { name: None, digest, role: AdminRole::Operate });
    let named = config.server.admin_tokens.iter().map(|AdminTokenKeys { name, sha256, role }| AdminToken {
        name: Some(name.clone()),
        digest: *sha256,
        role: match role {
            AdminTokenRole::Read => AdminRole::Read,
            AdminTokenRole::Operate => AdminRole::Operate,
        },
    });
    one.into_iter().chain(named).collect()
}

/// The hosts of a list in the configuration.
pub(super) fn listed(hosts: &[HostPattern]) -> Vec<ListedHost> {
    hosts.iter().map(|HostPattern { host, port }| ListedHost { host: host.clone(), port: *port }).collect()
}
