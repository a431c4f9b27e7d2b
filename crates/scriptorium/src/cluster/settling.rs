//! Settling what clients owe, behind the responses.
//!
//! One task tells the engine all debts that gathered while it told the ones before. Owns that task, and what others ask of
//! quotas. Must not know who a client is.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use ::cluster::ShareVerdict;

use super::ClusterNode;
use super::quotas::SharedQuota;

impl ClusterNode {
    /// A quota of `requests` in `per`, of whoever `whose` names at all proxies.
    pub(crate) fn quota(&self, whose: &str, requests: NonZeroU32, per: Duration) -> Arc<SharedQuota> {
        self.debts.open(whose, requests, per)
    }

    /// Takes one request out of a quota. Never waits.
    pub(crate) fn take_quota(&self, quota: &Arc<SharedQuota>, now: Duration) -> ShareVerdict {
        self.debts.take(quota, self.is_together(), now)
    }

    /// Waits until debts were settled once more, or could not be.
    pub(crate) async fn debts_settled(&self) {
        self.debts.settled().await;
    }

    /// Settles debts for ever.
    pub(super) async fn keep_debts(&self) {
        loop {
            self.debts.gathered().await;
            let owed = self.debts.owed(self.is_together(), self.clock.monotonic());
            if owed.is_empty() {
                continue;
            }
            let debts: Vec<_> = owed.iter().map(|(quota, debt)| (quota.key.clone(), *debt)).collect();
            let missing = self.engine().settle(&debts).await.ok();
            self.debts.answered(&owed, missing.as_deref(), self.clock.monotonic());
        }
    }
}
