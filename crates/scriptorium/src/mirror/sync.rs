//! A sync: select, say whether it fits, bring it in, and record what is here.
//!
//! ```text
//!  survey ─> fits? ─> keep what was and what comes ─> bring (in passes) ─> notices ─> record ─> keep what is recorded
//!             └ too large: nothing is fetched, kept or evicted for it
//! ```
//! A kill at any moment loses nothing that was brought: the next sync finds it in the store. Owns that order, and what
//! makes a sync complete. Must not know how a release is brought in, nor who asked for the sync.

use parking_lot::Mutex;
use selection::{MissingSubject, Selection};
use tracing::warn;

use super::bringing::{AT_ONCE, Bringing, Brought};
use super::desk::{MirrorDesk, MirrorRun};
use super::inquiry::inquire;
use super::outlook::Outlook;
use super::patience::in_passes;
use super::record::{self, LackSubject, MirrorLack, MirrorRecord, MirrorRecordError};
use super::report::{MirrorStatus, SyncReport};
use super::sizing::{Fit, fit};
use super::survey::{Survey, SurveyedIndexes, survey};
use super::tally::RunTally;
use crate::clock::Timestamp;
use crate::config::Mirror;

/// What a sync came to.
pub(super) struct SyncEnd {
    pub(super) report: SyncReport,
    /// How the mirror stands by the record that was written, and when the sync ended. None if no record was written.
    pub(super) recorded: Option<(MirrorStatus, Timestamp)>,
}

impl SyncEnd {
    fn counted(self, tally: &RunTally, volumes: usize) -> Self {
        Self { report: self.report.counted(tally, volumes), ..self }
    }
}

/// Syncs one mirror, as far as that goes.
pub(super) async fn sync(desk: &MirrorDesk, mirror: &Mirror, tally: &RunTally) -> SyncEnd {
    let before = match last(desk, mirror).await {
        Ok(record) => record,
        Err(not_run) => return not_run,
    };
    if desk.documents.live().policy.offline {
        let why = "cache.offline is true: no registry may be asked";
        return nothing_done(desk, mirror, before, why).await;
    }
    let run = MirrorRun::begin(desk, tally, &mirror.name).await;
    match survey(&run, mirror, Some(&before)).await {
        Ok(surveyed) => bring_in(&run, mirror, before, surveyed).await,
        Err(bound) => nothing_done(desk, mirror, before, &bound.to_string()).await.counted(tally, 0),
    }
}

/// What the last sync recorded.
async fn last(desk: &MirrorDesk, mirror: &Mirror) -> Result<MirrorRecord, SyncEnd> {
    let record = match record::load(&*desk.store, &mirror.name).await {
        Ok(record) => record,
        Err(error @ MirrorRecordError::Damaged(_)) => {
            warn!(%error, mirror = mirror.name, "the record of the last sync is written anew");
            None
        }
        // It is there, so it must not be replaced by one that knows less.
        Err(error @ MirrorRecordError::Store(_)) => {
            let report = SyncReport::not_run(&mirror.name, everything(mirror, &error.to_string()));
            return Err(SyncEnd { report, recorded: None });
        }
    };
    Ok(record.unwrap_or_else(|| MirrorRecord::empty(&mirror.name, desk.documents.now())))
}

/// Records that nothing was brought in, and why. What is kept stays.
async fn nothing_done(desk: &MirrorDesk, mirror: &Mirror, mut record: MirrorRecord, why: &str) -> SyncEnd {
    record.last_sync = desk.documents.now();
    (record.missing, record.untold) = (everything(mirror, why), 0);
    finish(desk, mirror, record).await
}

/// One reason for every root.
pub(super) fn everything(mirror: &Mirror, why: &str) -> Vec<MirrorLack> {
    let lack = |root: &selection::Root| MirrorLack {
        subject: LackSubject::Root(root.as_str().to_owned()),
        reason: why.to_owned(),
    };
    mirror.all_roots().iter().map(lack).collect()
}

