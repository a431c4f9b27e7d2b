//! The quotas of clients, which all proxies share, as this proxy knows them.
//!
//! A request is let in on the lease of its client, at once. What could not be settled is told again, also when its client asks
//! here no more. Owns what clients owe until that is settled; the arithmetic is in
//! `crates/cluster`. Must not know who a client is, nor how debts are settled.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use ::cluster::{ClientShare, DEADLINE, ShareDebt, ShareRate, ShareVerdict};
use parking_lot::Mutex;
use tokio::sync::{Notify, watch};
use tokio::time::timeout;

use crate::domain::Sha256;

/// Clients that are remembered until what they owe can be told.
const MOST_UNTOLD: usize = 100_000;

/// What is owed, and by whom.
#[derive(Debug)]
pub(super) struct QuotaDebts {
    nodes: NonZeroU32,
    /// Of each client at most one at a time, so no more than there are buckets.
    owed: Mutex<Vec<(Arc<SharedQuota>, ShareDebt)>>,
    /// Clients that were let in while nothing could be told, each once.
    untold: Mutex<Vec<Arc<SharedQuota>>>,
    wake: Notify,
    /// How often debts were settled.
    settled: watch::Sender<u64>,
    /// In milliseconds: debts could not be settled, so each proxy has its part until then.
    alone_until: AtomicU64,
}

/// One client's quota, as this proxy knows it.
#[derive(Debug)]
pub(crate) struct SharedQuota {
    share: Mutex<ClientShare>,
    /// The digest of who it is, and of the rate.
    pub(super) key: String,
    is_untold: AtomicBool,
}

impl QuotaDebts {
    pub(super) fn new(nodes: u32) -> Self {
        Self {
            nodes: NonZeroU32::new(nodes).unwrap_or(NonZeroU32::MIN),
            owed: Mutex::default(),
            untold: Mutex::default(),
            wake: Notify::new(),
            settled: watch::Sender::new(0),
            alone_until: AtomicU64::new(0),
        }
    }

    /// A quota of `requests` in `per`. The engine sees a digest of `whose`.
    pub(super) fn open(&self, whose: &str, requests: NonZeroU32, per: Duration) -> Arc<SharedQuota> {
        let share = Mutex::new(ClientShare::new(ShareRate::new(requests, per, self.nodes)));
        let named = format!("{whose}\n{requests}\n{}", per.as_millis());
        Arc::new(SharedQuota {
            share,
            key: Sha256::of(named.as_bytes()).hex(),
            is_untold: AtomicBool::new(false),
        })
    }

    /// Takes one request out of a quota.
    pub(super) fn take(&self, quota: &Arc<SharedQuota>, together: bool, now: Duration) -> ShareVerdict {
        let together = together && !self.is_late(now);
        let mut share = quota.share.lock();
        let verdict = share.take(now, together);
        if !together {
            self.tell_later(quota);
        } else if let Some(debt) = share.debt(now) {
            self.owed.lock().push((Arc::clone(quota), debt));
            self.wake.notify_one();
        }
        verdict
    }

    /// Waits until somebody owes something, or a moment.
    pub(super) async fn gathered(&self) {
        let _ = timeout(DEADLINE, self.wake.notified()).await;
    }

    /// What is owed now, if this proxy works together with the others.
    pub(super) fn owed(&self, together: bool, now: Duration) -> Vec<(Arc<SharedQuota>, ShareDebt)> {
        let mut owed = std::mem::take(&mut *self.owed.lock());
        if together && !self.is_late(now) {
            for quota in std::mem::take(&mut *self.untold.lock()) {
                quota.is_untold.store(false, Ordering::Relaxed);
                let debt = quota.share.lock().debt(now);
                owed.extend(debt.map(|debt| (quota, debt)));
            }
        }
        owed
    }

    fn is_late(&self, now: Duration) -> bool {
        self.alone_until.load(Ordering::Relaxed) > millis(now)
    }

    fn tell_later(&self, quota: &Arc<SharedQuota>) {
        if quota.is_untold.swap(true, Ordering::Relaxed) {
            return;
        }
        let mut untold = self.untold.lock();
        if untold.len() < MOST_UNTOLD {
            untold.push(Arc::clone(quota));
        } else {
            // It is told with the client's next request.
            quota.is_untold.store(false, Ordering::Relaxed);
        }
    }

    /// So much is missing of each of `owed`; `None` if the engine did not say.
    pub(super) fn answered(
        &self,
        owed: &[(Arc<SharedQuota>, ShareDebt)],
        missing: Option<&[Duration]>,
        now: Duration,
    ) {
        for (index, (quota, _)) in owed.iter().enumerate() {
            match missing.and_then(|missing| missing.get(index)) {
                Some(missing) => quota.share.lock().settled(*missing, now),
                None => {
                    quota.share.lock().lost();
                    self.tell_later(quota);
                }
            }
        }
        if missing.is_none() {
            self.alone_until.store(millis(now + DEADLINE), Ordering::Relaxed);
        }
        self.settled.send_modify(|times| *times += 1);
    }

    /// Waits until debts were settled once more, or could not be.
    pub(super) async fn settled(&self) {
        let _ = timeout(DEADLINE * 2, self.settled.subscribe().changed()).await;
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
