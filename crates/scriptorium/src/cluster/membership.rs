//! Whether this proxy works together with the others, or alone.
//!
//! Owns the beats, the state that others read, and that a change of it is told once with its cause. Must not know what a proxy
//! does differently while it is alone.

use std::pin::pin;
use std::time::Duration;

use ::cluster::{EngineFault, Presence};
use tracing::{info, warn};

use super::ClusterNode;

/// Between looks at how long the silence lasts.
const TICK: Duration = Duration::from_millis(100);

impl ClusterNode {
    /// Beats for ever.
    pub(super) async fn keep_membership(&self) {
        let (mut presence, mut cause) = (Presence::default(), None);
        self.metrics.cluster.standing(false, 1);
        loop {
            let sent = self.clock.monotonic();
            match self.watched(&presence, cause, self.engine().beat(self.name())).await {
                Ok(beat) => {
                    presence.answered(sent);
                    self.standing.see(beat.nodes);
                    cause = None;
                }
                Err(fault) => {
                    presence.failed();
                    self.standing.fail(fault);
                    cause = Some(fault);
                }
            }
            self.stand(&presence, cause);
            self.watched(&presence, cause, tokio::time::sleep(presence.pause())).await;
        }
    }

    /// Waits for `work`, and notices meanwhile when the silence has lasted too long.
    async fn watched<T>(
        &self,
        presence: &Presence,
        cause: Option<EngineFault>,
        work: impl Future<Output = T>,
    ) -> T {
        let mut work = pin!(work);
        loop {
            match tokio::time::timeout(TICK, &mut work).await {
                Ok(done) => return done,
                Err(_elapsed) => self.stand(presence, cause),
            }
        }
    }

    fn stand(&self, presence: &Presence, cause: Option<EngineFault>) {
        let together = presence.is_together(self.clock.monotonic());
        let before = self.standing.be(together);
        let nodes = self.standing.nodes();
        self.metrics.cluster.standing(together, nodes);
        match (before, together, cause) {
            (false, true, _) => info!(node = self.name(), nodes, "this proxy works together with the others"),
            (true, false, Some(cause)) => {
                warn!(node = self.name(), cause = cause.advised(), "this proxy works alone");
            }
            (true, false, None) => warn!(node = self.name(), "this proxy works alone: the engine is silent"),
            (true, true, _) | (false, false, _) => {}
        }
    }
}
