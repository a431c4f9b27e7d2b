//! Permits for requests to one registry, on one node: of an outward budget, or of `max_concurrent`.
//!
//! A permit is in use from when a request is let through until it ended, and then *cools* for a while: 60 s where any 60 s
//! are bounded, not at all where only the number at once is. What a node may have in use is its claim. Invariants, of
//! which the first is this file's and the second `pool.rs` proves:
//!
//! 1. `in use ≤ claim`, at every moment, at every node.
//! 2. `claims of all nodes ≤ limit`, whatever the engine does.
//!
//! | state | claim |
//! |---|---|
//! | the engine answers | what the pool granted; half of the share is kept ahead while nobody wants it |
//! | it does not, or it forgot | the same, and what is above the share ends when the first lender can have it back |
//! | one term after the last call that could have lent the share | at least the share |
//! | a process whose earlier one may still count | nothing of its own for one term |
//!
//! What is above the share has to be out of use in time, so requests that use it are cut then ([`Permits::overdue`]); as
//! long as the engine answers this never comes. Owns that arithmetic, with the time passed in: `now` never goes back.
//! Must not know the engine, HTTP, or what a request is.

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use crate::pool::{LATE_MS, PoolCall, PoolGrant, PoolReply, PoolRules};

/// How long what is borrowed may be used on after the engine's last answer.
const HOLD: Duration = Duration::from_secs(10);
/// A call is taken for lost when it has had no answer for so long.
const PATIENCE: Duration = Duration::from_secs(1);
/// Requests are cut so long before they have to be over.
const NOTICE: Duration = Duration::from_secs(1);
/// How far the engine's clock may be from where it was, besides half a thousandth of what passed.
const WANDER_MS: i64 = 1_000;
/// Memories of the pool that were left, and are not believed again.
const LEFT: usize = 8;

/// What permits are for.
#[derive(Debug, Clone)]
pub struct PermitSettings {
    /// The name of the pool.
    pub pool: String,
    /// The node, with something of its own for each process.
    pub node: String,
    /// How many permits there are.
    pub limit: u32,
    /// How many nodes there are meant to be.
    pub nodes: u32,
    /// How long a permit stays in use after its request ended.
    pub cool: Duration,
    /// Whether no process of any node can have used permits in the last term. Only what outlives processes knows.
    pub blank: bool,
}

impl PermitSettings {
    /// For how long a share is lent.
    pub fn term(&self) -> Duration {
        HOLD + self.cool
    }
}

/// One permit in use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PermitUse(u64);

/// The permits of one node.
#[derive(Debug, Clone)]
pub struct Permits {
    settings: PermitSettings,
    rules: PoolRules,
    born: Duration,
    claim: u32,
    /// What the pool would have this node come down to.
    room: u32,
    /// When what is above the share ends.
    ends: Duration,
    /// When the last call was sent that may have lent the share.
    lent: Option<Duration>,
    /// Whether the process ends.
    left: bool,
    uses: BTreeSet<PermitUse>,
    /// Until when the permits of ended requests cool.
    cooling: VecDeque<Duration>,
    made: u64,
    turn: u64,
    pending: Option<(u64, Duration)>,
    wanted: bool,
    clock: EngineClock,
    memories: VecDeque<String>,
}

/// Where the engine's clock is, by this node's.
#[derive(Debug, Clone, Default)]
struct EngineClock {
    offset: Option<(i64, Duration)>,
    jumped: bool,
}

impl Permits {
    /// Permits of a process that starts now.
    pub fn new(settings: PermitSettings, now: Duration) -> Self {
        let term_ms = u64::try_from(settings.term().as_millis()).unwrap_or(u64::MAX);
        let rules = PoolRules { limit: settings.limit, nodes: settings.nodes.max(1), term_ms };
        Self {
            claim: if settings.blank { rules.share() } else { 0 },
            room: rules.limit,
            rules,
            born: now,
            ends: now,
            lent: None,
            left: false,
            uses: BTreeSet::new(),
            cooling: VecDeque::new(),
            made: 0,
            turn: 0,
            pending: None,
            wanted: false,
            clock: EngineClock::default(),
            memories: VecDeque::new(),
            settings,
        }
    }

    /// Changes how many permits there are. Those in use still count.
    pub fn limit_to(&mut self, limit: u32, now: Duration) {
        (self.settings.limit, self.rules.limit) = (limit, limit);
        (self.claim, self.room) = (self.claim.min(limit), self.room.min(limit));
        self.pass(now);
    }

    /// Uses one permit, if then one part in `reserve` is left for others. 0 leaves none.
    pub fn take(&mut self, reserve: u32, now: Duration) -> Option<PermitUse> {
        self.pass(now);
        let all = if self.claim > self.rules.share() { self.rules.limit } else { self.rules.share() };
        let spare = if all > 1 { all.checked_div(reserve).unwrap_or(0) } else { 0 };
        let ends_soon = now + self.settings.cool + NOTICE >= self.ends;
        let lasting = !ends_soon || self.in_use_at(self.ends) < self.own(now);
        if self.left || self.in_use() + spare >= self.claim || !lasting && self.claim > self.own(now) {
            return None;
        }
        self.made += 1;
        self.uses.insert(PermitUse(self.made));
        Some(PermitUse(self.made))
    }

