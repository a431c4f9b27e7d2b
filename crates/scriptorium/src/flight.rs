//! Single-flight: one piece of work for a key, however many ask for it.
//!
//! The work is a task of its own, so it outlives the request that started it, and everyone who waits gets its outcome,
//! a success or a failure. Work that dies without an outcome (a panic, a runtime that shuts down) frees its key, and
//! the waiters compete to start it again, a bounded number of times. Work can see whether anybody still waits for it,
//! and can give its key up when nobody does.
//!
//! Owns that. Must not know what the work is.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::watch;
use tracing::Instrument;

/// How often a waiter starts the work again after it died.
const ATTEMPTS: u32 = 3;

/// The work died without an outcome in every attempt of one waiter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the work died before it had an outcome")]
pub(crate) struct FlightLost;

/// The outcome, for the requests that wait.
type Landing<T> = watch::Sender<Option<T>>;

/// The work under way.
#[derive(Debug)]
pub(crate) struct Flights<K: Eq + Hash, T> {
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
    /// Joins the work for `key`, or starts it. Returns its outcome, and whether another caller had started it.
    ///
    /// # Errors
    /// [`FlightLost`] when the work died in every attempt.
    pub(crate) async fn join<F>(
        self: &Arc<Self>,
        key: &K,
        work: impl Fn() -> F,
    ) -> Result<(T, bool), FlightLost>
    where
        F: Future<Output = T> + Send + 'static,
    {
        self.join_seen(key, |_| work()).await
    }

    /// The same, for work that sees the number of waiting requests.
    ///
    /// # Errors
    /// [`FlightLost`] when the work died in every attempt.
    pub(crate) async fn join_seen<F>(
        self: &Arc<Self>,
        key: &K,
        work: impl Fn(Waiters<K, T>) -> F,
    ) -> Result<(T, bool), FlightLost>
    where
        F: Future<Output = T> + Send + 'static,
    {
        for _ in 0..ATTEMPTS {
            let (mut landing, joined) = self.board(key, &work);
            let landed = landing.wait_for(Option::is_some).await;
            if let Some(outcome) = landed.ok().and_then(|outcome| outcome.clone()) {
                return Ok((outcome, joined));
            }
        }
        Err(FlightLost)
    }

    /// Starts the work for `key` unless it is under way. Nobody has to wait for it.
    pub(crate) fn start<F>(self: &Arc<Self>, key: &K, work: impl Fn() -> F)
    where
        F: Future<Output = T> + Send + 'static,
    {
        drop(self.board(key, &|_| work()));
    }

    /// Whether work for `key` is under way.
    pub(crate) fn is_open(&self, key: &K) -> bool {
        self.open.lock().contains_key(key)
    }

    fn board<F>(
        self: &Arc<Self>,
        key: &K,
        work: &impl Fn(Waiters<K, T>) -> F,
    ) -> (watch::Receiver<Option<T>>, bool)
    where
        F: Future<Output = T> + Send + 'static,
    {
        let (landing, waiter) = {
            let mut open = self.open.lock();
            if let Some(landing) = open.get(key) {
                return (landing.subscribe(), true);
            }
            let (landing, waiter) = watch::channel(None);
            open.insert(key.clone(), landing.clone());
            (landing, waiter)
        };
        // The lock is released: work that panics at once, or that a closed runtime drops, takes it to free the key.
        let waiters = || Waiters { flights: Arc::clone(self), key: key.clone(), landing: landing.clone() };
        let frees_key = FreesKey(waiters());
        let work = work(waiters());
        let flight = async move {
            let outcome = work.await;
            drop(frees_key);
            landing.send_replace(Some(outcome));
        };
        // Its spans are those of who started it.
        tokio::spawn(flight.in_current_span());
        (waiter, false)
    }
}

/// Those who wait for one piece of work, as that work sees them.
#[derive(Debug)]
pub(crate) struct Waiters<K: Eq + Hash, T> {
    flights: Arc<Flights<K, T>>,
    key: K,
    landing: Landing<T>,
}

impl<K: Eq + Hash, T> Waiters<K, T> {
    /// Returns when nobody waits.
    pub(crate) async fn gone(&self) {
        self.landing.closed().await;
    }

