//! Download slots: how many files are brought in at once, so that no registry, host or client takes all.
//!
//! | downloads under way | at most | why |
//! |---|---|---|
//! | from all registries | 256 | the threads that verify them leave half of all threads to reads |
//! | from one registry | 16 | a slow registry delays its own files only |
//! | of those, from one host | 12 | a slow host leaves slots to the registry's other hosts |
//! | of those, first asked for by one client | 8 | a client that wants everything leaves slots to the others |
//! | repositories of one registry | 3 | each fetch by Git may take memory; releases of one repository share a fetch |
//! | of those, at one host | 2 | a slow host leaves one to the others |
//!
//! A download that finds no free slot waits for one, and fails after a while. A free slot goes to the client with the fewest
//! slots, and among its downloads to the one that waited longest. A download without a waiting request gives its slot to a
//! download that needs it, and ends after [`ALONE`] in any case.
//!
//! Owns those rules. Must not know how a file is downloaded.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Mutex, MutexGuard};
use tokio::sync::{oneshot, watch};
use tokio::time::{Instant, sleep_until, timeout};

use super::expected::FileFetch;
use crate::domain::Registry;
use crate::flight::Waiters;
use crate::limit::Client;
use crate::telemetry::{FetchEnd, Metrics};

const ALL: usize = 256;
const PER_REGISTRY: usize = 16;
const PER_HOST: usize = 12;
const PER_CLIENT: usize = 8;
const REPOSITORIES: usize = 3;
const REPOSITORIES_PER_HOST: usize = 2;

/// How long a download continues without a waiting request, if no other download needs its slot.
const ALONE: Duration = Duration::from_secs(10 * 60);

/// The download that needs a slot.
#[derive(Debug, Clone)]
pub(super) struct SlotRequest {
    pub(super) fetch: FileFetch,
    /// The host that is asked first.
    pub(super) host: Option<String>,
    /// The repository, where Git delivers the file.
    pub(super) repository: Option<String>,
    /// The client that asked first.
    pub(super) client: Option<Client>,
}

/// No slot was free in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct NoSlot;

/// The slots of all registries.
#[derive(Debug)]
pub(super) struct DownloadSlots {
    queues: Mutex<Queues>,
    /// Changes when a download begins to wait.
    needed: watch::Sender<()>,
    metrics: Arc<Metrics>,
}

#[derive(Debug, Default)]
struct Queues {
    next_number: u64,
    /// Slots taken, of all registries.
    taken: usize,
    registries: HashMap<Registry, RegistryQueue>,
}

/// The downloads from one registry that have a slot or wait for one, in the order in which they came.
#[derive(Debug, Default)]
struct RegistryQueue(Vec<QueuedDownload>);

#[derive(Debug)]
struct QueuedDownload {
    number: u64,
    request: SlotRequest,
    /// How to give it a slot; `None` once it has one.
    waits: Option<oneshot::Sender<()>>,
}

/// A slot, or a place in the queue for one, until it is dropped.
#[derive(Debug)]
pub(super) struct DownloadSlot {
    slots: Arc<DownloadSlots>,
    registry: Registry,
    number: u64,
}

impl DownloadSlots {
    /// All slots are free.
    pub(super) fn new(metrics: Arc<Metrics>) -> Self {
        Self { queues: Mutex::default(), needed: watch::Sender::new(()), metrics }
    }

    /// A slot for `request`, waited for as long as `patience`.
    pub(super) async fn take(
        self: &Arc<Self>,
        request: SlotRequest,
        patience: Duration,
    ) -> Result<DownloadSlot, NoSlot> {
        let registry = request.fetch.registry.clone();
        let (granted, grant) = oneshot::channel();
        let number = {
            let mut queues = self.queues();
            let number = queues.next_number;
            queues.next_number += 1;
            let queue = queues.registries.entry(registry.clone()).or_default();
            queue.0.push(QueuedDownload { number, request, waits: Some(granted) });
            queues.grant(&registry);
            self.report(&registry, &queues);
            number
        };
        let slot = DownloadSlot { slots: Arc::clone(self), registry, number };
        self.needed.send_replace(());
        match timeout(patience, grant).await {
            Ok(_granted) => Ok(slot),
            Err(_) => {
                self.metrics.fetches.ended(slot.registry.name(), FetchEnd::NoSlot);
                Err(NoSlot)
            }
        }
    }

    /// The result of `work`. `None` if the fetch ended first, because no request waits for it any more.
    pub(super) async fn unless_left<T>(
        &self,
        fetch: &FileFetch,
        waiters: &Waiters<FileFetch, T>,
        work: impl Future<Output = T>,
    ) -> Option<T> {
        tokio::select! {
            biased;
            done = work => Some(done),
            () = self.left(fetch, waiters) => {
                self.metrics.fetches.ended(fetch.registry.name(), FetchEnd::Left);
                None
            }
        }
    }

    /// Returns once no request waits for `fetch` and it has given up its slot.
    async fn left<T>(&self, fetch: &FileFetch, waiters: &Waiters<FileFetch, T>) {
        let mut needed = self.needed.subscribe();
        loop {
            waiters.gone().await;
            let end = Instant::now() + ALONE;
            loop {
                if self.gives_way(fetch, waiters) {
                    return;
                }
                tokio::select! {
                    _ = needed.changed() => {}
                    () = sleep_until(end) => match waiters.leave() {
                        true => return,
                        // A request waits again.
                        false => break,
                    },
                }
            }
        }
    }

