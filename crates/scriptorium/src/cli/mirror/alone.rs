//! Mirrors without a running proxy: this process works on the store itself.
//!
//! Owns how that is put together, and that a store that does not exist holds nothing. Must not know how answers are shown.

use std::sync::Arc;
use std::time::Duration;

use indicatif::ProgressBar;

use crate::app;
use crate::audit_record::AuditAction;
use crate::cli::CommandFailure;
use crate::cli::storage::open;
use crate::cli::{fail, progress, recorded, wait};
use crate::config::{Config, Location};
use crate::mirror::proof::prove as prove_one;
use crate::mirror::record;
use crate::mirror::report::{MirrorStatus, ProofReport, RunStatus};
use crate::mirror::withheld::withheld;
use crate::mirror::{Mirrors, RunKind};
use crate::store::{ObjectStorage, Store};

/// How often the progress bar is moved.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// Runs each mirror here, one after the other.
pub(super) fn run(
    config: &Config,
    names: &[String],
    kind: RunKind,
    watched: bool,
) -> Result<Vec<RunStatus>, CommandFailure> {
    let (mirrors, work) = app::mirrors_alone(config).map_err(|error| fail(&error))?;
    let bar = progress::releases(watched);
    let runs = wait(async {
        mirrors.recollect().await;
        tokio::select! {
            runs = run_all(&mirrors, names, kind) => runs,
            () = work => Vec::new(),
            () = watch(&mirrors, names, &bar) => Vec::new(),
        }
    });
    bar.finish_and_clear();
    if kind == RunKind::Sync {
        for run in runs.iter().flatten().filter_map(|run| run.synced.as_ref()) {
            let entry = recorded::entry(AuditAction::Synced).with("about", &*run.mirror);
            recorded::record(config.log.audit.as_deref(), entry.with("complete", run.complete));
        }
    }
    runs
}

async fn run_all(mirrors: &Mirrors, names: &[String], kind: RunKind) -> Vec<RunStatus> {
    let mut runs = Vec::new();
    for name in names {
        if mirrors.start(name, kind).is_ok() {
            mirrors.perform(name, kind).await;
        }
        runs.extend(mirrors.status(name).and_then(|status| status.run));
    }
    runs
}

/// Moves the bar. Never ends.
async fn watch(mirrors: &Mirrors, names: &[String], bar: &ProgressBar) {
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        let running = names.iter().filter_map(|name| mirrors.status(name)).find(|status| status.running);
        if let Some(run) = running.and_then(|status| status.run) {
            progress::at(bar, run.done, run.of);
        }
    }
}

/// How mirrors stand by their records.
pub(super) fn statuses(config: &Config, names: &[String]) -> Result<Vec<MirrorStatus>, CommandFailure> {
    let Some(store) = existing(config)? else { return Ok(Vec::new()) };
    let store: Arc<dyn Store> = store;
    wait(async {
        let documents = app::documents_under_policy(config, Arc::clone(&store)).await;
        let documents = documents.map_err(|error| fail(&error))?;
        let mut statuses = Vec::new();
        for name in names {
            let record = record::load(&*store, name).await.map_err(|error| fail(&error))?;
            let mut status = MirrorStatus::of(name, record.as_ref());
            if let Some(record) = &record {
                status.missing.extend(withheld(&documents, record).await);
            }
            statuses.push(status);
        }
        Ok(statuses)
    })?
}

/// Proves mirrors from the store.
pub(super) fn prove(config: &Config, names: &[String]) -> Result<Vec<ProofReport>, CommandFailure> {
    let store: Arc<dyn Store> = match existing(config)? {
        Some(store) => store,
        None => Arc::new(ObjectStorage::memory().map_err(|error| fail(&error))?),
    };
    wait(async {
        let documents = app::documents_under_policy(config, Arc::clone(&store)).await;
        let documents = documents.map_err(|error| fail(&error))?;
        let mut proofs = Vec::new();
        for mirror in config.mirrors.iter().filter(|mirror| names.contains(&mirror.name)) {
            proofs.push(prove_one(&store, &documents, mirror).await);
        }
        Ok(proofs)
    })?
}

/// The store, if there is one yet.
fn existing(config: &Config) -> Result<Option<Arc<ObjectStorage>>, CommandFailure> {
    match &config.storage.url {
        Location::File(folder) if !folder.is_dir() => Ok(None),
        Location::File(_) | Location::Memory | Location::S3 { .. } => open(&config.storage).map(Some),
    }
}