    /// Gives the key up if no request waits: the next request starts the work anew. Returns whether the key was given up.
    pub(crate) fn leave(&self) -> bool {
        // Under the lock nobody joins.
        self.close(|landing| landing.receiver_count() == 0)
    }

    /// Frees the key, unless other work holds it by now or `may` refuses.
    fn close(&self, may: impl FnOnce(&Landing<T>) -> bool) -> bool {
        let mut open = self.flights.open.lock();
        let closes = open.get(&self.key).is_some_and(|held| held.same_channel(&self.landing) && may(held));
        if closes {
            open.remove(&self.key);
        }
        closes
    }
}

/// Frees the key of the work, however that ends.
struct FreesKey<K: Eq + Hash, T>(Waiters<K, T>);

impl<K: Eq + Hash, T> Drop for FreesKey<K, T> {
    fn drop(&mut self) {
        self.0.close(|_| true);
    }
}

#[cfg(test)]
mod tests {
    use std::future::{Ready, pending};
    use std::pin::pin;
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::sync::mpsc;
    use std::task::{Context, Poll, Waker};
    use std::thread;
    use std::time::Duration;

    use tokio::runtime::Runtime;
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
        assert!(flights.open.lock().is_empty());
    }

    #[tokio::test]
    async fn a_fill_that_always_dies_is_given_up() {
        let flights = Arc::new(Flights::<u8, u32>::default());
        assert_eq!(flights.join(&1, || async { panic!("always") }).await, Err(FlightLost));
    }

    #[tokio::test]
    async fn a_fill_that_nobody_waits_for_may_end_and_the_next_is_another() {
        let flights = Arc::new(Flights::<u8, u32>::default());
        let seen = Arc::new(Mutex::new(Vec::new()));
        let start = |outcome: u32, goes: Arc<Notify>| {
            let (flights, seen) = (flights.clone(), seen.clone());
            tokio::spawn(async move {
                let fill = |waiters| {
                    seen.lock().push(waiters);
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
        let waiters = seen.lock().remove(0);
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

    /// Runs `test` on a thread of its own, since what it looks for is a thread that never comes back.
    fn in_time(test: impl FnOnce() + Send + 'static) {
        let (done, ends) = mpsc::channel();
        let thread = thread::spawn(move || {
            test();
            let _ = done.send(());
        });
        match ends.recv_timeout(Duration::from_secs(30)) {
            Err(mpsc::RecvTimeoutError::Timeout) => panic!("it hangs"),
            Ok(()) | Err(mpsc::RecvTimeoutError::Disconnected) => thread.join().unwrap(),
        }
    }

    #[test]
    fn work_that_panics_before_it_is_a_task_frees_its_key() {
        in_time(|| {
            Runtime::new().unwrap().block_on(async {
                let flights = Arc::new(Flights::<u8, u32>::default());
                let starting = Arc::clone(&flights);
                let starter =
                    tokio::spawn(
                        async move { starting.join(&1, || -> Ready<u32> { panic!("at once") }).await },
                    );
                assert!(starter.await.unwrap_err().is_panic());
                assert_eq!(flights.join(&1, || async { 7 }).await, Ok((7, false)));
            });
        });
    }

    #[test]
    fn a_runtime_that_shuts_down_loses_the_work_and_nobody_waits_for_ever() {
        in_time(|| {
            let runtime = Runtime::new().unwrap();
            let handle = runtime.handle().clone();
            let _inside = handle.enter();
            let flights = Arc::new(Flights::<u8, u32>::default());
            let [mut first, mut second] = [(); 2].map(|()| Box::pin(flights.join(&1, pending)));
            let mut context = Context::from_waker(Waker::noop());
            assert!(first.as_mut().poll(&mut context).is_pending());
            assert!(second.as_mut().poll(&mut context).is_pending());
            runtime.shutdown_timeout(Duration::from_secs(10));
            // What they start now is dropped where it is spawned.
            for waiter in [first.as_mut(), second.as_mut()] {
                assert_eq!(waiter.poll(&mut context), Poll::Ready(Err(FlightLost)));
            }
            let late = pin!(flights.join(&1, pending));
            assert_eq!(late.poll(&mut context), Poll::Ready(Err(FlightLost)));
            assert!(!flights.is_open(&1));
        });
    }
}
