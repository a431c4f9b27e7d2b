//! The keys of issuers that publish them: asked for in the background, and put in force.
//!
//! | | keys are asked for |
//! |---|---|
//! | none are in force | at once, then every ten seconds |
//! | some are in force | every five minutes, after a failure every minute |
//! | a token named a key that is not known | at once, but not within half a minute of the last question |
//!
//! A failure keeps the keys in force, so an issuer's outage locks nobody out. An answer is bounded in size and time, and a
//! redirect is not followed: whoever names another place could name other keys. Owns these times and bounds. Must not know what
//! keys are for.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::future::{join_all, select};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use tokio::time::{sleep, timeout};
use tracing::{info, warn};
use url::Url;

use crate::access::{IssuerTable, KeySet, KeyedIssuer, NoKeys};
use crate::clock::Clock;
use crate::config::address::Listeners;
use crate::config::{self, LONGEST_JWKS};
use crate::telemetry::Metrics;
use crate::upstream::{HttpTransport, NoTransport, Notes, Outgoing, Transport, TransportError};

const USUALLY: Duration = Duration::from_secs(5 * 60);
const AFTER_FAILURE: Duration = Duration::from_secs(60);
const WITHOUT_KEYS: Duration = Duration::from_secs(10);
/// Between two questions, whatever tokens name.
const LEAST: Duration = Duration::from_secs(30);
/// How often it is looked what is due.
const LOOK: Duration = Duration::from_secs(1);
/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// Why there are no new keys.
#[derive(Debug, thiserror::Error)]
enum NotFetched {
    #[error(transparent)]
    Transport(#[from] NoTransport),
    #[error("{0}")]
    Unanswered(#[from] TransportError),
    #[error("it took longer than {} s", PATIENCE.as_secs())]
    Slow,
    #[error("it answered {0}; expected 200, and no redirect")]
    Status(StatusCode),
    #[error("its answer is longer than {LONGEST_JWKS} bytes")]
    TooLong,
    #[error(transparent)]
    Keys(#[from] NoKeys),
    #[error("the task that asked for them died")]
    Died,
}

/// Keeps the keys of all issuers in force.
pub(crate) struct KeyKeeper {
    /// The issuers in force; a reload replaces them.
    issuers: Box<dyn Fn() -> Arc<IssuerTable> + Send + Sync>,
    listeners: Listeners,
    clock: Arc<dyn Clock>,
    metrics: Arc<Metrics>,
}

impl std::fmt::Debug for KeyKeeper {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KeyKeeper").finish_non_exhaustive()
    }
}

/// When an issuer was asked last, and is asked next.
#[derive(Debug, Clone, Copy)]
struct Times {
    last: Duration,
    next: Duration,
}

impl Times {
    /// Whether the issuer is asked at `now`.
    fn are_due(self, now: Duration, wanted: bool) -> bool {
        now >= self.next || (wanted && now >= self.last + LEAST)
    }

    fn after(now: Duration, succeeded: bool, has_keys: bool) -> Self {
        let wait = match (succeeded, has_keys) {
            (true, _) => USUALLY,
            (false, true) => AFTER_FAILURE,
            (false, false) => WITHOUT_KEYS,
        };
        Self { last: now, next: now + wait }
    }
}

impl KeyKeeper {
    /// A keeper of what `issuers` answers. It never asks `listeners`, the addresses of this proxy.
    pub(crate) fn new(
        issuers: impl Fn() -> Arc<IssuerTable> + Send + Sync + 'static,
        listeners: Listeners,
        clock: Arc<dyn Clock>,
        metrics: Arc<Metrics>,
    ) -> Self {
        Self { issuers: Box::new(issuers), listeners, clock, metrics }
    }

    /// Asks for keys when it is time. Never returns.
    pub(crate) async fn keep(&self) {
        let mut times: HashMap<(String, Url), Times> = HashMap::new();
        loop {
            let issuers = (self.issuers)();
            let now = self.clock.monotonic();
            let due = issuers.iter().filter_map(|issuer| {
                let key = (issuer.config.name.clone(), issuer.place()?.clone());
                let is_due = times.get(&key).is_none_or(|times| times.are_due(now, issuer.wants_keys()));
                is_due.then_some((key, issuer))
            });
            // Collected first: the iterator looks at the times.
            let due: Vec<_> = due.collect();
            let ask = async |(key, issuer)| (key, self.ask(issuer, now).await);
            times.extend(join_all(due.into_iter().map(ask)).await);
            for issuer in issuers.iter() {
                self.metrics.access.keys(&issuer.config.name, issuer.keys_in_force());
            }
            let is_asking = issuers.iter().any(|issuer| issuer.place().is_some());
            let wanted = Arc::clone(&issuers.wanted);
            let woken = Box::pin(async move { wanted.notified().await });
            if is_asking {
                select(woken, Box::pin(sleep(LOOK))).await;
            } else {
                woken.await;
            }
        }
    }

    async fn ask(&self, issuer: &KeyedIssuer, now: Duration) -> Times {
        issuer.meet_wish();
        let name = &*issuer.config.name;
        let fetched = match timeout(PATIENCE, self.fetch(issuer)).await {
            Ok(fetched) => fetched,
            Err(_) => Err(NotFetched::Slow),
        };
        let succeeded = fetched.is_ok();
        match fetched {
            Ok(keys) => {
                info!(issuer = name, keys = keys.len(), "the issuer's keys are in force");
                issuer.renew(keys);
            }
            Err(error) => {
                let kept = issuer.keys_in_force();
                warn!(issuer = name, %error, kept, "the issuer's keys cannot be had; those in force stay");
            }
        }
        Times::after(now, succeeded, issuer.keys_in_force() > 0)
    }

    async fn fetch(&self, issuer: &KeyedIssuer) -> Result<KeySet, NotFetched> {
        let Some(place) = issuer.place() else { return Ok(KeySet::default()) };
        let home = config::Upstream {
            connect_timeout: PATIENCE,
            read_timeout: PATIENCE,
            egress: issuer.config.egress.clone(),
            ..config::Upstream::new(&*issuer.config.name, place.clone())
        };
        let listeners = self.listeners.clone();
        // It reads the certificates of the machine.
        let transport = tokio::task::spawn_blocking(move || HttpTransport::new(&home, listeners));
        let transport = transport.await.map_err(|_| NotFetched::Died)??;
        let accept = HeaderMap::from_iter([(header::ACCEPT, HeaderValue::from_static("application/json"))]);
        let mut answer = transport.send(Outgoing::get(place, accept, Notes::default())).await?;
        if answer.status != StatusCode::OK {
            return Err(NotFetched::Status(answer.status));
        }
        let mut body = Vec::new();
        while let Some(piece) = answer.body.next().await {
            body.extend_from_slice(&piece?);
            if body.len() as u64 > LONGEST_JWKS {
                return Err(NotFetched::TooLong);
            }
        }
        Ok(KeySet::read(&body)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_issuer_is_asked_as_the_header_says() {
        let at = Duration::from_secs;
        for (succeeded, has_keys, wait) in [(true, true, 300), (false, true, 60), (false, false, 10)] {
            let times = Times::after(at(1000), succeeded, has_keys);
            assert!(!times.are_due(at(1000 + wait - 1), false) && times.are_due(at(1000 + wait), false));
        }
        let fresh = Times::after(at(1000), true, true);
        assert!(!fresh.are_due(at(1029), true) && fresh.are_due(at(1030), true));
    }
}
