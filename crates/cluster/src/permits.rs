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
//! | the engine answers | what the pool granted; up to half of the share is kept ahead while nobody wants it |
//! | it does not, or it forgot | the same, and what is above the share ends when the first lender can have it back |
//! | one term after the last call that could have lent the share | at least the share |
//! | a process that has no place yet (`places.rs`) | nothing, and it asks for nothing |
//! | a process whose earlier one was killed and may still count | nothing of its own for one term |
//! | a process whose earlier one ended in order | as that one, whose permits count on ([`Permits::succeed`]) |
//!
//! What is above the share has to be out of use in time, so requests that use it are cut then ([`Permits::overdue`]); as
//! long as the engine answers this never comes. Owns that arithmetic, with the time passed in: `now` never goes back.
//! Must not know the engine, HTTP, or what a request is.

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use crate::engine_clock::EngineClock;
use crate::legacy::PermitLegacy;
use crate::pool::{LATE_MS, PoolCall, PoolGrant, PoolReply, PoolRules};

/// How long what is borrowed may be used on after the engine's last answer.
const HOLD: Duration = Duration::from_secs(10);
/// A call is taken for lost when it has had no answer for so long.
const PATIENCE: Duration = Duration::from_secs(1);
/// Requests are cut so long before they have to be over.
const NOTICE: Duration = Duration::from_secs(1);
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
}

impl PermitSettings {
    /// For how long a share is lent.
    pub fn term(&self) -> Duration {
        HOLD + self.cool
    }

    /// After so long a loan is over, however late its call came.
    fn over(&self) -> Duration {
        self.term() + Duration::from_millis(LATE_MS) + PATIENCE
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
    /// From when on no earlier process can count; nothing before this one has a place.
    mature: Option<Duration>,
    claim: u32,
    /// What the pool would have this node come down to.
    room: u32,
    /// When what is above the share ends.
    ends: Duration,
    /// When the last call that may have lent the share is over.
    returns: Duration,
    /// Whether the process ends.
    left: bool,
    uses: BTreeSet<PermitUse>,
    /// Until when the permits of ended requests cool, in order.
    cooling: VecDeque<Duration>,
    made: u64,
    turn: u64,
    pending: Option<(u64, Duration)>,
    wanted: bool,
    /// When a permit may come free elsewhere, or the pool lends again.
    hope: Option<Duration>,
    clock: EngineClock,
    memories: VecDeque<String>,
}

impl Permits {
    /// Permits of a process that starts now, and has no place yet.
    pub fn new(settings: PermitSettings, now: Duration) -> Self {
        let term_ms = u64::try_from(settings.term().as_millis()).unwrap_or(u64::MAX);
        let rules = PoolRules { limit: settings.limit, nodes: settings.nodes.max(1), term_ms };
        Self {
            claim: 0,
            room: rules.limit,
            rules,
            mature: None,
            ends: now,
            returns: now,
            left: false,
            uses: BTreeSet::new(),
            cooling: VecDeque::new(),
            made: 0,
            turn: 0,
            pending: None,
            wanted: false,
            hope: None,
            clock: EngineClock::default(),
            memories: VecDeque::new(),
            settings,
        }
    }

    /// The process has a place for so long; without an age no earlier process counts. A process that has its share keeps it.
    pub fn enter(&mut self, age: Option<Duration>, now: Duration) {
        if self.is_young(now) {
            self.mature = Some(age.map_or(now, |age| now + self.settings.over().saturating_sub(age)));
        }
        self.pass(now);
    }

    /// Takes the place of a process that ended in order before `now`, had been there for `age`, and left this in the pool. What
    /// that process used counts on, and what it lent comes back no sooner than it would have.
    ///
    /// A process that has its own share in this pool by now leaves the place to whoever has the process's earlier one.
    pub fn succeed(&mut self, age: Option<Duration>, left: &PermitLegacy, now: Duration) {
        self.pass(now);
        if !self.is_young(now) {
            return;
        }
        self.settings.node.clone_from(&left.node);
        self.returns = self.returns.max(now + left.returns());
        for (cool, permits) in left.cooling() {
            let at = self.cooling.partition_point(|known| *known <= now + cool);
            (0..permits.min(self.rules.limit)).for_each(|_| self.cooling.insert(at, now + cool));
        }
        // An answer to the name that this process had is none any more.
        (self.turn, self.pending) = (self.turn.max(left.turn), None);
        self.memories = left.memories.iter().take(LEFT).cloned().collect();
        self.clock.jumped |= left.void;
        self.enter(age, now);
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
        if self.usable(now) <= self.spare(reserve) {
            return None;
        }
        self.made += 1;
        self.uses.insert(PermitUse(self.made));
        Some(PermitUse(self.made))
    }

    /// The request of a permit ended.
    pub fn ended(&mut self, permit: PermitUse, now: Duration) {
        if self.uses.remove(&permit) && !self.settings.cool.is_zero() {
            let cool = now + self.settings.cool;
            let at = self.cooling.partition_point(|known| *known <= cool);
            self.cooling.insert(at, cool);
        }
    }

