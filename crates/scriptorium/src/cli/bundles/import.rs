//! `mirror import`.
//!
//! Owns what is shown of an import, the exit code, and that a running proxy is told. Must not know in which order what is
//! checked.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::Args;
use indicatif::ProgressBar;

use super::{BundleArgs, inspect};
use crate::app;
use crate::audit_record::{AuditAction, AuditEntry};
use crate::bundles::{
    BundleImport, BundleJournal, ExaminedBundle, ImportOptions, ImportOutcome, ImportReport, JournalError,
    examine, import_lock,
};
use crate::cli::CommandFailure;
use crate::cli::{progress, recorded, running, storage};
use crate::clock::Timestamp;
use crate::config::{Config, Location};
use crate::mirror::{MirrorLock, MirrorLocks};
use crate::store::ObjectStorage;

/// One reads the manifest, two inspect files, and one reads and writes for all of them.
const THREADS: usize = 4;

/// Why an import does not begin beside another.
const BUSY: &str = "another import into this storage is under way; run it again when that one has ended";

#[derive(Debug, Clone, Args)]
pub(in crate::cli) struct ImportArgs {
    /// The bundle's folder
    #[arg(value_name = "DIR")]
    folder: PathBuf,
    #[command(flatten)]
    pub(super) args: BundleArgs,
    /// Take in what is intact when some of it is missing or damaged
    #[arg(long)]
    partial: bool,
    /// Take it in without a signature, or with that of a key that is not trusted
    #[arg(long)]
    allow_unsigned: bool,
    /// Take it in whatever was imported of its key before, and set the order of the key back to it
    #[arg(long)]
    any_sequence: bool,
}

pub(super) fn run(args: &ImportArgs) -> Result<ExitCode, CommandFailure> {
    let config = args.args.load()?;
    storage::apart(&config.storage, "DIR", &args.folder)?;
    let report = report(&config, args)?;
    recorded::record(config.log.audit.as_deref(), entry(&report, args));
    Ok(show(&report, args))
}

/// What the import did, for the audit record.
fn entry(report: &ImportReport, args: &ImportArgs) -> AuditEntry {
    let entry = recorded::entry(AuditAction::Import).with("about", args.folder.display().to_string());
    let entry = entry.with("outcome", report.outcome.as_str()).with("releases", report.releases);
    let entry = match &report.key_id {
        Some(key_id) => entry.with("key_id", key_id.to_string()),
        None => entry,
    };
    match &report.reason {
        Some(reason) => entry.with("reason", &**reason),
        None => entry,
    }
}

/// Takes the bundle in.
fn report(config: &Config, args: &ImportArgs) -> Result<Box<ImportReport>, CommandFailure> {
    let bundle = match inspect::open(&args.folder, &config.bundles.trusted_keys)? {
        Ok(bundle) => bundle,
        Err(error) => return Ok(ImportReport::of(None).refused(error.to_string())),
    };
    let options = ImportOptions {
        partial: args.partial,
        allow_unsigned: args.allow_unsigned,
        any_sequence: args.any_sequence,
    };
    let locks = app::locks(config);
    let existing = is_there(config).then(|| storage::open(&config.storage)).transpose()?;
    let mut held = None;
    if existing.is_some() {
        held = lock(&locks)?;
        if held.is_none() {
            return Ok(ImportReport::of(None).refused(BUSY.to_owned()));
        }
    }
    let journal = journal(existing.as_ref(), options)?;
    let (now, bar) = (super::now(), progress::bar(progress::is_watched(args.args.json).then_some(0)));
    // The bar's first half is the examination, its second half what goes in.
    let examined = examine(bundle, &journal, options, now, |done, of| {
        bar.set_length(of.saturating_mul(2));
        bar.set_position(done);
    });
    let examined = match examined {
        Ok(examined) => examined,
        Err(report) => {
            bar.finish_and_clear();
            return Ok(report);
        }
    };
    // A bucket has no such limit.
    let is_bucket = matches!(config.storage.url, Location::S3 { .. });
    if !is_bucket && examined.bytes() > config.storage.max_size {
        let why = format!("its {} bytes are more than storage.max_size", examined.bytes());
        return Ok(examined.refused(why));
    }
    let objects = match existing {
        Some(objects) => objects,
        None => storage::open(&config.storage)?,
    };
    // The storage is made only now, or the lock is held.
    let _held = match held.map_or_else(|| lock(&locks), |held| Ok(Some(held)))? {
        Some(held) => held,
        None => return Ok(examined.refused(BUSY.to_owned())),
    };
    let report = take_in(config, &locks, objects, examined, now, &bar);
    bar.finish_and_clear();
    let report = report?;
    if let Err(why) = crate::cli::wait(running::reread(config))? {
        crate::cli::complain(&format!(
            "the running proxy did not take note of the import ({why}); restart it"
        ));
    }
    Ok(Box::new(report))
}

