//! How the hosts stand from which repositories of one registry are fetched.
//!
//! Each host has a breaker and the pause that it asked for, apart from the registry's: whoever owns a repository at some host, be it the
//! registry's own, pauses that host's repositories at most. Hosts are those that a configuration lists, so there are few. Owns that.
//! Must not know Git.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use url::Url;

use super::backoff::roll;
use super::breaker::{Breaker, BreakerPass};
use super::guard::host_and_port;
use super::{CouldNotAsk, Health};
use crate::clock::Clock;

/// The hosts, by their authority.
pub(super) struct GitHosts {
    clock: Arc<dyn Clock>,
    standings: Mutex<HashMap<String, HostStanding>>,
}

struct HostStanding {
    breaker: Breaker,
    held_until: Duration,
}

/// Permission to ask a host once. Dropped without an outcome, it says nothing of the host.
pub(super) struct HostPass<'a> {
    hosts: &'a GitHosts,
    host: String,
    admission: BreakerPass,
    outcome: Option<Health>,
}

impl GitHosts {
    pub(super) fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, standings: Mutex::default() }
    }

    /// Permission to ask the host of `url`.
    ///
    /// # Errors
    /// [`CouldNotAsk::Paused`] while it is left alone.
    pub(super) fn admit(&self, url: &Url) -> Result<HostPass<'_>, CouldNotAsk> {
        let host = host_and_port(url).to_owned();
        let now = self.clock.monotonic();
        let mut standings = self.standings.lock();
        let standing = standings.entry(host.clone()).or_insert_with(HostStanding::new);
        if let Some(for_) = standing.held_until.checked_sub(now).filter(|left| !left.is_zero()) {
            return Err(CouldNotAsk::Paused { for_ });
        }
        let admission = standing.breaker.admit(now).map_err(|for_| CouldNotAsk::Paused { for_ })?;
        drop(standings);
        Ok(HostPass { hosts: self, host, admission, outcome: None })
    }

    fn with(&self, host: &str, change: impl FnOnce(&mut HostStanding, Duration)) {
        let now = self.clock.monotonic();
        if let Some(standing) = self.standings.lock().get_mut(host) {
            change(standing, now);
        }
    }
}

impl HostStanding {
    fn new() -> Self {
        Self { breaker: Breaker::new(), held_until: Duration::ZERO }
    }
}

impl HostPass<'_> {
    /// Returns the permission with what came of it.
    pub(super) fn settle<T>(mut self, outcome: &Result<T, CouldNotAsk>) {
        if let Err(CouldNotAsk::Throttled { retry_after: Some(wait) }) = outcome {
            self.hosts.with(&self.host, |standing, now| {
                standing.held_until = standing.held_until.max(now + *wait);
            });
        }
        self.outcome = match outcome {
            Ok(_) => Some(Health::Up),
            Err(why) => why.facets().health,
        };
    }
}

impl Drop for HostPass<'_> {
    fn drop(&mut self) {
        let Self { hosts, host, admission, outcome } = self;
        hosts.with(host, |standing, now| match outcome {
            Some(Health::Up) => standing.breaker.succeeded(*admission, now),
            Some(Health::Down) => standing.breaker.failed(*admission, now, roll()),
            None => standing.breaker.abandoned(*admission),
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::ManualClock;

    #[test]
    fn a_host_that_fails_or_asks_for_it_is_left_alone_and_no_other() {
        let clock = Arc::new(ManualClock::at(0));
        let hosts = GitHosts::new(Arc::clone(&clock) as Arc<dyn Clock>);
        let [one, other] = ["https://one.example/x.git", "https://other.example/x.git"];
        let [one, other] = [one, other].map(|url| Url::parse(url).unwrap());
        let fails = |url: &Url, why: CouldNotAsk| hosts.admit(url).unwrap().settle::<()>(&Err(why));
        (0..5).for_each(|_| fails(&one, CouldNotAsk::TimedOut));
        assert!(matches!(hosts.admit(&one), Err(CouldNotAsk::Paused { .. })));
        fails(&other, CouldNotAsk::Throttled { retry_after: Some(Duration::from_secs(77)) });
        let Err(CouldNotAsk::Paused { for_ }) = hosts.admit(&other) else { panic!("it asked for a pause") };
        assert_eq!(for_.as_secs(), 77);
        clock.advance(Duration::from_secs(78));
        hosts.admit(&one).unwrap().settle(&Ok(()));
        hosts.admit(&other).unwrap().settle(&Ok(()));
        (0..9).for_each(|_| drop(hosts.admit(&one).unwrap()));
    }
}
