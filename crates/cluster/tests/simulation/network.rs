//! The way between a node and the engine: how long a message takes, and whether it arrives.
//!
//! Owns the faults of the network and of the engine's life, drawn from the seed. Must not know what messages say.

use std::time::Duration;

use cluster::{EngineDouble, EngineMemory};
use fastrand::Rng;

/// The engine's clock is not the nodes'.
const EPOCH: Duration = Duration::from_secs(1_796_000_000);
/// One step of a history.
pub(crate) const STEP: Duration = Duration::from_millis(125);

/// What is under way, and when it arrives.
pub(crate) struct Mail<M>(Vec<(Duration, M)>);

impl<M> Default for Mail<M> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<M> Mail<M> {
    pub(crate) fn send(&mut self, arrives: Duration, message: M) {
        self.0.push((arrives, message));
    }

    /// What arrived by now, in any order.
    pub(crate) fn arrived(&mut self, now: Duration, rng: &mut Rng) -> Vec<M> {
        let (arrived, later) = std::mem::take(&mut self.0).into_iter().partition(|(at, _)| *at <= now);
        self.0 = later;
        let mut arrived: Vec<M> = (arrived as Vec<(Duration, M)>).into_iter().map(|(_, m)| m).collect();
        rng.shuffle(&mut arrived);
        arrived
    }
}

/// The engine and the ways to it.
pub(crate) struct Network {
    pub(crate) rng: Rng,
    pub(crate) engine: EngineDouble,
    /// A replica that will take its place.
    replica: EngineMemory,
    /// Until when the engine stands still; what was sent to it waits.
    stalled: Duration,
    /// Until when it refuses connections.
    down: Duration,
    read_only: Duration,
    /// Until when each node is cut off.
    cut: Vec<Duration>,
    /// How far its clock was set.
    jumped: i64,
    /// How often something happened, of a hundred thousand steps.
    trouble: u32,
    /// From when on nothing happens any more.
    pub(crate) quiet: Duration,
    /// Until when something that happened has its effect.
    pub(crate) troubled: Duration,
}

impl Network {
    pub(crate) fn new(seed: u64, nodes: usize) -> Self {
        let mut rng = Rng::with_seed(seed);
        let trouble = [0, 300, 1_000, 3_000][rng.usize(0..4)];
        let zero = Duration::ZERO;
        Self {
            rng,
            engine: EngineDouble::new(EPOCH),
            replica: EngineMemory::default(),
            stalled: zero,
            down: zero,
            read_only: zero,
            cut: vec![zero; nodes],
            jumped: 0,
            trouble,
            quiet: Duration::MAX,
            troubled: zero,
        }
    }

    /// One in which nothing ever happens.
    pub(crate) fn calm(seed: u64, nodes: usize) -> Self {
        Self { trouble: 0, ..Self::new(seed, nodes) }
    }

    /// How a message of `node` that is sent now travels: when it arrives at the engine, if it does.
    pub(crate) fn sent(&mut self, node: usize, now: Duration) -> Option<Duration> {
        if self.cut[node] > now || self.down > now || self.happens(now) {
            return None;
        }
        Some(now.max(self.stalled) + self.latency(now))
    }

    /// Whether the engine serves what arrives now; otherwise, when it does, or that it never will.
    pub(crate) fn serves(&mut self, now: Duration) -> Result<(), Option<Duration>> {
        if self.down > now {
            return Err(None);
        }
        if self.stalled > now {
            return Err(Some(self.stalled + self.latency(now)));
        }
        Ok(())
    }

    /// When an answer arrives at `node`, if it does.
    pub(crate) fn answered(&mut self, node: usize, now: Duration) -> Option<Duration> {
        let lost = self.cut[node] > now || self.happens(now);
        (!lost).then(|| now + self.latency(now))
    }

    pub(crate) fn is_calm(&self, now: Duration, since: Duration) -> bool {
        self.trouble == 0 || self.troubled.saturating_add(since) <= now
    }

    /// Whether something that seldom happens does now.
    fn happens(&mut self, now: Duration) -> bool {
        let happens = now < self.quiet && self.rng.u32(0..100_000) < self.trouble;
        self.troubled = if happens { self.troubled.max(now) } else { self.troubled };
        happens
    }

    fn latency(&mut self, now: Duration) -> Duration {
        let is_quiet = self.trouble == 0 || now >= self.quiet;
        let latency = Duration::from_millis(match self.rng.u32(0..100) {
            0 if !is_quiet => self.rng.u64(0..4_000),
            1..20 if !is_quiet => self.rng.u64(0..400),
            1..20 => self.rng.u64(0..200),
            _ => self.rng.u64(0..20),
        });
        if !is_quiet {
            self.troubled = self.troubled.max(now + latency);
        }
        latency
    }

    /// One step of the engine's life.
    pub(crate) fn step(&mut self, now: Duration) {
        self.engine.set_time(shifted(EPOCH + now, self.jumped));
        self.engine.refuse_writes(self.read_only > now);
        if self.rng.u32(0..40) == 0 {
            self.replica = self.engine.snapshot();
        }
        if !self.happens(now) {
            return;
        }
        let lasting = Duration::from_millis(self.rng.u64(0..20_000));
        let node = self.rng.usize(0..self.cut.len());
        let until = match self.rng.u32(0..9) {
            0 => {
                self.engine.flush();
                now
            }
            1 => {
                self.engine.replace(EngineMemory::default());
                now
            }
            2 => {
                self.engine.replace(self.replica.clone());
                now
            }
            3 => {
                self.stalled = now + lasting;
                self.stalled
            }
            4 => {
                self.down = now + lasting;
                self.down
            }
            5 => {
                self.read_only = now + lasting;
                self.read_only
            }
            6 => {
                self.jumped += self.rng.i64(-100_000..100_000);
                now
            }
            _ => {
                self.cut[node] = now + lasting * 2;
                self.cut[node]
            }
        };
        self.troubled = self.troubled.max(until);
    }
}

fn shifted(time: Duration, millis: i64) -> Duration {
    let by = Duration::from_millis(millis.unsigned_abs());
    if millis < 0 { time - by } else { time + by }
}
