//! The circuit breaker: a registry that keeps failing is left alone for a while, then tried with one request.
//!
//! Owns the state machine, pure over the time that is passed in. Must not know what counts as a failure.

use std::collections::VecDeque;
use std::time::Duration;

use super::backoff::spread;

const FAILURES_TO_OPEN: u32 = 5;
/// How many outcomes the failure rate is computed from, and how long an outcome counts.
const SAMPLE: usize = 20;
const SAMPLED_FOR: Duration = Duration::from_secs(30);
const FIRST_COOL_DOWN: Duration = Duration::from_secs(1);
const LONGEST_COOL_DOWN: Duration = Duration::from_secs(30);

/// Closed, open for a while, or half open with one probe under way.
#[derive(Debug)]
pub(super) struct Breaker(BreakerState);

#[derive(Debug)]
enum BreakerState {
    Closed(Outcomes),
    Open { until: Duration, cool_down: Duration },
    Probing { cool_down: Duration },
}

/// The outcomes of the latest requests while the breaker was closed.
#[derive(Debug, Default)]
struct Outcomes {
    failures_in_a_row: u32,
    /// When each of the latest requests ended and whether it failed, oldest first.
    latest: VecDeque<(Duration, bool)>,
}

impl Outcomes {
    fn push(&mut self, now: Duration, failed: bool) {
        self.failures_in_a_row = if failed { self.failures_in_a_row + 1 } else { 0 };
        if self.latest.len() == SAMPLE {
            self.latest.pop_front();
        }
        self.latest.push_back((now, failed));
    }

    /// Whether five requests failed in a row, or half of a full sample of recent ones.
    fn are_bad(&self, now: Duration) -> bool {
        let young = |(at, _): &&(Duration, bool)| now.saturating_sub(*at) < SAMPLED_FOR;
        let (young, failed) = self
            .latest
            .iter()
            .filter(young)
            .fold((0, 0), |(young, failed), (_, bad)| (young + 1, failed + usize::from(*bad)));
        self.failures_in_a_row >= FAILURES_TO_OPEN || (young == SAMPLE && 2 * failed >= SAMPLE)
    }
}

/// Permission to ask, to be returned as succeeded, failed or abandoned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum BreakerPass {
    /// The breaker was closed.
    Ordinary,
    /// The only request that a half-open breaker lets through.
    Probe,
}

impl Breaker {
    pub(super) fn new() -> Self {
        Self(BreakerState::Closed(Outcomes::default()))
    }

    pub(super) fn is_closed(&self) -> bool {
        matches!(self.0, BreakerState::Closed(_))
    }

    /// Whether a probe is under way.
    pub(super) fn is_half_open(&self) -> bool {
        matches!(self.0, BreakerState::Probing { .. })
    }

    /// How long no request is let through, as far as that is known.
    pub(super) fn pause(&self, now: Duration) -> Option<Duration> {
        match self.0 {
            BreakerState::Closed(_) => None,
            BreakerState::Open { until, .. } => until.checked_sub(now).filter(|left| !left.is_zero()),
            BreakerState::Probing { .. } => Some(FIRST_COOL_DOWN),
        }
    }

    /// Lets a request through, or answers with how long it must wait.
    pub(super) fn admit(&mut self, now: Duration) -> Result<BreakerPass, Duration> {
        if let Some(left) = self.pause(now) {
            return Err(left);
        }
        match self.0 {
            BreakerState::Closed(_) => Ok(BreakerPass::Ordinary),
            BreakerState::Open { cool_down, .. } | BreakerState::Probing { cool_down } => {
                self.0 = BreakerState::Probing { cool_down };
                Ok(BreakerPass::Probe)
            }
        }
    }

    /// The registry answered.
    pub(super) fn succeeded(&mut self, admission: BreakerPass, now: Duration) {
        match (&mut self.0, admission) {
            // Only a failure opens the breaker, whatever the rate is by then.
            (BreakerState::Closed(outcomes), _) => outcomes.push(now, false),
            (BreakerState::Probing { .. }, BreakerPass::Probe) => *self = Self::new(),
            // The request began before the breaker opened, so its outcome is too old to count.
            (BreakerState::Open { .. }, _) | (BreakerState::Probing { .. }, BreakerPass::Ordinary) => {}
        }
    }

