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
        let place = self.count(client, capacity.requests_per_client).ok_or(Crowded::Client)?;
        let seat = Seat::take(self, |places| &places.requests, capacity.requests).ok_or(Crowded::Proxy)?;
        Ok(Place { _client: place, _seat: seat })
    }

    /// A place for one download, besides its request's; `None` when all are taken.
    #[must_use]
    pub fn download(self: &Arc<Self>) -> Option<DownloadPlace> {
        let most = self.capacity.load().downloads;
        Seat::take(self, |places| &places.downloads, most).map(DownloadPlace)
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

    fn count(self: &Arc<Self>, client: &Client, most: usize) -> Option<Counted> {
        if most == 0 {
            return None;
        }
        match self.clients.entry(client.clone()) {
            Entry::Occupied(entry) if *entry.get() >= most => return None,
            Entry::Occupied(mut entry) => *entry.get_mut() += 1,
            Entry::Vacant(entry) => drop(entry.insert(1)),
        }
        Some(Counted { places: Arc::clone(self), client: client.clone() })
    }
}

/// One request in flight, until this is dropped.
#[derive(Debug)]
#[must_use = "the place is free again as soon as this is dropped"]
pub struct Place {
    _client: Counted,
    _seat: Seat,
}

/// One download in flight, until this is dropped.
#[derive(Debug)]
#[must_use = "the place is free again as soon as this is dropped"]
pub struct DownloadPlace(#[expect(dead_code, reason = "held for its drop")] Seat);

/// One of a client's requests.
#[derive(Debug)]
struct Counted {
    places: Arc<Places>,
    client: Client,
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.places.clients.remove_if_mut(&self.client, |_, count| {
            *count = count.saturating_sub(1);
            *count == 0
        });
    }
}

/// One of a number of places that all clients share.
#[derive(Debug)]
struct Seat {
    places: Arc<Places>,
    taken: fn(&Places) -> &AtomicUsize,
}

impl Seat {
    fn take(places: &Arc<Places>, taken: fn(&Places) -> &AtomicUsize, most: usize) -> Option<Self> {
        let more = |count| (count < most).then_some(count + 1);
        taken(places).fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).ok()?;
        Some(Self { places: Arc::clone(places), taken })
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        (self.taken)(&self.places).fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests;
