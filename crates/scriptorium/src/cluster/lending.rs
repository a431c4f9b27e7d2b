//! Calling the pools of permits: once a second, and as soon as a request waits.
//!
//! Requests that use what others need back are cut off. Owns that task. Must not know what a request is.

use std::sync::Arc;

use ::cluster::PoolCall;

use super::ClusterNode;
use super::permits::SharedPermits;

impl ClusterNode {
    /// Calls the pools for ever.
    pub(super) async fn keep_permits(&self) {
        loop {
            self.pools.woken().await;
            let pools = self.pools.all();
            pools.iter().for_each(|pool| pool.cut_overdue());
            if self.is_together() {
                self.call_pools(&pools, SharedPermits::call).await;
            } else {
                pools.iter().for_each(|pool| pool.uncalled());
            }
        }
    }

    /// Lends the others all that this process does not use any more, at its end.
    pub(super) async fn leave_pools(&self) {
        self.call_pools(&self.pools.all(), SharedPermits::leave).await;
    }

    async fn call_pools(
        &self,
        pools: &[Arc<SharedPermits>],
        call: impl Fn(&SharedPermits) -> Option<PoolCall>,
    ) {
        let (pools, calls): (Vec<_>, Vec<_>) =
            pools.iter().filter_map(|pool| Some((pool, call(pool)?))).unzip();
        if calls.is_empty() {
            return;
        }
        let replies = self.engine().adjust(&calls).await.unwrap_or_default();
        for (index, (pool, call)) in pools.into_iter().zip(&calls).enumerate() {
            pool.answered(call.turn, replies.get(index));
        }
    }
}