    /// The registry failed; `roll` in `0.0..1.0` spreads the cool-down.
    pub(super) fn failed(&mut self, admission: BreakerPass, now: Duration, roll: f64) {
        let open = |cool_down| BreakerState::Open { until: now + spread(cool_down, 0.2, roll), cool_down };
        match (&mut self.0, admission) {
            (BreakerState::Closed(outcomes), _) => {
                outcomes.push(now, true);
                if outcomes.are_bad(now) {
                    self.0 = open(FIRST_COOL_DOWN);
                }
            }
            (BreakerState::Probing { cool_down }, BreakerPass::Probe) => {
                self.0 = open((*cool_down * 2).min(LONGEST_COOL_DOWN));
            }
            (BreakerState::Open { .. } | BreakerState::Probing { .. }, _) => {}
        }
    }

    /// Lets the next request be the probe, however recently the registry failed.
    pub(super) fn hurry(&mut self) {
        if let BreakerState::Open { until, .. } = &mut self.0 {
            *until = Duration::ZERO;
        }
    }

    /// The request told nothing about the registry. The next request may be the probe.
    pub(super) fn abandoned(&mut self, admission: BreakerPass) {
        if let (BreakerState::Probing { cool_down }, BreakerPass::Probe) = (&self.0, admission) {
            self.0 = BreakerState::Open { until: Duration::ZERO, cool_down: *cool_down };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIDDLE: f64 = 0.5;

    fn at(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    fn fail(breaker: &mut Breaker, now: Duration) {
        let admission = breaker.admit(now).unwrap();
        breaker.failed(admission, now, MIDDLE);
    }

    fn opened_at(now: Duration) -> Breaker {
        let mut breaker = Breaker::new();
        (0..5).for_each(|_| fail(&mut breaker, now));
        breaker
    }

    #[test]
    fn opens_at_the_fifth_failure_in_a_row() {
        let mut breaker = Breaker::new();
        (0..4).for_each(|_| fail(&mut breaker, at(0)));
        breaker.succeeded(BreakerPass::Ordinary, at(0));
        (0..4).for_each(|_| fail(&mut breaker, at(0)));
        assert!(breaker.is_closed());
        fail(&mut breaker, at(0));
        assert!(!breaker.is_closed());
        assert_eq!(breaker.admit(at(0)), Err(at(1000)));
    }

    /// So many answers and failures by turns, a millisecond apart, the first at `start`; a failure is the last.
    fn mix(breaker: &mut Breaker, start: u64, failures: &str) {
        for (millis, outcome) in failures.chars().enumerate() {
            assert!(breaker.is_closed(), "{failures} after {millis}");
            match outcome {
                '+' => breaker.succeeded(BreakerPass::Ordinary, at(start + millis as u64)),
                _ => breaker.failed(BreakerPass::Ordinary, at(start + millis as u64), MIDDLE),
            }
        }
    }

    #[test]
    fn opens_when_half_of_the_last_twenty_failed() {
        let mut breaker = Breaker::new();
        mix(&mut breaker, 0, &"+-".repeat(10));
        assert!(!breaker.is_closed());
        assert_eq!(breaker.pause(at(19)), Some(FIRST_COOL_DOWN));
        let mut breaker = Breaker::new();
        mix(&mut breaker, 0, &("+".to_owned() + &"+-".repeat(9)));
        assert!(breaker.is_closed(), "nine of nineteen");
        mix(&mut breaker, 19, "+");
        assert!(breaker.is_closed(), "nine of twenty");
        mix(&mut breaker, 20, "-");
        assert!(!breaker.is_closed(), "ten of the last twenty");
    }

    #[test]
    fn fewer_than_twenty_tell_no_rate() {
        let mut breaker = Breaker::new();
        mix(&mut breaker, 0, "----+----+----+----");
        assert!(breaker.is_closed(), "sixteen of nineteen");
        mix(&mut breaker, 19, "+");
        assert!(breaker.is_closed(), "an answer opens nothing");
        mix(&mut breaker, 20, "-");
        assert!(!breaker.is_closed());
    }

    #[test]
    fn outcomes_count_for_thirty_seconds() {
        for (last, closed) in [(29_999, false), (30_000, true)] {
            let mut breaker = Breaker::new();
            mix(&mut breaker, 0, "+");
            mix(&mut breaker, 1000, &("-+".repeat(9)));
            mix(&mut breaker, last, "-");
            assert_eq!(breaker.is_closed(), closed, "the first is {last} ms old");
        }
    }

    #[test]
    fn a_breaker_that_closed_has_forgotten_its_rate() {
        let mut breaker = Breaker::new();
        mix(&mut breaker, 0, &"+-".repeat(10));
        assert_eq!(breaker.admit(at(2000)), Ok(BreakerPass::Probe));
        assert!(breaker.is_half_open());
        breaker.succeeded(BreakerPass::Probe, at(2000));
        mix(&mut breaker, 2000, "+-+-+-+-+-+-+-+-+-");
        assert!(breaker.is_closed());
    }

    #[test]
    fn admits_one_probe_once_the_cool_down_is_over() {
        let mut breaker = opened_at(at(10_000));
        assert_eq!(breaker.admit(at(10_999)), Err(at(1)));
        assert_eq!(breaker.admit(at(11_000)), Ok(BreakerPass::Probe));
        assert!(!breaker.is_closed());
        assert_eq!(breaker.admit(at(99_000)), Err(FIRST_COOL_DOWN));
        breaker.succeeded(BreakerPass::Probe, at(0));
        assert!(breaker.is_closed());
        (0..4).for_each(|_| fail(&mut breaker, at(11_000)));
        assert!(breaker.is_closed(), "a closed breaker has forgotten its failures");
    }

    #[test]
    fn failed_probes_double_the_cool_down_up_to_its_bound() {
        let mut breaker = opened_at(at(0));
        let mut now = at(1000);
        for seconds in [2, 4, 8, 16, 30, 30] {
            fail(&mut breaker, now);
            assert_eq!(breaker.admit(now), Err(Duration::from_secs(seconds)));
            now += Duration::from_secs(seconds);
        }
        assert_eq!(breaker.admit(now), Ok(BreakerPass::Probe));
        breaker.succeeded(BreakerPass::Probe, at(0));
        (0..5).for_each(|_| fail(&mut breaker, now));
        assert_eq!(breaker.admit(now), Err(FIRST_COOL_DOWN), "success starts the cool-down over");
    }

    #[test]
    fn the_cool_down_is_spread_by_a_fifth() {
        for (roll, millis) in [(0.0, 800), (1.0, 1200)] {
            let mut breaker = Breaker::new();
            (0..5).for_each(|_| breaker.failed(BreakerPass::Ordinary, at(0), roll));
            assert_eq!(breaker.pause(at(0)), Some(at(millis)));
        }
    }

    #[test]
    fn hurried_it_probes_at_once_and_is_no_less_careful() {
        let mut breaker = opened_at(at(0));
        breaker.hurry();
        assert_eq!(breaker.admit(at(0)), Ok(BreakerPass::Probe));
        breaker.hurry();
        assert_eq!(breaker.admit(at(0)), Err(FIRST_COOL_DOWN), "one probe at a time");
        breaker.failed(BreakerPass::Probe, at(0), MIDDLE);
        assert_eq!(breaker.pause(at(0)), Some(2 * FIRST_COOL_DOWN));
        let mut closed = Breaker::new();
        closed.hurry();
        assert!(closed.is_closed());
    }

    #[test]
    fn a_dropped_probe_frees_its_place() {
        let mut breaker = opened_at(at(0));
        assert_eq!(breaker.admit(at(1000)), Ok(BreakerPass::Probe));
        breaker.abandoned(BreakerPass::Probe);
        assert!(!breaker.is_closed());
        assert_eq!(breaker.admit(at(1000)), Ok(BreakerPass::Probe));
    }

    #[test]
    fn news_from_before_it_opened_changes_nothing() {
        for half_open in [false, true] {
            let mut breaker = opened_at(at(0));
            if half_open {
                breaker.admit(at(1000)).unwrap();
            }
            let pause = breaker.pause(at(0));
            breaker.succeeded(BreakerPass::Ordinary, at(0));
            breaker.failed(BreakerPass::Ordinary, at(500), MIDDLE);
            breaker.abandoned(BreakerPass::Ordinary);
            assert!(!breaker.is_closed());
            assert_eq!(breaker.pause(at(0)), pause);
        }
    }
}
