//! `mirror export`.
//!
//! Owns what is shown of a new bundle. Must not know how it is made.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use bundle::{Receipt, SigningKey, UtcSecond};
use bytesize::ByteSize;
use clap::Args;
use policy::PolicyMode;

use super::BundleArgs;
use crate::app;
use crate::bundles::{BundleOrder, BundledExtent, BundledRelease, BundledSelection, MadeBundle};
use crate::cli::{CommandFailure, storage};
use crate::config::Config;
use crate::domain::Sha256;
use crate::mirror::record::load;
use crate::store::Store;

#[derive(Debug, Clone, Args)]
pub(in crate::cli) struct ExportArgs {
    /// The mirror
    #[arg(value_name = "NAME")]
    mirror: String,
    /// The folder that becomes the bundle
    #[arg(long, value_name = "DIR")]
    to: PathBuf,
    /// The secret key that signs it
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    /// The first line of standard input opens the key
    #[arg(long)]
    password: bool,
    /// Leave out what this receipt lists
    #[arg(long = "for", value_name = "RECEIPT")]
    receipt: Option<PathBuf>,
    /// Indexes, exact metadata and advisories only
    #[arg(long)]
    lifecycle_only: bool,
    /// Put blobs into tar files of at most this size, such as 4GiB
    #[arg(long, value_name = "SIZE", value_parser = super::size)]
    part_size: Option<u64>,
    /// How long it may be imported, such as 30d
    #[arg(long, value_name = "DURATION", value_parser = super::lifetime)]
    expires: Option<Duration>,
    #[command(flatten)]
    pub(super) args: BundleArgs,
}

pub(super) fn run(args: ExportArgs) -> Result<ExitCode, CommandFailure> {
    let config = args.args.load()?;
    storage::apart(&config.storage, "--to", &args.to)?;
    let password = args.password.then(super::password).transpose()?;
    let key = SigningKey::load(&args.key, password.as_deref())
        .map_err(|error| crate::cli::usage(&error.to_string()))?;
    let receipt = args.receipt.as_deref().map(receipt).transpose()?;
    let created = super::created()?;
    let objects = storage::open_existing(&config.storage)?;
    let order = BundleOrder {
        folder: args.to.clone(),
        part_size: args.part_size,
        key,
        receipt,
        lifecycle_only: args.lifecycle_only,
        created,
        expires: args
            .expires
            .map(|period| UtcSecond::saturating(created.seconds().saturating_add(period.as_secs()))),
    };
    let made = crate::cli::wait(async {
        // What exports that were killed had staged of the journal.
        objects.sweep().await;
        let store: Arc<dyn Store> = objects;
        let selection = selection(&*store, &args.mirror).await?;
        let selection = routed(&config, selection)?;
        let selection = allowed(&config, &store, selection).await?;
        order.make(store, &app::locks(&config), selection).await.map_err(|error| crate::cli::fail(&error))
    })??;
    Ok(crate::cli::answer(&match args.args.json {
        true => serde_json::to_string(&made).unwrap_or_default() + "\n",
        false => text(&made),
    }))
}

/// What the mirror selected when it was last synced.
async fn selection(store: &dyn Store, mirror: &str) -> Result<BundledSelection, CommandFailure> {
    let record = load(store, mirror).await.map_err(|error| crate::cli::fail(&error))?;
    let record = record.ok_or_else(|| {
        crate::cli::failed(&format!(
            "the mirror `{mirror}` was never synced; run `scriptorium mirror sync {mirror}`"
        ))
    })?;
    Ok(BundledSelection::from(&record))
}

/// What of `selection` belongs to the registry that its name is routed to now; the rest is missing.
fn routed(config: &Config, mut selection: BundledSelection) -> Result<BundledSelection, CommandFailure> {
    let upstreams = app::upstreams(config).map_err(|error| crate::cli::fail(&error))?;
    let mut routed = Vec::new();
    for bundled in std::mem::take(&mut selection.releases) {
        match upstreams.for_volume(&bundled.release.name) {
            Some(upstream) if **upstream.registry() == bundled.registry => routed.push(bundled),
            Some(_) | None => {
                let registry = bundled.registry.name();
                let why =
                    format!("its name is no longer routed to `{registry}`, of which it is; sync the mirror");
                selection.leave_out(&bundled.release, &why);
            }
        }
    }
    if routed.is_empty() && !selection.missing.is_empty() {
        let why =
            "none of its releases belongs to the registry that its name is routed to now; sync the mirror";
        return Err(crate::cli::failed(why));
    }
    Ok(BundledSelection { releases: routed, ..selection })
}

/// What the policy of `config` allows of `selection`. The rest is missing; the indexes that list it are not.
async fn allowed(
    config: &Config,
    store: &Arc<dyn Store>,
    mut selection: BundledSelection,
) -> Result<BundledSelection, CommandFailure> {
    let rules = config.policy.compile(super::now().0 / 1000);
    let (rules, _) = rules.map_err(|errors| crate::cli::usages(&errors))?;
    if rules.is_empty() || rules.mode() == PolicyMode::Audit {
        return Ok(selection);
    }
    let documents = app::documents_under(config, Arc::clone(store), rules).await;
    let documents = documents.map_err(|error| crate::cli::fail(&error))?;
    let mut allowed = Vec::new();
    for bundled in std::mem::take(&mut selection.releases) {
        let trial = documents.try_out(&bundled.release, None, false).await;
        let trial = trial.map_err(|error| crate::cli::fail(&error))?;
        match trial.and_then(|trial| trial.finding()) {
            Some(finding) if finding.refuses() => {
                if bundled.extent == BundledExtent::Whole {
                    selection.leave_out(&bundled.release, &finding.reason);
                }
                // What its registry says of it still goes along, such as a block.
                allowed.push(BundledRelease { extent: BundledExtent::Index, ..bundled });
            }
            Some(_) | None => allowed.push(bundled),
        }
    }
    Ok(BundledSelection { releases: allowed, ..selection })
}

fn receipt(path: &Path) -> Result<(Receipt, Sha256), CommandFailure> {
    let refuse = |why: String| crate::cli::usage(&format!("--for {}: {why}", path.display()));
    let file = File::open(path).map_err(|error| refuse(error.to_string()))?;
    Receipt::read(file).map_err(|error| refuse(error.to_string()))
}

fn text(made: &MadeBundle) -> String {
    let MadeBundle { head, documents, files, pins, bytes, missing, .. } = made;
    let mut text = String::new();
    for gap in missing {
        let (bundle::GapSubject::Root(subject) | bundle::GapSubject::Release(subject)) = &gap.subject;
        text += &format!("missing  {subject}: {}\n", gap.reason);
    }
    text + &format!(
        "{} bundle {} of the key {}: {documents} documents, {files} files, {pins} pins, {}\n",
        head.kind.as_str(),
        head.sequence,
        head.key_id,
        ByteSize(*bytes)
    )
}