    /// The request of a permit ended.
    pub fn ended(&mut self, permit: PermitUse, now: Duration) {
        if self.uses.remove(&permit) && !self.settings.cool.is_zero() {
            self.cooling.push_back(now + self.settings.cool);
        }
    }

    /// Permits that could be taken at once.
    pub fn left(&mut self, now: Duration) -> u32 {
        self.pass(now);
        self.claim.saturating_sub(self.in_use())
    }

    /// When the next permit of an ended request is cool.
    pub fn next_free(&self) -> Option<Duration> {
        self.cooling.front().copied()
    }

    /// The requests that have to be ended now, youngest first.
    pub fn overdue(&mut self, now: Duration) -> Vec<PermitUse> {
        self.pass(now);
        let last = now + self.settings.cool + NOTICE;
        let keep = if last >= self.ends {
            self.own(now)
        } else if last + 2 * NOTICE >= self.ends {
            self.own(now).max(self.room)
        } else {
            return Vec::new();
        };
        let excess = self.in_use_at(self.ends).saturating_sub(keep);
        self.uses.iter().rev().take(excess as usize).copied().collect()
    }

    /// For how many a request that leaves one part in `reserve` counts while it waits.
    pub fn wanted_by(&self, reserve: u32) -> u32 {
        1 + self.rules.limit.checked_div(reserve).unwrap_or(0)
    }

    /// What to say to the pool now, while requests want `waiting` permits. `None` while a call is under way. To be
    /// called at least once a second, and when a request waits.
    pub fn call(&mut self, waiting: u32, now: Duration) -> Option<PoolCall> {
        self.pass(now);
        if self.pending.is_some_and(|(_, sent)| now.saturating_sub(sent) < PATIENCE) {
            return None;
        }
        let ahead = if self.wanted || self.left { 0 } else { self.rules.share().div_ceil(2) };
        let want = (self.in_use() + waiting.max(ahead)).min(self.rules.limit);
        self.turn += 1;
        self.pending = Some((self.turn, now));
        let expected_ms = self.clock.expected(now);
        let young = self.is_young(now);
        if expected_ms.is_some() {
            // Lowered before the pool hears of it, and lent from now on, whether or not it hears.
            self.claim = self.claim.min(want.max(self.in_use()));
            self.lent = if young { self.lent } else { Some(now) };
        }
        Some(PoolCall {
            pool: self.settings.pool.clone(),
            rules: self.rules,
            node: self.settings.node.clone(),
            turn: self.turn,
            expected_ms,
            claim: self.claim,
            want,
            young,
            leaving: self.left,
            void: self.clock.jumped,
        })
    }

    /// Takes no permit any more, and says so to the pool, so that the others use this node's share at once. For the end of
    /// a process, when its requests are over.
    pub fn leave(&mut self, now: Duration) -> Option<PoolCall> {
        (self.left, self.pending) = (true, None);
        self.call(0, now).filter(|call| call.expected_ms.is_some())
    }

    /// The answer to the call of `turn`. Whether the pool should be called again at once.
    pub fn answered(&mut self, turn: u64, reply: &PoolReply, now: Duration) -> bool {
        let Some((_, sent)) = self.pending.filter(|(pending, _)| *pending == turn) else { return false };
        self.pending = None;
        // What ended while the call was under way may be somebody else's again; its answer brings none of it back.
        let lapsed = sent < self.ends && self.ends <= now;
        self.pass(now);
        let is_first = self.clock.offset.is_none();
        let was_jumped = self.clock.jumped;
        if !self.clock.heard(reply.now_ms, sent, now) {
            return true;
        }
        let Some(grant) = &reply.grant else { return is_first };
        if self.memories.iter().rev().skip(1).any(|left| *left == grant.memory) {
            // An engine that was left: what it remembers is not what is.
            self.clock.jumped = true;
            return true;
        }
        if was_jumped {
            self.clock.jumped = false;
        }
        self.adopt(grant, sent, lapsed);
        self.pass(now);
        false
    }

    /// No answer to the call of `turn` will come.
    pub fn lost(&mut self, turn: u64) {
        self.pending = self.pending.filter(|(pending, _)| *pending != turn);
    }

    fn adopt(&mut self, grant: &PoolGrant, sent: Duration, lapsed: bool) {
        if self.memories.back() != Some(&grant.memory) {
            self.memories.push_back(grant.memory.clone());
            if self.memories.len() > LEFT {
                self.memories.pop_front();
            }
        }
        self.wanted = grant.wanted;
        if let Some(expires) = grant.expires_ms.filter(|_| !lapsed) {
            self.ends = sent + Duration::from_millis(expires.min(self.rules.term_ms));
            self.claim = self.claim.max(grant.held.min(self.rules.limit));
        }
        self.room = grant.room.unwrap_or(self.rules.limit);
        if self.room < self.claim {
            self.claim = self.room.max(self.in_use());
        }
    }

