//! A client's quota on one node: what it may do before the engine is told, and what it may do alone.
//!
//! A bucket is a length of time: it is empty when `per` of it is missing, every moment gives that moment back, and a request
//! takes `per / requests` (GCRA). The engine knows how much is missing for all nodes. A node lets requests in on a *lease*, a
//! tenth of the quota and at least one request, and settles behind the response; each answer is the next lease.
//!
//! Invariant, for any interval: `admitted ≤ quota + refill + nodes × lease`, while nodes are together. Why: a node never has
//! more than a lease unsettled, the engine charges whatever is settled, and a node that has heard of an empty bucket lets
//! nothing in. A new client needs no rule of its own: nothing is known to be missing, and a lease is all that it gets before
//! the first answer.
//!
//! | state | lets in |
//! |---|---|
//! | together | while less than the quota is missing, and less than a lease is unsettled |
//! | alone | quota / nodes, of which everything counts that this node let in before |
//! | together again, before what was let in alone is settled | as alone |
//!
//! Owns that arithmetic, with the time passed in. Must not know who the client is, the engine, or HTTP.

use std::num::NonZeroU32;
use std::time::Duration;

/// One part in so many of the quota is a lease.
const LEASES: u32 = 10;
/// One part in so many of a lease is worth telling the engine at once.
const WORTH_TELLING: u32 = 4;
/// An answer that is older is renewed with the next request.
const ANSWER_AGES: Duration = Duration::from_millis(250);

/// A quota: so many requests in so much time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ShareRate {
    cost: Duration,
    requests: NonZeroU32,
    nodes: NonZeroU32,
}

impl ShareRate {
    /// `requests` in `per`, over `nodes` proxies.
    pub fn new(requests: NonZeroU32, per: Duration, nodes: NonZeroU32) -> Self {
        let micros = u64::try_from(per.as_micros()).unwrap_or(u64::MAX / 4);
        // Rounded up, so that no window lets in more than configured.
        let cost = Duration::from_micros(micros.div_ceil(requests.get().into()).max(1));
        Self { cost, requests, nodes }
    }

    /// The time of a whole bucket.
    pub fn full(&self) -> Duration {
        self.cost * self.requests.get()
    }

    /// The time of one request.
    pub fn cost(&self) -> Duration {
        self.cost
    }

    /// What a node may let in before it has settled.
    pub fn lease(&self) -> Duration {
        self.cost * (self.requests.get() / LEASES).max(1)
    }

    /// The time of one request in a bucket that fills `nodes` times more slowly.
    fn cost_alone(&self) -> Duration {
        self.cost * self.nodes.get()
    }

    /// The time of a node's own bucket, which holds at least one request.
    fn full_alone(&self) -> Duration {
        self.full().max(self.cost_alone())
    }
}

/// What a client has left, for the headers of a response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ShareLeft {
    /// Requests that would be let in now, by what this node knows.
    pub remaining: u32,
    /// How long until the bucket is full again. In a refusal: until a request would be let in.
    pub reset: Duration,
}

/// Whether a request is let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ShareVerdict {
    /// It is.
    Admitted(ShareLeft),
    /// The quota is used up.
    Refused(ShareLeft),
    /// The lease is used up, and its answer is on the way. A caller who cannot wait for it refuses.
    Unsettled(ShareLeft),
}

/// What a node tells the engine about one bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ShareDebt {
    /// The time of a whole bucket.
    pub full: Duration,
    /// The time of the requests that were let in since the last answer.
    pub spent: Duration,
    /// What this node believes to be missing. Counts only where the engine knows nothing, so that an engine that lost
    /// its memory does not fill every bucket.
    pub believed: Duration,
}

/// One client's bucket on one node.
#[derive(Debug, Clone)]
pub struct ClientShare {
    rate: ShareRate,
    /// When the bucket of all nodes is full again, by the last answer.
    full_at: Duration,
    heard: Option<Duration>,
    owed: Duration,
    /// What was told and not answered yet.
    told: Option<Duration>,
    /// When this node's own bucket is full again.
    own_full_at: Duration,
    /// Whether `owed` has requests that were let in alone.
    was_alone: bool,
}

impl ClientShare {
    /// A client that this node has not seen before.
    pub fn new(rate: ShareRate) -> Self {
        let zero = Duration::ZERO;
        Self { rate, full_at: zero, heard: None, owed: zero, told: None, own_full_at: zero, was_alone: false }
    }

