//! Shares: how much of something all clients have at once, and how much one of them, which is a quarter.
//!
//! A client is whom its requests are counted as: an address, or a token that this proxy knows. Of a credential that only
//! a registry can judge nothing is believed here, or whoever invents or respells one would have another share. Owns
//! both bounds and the wait. Must not know what is shared.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout_at};

use super::Refused;
use crate::limit::Client;

/// How long one waits for what others have.
const QUEUE: Duration = Duration::from_secs(10);

/// Of how many one client has one.
const PART: usize = 4;

/// What is shared, in units, and who has some.
#[derive(Debug)]
pub(super) struct Shares {
    all: Arc<Semaphore>,
    of_one: usize,
    clients: Mutex<HashMap<Client, Arc<Semaphore>>>,
}

/// What one has of it, until it is dropped.
#[derive(Debug)]
pub(super) struct Share {
    of_one: OwnedSemaphorePermit,
    of_all: OwnedSemaphorePermit,
}

impl Shares {
    /// So many units, all free.
    pub(super) fn of(all: usize) -> Self {
        let all = all.min(Semaphore::MAX_PERMITS);
        Self { all: Arc::new(Semaphore::new(all)), of_one: all.div_ceil(PART), clients: Mutex::default() }
    }

    /// The most that one client has.
    pub(super) fn of_one(&self) -> usize {
        self.of_one
    }

    /// Waits until `client` may have so many units more.
    ///
    /// # Errors
    /// [`Refused::OwnShare`] when the client itself has what is missing for too long, [`Refused::Busy`] when others have.
    pub(super) async fn take(&self, client: &Client, units: usize) -> Result<Share, Refused> {
        let (units, until) = (u32::try_from(units).unwrap_or(u32::MAX), Instant::now() + QUEUE);
        // First one's own, so that who waits behind oneself takes nothing from others.
        let of_one = timeout_at(until, self.of_client(client).acquire_many_owned(units)).await;
        let of_one = of_one.map_err(|_| Refused::OwnShare)?.map_err(|_| Refused::Lost)?;
        let of_all = timeout_at(until, Arc::clone(&self.all).acquire_many_owned(units)).await;
        let of_all = of_all.map_err(|_| Refused::Busy)?.map_err(|_| Refused::Lost)?;
        Ok(Share { of_one, of_all })
    }

    /// So many units for `client`, where they are free now.
    pub(super) fn take_now(&self, client: &Client, units: usize) -> Option<Share> {
        let units = u32::try_from(units).ok()?;
        let of_one = self.of_client(client).try_acquire_many_owned(units).ok()?;
        let of_all = Arc::clone(&self.all).try_acquire_many_owned(units).ok()?;
        Some(Share { of_one, of_all })
    }

    /// Units that nobody has.
    #[cfg(test)]
    pub(super) fn free(&self) -> usize {
        self.all.available_permits()
    }

    fn of_client(&self, client: &Client) -> Arc<Semaphore> {
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        clients.retain(|_, share| Arc::strong_count(share) > 1);
        let share = clients.entry(client.clone()).or_insert_with(|| Arc::new(Semaphore::new(self.of_one)));
        Arc::clone(share)
    }
}

impl Share {
    /// Adds what the same client took of the same.
    pub(super) fn merge(&mut self, more: Self) {
        self.of_one.merge(more.of_one);
        self.of_all.merge(more.of_all);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(name: &str) -> Client {
        Client::Token(name.into())
    }

    #[tokio::test(start_paused = true)]
    async fn one_client_has_a_quarter_and_leaves_the_rest_to_others() {
        let shares = Shares::of(16);
        let mut held = Vec::new();
        for _ in 0..4 {
            held.push(shares.take(&client("one"), 1).await.unwrap());
        }
        assert!(matches!(shares.take(&client("one"), 1).await, Err(Refused::OwnShare)));
        assert!(shares.take_now(&client("one"), 1).is_none());
        for name in ["two", "three", "four"] {
            held.push(shares.take(&client(name), 4).await.unwrap());
        }
        assert!(matches!(shares.take(&client("five"), 1).await, Err(Refused::Busy)), "as many as there are");
        assert!(
            matches!(shares.take(&client("one"), 1).await, Err(Refused::OwnShare)),
            "told what is his to change"
        );
        held.clear();
        shares.take(&client("one"), 1).await.unwrap();
        assert_eq!(shares.clients.lock().unwrap().len(), 1, "who has nothing is forgotten");
        assert_eq!(shares.free(), 16);
    }

    #[tokio::test]
    async fn what_was_taken_bit_by_bit_is_given_back_at_once() {
        let shares = Shares::of(16);
        let mut held = shares.take(&client("one"), 1).await.unwrap();
        held.merge(shares.take(&client("one"), 3).await.unwrap());
        assert_eq!(shares.free(), 12);
        drop(held);
        assert_eq!(shares.free(), 16);
    }
}