    /// What the time alone changes.
    fn pass(&mut self, now: Duration) {
        while self.cooling.front().is_some_and(|cool| *cool <= now) {
            self.cooling.pop_front();
        }
        let own = self.own(now);
        if self.ends <= now {
            self.claim = self.claim.min(own);
        }
        let late = Duration::from_millis(LATE_MS) + PATIENCE;
        if self.lent.is_none_or(|lent| lent + self.settings.term() + late <= now) {
            self.lent = None;
            self.claim = self.claim.max(own);
        }
    }

    /// The share, once no earlier process can count.
    fn own(&self, now: Duration) -> u32 {
        if self.is_young(now) { 0 } else { self.rules.share() }
    }

    fn is_young(&self, now: Duration) -> bool {
        let late = Duration::from_millis(LATE_MS) + PATIENCE;
        !self.settings.blank && self.born + self.settings.term() + late > now
    }

    fn in_use(&self) -> u32 {
        u32::try_from(self.uses.len() + self.cooling.len()).unwrap_or(u32::MAX)
    }

    /// How many of those that are in use now would still be then.
    fn in_use_at(&self, then: Duration) -> u32 {
        let cool = self.cooling.partition_point(|cool| *cool <= then);
        u32::try_from(self.uses.len() + self.cooling.len() - cool).unwrap_or(u32::MAX)
    }
}

impl EngineClock {
    fn expected(&self, now: Duration) -> Option<u64> {
        let (offset, _) = self.offset?;
        u64::try_from(millis(now) + offset).ok()
    }

    /// Hears the time, in an answer to what was sent then. Whether it is what was expected.
    fn heard(&mut self, engine_ms: u64, sent: Duration, now: Duration) -> bool {
        let engine_ms = i64::try_from(engine_ms).unwrap_or(i64::MAX);
        let (low, high) = (engine_ms - millis(now), engine_ms - millis(sent));
        let Some((offset, at)) = self.offset else {
            self.offset = Some((high, now));
            return true;
        };
        // Clocks run at different speeds, but not by more than this.
        let drift = millis(now.saturating_sub(at)) / 2_000;
        if offset < low - WANDER_MS - drift || offset > high + WANDER_MS + drift {
            (self.offset, self.jumped) = (Some((high, now)), true);
            return false;
        }
        if drift > 0 {
            self.offset = Some((offset.clamp(low, high).clamp(offset - drift, offset + drift), now));
        }
        true
    }
}

fn millis(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX / 4)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn permits(blank: bool) -> Permits {
        let (pool, node, cool) = ("p".to_owned(), "n".to_owned(), Duration::from_secs(60));
        Permits::new(PermitSettings { pool, node, limit: 9, nodes: 3, cool, blank }, Duration::ZERO)
    }

    #[test]
    fn alone_a_node_has_its_share_until_ended_requests_are_cool() {
        let mut permits = permits(true);
        let now = Duration::from_secs(1);
        let used: Vec<PermitUse> = (0..9).filter_map(|_| permits.take(0, now)).collect();
        assert_eq!(used.len(), 3);
        permits.ended(used[0], now);
        assert_eq!(permits.take(0, now + Duration::from_millis(59_999)), None);
        assert!(permits.take(0, now + Duration::from_secs(60)).is_some());
    }

    #[test]
    fn a_part_is_left_for_those_whom_a_client_waits_for() {
        let (mut permits, now) = (permits(true), Duration::from_secs(1));
        assert_eq!((0..9).filter_map(|_| permits.take(3, now)).count(), 2);
        assert!(permits.take(0, now).is_some());
        assert_eq!(permits.wanted_by(3), 4);
    }

    #[test]
    fn another_limit_leaves_what_is_in_use() {
        let (mut permits, now) = (permits(true), Duration::from_secs(1));
        assert!(permits.take(0, now).and(permits.take(0, now)).is_some());
        permits.limit_to(3, now);
        assert_eq!((permits.left(now), permits.take(0, now)), (0, None));
        permits.limit_to(15, now);
        assert_eq!(permits.left(now), 3);
    }

    #[test]
    fn who_leaves_takes_nothing_and_says_so_once_it_knows_the_time() {
        let (mut permits, now) = (permits(true), Duration::from_secs(1));
        assert_eq!(permits.clone().leave(now), None);
        let call = permits.call(0, now).unwrap();
        permits.answered(call.turn, &PoolReply { now_ms: 5_000, grant: None }, now);
        let last = permits.leave(now).unwrap();
        assert!(last.leaving && last.claim == 0 && last.turn > call.turn);
        assert_eq!(permits.take(0, now), None);
    }

    #[test]
    fn a_restarted_process_waits_for_what_its_earlier_one_may_have_used() {
        let mut permits = permits(false);
        assert_eq!(permits.left(Duration::from_secs(70)), 0);
        assert_eq!(permits.left(Duration::from_secs(72)), 3);
    }
}