    /// Decides about one request.
    pub fn take(&mut self, now: Duration, together: bool) -> ShareVerdict {
        let verdict = match together && !self.was_alone {
            true => self.take_together(now),
            false => self.take_alone(now),
        };
        if let ShareVerdict::Admitted(_) = verdict {
            let own = self.own_missing(now) + self.rate.cost_alone();
            self.own_full_at = now + own.min(self.rate.full_alone());
            self.owed += self.rate.cost;
            self.was_alone |= !together;
        }
        verdict
    }

    /// What is to be told now, if anything. What this gives is under way until [`settled`](Self::settled) or
    /// [`lost`](Self::lost). To be asked after each request.
    pub fn debt(&mut self, now: Duration) -> Option<ShareDebt> {
        let aged = self.heard.is_none_or(|heard| now.saturating_sub(heard) >= ANSWER_AGES);
        let telling = aged || self.was_alone || self.owed * WORTH_TELLING >= self.rate.lease();
        if self.told.is_some() || self.owed.is_zero() || !telling {
            return None;
        }
        if self.was_alone {
            // What the own bucket got back since no longer counts.
            self.owed = self.owed.min(self.own_missing(now) / self.rate.nodes.get());
        }
        let spent = std::mem::take(&mut self.owed);
        self.told = Some(spent);
        Some(ShareDebt { full: self.rate.full(), spent, believed: self.missing(now) })
    }

    /// The engine answered: so much is missing.
    pub fn settled(&mut self, missing: Duration, now: Duration) {
        self.told = None;
        self.heard = Some(now);
        self.full_at = now + missing;
        self.was_alone = false;
    }

    /// No answer came. The debt is told again, even if the engine has it: the bound is worth more than a tenth.
    pub fn lost(&mut self) {
        self.owed += self.told.take().unwrap_or_default();
    }

    fn take_together(&self, now: Duration) -> ShareVerdict {
        let cost = self.rate.cost;
        let unsettled = self.unsettled() + cost;
        let missing = self.missing(now) + unsettled;
        if let Some(excess) = missing.checked_sub(self.rate.full()).filter(|excess| !excess.is_zero()) {
            return ShareVerdict::Refused(ShareLeft { remaining: 0, reset: excess });
        }
        if unsettled > self.rate.lease() {
            return ShareVerdict::Unsettled(ShareLeft { remaining: 0, reset: cost });
        }
        ShareVerdict::Admitted(left(self.rate.full() - missing, cost, missing))
    }

    fn take_alone(&self, now: Duration) -> ShareVerdict {
        let cost = self.rate.cost_alone();
        let missing = self.own_missing(now) + cost;
        match self.rate.full_alone().checked_sub(missing) {
            Some(level) => ShareVerdict::Admitted(left(level, cost, missing)),
            None => {
                let reset = missing - self.rate.full_alone();
                ShareVerdict::Refused(ShareLeft { remaining: 0, reset })
            }
        }
    }

    fn missing(&self, now: Duration) -> Duration {
        self.full_at.saturating_sub(now)
    }

    fn own_missing(&self, now: Duration) -> Duration {
        self.own_full_at.saturating_sub(now)
    }

    fn unsettled(&self) -> Duration {
        self.owed + self.told.unwrap_or_default()
    }
}

fn left(level: Duration, cost: Duration, missing: Duration) -> ShareLeft {
    let remaining = level.as_nanos() / cost.as_nanos().max(1);
    ShareLeft { remaining: u32::try_from(remaining).unwrap_or(u32::MAX), reset: missing }
}

