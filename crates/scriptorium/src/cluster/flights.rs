//! One fetch for all proxies.
//!
//! Whoever gets the lease of a key fetches. The others wait: they look when they are told that the fetch ended, and each second,
//! in the bucket and at the note that the fetch may have left. A fetch that left nothing is told as well, and each of those who wait
//! then fetches for itself. Whoever cannot ask the engine fetches at once. Owns that way. Must not know what is fetched;
//! `crates/cluster` decides who fetches.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use ::cluster::{FLIGHT_LEASE, FlightStep, LeaseCall, LeaseReply, SharedFlight};
use async_trait::async_trait;

use super::ClusterNode;
use super::landings::landing;
use super::notes::{FlightTrace, SeenNote, seen};

/// For how long a proxy says that it waits.
const WAITING: Duration = Duration::from_secs(30);

/// A fetch that is one for all proxies: how a result passes from one to another.
#[async_trait]
pub(crate) trait SharedFetch<T>: Send + Sync {
    /// What it is called at all proxies.
    fn key(&self) -> &str;

    /// The result of another proxy, in the bucket.
    async fn look(&self) -> Option<T>;

    /// The result for which a note stands; `None` if that does not do for us.
    fn read(&self, note: &SeenNote) -> Option<T>;

    /// What a result of ours leaves for the others.
    fn leave(&self, result: &T) -> FlightTrace;
}

impl ClusterNode {
    /// The result of `work`, or of another proxy's work under the same key.
    pub(crate) async fn fly<T: Send>(
        self: &Arc<Self>,
        shared: &dyn SharedFetch<T>,
        work: impl Future<Output = T> + Send,
    ) -> T {
        let key = shared.key();
        let (mut flight, mut lease, mut behind) = (SharedFlight::new(self.is_together()), None, None);
        let wait = self.landings.wait(key);
        loop {
            let now = self.clock.monotonic();
            match flight.step(now) {
                FlightStep::Ask => lease = self.ask(key, &mut flight, &mut behind).await,
                FlightStep::Fetch(_) => {
                    let Some(mut lease) = lease.take() else { return self.fetch_alone(work).await };
                    self.metrics.cluster.flight("led");
                    let outcome = self.lead(flight, &lease.key, work).await;
                    lease.trace = shared.leave(&outcome);
                    return outcome;
                }
                FlightStep::Look => match self.found(shared, behind).await {
                    Some(found) => {
                        self.metrics.cluster.flight("followed");
                        lease.iter_mut().for_each(|lease| lease.trace = FlightTrace::Stored);
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

    /// What another proxy's fetch left, in the bucket or in a note.
    async fn found<T: Send>(&self, shared: &dyn SharedFetch<T>, behind: Option<u64>) -> Option<T> {
        let note = seen(&**self.engine(), shared.key(), behind);
        let (found, note) = futures_util::join!(shared.look(), note);
        found.or_else(|| shared.read(&note?))
    }

    async fn fetch_alone<T>(&self, work: impl Future<Output = T>) -> T {
        self.metrics.cluster.flight("alone");
        work.await
    }

    /// Asks for the lease, and says that this proxy waits if another has it. `behind` is the first fetch that it waits for.
    async fn ask(
        self: &Arc<Self>,
        key: &str,
        flight: &mut SharedFlight,
        behind: &mut Option<u64>,
    ) -> Option<Lease> {
        let reply = self.engine().lease(&self.lease_call(key, None)).await;
        let lease = match &reply {
            Ok(LeaseReply::Held { fence }) => Some(Lease::of(self, key, *fence)),
            Ok(LeaseReply::Busy { fence, .. }) => {
                behind.get_or_insert(*fence);
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
    async fn end(&self, key: &str, fence: u64, trace: FlightTrace) {
        let landed = match trace {
            FlightTrace::Stored => true,
            FlightTrace::Noted(note) => {
                self.notes.leave(&**self.engine(), key, fence, note, self.clock.monotonic()).await
            }
            FlightTrace::Nothing => false,
        };
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
    /// What the fetch left for the others.
    trace: FlightTrace,
}

impl Lease {
    fn of(node: &Arc<ClusterNode>, key: &str, fence: u64) -> Self {
        Self { node: Arc::clone(node), key: key.to_owned(), fence, trace: FlightTrace::Nothing }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let (node, key, fence) = (Arc::clone(&self.node), std::mem::take(&mut self.key), self.fence);
        let trace = std::mem::replace(&mut self.trace, FlightTrace::Nothing);
        self.node.spawn(async move { node.end(&key, fence, trace).await });
    }
}

/// The shared key under which proxies say that they wait.
fn waiting(key: &str) -> String {
    format!("waiting:{key}")
}
