//! The runs of mirrors: one at a time for each mirror, asked for by an operator or due by its schedule.
//!
//! Owns which runs are under way, what the last ones came to, and when the next is due. Must not know what a run does.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Mutex, MutexGuard};
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tracing::{info, warn};

use super::desk::MirrorDesk;
use super::lock::MirrorLocks;
use super::plan::plan;
use super::record::{self, MirrorLack};
use super::report::{MirrorStatus, PlanReport, RunStatus, SyncReport};
use super::sync::{SyncEnd, everything, sync};
use super::tally::RunTally;
use super::withheld::WithheldMemory;
use crate::clock::Timestamp;
use crate::config;
use crate::store::StorageKeys;

/// How often schedules are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// What a run does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RunKind {
    Plan,
    Sync,
}

impl RunKind {
    /// How a run ended that did not begin.
    pub(crate) fn not_run(self, mirror: &config::Mirror, why: &str) -> RunStatus {
        let (mut run, missing) = (RunStatus::default(), everything(mirror, why));
        match self {
            Self::Plan => run.planned = Some(PlanReport::not_run(&mirror.name, missing)),
            Self::Sync => run.synced = Some(SyncReport::not_run(&mirror.name, missing)),
        }
        run
    }
}

/// Why no run is started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NotStarted {
    #[error("no mirror has this name; `GET /admin/v1/mirrors` lists them")]
    Unknown,
    #[error("a run of this mirror is under way; `GET /admin/v1/mirrors` says how far it is")]
    Running,
}

/// The mirrors of this process.
#[derive(Debug)]
pub(crate) struct Mirrors {
    desk: MirrorDesk,
    locks: MirrorLocks,
    state: Mutex<BTreeMap<String, MirrorState>>,
    withheld: WithheldMemory,
    wake: Notify,
}

#[derive(Debug)]
struct MirrorState {
    config: config::Mirror,
    status: MirrorStatus,
    last_sync: Option<Timestamp>,
    /// Whether the record of an earlier process was read.
    is_recollected: bool,
    /// The share of the schedule after which the next sync is due, in percent.
    jitter: u32,
    running: Option<Arc<RunTally>>,
    /// A run that was asked for and not begun.
    queued: Option<RunKind>,
}

impl Mirrors {
    /// The mirrors of `config`, with locks in the folder of `locks`.
    pub(crate) fn new(desk: MirrorDesk, locks: MirrorLocks, config: &[config::Mirror]) -> Self {
        let mirrors = Self {
            desk,
            locks,
            state: Mutex::default(),
            withheld: WithheldMemory::default(),
            wake: Notify::new(),
        };
        mirrors.reload(config);
        mirrors
    }

    /// Uses other settings from the next run on. A mirror that is no longer configured keeps nothing.
    pub(crate) fn reload(&self, config: &[config::Mirror]) {
        let mut state = self.state();
        for gone in state.keys().filter(|name| !config.iter().any(|mirror| mirror.name == **name)) {
            self.desk.store.keep_from_eviction(gone, StorageKeys::default());
            self.desk.metrics.mirrors.forget(gone);
        }
        state.retain(|name, _| config.iter().any(|mirror| mirror.name == *name));
        for mirror in config {
            match state.get_mut(&mirror.name) {
                Some(known) => known.config = mirror.clone(),
                None => {
                    self.desk.metrics.mirrors.running(&mirror.name, false);
                    state.insert(mirror.name.clone(), MirrorState::new(mirror.clone()));
                }
            }
        }
        drop(state);
        self.wake.notify_one();
    }

    /// Reads what the last syncs of earlier processes recorded, and keeps that from eviction.
    pub(crate) async fn recollect(&self) {
        let forgotten = |(name, mirror): (&String, &mut MirrorState)| {
            let is_new = !std::mem::replace(&mut mirror.is_recollected, true);
            is_new.then(|| name.clone())
        };
        let names: Vec<String> = self.state().iter_mut().filter_map(forgotten).collect();
        for name in names {
            match record::load(&*self.desk.store, &name).await {
                Ok(Some(record)) => {
                    self.desk.store.keep_from_eviction(&name, record.keys());
                    self.note(&name, MirrorStatus::of(&name, Some(&record)), Some(record.last_sync));
                }
                Ok(None) => {}
                Err(error) => warn!(%error, mirror = name, "the record of a mirror cannot be used"),
            }
        }
    }

    /// Begins runs that are asked for or due. Never ends; dropped, it ends the runs.
    pub(crate) async fn keep(self: &Arc<Self>) {
        let mut runs = JoinSet::new();
        loop {
            // A reload may have brought a mirror that was synced before.
            self.recollect().await;
            let due: Vec<String> = self.due();
            for name in due {
                // A run that is under way is as good.
                let _ = self.start(&name, RunKind::Sync);
            }
            for (name, kind) in self.take_queued() {
                let mirrors = Arc::clone(self);
                runs.spawn(async move { mirrors.perform(&name, kind).await });
            }
            tokio::select! {
                () = self.wake.notified() => {}
                () = tokio::time::sleep(LOOK_EVERY) => {}
                Some(_) = runs.join_next() => {}
            }
        }
    }

