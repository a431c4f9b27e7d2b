//! One fetch for all nodes: who fetches, who waits, and who takes over.
//!
//! The node that gets the lease of a key fetches and renews it while its work moves. The others look for the result in the
//! bucket: when they are told that the fetch landed, and once a second. Who gets the lease looks once more before it
//! fetches, since the one before may just have landed. A lease that nobody renews runs out, and one of those who wait gets
//! the next. The lease only spares fetches: what is committed in the bucket decides, and two fetches are waste, never an
//! error. So whoever cannot ask the engine fetches.
//!
//! Owns these decisions, with the time passed in. Must not know the engine, the bucket, or what is fetched.

use std::time::Duration;

/// How long a lease lasts unless it is renewed.
pub const FLIGHT_LEASE: Duration = Duration::from_secs(5);
/// How often it is renewed.
const RENEWAL: Duration = Duration::from_millis(1_500);
/// How often those who wait look for themselves.
const LOOKING: Duration = Duration::from_secs(1);

/// What to do next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FlightStep {
    /// Ask the engine for the lease.
    Ask,
    /// Fetch; with a fencing number if the engine gave one. Meanwhile the steps go on.
    Fetch(Option<u64>),
    /// Ask the engine for the same lease again, if the work moved since.
    Renew(u64),
    /// Look for the result in the bucket.
    Look,
    /// Nothing until then, or until a message comes.
    Wait(Duration),
}

/// What the engine says about a lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LeaseReply {
    /// The asker has it. Numbers of one key grow.
    Held {
        /// The fencing number.
        fence: u64,
    },
    /// Another has it, for so long.
    Busy {
        /// What is left of it.
        left: Duration,
        /// Its fencing number; 0 if nobody has it.
        fence: u64,
    },
}

/// The way of one node to one result.
#[derive(Debug, Clone)]
pub struct SharedFlight(FlightState);

#[derive(Debug, Clone)]
enum FlightState {
    Asking,
    Fetching {
        fence: Option<u64>,
        begun: bool,
        renew_at: Duration,
    },
    Looking {
        ask_at: Duration,
    },
    /// With the lease: another may have had it, and landed, since this node looked.
    LookingFirst {
        fence: u64,
        renew_at: Duration,
    },
    Waiting {
        look_at: Duration,
        ask_at: Duration,
    },
}

impl SharedFlight {
    /// A result that this node does not have. Alone it fetches without asking.
    pub fn new(together: bool) -> Self {
        Self(if together { FlightState::Asking } else { FlightState::fetching(None, Duration::ZERO) })
    }

    /// What to do now. [`FlightStep::Fetch`] is said once.
    pub fn step(&mut self, now: Duration) -> FlightStep {
        match &mut self.0 {
            FlightState::Asking => FlightStep::Ask,
            FlightState::Fetching { fence, begun, .. } if !*begun => {
                *begun = true;
                FlightStep::Fetch(*fence)
            }
            FlightState::Fetching { fence: Some(fence), renew_at, .. } if *renew_at <= now => {
                FlightStep::Renew(*fence)
            }
            FlightState::Fetching { fence: Some(_), renew_at, .. } => FlightStep::Wait(*renew_at),
            FlightState::Fetching { fence: None, .. } => FlightStep::Wait(Duration::MAX),
            FlightState::Looking { .. } | FlightState::LookingFirst { .. } => FlightStep::Look,
            FlightState::Waiting { look_at, ask_at } if *look_at <= now => {
                self.0 = FlightState::Looking { ask_at: *ask_at };
                FlightStep::Look
            }
            FlightState::Waiting { look_at, .. } => FlightStep::Wait(*look_at),
        }
    }

    /// The engine answered the question for the lease, or its renewal.
    pub fn answered(&mut self, reply: LeaseReply, now: Duration) {
        match (&mut self.0, reply) {
            (FlightState::Asking, LeaseReply::Held { fence }) => {
                self.0 = FlightState::LookingFirst { fence, renew_at: now + RENEWAL };
            }
            // No lease lasts so long: the engine's clock was set back, and this one may never end.
            (FlightState::Asking, LeaseReply::Busy { left, .. }) if left > FLIGHT_LEASE => {
                self.0 = FlightState::fetching(None, now);
            }
            // Looked at once: it may have landed before the message could be heard.
            (FlightState::Asking, LeaseReply::Busy { left, .. }) => {
                self.0 = FlightState::Looking { ask_at: now + left.min(LOOKING) };
            }
            (FlightState::Fetching { renew_at, .. }, LeaseReply::Held { .. }) => *renew_at = now + RENEWAL,
            // The lease is another's by now. This fetch goes on without one.
            (FlightState::Fetching { fence, .. }, LeaseReply::Busy { .. }) => *fence = None,
            (
                FlightState::Looking { .. } | FlightState::LookingFirst { .. } | FlightState::Waiting { .. },
                _,
            ) => {}
        }
    }

