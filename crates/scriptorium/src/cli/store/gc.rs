//! `store gc`: shows what has to be removed so that no more than a size stays, and removes it.
//!
//! Owns that nothing is removed without `--apply`, and how a plan is shown. Must not know what is removed before
//! what.

use std::process::ExitCode;
use std::sync::Arc;

use bytesize::ByteSize;
use indicatif::ProgressBar;
use serde_json::json;

use super::{GcArgs, Shown, kinds, table};
use crate::audit_record::AuditAction;
use crate::bundles::imported_keys;
use crate::cli::CommandFailure;
use crate::cli::storage::{EvictionKeepers, StorageToChange, open_existing};
use crate::cli::{answer, complain, fail, progress, recorded, wait, with_causes};
use crate::mirror::record::{MirrorRecordError, kept_keys};
use crate::store::stats::{ABANDONED, Tallies};
use crate::store::{Ceiling, EvictionPlan, ObjectStorage, StagedBatch, Store, StoreError};

/// Values that are listed in the text.
const MOST_SHOWN: usize = 10;

/// A plan and its outcome.
struct GcOutcome {
    to: u64,
    plan: EvictionPlan,
    /// The first that are removed.
    first: Vec<Shown>,
    /// Bytes that were removed, and why not all of them.
    freed: u64,
    failed: Option<String>,
    applied: bool,
}

pub(super) fn run(args: &GcArgs) -> Result<ExitCode, CommandFailure> {
    let StorageToChange { storage, audit, .. } = args.storage.load_for_change()?;
    let store = open_existing(&storage)?;
    let to = args.to.unwrap_or(storage.max_size);
    let keepers = args.storage.keepers()?;
    let done = wait(collect(&store, to, keepers, args))?.map_err(|error| fail(&error))?;
    if done.applied {
        let entry =
            recorded::entry(AuditAction::Collected).with("about", format!("down to {}", ByteSize(to)));
        recorded::record(audit.as_deref(), entry.with("freed", done.freed));
    }
    let written = answer(&if args.json { done.json() } else { done.text() });
    if let Some(failed) = &done.failed {
        complain(failed);
    }
    Ok(if done.failed.is_some() { ExitCode::FAILURE } else { written })
}

async fn collect(
    store: &Arc<ObjectStorage>,
    to: u64,
    keepers: Option<EvictionKeepers>,
    args: &GcArgs,
) -> Result<GcOutcome, StoreError> {
    // The generator is not used: a plan looks at everything.
    let ceiling = Ceiling::new(Arc::clone(store), to, fastrand::Rng::with_seed(0));
    let kept: Arc<dyn Store> = store.clone();
    let damaged = |error: MirrorRecordError| complain(&with_causes(&error));
    // Without a configuration the records of bundles count like those of mirrors.
    let (mirrors, keys) = match keepers {
        Some(EvictionKeepers { mirrors, keys }) => (Some(mirrors), keys),
        None => (None, Vec::new()),
    };
    ceiling.keep_from_eviction("bundles", imported_keys(&*kept, &keys, damaged).await);
    ceiling.keep_from_eviction("mirrors", kept_keys(&kept, mirrors.as_deref(), damaged).await);
    let plan = ceiling.plan(args.quarantine).await?;
    let mut first = Vec::new();
    for (key, bytes) in plan.values.iter().take(MOST_SHOWN) {
        first.push(Shown::of(&**store, key, *bytes).await);
    }
    let mut done = GcOutcome { to, plan, first, freed: 0, failed: None, applied: false };
    if done.plan.after > to {
        done.failed = Some(done.out_of_reach());
    } else if args.apply {
        done.applied = true;
        done.apply(store, args.json).await;
    }
    Ok(done)
}

impl GcOutcome {
    async fn apply(&mut self, store: &ObjectStorage, json: bool) {
        let goes = self.plan.before - self.plan.after;
        let bar = progress::bar(progress::is_watched(json).then_some(goes));
        if let Err(failed) = self.remove(store, &bar).await {
            self.failed = Some(failed);
        }
        bar.finish_and_clear();
    }

    async fn remove(&mut self, store: &ObjectStorage, bar: &ProgressBar) -> Result<(), String> {
        if !self.plan.abandoned.is_empty() {
            store.sweep().await;
            let left = store.staged().await.map_err(|error| error.to_string())?;
            for batch in &self.plan.abandoned {
                match left.iter().find(|left| left.path == batch.path) {
                    Some(left) if left.abandoned => return Err(format!("cannot remove {}", batch.path)),
                    // A process has locked it only now, so it is not abandoned.
                    Some(_) => continue,
                    None => {}
                }
                self.freed += batch.tally.bytes;
                bar.inc(batch.tally.bytes);
            }
        }
        for (key, bytes) in &self.plan.values {
            let removed = store.discard(key).await;
            removed.map_err(|error| format!("cannot remove {}: {}", key.path(), with_causes(&error)))?;
            self.freed += bytes;
            bar.inc(*bytes);
        }
        Ok(())
    }

    fn out_of_reach(&self) -> String {
        let Self { to, plan: EvictionPlan { least, .. }, .. } = self;
        format!(
            "{} cannot be reached: {least} bytes stay, which are records such as pins, what mirrors and bundles keep, what is \
             being written, or what was set aside; nothing was removed. The smallest SIZE is {least}B",
            ByteSize(*to),
        )
    }

    fn tallies(&self) -> Tallies {
        let mut tallies = Tallies::default();
        for batch in &self.plan.abandoned {
            tallies.add(ABANDONED, batch.tally);
        }
        for (key, bytes) in &self.plan.values {
            tallies.add_value(key, *bytes);
        }
        tallies
    }

    fn json(&self) -> String {
        let EvictionPlan { before, after, least, abandoned, values } = &self.plan;
        let batches = abandoned.iter().map(|batch| (batch.path.clone(), batch.tally.bytes));
        let paths = batches.chain(values.iter().map(|(key, bytes)| (key.path(), *bytes)));
        let document = json!({
            "to": self.to,
            "before": before,
            "after": after,
            "least": least,
            "reached": *after <= self.to,
            "applied": self.applied,
            "freed": self.freed,
            "kinds": kinds(&self.tallies()),
            "values": paths.map(|(path, bytes)| json!({ "path": path, "bytes": bytes })).collect::<Vec<_>>(),
        });
        format!("{document:#}\n")
    }

    fn text(&self) -> String {
        let Self { to, plan, first, freed, .. } = self;
        let stored = format!("{} stored, {} allowed", ByteSize(plan.before), ByteSize(*to));
        let batches = &plan.abandoned;
        let count = batches.len() + plan.values.len();
        if count == 0 {
            return format!("{stored}: nothing has to go\n");
        }
        let mut text = String::new();
        table(&mut text, &self.tallies());
        text.push('\n');
        let batch =
            |batch: &StagedBatch| Shown { path: batch.path.clone(), bytes: batch.tally.bytes, release: None };
        let batches = batches.iter().map(|each| batch(each).line());
        let shown: Vec<_> = batches.chain(first.iter().map(Shown::line)).take(MOST_SHOWN).collect();
        text.push_str(&shown.concat());
        if count > shown.len() {
            text.push_str(&format!("and {} more\n", count - shown.len()));
        }
        text.push_str(&format!("\n{stored}, {} would stay\n", ByteSize(plan.after)));
        text.push_str(&match (self.applied, &self.failed) {
            (true, _) => format!("{} freed\n", ByteSize(*freed)),
            (false, None) => "nothing was removed; add --apply\n".to_owned(),
            (false, Some(_)) => String::new(),
        });
        text
    }
}