    /// Asks for a run, and answers with its number.
    ///
    /// # Errors
    /// [`NotStarted`] when there is no such mirror, or a run of it is under way.
    pub(crate) fn start(&self, name: &str, kind: RunKind) -> Result<u64, NotStarted> {
        let mut state = self.state();
        let mirror = state.get_mut(name).ok_or(NotStarted::Unknown)?;
        if mirror.running.is_some() {
            return Err(NotStarted::Running);
        }
        mirror.running = Some(Arc::default());
        mirror.queued = Some(kind);
        let run = mirror.status.run.get_or_insert_default();
        *run = RunStatus { number: run.number + 1, ..RunStatus::default() };
        let number = run.number;
        drop(state);
        self.desk.metrics.mirrors.running(name, true);
        self.wake.notify_one();
        Ok(number)
    }

    /// How every mirror stands, under the policy in force.
    pub(crate) async fn statuses(&self) -> Vec<MirrorStatus> {
        let stand = |mirror: &MirrorState| (mirror.status(), mirror.last_sync);
        let mut stands: Vec<_> = self.state().values().map(stand).collect();
        let MirrorDesk { store, documents, .. } = &self.desk;
        self.withheld.keep_only(|mirror| stands.iter().any(|(status, _)| status.mirror == mirror)).await;
        // Whoever waits for a run looks often; what the policy says is known when it has ended.
        for (status, last_sync) in stands.iter_mut().filter(|(status, _)| !status.running) {
            self.withheld.note(&**store, documents, status, *last_sync).await;
        }
        stands.into_iter().map(|(status, _)| status).collect()
    }

    /// The mirrors whose last complete sync is older than two of their schedules, with its age.
    pub(crate) fn late(&self, now: Timestamp) -> Vec<(String, Duration)> {
        let late = |(name, mirror): (&String, &MirrorState)| Some((name.clone(), mirror.late(now)?));
        self.state().iter().filter_map(late).collect()
    }

    /// How one mirror stands.
    pub(crate) fn status(&self, name: &str) -> Option<MirrorStatus> {
        self.state().get(name).map(MirrorState::status)
    }

    /// Runs what was [started](Self::start), to its end.
    pub(crate) async fn perform(&self, name: &str, kind: RunKind) {
        let (config, tally) = {
            let mut state = self.state();
            let Some(mirror) = state.get_mut(name) else { return };
            mirror.queued = None;
            (mirror.config.clone(), mirror.running.clone().unwrap_or_default())
        };
        match kind {
            RunKind::Plan => {
                let planned = plan(&self.desk, &config, &tally).await;
                self.ended(name, |status| status.planned = Some(planned));
            }
            RunKind::Sync => {
                let synced = match self.locks.take(name) {
                    Ok(Some(_held)) => self.sync(&config, &tally).await,
                    Ok(None) => self.not_synced(&config, "another process runs this mirror"),
                    Err(error) => {
                        self.not_synced(&config, &format!("the lock of this mirror cannot be taken: {error}"))
                    }
                };
                self.ended(name, |status| status.synced = Some(synced));
            }
        }
    }

    async fn sync(&self, config: &config::Mirror, tally: &RunTally) -> SyncReport {
        let name = &config.name;
        info!(mirror = name, "a sync begins");
        let SyncEnd { report: synced, recorded } = sync(&self.desk, config, tally).await;
        let SyncReport { complete, releases, bytes, requests, .. } = &synced;
        let missing = synced.missing.len() + synced.untold;
        info!(mirror = name, complete, releases, bytes, requests, missing, "a sync has ended");
        for MirrorLack { subject, reason } in synced.missing.iter().take(MOST_LOGGED) {
            warn!(mirror = name, ?subject, reason, "something of a mirror is missing");
        }
        let (status, last_sync) = match recorded {
            Some((status, at)) => (status, at),
            None => {
                let record = record::load(&*self.desk.store, name).await.ok().flatten();
                let at = record.as_ref().map_or_else(|| self.desk.documents.now(), |record| record.last_sync);
                (MirrorStatus::of(name, record.as_ref()), at)
            }
        };
        self.note(name, status, Some(last_sync));
        synced
    }

    fn not_synced(&self, config: &config::Mirror, why: &str) -> SyncReport {
        warn!(mirror = config.name, why, "a mirror is not synced");
        if let Some(mirror) = self.state().get_mut(&config.name) {
            // Its schedule tries again, not at once.
            mirror.last_sync = Some(self.desk.documents.now());
        }
        SyncReport::not_run(&config.name, everything(config, why))
    }

