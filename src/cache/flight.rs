//! Single-flight: one fill a key, however many ask.
//!
//! A fill is a task of its own, so it outlives the client that started it, and everyone who waits shares its
//! outcome, success or failure. If it dies without an outcome (a panic, a runtime that shuts down) its place
//! is freed and the waiters compete to start another, a bounded number of times. A fill that wants to know sees
//! whether anybody waits for it still, and may end where nobody does.
//!
//! Owns that and nothing about what is filled.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

/// How often a waiter starts over when fills die under it.
const ATTEMPTS: u32 = 3;

/// Every fill of one waiter's attempts died without an outcome.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the fetch was lost")]
pub struct Lost;

/// Where a fill's outcome is put, for those who wait for it.
type Landing<T> = watch::Sender<Option<T>>;

/// The fills under way.
#[derive(Debug)]
pub struct Flights<K: Eq + Hash, T> {
    open: Mutex<HashMap<K, Landing<T>>>,
}

impl<K: Eq + Hash, T> Default for Flights<K, T> {
    fn default() -> Self {
        Self { open: Mutex::default() }
    }
}

impl<K, T> Flights<K, T>
where
    K: Clone + Eq + Hash + Send + 'static,
    T: Clone + Send + Sync + 'static,
{
    /// Joins the fill of `key`, or starts it. Answers with its outcome and whether another had started it.
    ///
    /// # Errors
    /// [`Lost`] when fill after fill died without an outcome.
    pub async fn join<F>(self: &Arc<Self>, key: &K, fill: impl Fn() -> F) -> Result<(T, bool), Lost>
    where
        F: Future<Output = T> + Send + 'static,
    {
        self.join_seen(key, |_| fill()).await
    }

    /// The same with a fill that sees who waits for it.
    ///
    /// # Errors
    /// [`Lost`] when fill after fill died without an outcome.
    pub async fn join_seen<F>(
        self: &Arc<Self>,
        key: &K,
        fill: impl Fn(Waiters<K, T>) -> F,
    ) -> Result<(T, bool), Lost>
    where
        F: Future<Output = T> + Send + 'static,
    {
        for _ in 0..ATTEMPTS {
            let (mut landing, collapsed) = self.board(key, &fill);
            let landed = landing.wait_for(Option::is_some).await;
            if let Some(outcome) = landed.ok().and_then(|outcome| outcome.clone()) {
                return Ok((outcome, collapsed));
            }
        }
        Err(Lost)
    }

    /// Whether a fill of `key` is under way.
    pub fn is_open(&self, key: &K) -> bool {
        self.open().contains_key(key)
    }

    fn board<F>(
        self: &Arc<Self>,
        key: &K,
        fill: &impl Fn(Waiters<K, T>) -> F,
    ) -> (watch::Receiver<Option<T>>, bool)
    where
        F: Future<Output = T> + Send + 'static,
    {
        let mut open = self.open();
        if let Some(landing) = open.get(key) {
            return (landing.subscribe(), true);
        }
        let (landing, waiter) = watch::channel(None);
        open.insert(key.clone(), landing.clone());
        let departure = Departure { flights: Arc::clone(self), key: key.clone(), landing: landing.clone() };
        let fill = fill(Waiters { flights: Arc::clone(self), key: key.clone(), landing: landing.clone() });
        tokio::spawn(async move {
            let outcome = fill.await;
            drop(departure);
            landing.send_replace(Some(outcome));
        });
        (waiter, false)
    }
}

impl<K: Eq + Hash, T> Flights<K, T> {
    fn open(&self) -> MutexGuard<'_, HashMap<K, Landing<T>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends what stands under `key`, if that is `landing` and it `may` end.
    fn close(&self, key: &K, landing: &Landing<T>, may: impl FnOnce(&Landing<T>) -> bool) -> bool {
        let mut open = self.open();
        let ends = open.get(key).is_some_and(|held| held.same_channel(landing) && may(held));
        if ends {
            open.remove(key);
        }
        ends
    }
}

/// Those who wait for one fill, as that fill sees them.
#[derive(Debug)]
pub struct Waiters<K: Eq + Hash, T> {
    flights: Arc<Flights<K, T>>,
    key: K,
    landing: Landing<T>,
}

impl<K: Eq + Hash, T> Waiters<K, T> {
    /// Returns when there is none.
    pub async fn gone(&self) {
        self.landing.closed().await;
    }