async fn bring_in(run: &MirrorRun<'_>, mirror: &Mirror, before: MirrorRecord, surveyed: Survey) -> SyncEnd {
    let desk = run.desk;
    let mut outlook = Outlook::of(desk, mirror, Some(&before), &surveyed).await;
    let Survey { indexes, selection, remarks, .. } = surveyed;
    let SurveyedIndexes { volumes, lost, .. } = indexes;
    let volumes = volumes.len();
    let Selection { missing, untold, releases, .. } = selection;
    drop(releases);
    let missing = missing.into_iter().map(lack).chain(lost).collect();
    outlook.record.remarks = remarks;
    // A large record is not kept in memory twice.
    drop(before);
    let fits = fit(run, &mut outlook, false).await;
    let failed = match fits.refusal() {
        Some(why) => Err(why),
        None => bring(run, mirror, &mut outlook, fits).await,
    };
    let open_lengths = outlook.open_lengths();
    let failed = match failed {
        Ok(failed) => failed,
        Err(why) => {
            let before = match last(desk, mirror).await {
                Ok(record) => MirrorRecord { open_lengths, ..record },
                Err(not_run) => return not_run,
            };
            return nothing_done(desk, mirror, before, &why).await.counted(run.tally, volumes);
        }
    };
    let mut record = MirrorRecord { missing, untold, open_lengths, ..outlook.record };
    // Last, so that a registry that does not answer such questions holds up no release.
    let unsaid = inquire(run, &mut record).await;
    record.missing.extend(unsaid.into_iter().chain(failed));
    record.last_sync = desk.documents.now();
    if record.missing.is_empty() && record.untold == 0 {
        record.last_success = Some(record.last_sync);
        record.kept.clear();
    }
    finish(desk, mirror, record).await.counted(run.tally, volumes)
}

/// Brings in what is wanted, and answers what failed. An error says why the set does not fit after all.
async fn bring(
    run: &MirrorRun<'_>,
    mirror: &Mirror,
    outlook: &mut Outlook,
    mut fits: Fit,
) -> Result<Vec<MirrorLack>, String> {
    run.desk.store.keep_from_eviction(&mirror.name, outlook.record.keys());
    run.tally.begin(outlook.record.selected.len());
    let mut bringing = Bringing::new(run, mirror.trust, &outlook.record);
    let mut failed = Vec::new();
    let mut left: Vec<usize> = (0..outlook.record.selected.len()).collect();
    loop {
        bringing.evicts = fits == Fit::Fits;
        let mut put_off = Vec::new();
        // Each changes in its place, so that a large set is not in memory twice.
        let releases = Mutex::new(std::mem::take(&mut outlook.record.selected));
        let attempt = |at: usize| run.courteously(bringing.bring(releases.lock()[at].clone()));
        let end = |at: usize, Brought { release, is_put_off }: Brought, why: Option<String>| {
            if is_put_off {
                put_off.push(at);
                return Ok(());
            }
            run.tally.dealt_with();
            let subject = || LackSubject::Release(release.id());
            failed.extend(why.map(|reason| MirrorLack { subject: subject(), reason }));
            releases.lock()[at] = release;
            Ok::<(), std::convert::Infallible>(())
        };
        let Ok(()) = in_passes(left, run.at_once(AT_ONCE), attempt, end).await;
        outlook.record.selected = releases.into_inner();
        bringing.overflow()?;
        if put_off.is_empty() {
            break;
        }
        // Little is free. Before anything is evicted for the rest, all lengths are asked for.
        fits = fit(run, outlook, true).await;
        fits.refusal().map_or(Ok(()), Err)?;
        left = put_off;
    }
    // They end in any order; the record of one state is one text.
    failed.sort_by(|one: &MirrorLack, other| one.subject.cmp(&other.subject));
    Ok(failed)
}

/// Writes the record and keeps what belongs to it. A sync that is not recorded is not complete.
async fn finish(desk: &MirrorDesk, mirror: &Mirror, mut record: MirrorRecord) -> SyncEnd {
    let recorded = match record::save(&*desk.store, &record).await {
        Ok(()) => {
            desk.store.keep_from_eviction(&record.name, record.keys());
            Some((MirrorStatus::of(&record.name, Some(&record)), record.last_sync))
        }
        Err(error) => {
            warn!(%error, mirror = record.name, "the record of a sync cannot be written");
            if record.missing.is_empty() {
                let why = format!("the record of this sync cannot be written: {error}");
                record.missing = everything(mirror, &why);
            }
            None
        }
    };
    SyncEnd { report: SyncReport::of(&record), recorded }
}

pub(super) fn lack(missing: selection::Missing) -> MirrorLack {
    let subject = match missing.subject {
        MissingSubject::Root(root) => LackSubject::Root(root.as_str().to_owned()),
        MissingSubject::Release(release) => LackSubject::Release(release.to_string()),
    };
    MirrorLack { subject, reason: missing.reason }
}
