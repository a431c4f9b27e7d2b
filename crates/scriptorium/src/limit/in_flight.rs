//! Requests in flight, and the downloads among them: so many in all, so many of one client.
//!
//! A request that finds no slot is refused at once. A thread keeps the slots of the clients that it answered last for their
//! next requests, so that these count nothing that threads share. A slot that is kept counts as taken; before a request is
//! refused, all of them are given back. Owns both admissions, what is kept of them, and what a refusal says. Must not know
//! what a request is.

use std::mem;
use std::sync::Arc;

use ahash::RandomState;
use arc_swap::ArcSwap;
use crossbeam_utils::CachePadded;
use parking_lot::Mutex;
use thread_local::ThreadLocal;

use super::client::Client;
use crate::admission::{Admission, Exhausted, Slot};

/// How many may be in flight at once; 0 admits nobody.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Capacity {
    /// Requests of all clients.
    pub(crate) requests: usize,
    /// Requests of one client.
    pub(crate) requests_per_client: usize,
    /// Downloads of all clients.
    pub(crate) downloads: usize,
    /// Downloads of one client.
    pub(crate) downloads_per_client: usize,
}

/// Why a request is not admitted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum InFlightExceeded {
    /// All slots are taken.
    #[error("this proxy has as many requests under way as it takes; try again shortly")]
    Proxy,
    /// The client has as many requests as one may have.
    #[error("you have too many requests under way at once; wait for some of them to end")]
    Client,
    /// The client has as many downloads as one may have.
    #[error("you are being sent as many archives at once as one client may be; wait for some of them to end")]
    Downloads,
}

/// The slots that a thread keeps, each in the place of its client.
const KEPT: usize = 32;

type KeptSlots = CachePadded<Mutex<[Option<Slot<Client>>; KEPT]>>;

/// The requests and downloads in flight.
#[derive(Debug)]
pub(crate) struct InFlight {
    requests: Arc<Admission<Client>>,
    downloads: Arc<Admission<Client>>,
    /// What each thread keeps of `requests`. A reload begins anew: what was admitted under other numbers is not kept.
    kept: ArcSwap<ThreadLocal<Arc<KeptSlots>>>,
    hasher: RandomState,
}

/// One request in flight, until this is dropped.
#[derive(Debug)]
#[must_use = "the slot is free again as soon as this is dropped"]
pub(crate) struct InFlightSlot {
    slot: Option<Slot<Client>>,
    /// Where it is kept then, and in which place.
    kept: Arc<KeptSlots>,
    place: usize,
}

impl Drop for InFlightSlot {
    fn drop(&mut self) {
        // The slot that was kept there is given back after the lock.
        let _before = mem::replace(&mut self.kept.lock()[self.place], self.slot.take());
    }
}

/// One download in flight, until this is dropped.
pub(crate) type InFlightDownload = Slot<Client>;

impl InFlight {
    /// Nothing is in flight yet.
    pub(crate) fn new(capacity: Capacity) -> Self {
        Self {
            requests: Admission::new(capacity.requests, capacity.requests_per_client),
            downloads: Admission::new(capacity.downloads, capacity.downloads_per_client),
            kept: ArcSwap::default(),
            hasher: RandomState::new(),
        }
    }

    /// Replaces the numbers. What is in flight stays.
    pub(crate) fn reload(&self, capacity: Capacity) {
        self.requests.resize(capacity.requests, capacity.requests_per_client);
        self.downloads.resize(capacity.downloads, capacity.downloads_per_client);
        self.kept.store(Arc::default());
    }

    /// A slot for one request of `client`.
    ///
    /// # Errors
    /// When there is none. A client that has too many is told so, even if all slots are taken.
    pub(crate) fn request(&self, client: &Client) -> Result<InFlightSlot, InFlightExceeded> {
        let threads = self.kept.load();
        let kept = threads.get_or_default();
        let place = self.hasher.hash_one(client) as usize % KEPT;
        let slot = kept.lock()[place].take_if(|slot| slot.is_of(client));
        let slot = match slot {
            Some(slot) => slot,
            None => self.enter(client)?,
        };
        Ok(InFlightSlot { slot: Some(slot), kept: Arc::clone(kept), place })
    }

    /// A slot that nobody keeps.
    fn enter(&self, client: &Client) -> Result<Slot<Client>, InFlightExceeded> {
        let entered = self.requests.take_now(client, 1).or_else(|_| {
            self.give_back();
            self.requests.take_now(client, 1)
        });
        entered.map_err(|exhausted| match exhausted {
            Exhausted::Share => InFlightExceeded::Client,
            Exhausted::All => InFlightExceeded::Proxy,
        })
    }

    /// Gives back what threads keep.
    fn give_back(&self) {
        for kept in &**self.kept.load() {
            drop(mem::take(&mut *kept.lock()));
        }
    }

    /// A slot for one download of `client`, besides that of its request.
    ///
    /// # Errors
    /// When there is none.
    pub(crate) fn download(&self, client: &Client) -> Result<InFlightDownload, InFlightExceeded> {
        self.downloads.take_now(client, 1).map_err(|exhausted| match exhausted {
            // Where one client may have all, it is not told that its own share is used up.
            Exhausted::Share if self.downloads.share() < self.downloads.all() => InFlightExceeded::Downloads,
            Exhausted::Share | Exhausted::All => InFlightExceeded::Proxy,
        })
    }
}

#[cfg(test)]
mod tests;
