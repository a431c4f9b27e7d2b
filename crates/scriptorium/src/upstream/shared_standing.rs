//! What proxies that work together know of one registry: the pauses that it asked one of them for, and that the breaker of one
//! is open.
//!
//! Owns which pauses those are. A breaker is told as long as it is open, and a little longer, so that its own proxy probes
//! before the others ask again. Must not know how proxies hear of each other.

use std::sync::Arc;
use std::time::Duration;

use super::breaker::Breaker;
use super::pause_scope::PauseScope;
use crate::cluster::{ClusterNode, SharedPause};
use crate::config;

/// For so long after its cool-down the others leave the first question to the proxy whose breaker opened.
const PROBE: Duration = Duration::from_secs(1);
/// The longest that they wait for what its probe shows.
const PROBED: Duration = Duration::from_secs(5);

pub(super) struct SharedStanding {
    held: [Arc<SharedPause>; PauseScope::ALL.len()],
    breaker: Arc<SharedPause>,
}

impl SharedStanding {
    pub(super) fn new(node: &Arc<ClusterNode>, config: &config::Upstream) -> Self {
        let name = config.shared_name();
        let pause = |word: &str| node.pauses.open(format!("{name}:{word}"));
        Self { held: PauseScope::ALL.map(|scope| pause(scope.as_str())), breaker: pause("breaker") }
    }

    /// The registry asked this proxy to leave it alone about `scope`.
    pub(super) fn hold(&self, scope: PauseScope, wait: Duration) {
        self.held[scope as usize].begin(wait);
    }

    /// Tells the state of this proxy's breaker. `patience` is how long a probe may take.
    pub(super) fn tell(&self, breaker: &Breaker, patience: Duration, now: Duration) {
        match breaker.pause(now) {
            _ if breaker.is_closed() => self.breaker.end_own(),
            Some(pause) if !breaker.is_half_open() => self.breaker.begin(pause + PROBE),
            Some(_) | None => self.breaker.begin(patience.min(PROBED)),
        }
    }

    /// Ends every pause at all proxies.
    pub(super) fn resume(&self) {
        self.held.iter().for_each(|held| held.end());
        self.breaker.end();
    }

    /// How long the registry asked another proxy to be left alone about `scope`.
    pub(super) fn held(&self, scope: PauseScope, now: Duration) -> Option<Duration> {
        self.held[scope as usize].left(now)
    }

    /// How long another proxy knows that it must not be asked about `scope`.
    pub(super) fn pause(&self, scope: PauseScope, now: Duration) -> Option<Duration> {
        self.held(scope, now).max(self.breaker.left(now))
    }
}
