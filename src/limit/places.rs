//! Requests in flight, and the downloads among them: so many in all, so many of one client.
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
    /// Downloads of one client.
    pub downloads_per_client: usize,
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
    /// This client is sent as much at once as one may be.
    #[error("this client has too many downloads in flight")]
    Downloads,
}

/// The places, and who has them.
#[derive(Debug)]
pub struct Places {
    capacity: ArcSwap<Capacity>,
    requests: Taken,
    downloads: Taken,
}

/// Places of one kind that are taken.
#[derive(Debug, Default)]
struct Taken {
    all: AtomicUsize,
    clients: DashMap<Client, usize, RandomState>,
}

/// What a place is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Request,
    Download,
}

impl Places {
    /// So many, all free.
    #[must_use]
    pub fn new(capacity: Capacity) -> Self {
        let (requests, downloads) = (Taken::default(), Taken::default());
        Self { capacity: ArcSwap::from_pointee(capacity), requests, downloads }
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
        let Capacity { requests, requests_per_client, .. } = **self.capacity.load();
        self.requests.take(client, (requests, requests_per_client), Crowded::Client)?;
        Ok(self.place(Kind::Request, client))
    }

    /// A place for one download of `client`, besides its request's.
    ///
    /// # Errors
    /// [`Crowded`], at once, when there is none.
    pub fn download(self: &Arc<Self>, client: &Client) -> Result<Place, Crowded> {
        let Capacity { downloads, downloads_per_client, .. } = **self.capacity.load();
        // Where one may have all, nobody is told that it is one's own share that is used up.
        let too_many = if downloads_per_client < downloads { Crowded::Downloads } else { Crowded::Proxy };
        self.downloads.take(client, (downloads, downloads_per_client), too_many)?;
        Ok(self.place(Kind::Download, client))
    }

    fn place(self: &Arc<Self>, kind: Kind, client: &Client) -> Place {
        Place { places: Arc::clone(self), kind, client: client.clone() }
    }
}

impl Taken {
    /// Takes a place, where `all` are not as many as there may be, nor those `of_one` client. That it has too many is
    /// told as `too_many`.
    fn take(&self, client: &Client, (all, of_one): (usize, usize), too_many: Crowded) -> Result<(), Crowded> {
        // The client first: one that is over its number must not take places from others while it is refused.
        if !self.count(client, of_one) {
            return Err(too_many);
        }
        let more = |count| (count < all).then_some(count + 1);
        if self.all.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).is_err() {
            self.discount(client);
            return Err(Crowded::Proxy);
        }
        Ok(())
    }

    fn give_back(&self, client: &Client) {
        self.all.fetch_sub(1, Ordering::Relaxed);
        self.discount(client);
    }

    /// Counts one more of `client`, unless it has as many as it may.
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

/// One request or download in flight, until this is dropped.
#[derive(Debug)]
#[must_use = "the place is free again as soon as this is dropped"]
pub struct Place {
    places: Arc<Places>,
    kind: Kind,
    client: Client,
}

impl Drop for Place {
    fn drop(&mut self) {
        let taken = match self.kind {
            Kind::Request => &self.places.requests,
            Kind::Download => &self.places.downloads,
        };
        taken.give_back(&self.client);
    }
}

#[cfg(test)]
mod tests;
