//! What the permits of one node will be, if until then nothing happens: when one may be had.
//!
//! Owns that outlook, which changes nothing. Must not know what asks.

use std::time::Duration;

use super::{NOTICE, Permits};

impl Permits {
    /// When a permit may be had that leaves one part in `reserve`, as far as this node knows, with what the pool said last.
    /// A request that is under way counts as if it ended now.
    pub fn next(&mut self, reserve: u32, now: Duration) -> Option<Duration> {
        self.pass(now);
        let lasts = self.ends.saturating_sub(self.settings.cool + NOTICE);
        let turns = [now, lasts, self.ends, self.returns, self.mature.unwrap_or(now)];
        let mut turns = turns.map(|turn| turn.max(now));
        turns.sort_unstable();
        let until = |turn: usize| turns.get(turn + 1).copied().unwrap_or(Duration::MAX);
        let own = turns.iter().enumerate().find_map(|(turn, from)| {
            if self.lasting_at(*from) <= self.spare(reserve) {
                return None;
            }
            let most = self.claim_at(*from).checked_sub(self.spare(reserve) + 1)?;
            let frees = match self.in_use().saturating_sub(most) as usize {
                0 => *from,
                many => self.cooling.get(many - 1).copied().unwrap_or(now + self.settings.cool).max(*from),
            };
            (frees < until(turn)).then_some(frees)
        });
        let hope = self.hope.filter(|hope| *hope > now);
        own.into_iter().chain(hope).min()
    }

    /// The claim then, if until then no answer comes.
    pub(super) fn claim_at(&self, then: Duration) -> u32 {
        let own = self.own(then);
        let claim = if self.ends <= then { self.claim.min(own) } else { self.claim };
        if self.returns <= then { claim.max(own) } else { claim }
    }

    /// How many more could be in use until they are cool. When what is borrowed ends before that, they have to be the node's
    /// own by then.
    pub(super) fn lasting_at(&self, then: Duration) -> u32 {
        let own = self.own(then);
        if self.claim_at(then) <= own || then + self.settings.cool + NOTICE < self.ends {
            return u32::MAX;
        }
        own.saturating_sub(self.in_use_at(self.ends))
    }

    /// In how long one of its permits comes free.
    pub(super) fn frees(&self, now: Duration) -> Option<u64> {
        let frees = match self.claim > self.in_use() {
            true => Duration::ZERO,
            false if self.in_use() == 0 => return None,
            false => self.cooling.front().map_or(self.settings.cool, |cool| cool.saturating_sub(now)),
        };
        u64::try_from(frees.as_millis()).ok()
    }
}