    /// Gives up the slot of `fetch`, if no request waits for the fetch and another download needs the slot. Answers whether the
    /// fetch has ended. Requests join a fetch under the same lock, so none joins a fetch that ends.
    fn gives_way<T>(&self, fetch: &FileFetch, waiters: &Waiters<FileFetch, T>) -> bool {
        let mut queues = self.queues();
        let Some(queue) = queues.registries.get(&fetch.registry) else { return false };
        let Some(own) = queue.0.iter().find(|download| download.request.fetch == *fetch) else {
            return false;
        };
        let number = own.number;
        // A fetch that itself waits for a slot may always end.
        let may_end = own.waits.is_some() || queues.needs(&fetch.registry, number);
        if !may_end || !waiters.leave() {
            return false;
        }
        queues.release(&fetch.registry, number);
        self.report(&fetch.registry, &queues);
        true
    }

    fn report(&self, registry: &Registry, queues: &Queues) {
        let (taken, waiting) = queues.registries.get(registry).map_or((0, 0), |queue| {
            let taken = queue.taken().count();
            (taken, queue.0.len() - taken)
        });
        self.metrics.fetches.standing(registry.name(), taken, waiting);
    }

    fn queues(&self) -> MutexGuard<'_, Queues> {
        self.queues.lock()
    }
}

impl Queues {
    /// Whether a download would get a slot if slot `number` were free.
    fn needs(&self, registry: &Registry, number: u64) -> bool {
        let without = |of: &Registry| (of == registry).then_some(number);
        let taken = self.taken.saturating_sub(1);
        self.registries.iter().any(|(of, queue)| queue.next(taken, without(of)).is_some())
    }

    /// Gives the free slots of `registry` to the downloads that wait.
    fn grant(&mut self, registry: &Registry) {
        let Some(queue) = self.registries.get_mut(registry) else { return };
        while let Some(next) = queue.next(self.taken, None) {
            let Some(granted) = queue.0[next].waits.take() else { return };
            // A download that ended meanwhile gives the slot back when its `DownloadSlot` is dropped.
            let _ = granted.send(());
            self.taken += 1;
        }
    }

    /// Ends download `number`, and gives its slot, if it had one, to the next.
    fn release(&mut self, registry: &Registry, number: u64) {
        let Some(queue) = self.registries.get_mut(registry) else { return };
        let Some(at) = queue.0.iter().position(|download| download.number == number) else { return };
        let had_slot = queue.0.remove(at).waits.is_none();
        let was_full = self.taken >= ALL;
        if had_slot {
            self.taken -= 1;
            self.grant(registry);
        }
        if had_slot && was_full {
            let others: Vec<Registry> = self.registries.keys().cloned().collect();
            others.iter().for_each(|other| self.grant(other));
        }
        self.registries.retain(|_, queue| !queue.0.is_empty());
    }
}

impl RegistryQueue {
    fn taken(&self) -> impl Iterator<Item = &QueuedDownload> {
        self.0.iter().filter(|download| download.waits.is_none())
    }

    /// The waiting download that gets the next slot. `all` slots of all registries are taken; the slot `without` counts as free.
    fn next(&self, all: usize, without: Option<u64>) -> Option<usize> {
        let taken = self.taken().filter(|taken| Some(taken.number) != without);
        let taken: Vec<&SlotRequest> = taken.map(|taken| &taken.request).collect();
        if all >= ALL || taken.len() >= PER_REGISTRY {
            return None;
        }
        let of_client = |client: &Option<Client>| taken.iter().filter(|of| of.client == *client).count();
        let fits = |request: &SlotRequest| {
            let of_host = taken.iter().filter(|of| of.host == request.host).count();
            of_host < PER_HOST && of_client(&request.client) < PER_CLIENT && has_repository(&taken, request)
        };
        let waiting = self.0.iter().enumerate().filter(|(_, download)| download.waits.is_some());
        let fitting = waiting.filter(|(_, download)| fits(&download.request));
        fitting.min_by_key(|(_, download)| of_client(&download.request.client)).map(|(at, _)| at)
    }
}

/// Whether the repository of `request` may be fetched beside what is `taken`.
fn has_repository(taken: &[&SlotRequest], request: &SlotRequest) -> bool {
    if request.repository.is_none() {
        return true;
    }
    let of_git = taken.iter().filter(|of| of.repository.is_some() && of.repository != request.repository);
    let others: HashSet<_> = of_git.map(|of| (&of.host, &of.repository)).collect();
    let at_host = others.iter().filter(|(host, _)| **host == request.host).count();
    others.len() < REPOSITORIES && at_host < REPOSITORIES_PER_HOST
}

impl Drop for DownloadSlot {
    fn drop(&mut self) {
        let mut queues = self.slots.queues();
        queues.release(&self.registry, self.number);
        self.slots.report(&self.registry, &queues);
    }
}

#[cfg(test)]
mod tests;