    /// The engine could not be asked.
    pub fn unanswered(&mut self, now: Duration) {
        match &mut self.0 {
            FlightState::Asking => self.0 = FlightState::fetching(None, now),
            FlightState::Fetching { renew_at, .. } => *renew_at = now + RENEWAL,
            FlightState::Looking { .. } | FlightState::LookingFirst { .. } | FlightState::Waiting { .. } => {}
        }
    }

    /// The work did not move since the last renewal, so the lease is left to run out.
    pub fn stalled(&mut self, now: Duration) {
        if let FlightState::Fetching { renew_at, .. } = &mut self.0 {
            *renew_at = now + RENEWAL;
        }
    }

    /// A message says that the fetch of another node ended, well or not.
    pub fn told(&mut self) {
        if let FlightState::Waiting { .. } = self.0 {
            self.0 = FlightState::Looking { ask_at: Duration::ZERO };
        }
    }

    /// The result was not in the bucket.
    pub fn not_found(&mut self, now: Duration) {
        match self.0 {
            FlightState::LookingFirst { fence, renew_at } => {
                self.0 = FlightState::fetching(Some(fence), renew_at);
            }
            FlightState::Looking { ask_at } if ask_at <= now => self.0 = FlightState::Asking,
            FlightState::Looking { ask_at } => self.0 = FlightState::Waiting { look_at: ask_at, ask_at },
            FlightState::Asking | FlightState::Fetching { .. } | FlightState::Waiting { .. } => {}
        }
    }
}

impl FlightState {
    fn fetching(fence: Option<u64>, renew_at: Duration) -> Self {
        Self::Fetching { fence, begun: false, renew_at }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    #[test]
    fn who_has_the_lease_fetches_once_and_renews() {
        let mut flight = SharedFlight::new(true);
        assert_eq!(flight.step(at(0)), FlightStep::Ask);
        flight.answered(LeaseReply::Held { fence: 7 }, at(0));
        assert_eq!(flight.step(at(0)), FlightStep::Look, "another may just have landed");
        flight.not_found(at(0));
        assert_eq!(flight.step(at(0)), FlightStep::Fetch(Some(7)));
        assert_eq!(flight.step(at(0)), FlightStep::Wait(at(1_500)));
        assert_eq!(flight.step(at(1_500)), FlightStep::Renew(7));
        flight.answered(LeaseReply::Held { fence: 7 }, at(1_600));
        assert_eq!(flight.step(at(1_600)), FlightStep::Wait(at(3_100)));
        flight.answered(LeaseReply::Busy { left: at(1), fence: 8 }, at(3_100));
        assert_eq!(flight.step(at(3_100)), FlightStep::Wait(Duration::MAX), "it fetches on");
    }

    #[test]
    fn who_waits_looks_and_asks_every_second() {
        let mut flight = SharedFlight::new(true);
        flight.answered(LeaseReply::Busy { left: at(5_000), fence: 8 }, at(0));
        assert_eq!(flight.step(at(0)), FlightStep::Look);
        flight.not_found(at(10));
        assert_eq!(flight.step(at(10)), FlightStep::Wait(at(1_000)));
        assert_eq!(flight.step(at(1_000)), FlightStep::Look);
        flight.not_found(at(1_010));
        assert_eq!(flight.step(at(1_010)), FlightStep::Ask);
    }

    #[test]
    fn a_message_is_looked_after_at_once_and_a_failed_fetch_is_taken_over() {
        let mut flight = SharedFlight::new(true);
        flight.answered(LeaseReply::Busy { left: at(5_000), fence: 8 }, at(0));
        flight.not_found(at(10));
        flight.told();
        assert_eq!(flight.step(at(20)), FlightStep::Look);
        flight.not_found(at(30));
        assert_eq!(flight.step(at(30)), FlightStep::Ask);
    }

    #[test]
    fn nobody_waits_for_a_lease_that_does_not_end() {
        let mut flight = SharedFlight::new(true);
        flight.answered(LeaseReply::Busy { left: FLIGHT_LEASE + at(1), fence: 8 }, at(0));
        assert_eq!(flight.step(at(0)), FlightStep::Fetch(None));
    }

    #[test]
    fn without_the_engine_everyone_fetches() {
        assert_eq!(SharedFlight::new(false).step(at(0)), FlightStep::Fetch(None));
        let mut flight = SharedFlight::new(true);
        flight.unanswered(at(0));
        assert_eq!(flight.step(at(0)), FlightStep::Fetch(None));
        assert_eq!(flight.step(at(0)), FlightStep::Wait(Duration::MAX));
    }
}
