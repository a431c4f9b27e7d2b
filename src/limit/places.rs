//! Requests in flight: so many in all, so many of one client, so many downloads among them.
//!
//! Owns the counts. A place is a value and is free again when it is dropped, however its request ends. Nobody
//! waits for one here. Must not know what a request is.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use ahash::RandomState;
use arc_swap::ArcSwap;
use dashmap::DashMap;
use dashmap::mapref::entry::Entry;

use super::client::Client;

/// How many may be in flight at once; 0 lets nobody in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Capacity {
    /// Requests of all clients.
    pub requests: usize,
    /// Requests of one client.
    pub requests_per_client: usize,
    /// Downloads of all clients.
    pub downloads: usize,
}

/// Why a request finds no place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Crowded {
    /// All places are taken.
    #[error("too many requests are in flight")]
    Proxy,
    /// This client has as many as one may have.
    #[error("this client has too many requests in flight")]
    Client,
}

/// The places, and who has them.
#[derive(Debug)]
pub struct Places {
    capacity: ArcSwap<Capacity>,
    requests: AtomicUsize,
    downloads: AtomicUsize,
    clients: DashMap<Client, usize, RandomState>,
}

impl Places {
    /// So many, all free.
    #[must_use]
    pub fn new(capacity: Capacity) -> Self {
        Self {
            capacity: ArcSwap::from_pointee(capacity),
            requests: AtomicUsize::new(0),
            downloads: AtomicUsize::new(0),
            clients: DashMap::with_hasher(RandomState::new()),
        }
    }

    /// Replaces the numbers. Who has a place keeps it, also where there are fewer now.
    pub fn reload(&self, capacity: Capacity) {
        self.capacity.store(Arc::new(capacity));
    }

    /// A place for one request of `client`.
    ///
    /// # Errors
    /// [`Crowded`], at once, when there is none. A client that has too many is told so, also when nobody has room.
    pub fn enter(self: &Arc<Self>, client: &Client) -> Result<Place, Crowded> {
        let capacity = **self.capacity.load();
        // The client first: one that is over its number must not take places from others while it is refused.
        if !self.count(client, capacity.requests_per_client) {
            return Err(Crowded::Client);
        }
        if !take(&self.requests, capacity.requests) {
            self.discount(client);
            return Err(Crowded::Proxy);
        }
        Ok(Place { places: Arc::clone(self), client: client.clone() })
    }

    /// A place for one download, besides its request's; `None` when all are taken.
    #[must_use]
    pub fn download(self: &Arc<Self>) -> Option<DownloadPlace> {
        let most = self.capacity.load().downloads;
        take(&self.downloads, most).then(|| DownloadPlace(Arc::clone(self)))
    }

    /// Requests in flight.
    #[cfg(test)]
    fn requests(&self) -> usize {
        self.requests.load(Ordering::Relaxed)
    }

    /// Downloads in flight.
    #[cfg(test)]
    fn downloads(&self) -> usize {
        self.downloads.load(Ordering::Relaxed)
    }

    /// Counts one more request of `client`, unless it has as many as it may.
    fn count(&self, client: &Client, most: usize) -> bool {
        if most == 0 {
            return false;
        }
        match self.clients.entry(client.clone()) {
            Entry::Occupied(entry) if *entry.get() >= most => return false,
            Entry::Occupied(mut entry) => *entry.get_mut() += 1,
            Entry::Vacant(entry) => drop(entry.insert(1)),
        }
        true
    }

    /// Counts one less, and forgets a client that has none.
    fn discount(&self, client: &Client) {
        self.clients.remove_if_mut(client, |_, count| {
            *count = count.saturating_sub(1);
            *count == 0
        });
    }
}

/// Takes one of `most` places.
fn take(taken: &AtomicUsize, most: usize) -> bool {
    let more = |count| (count < most).then_some(count + 1);
    taken.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).is_ok()
}

/// One request in flight, until this is dropped.
#[derive(Debug)]
#[must_use = "the place is free again as soon as this is dropped"]
pub struct Place {
    places: Arc<Places>,
    client: Client,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.places.requests.fetch_sub(1, Ordering::Relaxed);
        self.places.discount(&self.client);
    }
}

/// One download in flight, until this is dropped.
#[derive(Debug)]
#[must_use = "the place is free again as soon as this is dropped"]
pub struct DownloadPlace(Arc<Places>);

impl Drop for DownloadPlace {
    fn drop(&mut self) {
        self.0.downloads.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests;