    /// Permits that could be taken at once.
    pub fn left(&mut self, now: Duration) -> u32 {
        self.pass(now);
        self.usable(now)
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
        let is_asked = self.pending.is_some_and(|(_, sent)| now.saturating_sub(sent) < PATIENCE);
        (!is_asked && !self.left && self.mature.is_some()).then(|| self.say(waiting, now))
    }

    fn say(&mut self, waiting: u32, now: Duration) -> PoolCall {
        self.pass(now);
        let want = (self.in_use() + waiting.max(self.ahead())).min(self.rules.limit);
        self.turn += 1;
        self.pending = Some((self.turn, now));
        let expected_ms = self.clock.expected(now);
        let young = self.is_young(now);
        if expected_ms.is_some() {
            // Lowered before the pool hears of it, and lent from now on, whether or not it hears.
            self.claim = self.claim.min(want.max(self.in_use()));
            self.returns = if young { self.returns } else { now + self.settings.over() };
        }
        PoolCall {
            pool: self.settings.pool.clone(),
            rules: self.rules,
            node: self.settings.node.clone(),
            turn: self.turn,
            expected_ms,
            // An earlier process may have left more in use than the share.
            claim: self.claim.max(self.in_use()),
            want,
            young,
            void: self.clock.jumped,
            frees_ms: self.frees(now),
        }
    }

    /// What is kept ahead while nobody wants it: half of the share, and above the share no more than a part of what is left, since
    /// nobody can use it for a term if this node dies.
    fn ahead(&self) -> u32 {
        let (share, in_use) = (self.rules.share(), self.in_use());
        let left = self.room.saturating_sub(share.max(in_use)) / self.rules.nodes;
        let most = share.saturating_sub(in_use) + left;
        if self.wanted { 0 } else { share.div_ceil(2).min(most) }
    }

    /// Takes no permit any more, for the end of a process: what its successor has to know, and, where the engine is to be
    /// told, the last call, so that the others use at once what this node does not.
    pub fn leave(&mut self, told: bool, now: Duration) -> (Option<PoolCall>, PermitLegacy) {
        self.pending = None;
        (self.left, self.wanted) = (true, true);
        let call = (told && self.clock.is_known()).then(|| self.say(0, now));
        let under_way = u32::try_from(self.uses.len()).unwrap_or(u32::MAX);
        let cooling = self.cooling.iter().map(|cool| (cool.saturating_sub(now), 1));
        // Nobody says when a request ends that is cut off with the process.
        let cooling = cooling.chain([(self.settings.over(), under_way)]);
        let returns = self.returns.saturating_sub(now);
        let memories = self.memories.iter().cloned().collect();
        (
            call,
            PermitLegacy::new(&self.settings.node, self.turn, returns, cooling, memories, self.clock.jumped),
        )
    }

    /// The answer to the call of `turn`. Whether the pool should be called again at once.
    pub fn answered(&mut self, turn: u64, reply: &PoolReply, now: Duration) -> bool {
        let Some((_, sent)) = self.pending.filter(|(pending, _)| *pending == turn) else { return false };
        self.pending = None;
        // What ended while the call was under way may be somebody else's again; its answer brings none of it back.
        let lapsed = sent < self.ends && self.ends <= now;
        self.pass(now);
        let is_first = !self.clock.is_known();
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
        self.adopt(grant, sent, lapsed, now);
        self.pass(now);
        false
    }

    /// No answer to the call of `turn` will come.
    pub fn lost(&mut self, turn: u64) {
        self.pending = self.pending.filter(|(pending, _)| *pending != turn);
    }

    fn adopt(&mut self, grant: &PoolGrant, sent: Duration, lapsed: bool, now: Duration) {
        if self.memories.back() != Some(&grant.memory) {
            self.memories.push_back(grant.memory.clone());
            if self.memories.len() > LEFT {
                self.memories.pop_front();
            }
        }
        self.wanted = grant.wanted;
        self.hope = grant.wait_ms.map(|wait| now + Duration::from_millis(wait));
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
        if self.returns <= now {
            self.claim = self.claim.max(own);
        }
    }

    /// The share, once no earlier process can count.
    fn own(&self, now: Duration) -> u32 {
        if self.is_young(now) { 0 } else { self.rules.share() }
    }

    fn is_young(&self, now: Duration) -> bool {
        self.mature.is_none_or(|mature| mature > now)
    }

    /// How many must be left by who leaves one part in `reserve`.
    fn spare(&self, reserve: u32) -> u32 {
        let all = if self.claim > self.rules.share() { self.rules.limit } else { self.rules.share() };
        if all > 1 { all.checked_div(reserve).unwrap_or(0) } else { 0 }
    }

    /// Permits that could be taken now and used until they are cool.
    fn usable(&self, now: Duration) -> u32 {
        let free = self.claim_at(now).saturating_sub(self.in_use());
        if self.left { 0 } else { free.min(self.lasting_at(now)) }
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

mod outlook;
#[cfg(test)]
mod tests;