/// What the engine does with a debt, as a pure function: when the bucket is full again, from when that was. All times are
/// the engine's.
pub fn charge(full_at: Option<Duration>, debt: &ShareDebt, now: Duration) -> Duration {
    // Bounded, so that a clock that was set back locks nobody out for longer than a window.
    let before = full_at.unwrap_or(now + debt.believed).clamp(now, now + debt.full * 2);
    before + debt.spent
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rate(requests: u32, nodes: u32) -> ShareRate {
        let requests = NonZeroU32::new(requests).unwrap();
        ShareRate::new(requests, Duration::from_secs(60), NonZeroU32::new(nodes).unwrap())
    }

    fn at(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    fn admitted(share: &mut ClientShare, now: Duration, together: bool) -> u32 {
        (0..1000).take_while(|_| matches!(share.take(now, together), ShareVerdict::Admitted(_))).count()
            as u32
    }

    #[test]
    fn a_new_client_gets_a_lease_before_the_first_answer() {
        let mut share = ClientShare::new(rate(60, 3));
        assert_eq!(admitted(&mut share, at(0), true), 6);
        assert!(matches!(share.take(at(0), true), ShareVerdict::Unsettled(_)));
        let debt = share.debt(at(0)).unwrap();
        assert_eq!(debt.spent, Duration::from_secs(6));
        assert_eq!(share.debt(at(0)), None, "one at a time");
        share.settled(charge(None, &debt, at(500)) - at(500), at(1));
        assert_eq!(admitted(&mut share, at(1), true), 6);
    }

    #[test]
    fn a_whole_quota_passes_through_leases_and_no_more() {
        let mut share = ClientShare::new(rate(60, 3));
        let (mut engine, mut all) = (None, 0);
        for _ in 0..100 {
            all += admitted(&mut share, at(0), true);
            let Some(debt) = share.debt(at(0)) else { continue };
            engine = Some(charge(engine, &debt, at(0)));
            share.settled(engine.unwrap(), at(0));
        }
        assert_eq!(all, 60);
        let ShareVerdict::Refused(left) = share.take(at(0), true) else { panic!() };
        assert_eq!(left, ShareLeft { remaining: 0, reset: at(1000) });
        assert_eq!(admitted(&mut share, at(1000), true), 1);
    }

    #[test]
    fn what_remains_is_told_by_the_last_answer() {
        let mut share = ClientShare::new(rate(60, 3));
        let first = ShareLeft { remaining: 59, reset: at(1000) };
        assert_eq!(share.take(at(0), true), ShareVerdict::Admitted(first));
        share.debt(at(0)).unwrap();
        share.settled(at(31_000), at(0));
        let next = ShareLeft { remaining: 28, reset: at(32_000) };
        assert_eq!(share.take(at(0), true), ShareVerdict::Admitted(next));
    }

    #[test]
    fn alone_it_has_its_part_less_what_it_let_in_before() {
        let mut share = ClientShare::new(rate(60, 3));
        assert_eq!(admitted(&mut share, at(0), true), 6);
        assert_eq!(admitted(&mut share, at(0), false), 14);
        assert_eq!(admitted(&mut share, at(2_999), false), 0);
        assert_eq!(admitted(&mut share, at(3_000), false), 1);
    }

    #[test]
    fn what_was_let_in_alone_is_settled_before_a_new_lease() {
        let mut share = ClientShare::new(rate(60, 3));
        assert_eq!(admitted(&mut share, at(0), false), 20);
        assert_eq!(admitted(&mut share, at(30_000), true), 10, "still its own part");
        let debt = share.debt(at(30_000)).unwrap();
        assert_eq!(debt.spent, Duration::from_secs(20), "thirty, of which ten are a window old");
        share.settled(debt.spent, at(30_000));
        assert_eq!(admitted(&mut share, at(30_000), true), 6);
    }

    #[test]
    fn what_was_lost_is_told_again() {
        let mut share = ClientShare::new(rate(60, 3));
        assert_eq!(admitted(&mut share, at(0), true), 6);
        let debt = share.debt(at(0)).unwrap();
        share.lost();
        assert!(matches!(share.take(at(0), true), ShareVerdict::Unsettled(_)));
        assert_eq!(share.debt(at(0)), Some(debt));
    }

    #[test]
    fn an_engine_that_forgot_believes_the_node() {
        let mut share = ClientShare::new(rate(60, 3));
        share.take(at(0), true);
        share.debt(at(0)).unwrap();
        share.settled(at(59_000), at(0));
        share.take(at(0), true);
        let debt = share.debt(at(250)).unwrap();
        assert_eq!(charge(None, &debt, at(250)), at(60_000));
    }

    #[test]
    fn a_small_quota_has_leases_of_one_request() {
        let mut share = ClientShare::new(rate(5, 100));
        assert_eq!(admitted(&mut share, at(0), true), 1);
        assert_eq!(admitted(&mut ClientShare::new(rate(5, 100)), at(0), false), 1);
    }

    #[test]
    fn few_requests_are_not_told_one_by_one() {
        let mut share = ClientShare::new(rate(1000, 3));
        share.take(at(0), true);
        share.debt(at(0)).unwrap();
        share.settled(at(60), at(0));
        for n in 1..25 {
            share.take(at(1), true);
            assert_eq!(share.debt(at(1)), None, "{n} of a lease of 100");
        }
        share.take(at(1), true);
        assert!(share.debt(at(1)).is_some());
    }
}
