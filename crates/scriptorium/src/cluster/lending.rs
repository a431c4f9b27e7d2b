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
                let calls = pools.into_iter().filter_map(|pool| pool.call().map(|call| (pool, call)));
                self.tell_pools(calls.collect()).await;
            } else {
                pools.iter().for_each(|pool| pool.uncalled());
            }
        }
    }

    /// Makes calls to pools.
    pub(super) async fn tell_pools(&self, calls: Vec<(Arc<SharedPermits>, PoolCall)>) {
        if calls.is_empty() {
            return;
        }
        let (pools, calls): (Vec<_>, Vec<_>) = calls.into_iter().unzip();
        let replies = self.engine().adjust(&calls).await.unwrap_or_default();
        for (index, (pool, call)) in pools.into_iter().zip(&calls).enumerate() {
            pool.answered(call.turn, replies.get(index));
        }
    }
}
