//! One fetch for all proxies.
//!
//! Whoever gets the lease of a key fetches. The others wait: they look when they are told that the fetch ended, and each second.
//! A fetch that failed, or whose result is not kept, is told as well, and each of those who wait then fetches for itself. Whoever
//! cannot ask the engine fetches at once. Owns that way. Must not know what is fetched; `crates/cluster` decides who fetches.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use ::cluster::{FLIGHT_LEASE, FlightStep, LeaseCall, LeaseReply, SharedFlight};
use futures_util::future::BoxFuture;

use super::ClusterNode;
use super::landings::landing;

/// For how long a proxy says that it waits.
const WAITING: Duration = Duration::from_secs(30);

/// What is looked for in the bucket.
pub(crate) type Look<'a, T> = &'a (dyn Fn() -> BoxFuture<'a, Option<T>> + Send + Sync);

impl ClusterNode {
    /// The result of `work`, or what `look` finds of another proxy's work under the same key. `is_kept` says whether a result of
    /// ours is where others look for it.
    pub(crate) async fn fly<T: Send>(
        self: &Arc<Self>,
        key: &str,
        look: Look<'_, T>,
        is_kept: fn(&T) -> bool,
        work: impl Future<Output = T> + Send,
    ) -> T {
        let (mut flight, mut lease) = (SharedFlight::new(self.is_together()), None);
        let wait = self.landings.wait(key);
        loop {
            let now = self.clock.monotonic();
            match flight.step(now) {
                FlightStep::Ask => lease = self.ask(key, &mut flight).await,
                FlightStep::Fetch(_) => {
                    let Some(lease) = &lease else { return self.fetch_alone(work).await };
                    self.metrics.cluster.flight("led");
                    let outcome = self.lead(flight, &lease.key, work).await;
                    lease.landed.store(is_kept(&outcome), Ordering::Relaxed);
                    return outcome;
                }
                FlightStep::Look => match look().await {
                    Some(found) => {
                        self.metrics.cluster.flight("followed");
                        lease.iter().for_each(|lease| lease.landed.store(true, Ordering::Relaxed));
                        return found;
                    }
                    None if lease.is_none() && wait.has_failed() => {
                        return self.fetch_alone(work).await;
                    }
                    None => flight.not_found(self.clock.monotonic()),
                },
                // Only a fetch renews.
                FlightStep::Renew(_) => flight.stalled(now),
                FlightStep::Wait(until) => {
                    tokio::select! {
                        () = wait.told() => flight.told(),
                        () = tokio::time::sleep(until.saturating_sub(now)) => {}
                    }
                }
            }
        }
    }

    async fn fetch_alone<T>(&self, work: impl Future<Output = T>) -> T {
        self.metrics.cluster.flight("alone");
        work.await
    }

    /// Asks for the lease, and says that this proxy waits if another has it.
    async fn ask(self: &Arc<Self>, key: &str, flight: &mut SharedFlight) -> Option<Lease> {
        let reply = self.engine().lease(&self.lease_call(key, None)).await;
        let lease = match &reply {
            Ok(LeaseReply::Held { fence }) => Some(Lease::of(self, key, *fence)),
            Ok(LeaseReply::Busy { .. }) => {
                // Before the next look, so that whoever lands later knows of it.
                let _ = self.engine().share(&waiting(key), self.name(), WAITING).await;
                None
            }
            Err(_) => None,
        };
        match reply {
            Ok(reply) => flight.answered(reply, self.clock.monotonic()),
            Err(_) => flight.unanswered(self.clock.monotonic()),
        }
        lease
    }

    /// Does the work, and renews the lease as long as it runs: work that does not move ends by itself.
    async fn lead<T>(&self, mut flight: SharedFlight, key: &str, work: impl Future<Output = T>) -> T {
        let renewing = async {
            loop {
                let now = self.clock.monotonic();
                match flight.step(now) {
                    FlightStep::Renew(fence) => {
                        match self.engine().lease(&self.lease_call(key, Some(fence))).await {
                            Ok(reply) => flight.answered(reply, self.clock.monotonic()),
                            Err(_) => flight.unanswered(self.clock.monotonic()),
                        }
                    }
                    FlightStep::Wait(until) => tokio::time::sleep(until.saturating_sub(now)).await,
                    FlightStep::Ask | FlightStep::Fetch(_) | FlightStep::Look => {
                        std::future::pending::<()>().await;
                    }
                }
            }
        };
        let (work, renewing) = (pin!(work), pin!(renewing));
        match futures_util::future::select(work, renewing).await {
            futures_util::future::Either::Left((outcome, _)) => outcome,
            futures_util::future::Either::Right((never, _)) => never,
        }
    }

    fn lease_call(&self, key: &str, fence: Option<u64>) -> LeaseCall {
        LeaseCall { key: key.to_owned(), node: self.name().to_owned(), fence, lease: FLIGHT_LEASE }
    }

    /// Gives a lease back, and tells those who wait.
    async fn end(&self, key: &str, fence: u64, landed: bool) {
        let waiting = [waiting(key)];
        // The lease first, so that whoever is told and finds nothing gets it.
        let _ = self.engine().release(key, fence).await;
        if let Ok([Some(_)]) = self.engine().shared(&waiting).await.as_deref() {
            let _ = self.engine().announce(&[landing(key, landed)]).await;
            let _ = self.engine().unshare(&waiting[0]).await;
        }
    }
}

/// The lease of a key. It is given back when it is dropped, behind whatever goes on.
struct Lease {
    node: Arc<ClusterNode>,
    key: String,
    fence: u64,
    /// Whether the result is where others look for it.
    landed: AtomicBool,
}

impl Lease {
    fn of(node: &Arc<ClusterNode>, key: &str, fence: u64) -> Self {
        Self { node: Arc::clone(node), key: key.to_owned(), fence, landed: AtomicBool::new(false) }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let (node, key, fence) = (Arc::clone(&self.node), std::mem::take(&mut self.key), self.fence);
        let landed = self.landed.load(Ordering::Relaxed);
        self.node.spawn(async move { node.end(&key, fence, landed).await });
    }
}

/// The shared key under which proxies say that they wait.
fn waiting(key: &str) -> String {
    format!("waiting:{key}")
}
