//! How many requests are under way: of all clients, of one, and downloads among them.
//!
//! Nobody waits for a place: who finds none is told to come again, so that no queue grows. A place is given back
//! when what holds it is dropped, however the request ended. Owns this counting. Must not know how often anyone
//! asks.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use arc_swap::ArcSwap;
use dashmap::DashMap;

use super::Client;

/// How many there may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sizes {
    /// Requests of all clients.
    pub requests: usize,
    /// Requests of one client.
    pub per_client: usize,
    /// Archives and trust artifacts being sent.
    pub downloads: usize,
}

/// No place is free.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Crowded {
    /// In the whole proxy.
    Proxy,
    /// For this client.
    Client,
}

/// The places of one proxy.
#[derive(Debug)]
pub struct Places {
    sizes: ArcSwap<Sizes>,
    requests: AtomicUsize,
    downloads: AtomicUsize,
    clients: DashMap<Client, usize>,
}

/// One request's place.
#[derive(Debug)]
pub struct Place {
    places: Arc<Places>,
    client: Client,
}

/// One download's place.
#[derive(Debug)]
pub struct DownloadPlace(Arc<Places>);

impl Places {
    /// So many places, all free.
    #[must_use]
    pub fn new(sizes: Sizes) -> Self {
        Self {
            sizes: ArcSwap::from_pointee(sizes),
            requests: AtomicUsize::new(0),
            downloads: AtomicUsize::new(0),
            clients: DashMap::new(),
        }
    }

    /// Puts other numbers in force; who has a place keeps it.
    pub fn reload(&self, sizes: Sizes) {
        self.sizes.store(Arc::new(sizes));
    }

    /// A place for one request of `client`.
    ///
    /// # Errors
    /// [`Crowded`] when none is free.
    pub fn enter(self: &Arc<Self>, client: &Client) -> Result<Place, Crowded> {
        let sizes = self.sizes.load();
        if !take(&self.requests, sizes.requests) {
            return Err(Crowded::Proxy);
        }
        let mut held = self.clients.entry(client.clone()).or_insert(0);
        if *held >= sizes.per_client {
            drop(held);
            self.requests.fetch_sub(1, Ordering::Relaxed);
            return Err(Crowded::Client);
        }
        *held += 1;
        Ok(Place { places: Arc::clone(self), client: client.clone() })
    }

    /// A place for one download.
    #[must_use]
    pub fn download(self: &Arc<Self>) -> Option<DownloadPlace> {
        let most = self.sizes.load().downloads;
        take(&self.downloads, most).then(|| DownloadPlace(Arc::clone(self)))
    }
}

fn take(places: &AtomicUsize, most: usize) -> bool {
    let taken = places
        .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |taken| (taken < most).then_some(taken + 1));
    taken.is_ok()
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(mut held) = self.places.clients.get_mut(&self.client) {
            *held -= 1;
        }
        self.places.clients.remove_if(&self.client, |_, held| *held == 0);
        self.places.requests.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Drop for DownloadPlace {
    fn drop(&mut self) {
        self.0.downloads.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(requests: usize, per_client: usize, downloads: usize) -> Arc<Places> {
        Arc::new(Places::new(Sizes { requests, per_client, downloads }))
    }

    fn client(number: u8) -> Client {
        Client::Address([192, 0, 2, number].into())
    }

    #[test]
    fn places_are_given_back_and_leave_nothing_behind() {
        let places = places(3, 2, 1);
        let first = places.enter(&client(1)).unwrap();
        let second = places.enter(&client(1)).unwrap();
        assert_eq!(places.enter(&client(1)).unwrap_err(), Crowded::Client);
        let third = places.enter(&client(2)).unwrap();
        assert_eq!(places.enter(&client(3)).unwrap_err(), Crowded::Proxy);
        drop(second);
        let again = places.enter(&client(3)).unwrap();
        drop((first, third, again));
        assert_eq!((places.requests.load(Ordering::Relaxed), places.clients.len()), (0, 0));
        let download = places.download().unwrap();
        assert!(places.download().is_none());
        drop(download);
        assert!(places.download().is_some());
    }

    #[test]
    fn fewer_places_after_a_reload_cost_nobody_the_place_they_have() {
        let places = places(3, 3, 1);
        let held: Vec<_> = (0..3).map(|_| places.enter(&client(1)).unwrap()).collect();
        places.reload(Sizes { requests: 1, per_client: 1, downloads: 1 });
        assert_eq!(places.enter(&client(2)).unwrap_err(), Crowded::Proxy);
        drop(held);
        assert!(places.enter(&client(2)).is_ok());
    }

    #[test]
    fn never_more_than_the_numbers_whoever_asks_at_once() {
        let places = places(7, 3, 1);
        let most = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for number in 0..8 {
                let (places, most) = (&places, &most);
                scope.spawn(move || {
                    for _ in 0..2_000 {
                        if let Ok(place) = places.enter(&client(number % 3)) {
                            most.fetch_max(places.requests.load(Ordering::Relaxed), Ordering::Relaxed);
                            drop(place);
                        }
                    }
                });
            }
        });
        assert!((1..=7).contains(&most.load(Ordering::Relaxed)));
        assert_eq!((places.requests.load(Ordering::Relaxed), places.clients.len()), (0, 0));
    }
}
