//! The outward budget: within any 60 seconds, a registry receives at most as many requests as the operator allows.
//!
//! A request counts from the moment it is let through until 60 s after it ended: only then is it certain when it was
//! sent. So the bound also holds by the registry's own clock. Owns that log, as a pure function of the time that is
//! passed in. The log has one entry for each request of the budget, 16 MB for the largest budget that the
//! configuration allows. Must not know what is asked.

use std::collections::VecDeque;
use std::time::Duration;

use super::Urgency;

pub(super) const WINDOW: Duration = Duration::from_secs(60);
/// One part in so many of the budget is reserved for requests that a client waits for.
pub(super) const RESERVE: u32 = 5;

/// The requests that count against the limit.
#[derive(Debug)]
pub(super) struct Budget {
    /// 0 is no budget.
    limit: u32,
    under_way: u32,
    /// When each request that still counts ended, oldest first.
    over: VecDeque<Duration>,
}

impl Budget {
    /// A budget of `limit` requests a minute; 0 is none.
    pub(super) fn new(limit: u32) -> Self {
        Self { limit, under_way: 0, over: VecDeque::new() }
    }

    /// Changes the limit. Earlier requests still count.
    pub(super) fn limit_to(&mut self, limit: u32) {
        self.limit = limit;
    }

    /// How many requests could be sent at once; `None` where there is no budget.
    pub(super) fn left(&self, now: Duration) -> Option<u32> {
        (self.limit > 0).then(|| self.limit.saturating_sub(self.spent(now)))
    }

    /// How long a request of this urgency must wait. A request that is under way counts as if it ended now.
    pub(super) fn pause(&self, urgency: Urgency, now: Duration) -> Option<Duration> {
        if self.limit == 0 {
            return None;
        }
        let spendable = self.limit - self.reserve(urgency);
        let too_many = (self.spent(now) + 1).checked_sub(spendable).filter(|too_many| *too_many > 0)?;
        let last = self.counting(now).nth(too_many as usize - 1).unwrap_or(now);
        Some(last + WINDOW - now)
    }

    /// Takes one request out of the budget, to be returned with [`over`](Self::over), or answers with how long to
    /// wait.
    pub(super) fn spend(&mut self, urgency: Urgency, now: Duration) -> Result<(), Duration> {
        let counting = self.counting(now).count();
        self.over.drain(..self.over.len() - counting);
        match self.pause(urgency, now) {
            Some(wait) => Err(wait),
            None => {
                self.under_way += 1;
                Ok(())
            }
        }
    }

    /// A request ended.
    pub(super) fn over(&mut self, now: Duration) {
        self.under_way = self.under_way.saturating_sub(1);
        if self.limit > 0 {
            self.over.push_back(now);
        }
    }

    /// How many requests must be left after a request of this urgency.
    fn reserve(&self, urgency: Urgency) -> u32 {
        match urgency {
            Urgency::Background if self.limit > 1 => self.limit.div_ceil(RESERVE),
            Urgency::Foreground | Urgency::Background => 0,
        }
    }

    fn spent(&self, now: Duration) -> u32 {
        self.under_way.saturating_add(u32::try_from(self.counting(now).count()).unwrap_or(u32::MAX - 1))
    }

    /// When the requests ended that count now.
    fn counting(&self, now: Duration) -> impl ExactSizeIterator<Item = Duration> {
        let gone = self.over.partition_point(|over| *over + WINDOW <= now);
        self.over.range(gone..).copied()
    }
}

#[cfg(test)]
mod tests;