    fn ended(&self, name: &str, note: impl FnOnce(&mut RunStatus)) {
        let mut state = self.state();
        let Some(mirror) = state.get_mut(name) else {
            // A reload took it away meanwhile.
            return self.desk.store.keep_from_eviction(name, StorageKeys::default());
        };
        let tally = mirror.running.take().unwrap_or_default();
        let run = mirror.status.run.get_or_insert_default();
        (run.done, run.of) = (tally.counts().done, tally.counts().of);
        note(run);
        self.desk.metrics.mirrors.running(name, false);
    }

    fn note(&self, name: &str, status: MirrorStatus, last_sync: Option<Timestamp>) {
        let mut state = self.state();
        let Some(mirror) = state.get_mut(name) else { return };
        let (missing, releases) = (status.missing.len() + status.untold, status.releases);
        self.desk.metrics.mirrors.stands(name, releases, missing);
        if let Some(at) = status.last_success_at {
            self.desk.metrics.mirrors.succeeded(name, at.0 / 1000);
        }
        let run = mirror.status.run.take();
        mirror.status = MirrorStatus { run, ..status };
        (mirror.last_sync, mirror.jitter) = (last_sync, jitter());
    }

    fn due(&self) -> Vec<String> {
        let now = self.desk.documents.now();
        if self.desk.documents.live().policy.offline {
            return Vec::new();
        }
        let state = self.state();
        let due = state.iter().filter(|(_, mirror)| mirror.running.is_none() && mirror.is_due(now));
        due.map(|(name, _)| name.clone()).collect()
    }

    fn take_queued(&self) -> Vec<(String, RunKind)> {
        let mut state = self.state();
        state.iter_mut().filter_map(|(name, mirror)| Some((name.clone(), mirror.queued.take()?))).collect()
    }

    /// A panic cannot leave the state half changed.
    fn state(&self) -> MutexGuard<'_, BTreeMap<String, MirrorState>> {
        self.state.lock()
    }
}

/// Things that are missing and logged. The command shows all.
const MOST_LOGGED: usize = 100;

impl MirrorState {
    fn new(config: config::Mirror) -> Self {
        let status = MirrorStatus::of(&config.name, None);
        let (last_sync, is_recollected) = (None, false);
        Self { config, status, last_sync, is_recollected, jitter: jitter(), running: None, queued: None }
    }

    fn status(&self) -> MirrorStatus {
        let mut status = self.status.clone();
        status.running = self.running.is_some();
        if let (Some(tally), Some(run)) = (&self.running, &mut status.run) {
            (run.done, run.of) = (tally.counts().done, tally.counts().of);
        }
        status
    }

    fn late(&self, now: Timestamp) -> Option<Duration> {
        let age = now.since(self.status.last_success_at?)?;
        (age > self.config.schedule? * 2).then_some(age)
    }

    /// Whether its schedule says that it is time. A mirror that was never synced is due at once.
    fn is_due(&self, now: Timestamp) -> bool {
        let Some(schedule) = self.config.schedule else { return false };
        // A clock that was turned back says nothing of how long ago it was.
        let age = self.last_sync.map(|last| now.since(last).unwrap_or(Duration::MAX));
        age.is_none_or(|age| age >= schedule * self.jitter / 100)
    }
}

/// 90 to 110.
fn jitter() -> u32 {
    fastrand::u32(90..=110)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(schedule: Option<u64>, last: Option<u64>) -> MirrorState {
        let mut config = config::Mirror::with("ci".to_owned());
        config.schedule = schedule.map(Duration::from_secs);
        MirrorState { last_sync: last.map(|seconds| Timestamp(seconds * 1000)), ..MirrorState::new(config) }
    }

    #[test]
    fn a_schedule_is_kept_within_a_tenth() {
        let at = |seconds: u64| Timestamp(seconds * 1000);
        for _ in 0..200 {
            let mirror = state(Some(1000), Some(10_000));
            assert!(!mirror.is_due(at(10_899)) && mirror.is_due(at(11_100)), "{}", mirror.jitter);
        }
        assert!(state(Some(1000), None).is_due(at(1)), "it was never synced");
        assert!(state(Some(1000), Some(10_000)).is_due(at(9_000)), "the clock was turned back");
        assert!(!state(None, None).is_due(at(1)), "it is synced when told");
    }

    #[test]
    fn a_mirror_is_late_once_two_schedules_passed() {
        let at = |seconds: u64| Timestamp(seconds * 1000);
        let synced = |schedule| {
            let mut mirror = state(schedule, Some(10_000));
            mirror.status.last_success_at = Some(at(10_000));
            mirror
        };
        assert_eq!(synced(Some(1000)).late(at(12_000)), None);
        assert_eq!(synced(Some(1000)).late(at(12_001)), Some(Duration::from_secs(2_001)));
        assert_eq!(synced(None).late(at(99_000)), None, "it is synced when told");
        assert_eq!(state(Some(1000), None).late(at(99_000)), None, "it was never synced");
    }
}