fn take_in(
    config: &Config,
    locks: &MirrorLocks,
    objects: Arc<ObjectStorage>,
    examined: ExaminedBundle,
    now: Timestamp,
    bar: &ProgressBar,
) -> Result<ImportReport, CommandFailure> {
    let upstreams = app::upstreams(config).map_err(|error| crate::cli::fail(&error))?;
    crate::cli::wait_on_threads(THREADS, async {
        let store = app::import_store(&config.storage, objects).await;
        let files =
            app::carried_files(config, Arc::clone(&store)).map_err(|error| crate::cli::fail(&error))?;
        let import = BundleImport {
            store,
            locks,
            upstreams: &upstreams,
            files,
            max_document: config.limits.max_document,
            now,
            watch: &|bytes| bar.inc(bytes),
        };
        import.take_in(examined).await.map_err(|error| crate::cli::fail(&error))
    })?
}

fn lock(locks: &MirrorLocks) -> Result<Option<MirrorLock>, CommandFailure> {
    import_lock(locks).map_err(|error| crate::cli::fail(&error))
}

/// The journal of a store; a new one in place of a damaged one, if the operator allows any order.
fn journal(
    existing: Option<&Arc<ObjectStorage>>,
    options: ImportOptions,
) -> Result<BundleJournal, CommandFailure> {
    let Some(store) = existing else { return Ok(BundleJournal::default()) };
    match crate::cli::wait(BundleJournal::read(&**store))? {
        Err(JournalError::Damaged(_)) if options.any_sequence => Ok(BundleJournal::default()),
        journal => journal.map_err(|error| crate::cli::fail(&error)),
    }
}

/// Whether there is a store; it is not made before a bundle is accepted.
fn is_there(config: &Config) -> bool {
    match &config.storage.url {
        Location::File(folder) => folder.is_dir(),
        Location::Memory | Location::S3 { .. } => true,
    }
}

fn show(report: &ImportReport, args: &ImportArgs) -> ExitCode {
    for warning in &report.warnings {
        crate::cli::complain(&format!("warning: {warning}"));
    }
    let written = match args.args.json {
        true => crate::cli::answer(&(serde_json::to_string(report).unwrap_or_default() + "\n")),
        false => crate::cli::answer(&text(report)),
    };
    match report.outcome {
        ImportOutcome::Imported | ImportOutcome::Unchanged => written,
        ImportOutcome::Partial => ExitCode::FAILURE,
        ImportOutcome::Refused => ExitCode::from(3),
    }
}

fn text(report: &ImportReport) -> String {
    let mut text = String::new();
    for left_out in &report.left_out {
        text += &format!("left out  {left_out}\n");
    }
    if report.untold > 0 {
        text += &format!("and {} more\n", report.untold);
    }
    let reason = report.reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
    text + &format!("{}{reason}; {} releases\n", report.outcome.as_str(), report.releases)
}