    /// Gives the fill's place up, if nobody waits for it: whoever asks from now on starts another. Answers with whether
    /// that is so.
    pub fn leave(&self) -> bool {
        // Under the lock nobody joins.
        self.flights.close(&self.key, &self.landing, |landing| landing.receiver_count() == 0)
    }
}

/// Frees a fill's place, however the fill ends.
struct Departure<K: Eq + Hash, T> {
    flights: Arc<Flights<K, T>>,
    key: K,
    landing: Landing<T>,
}

impl<K: Eq + Hash, T> Drop for Departure<K, T> {
    fn drop(&mut self) {
        self.flights.close(&self.key, &self.landing, |_| true);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use tokio::sync::Notify;

    use super::*;

    #[tokio::test]
    async fn many_ask_and_one_fills() {
        let flights = Arc::new(Flights::<u8, u32>::default());
        let (fills, gate) = (Arc::new(AtomicU32::new(0)), Arc::new(Notify::new()));
        let fill = || {
            let (fills, gate) = (fills.clone(), gate.clone());
            async move {
                gate.notified().await;
                fills.fetch_add(1, Ordering::SeqCst) + 1
            }
        };
        let all = futures_util::future::join_all((0..100).map(|_| flights.join(&1, fill)));
        let (outcomes, ()) = tokio::join!(all, async {
            tokio::task::yield_now().await;
            gate.notify_one();
        });
        assert_eq!(fills.load(Ordering::SeqCst), 1);
        assert_eq!(outcomes.iter().filter(|outcome| **outcome == Ok((1, true))).count(), 99);
        assert_eq!(outcomes.iter().filter(|outcome| **outcome == Ok((1, false))).count(), 1);
    }

    #[tokio::test]
    async fn a_departing_leader_harms_nobody() {
        let flights = Arc::new(Flights::<u8, u32>::default());
        let gate = Arc::new(Notify::new());
        let fill = || {
            let gate = gate.clone();
            async move {
                gate.notified().await;
                7
            }
        };
        let leader = tokio::spawn({
            let (flights, gate) = (flights.clone(), gate.clone());
            async move {
                let fill = || {
                    let gate = gate.clone();
                    async move {
                        gate.notified().await;
                        7
                    }
                };
                flights.join(&1, fill).await
            }
        });
        tokio::task::yield_now().await;
        leader.abort();
        assert!(leader.await.is_err());
        let (outcome, ()) = tokio::join!(flights.join(&1, fill), async { gate.notify_one() });
        assert_eq!(outcome, Ok((7, true)));
    }

    #[tokio::test]
    async fn waiters_of_a_fill_that_died_compete_for_a_new_one() {
        let flights = Arc::new(Flights::<u8, u32>::default());
        let tries = Arc::new(AtomicU32::new(0));
        let fill = || {
            let tries = tries.clone();
            async move {
                assert!(tries.fetch_add(1, Ordering::SeqCst) > 0, "the first fill dies");
                9
            }
        };
        assert_eq!(flights.join(&1, fill).await, Ok((9, false)));
        assert!(flights.open().is_empty());
    }

    #[tokio::test]
    async fn a_fill_that_always_dies_is_given_up() {
        let flights = Arc::new(Flights::<u8, u32>::default());
        assert_eq!(flights.join(&1, || async { panic!("always") }).await, Err(Lost));
    }

    #[tokio::test]
    async fn a_fill_that_nobody_waits_for_may_end_and_the_next_is_another() {
        let flights = Arc::new(Flights::<u8, u32>::default());
        let seen = Arc::new(Mutex::new(Vec::new()));
        let start = |outcome: u32, goes: Arc<Notify>| {
            let (flights, seen) = (flights.clone(), seen.clone());
            tokio::spawn(async move {
                let fill = |waiters| {
                    seen.lock().unwrap().push(waiters);
                    let goes = goes.clone();
                    async move {
                        goes.notified().await;
                        outcome
                    }
                };
                flights.join_seen(&1, fill).await
            })
        };
        let (first, second) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let leader = start(1, first.clone());
        tokio::task::yield_now().await;
        let waiters = seen.lock().unwrap().remove(0);
        assert!(!waiters.leave(), "somebody waits");
        leader.abort();
        waiters.gone().await;
        assert!(waiters.leave());
        assert!(!waiters.leave(), "it is no more");
        let other = start(2, second.clone());
        tokio::task::yield_now().await;
        assert!(!waiters.leave(), "what is there now is another's");
        first.notify_one();
        tokio::task::yield_now().await;
        assert!(flights.is_open(&1), "the end of one is not the end of the other");
        second.notify_one();
        assert_eq!(other.await.unwrap(), Ok((2, false)));
    }
}
