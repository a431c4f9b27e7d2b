//! Turns: how many uploads are taken in at once, in all and of one sender.
//!
//! A sender may be as slow as is allowed for as long as its upload lasts, so that nobody may have all turns. Owns both
//! bounds and the wait for a turn. Must not know what is uploaded.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::Refused;
use super::token::Owner;

/// Uploads that are taken in at once.
const ALL: usize = 16;

/// Those of one sender among them.
const OF_ONE: usize = 8;

/// How long an upload waits for its turn.
const QUEUE: Duration = Duration::from_secs(10);

/// All turns, and whose they are.
#[derive(Debug)]
pub(super) struct Turns {
    all: Arc<Semaphore>,
    senders: Mutex<HashMap<Owner, Arc<Semaphore>>>,
}

/// One upload's turn, until it is dropped.
#[derive(Debug)]
pub(super) struct Turn {
    _of_all: OwnedSemaphorePermit,
    _of_one: OwnedSemaphorePermit,
}

impl Turns {
    /// All of them free.
    pub(super) fn new() -> Self {
        Self { all: Arc::new(Semaphore::new(ALL)), senders: Mutex::default() }
    }

    /// Waits for a turn of `sender`'s.
    ///
    /// # Errors
    /// [`Refused::Busy`] when none comes soon.
    pub(super) async fn take(&self, sender: Owner) -> Result<Turn, Refused> {
        let (all, of_one) = (Arc::clone(&self.all), self.of(sender));
        let turn = async {
            // First one's own, so that who waits behind oneself takes nothing from others.
            let _of_one = of_one.acquire_owned().await.map_err(|_| Refused::Lost)?;
            let _of_all = all.acquire_owned().await.map_err(|_| Refused::Lost)?;
            Ok(Turn { _of_all, _of_one })
        };
        tokio::time::timeout(QUEUE, turn).await.map_err(|_| Refused::Busy)?
    }

    fn of(&self, sender: Owner) -> Arc<Semaphore> {
        let mut senders = self.senders.lock().unwrap_or_else(PoisonError::into_inner);
        senders.retain(|_, turns| Arc::strong_count(turns) > 1);
        Arc::clone(senders.entry(sender).or_insert_with(|| Arc::new(Semaphore::new(OF_ONE))))
    }
}

#[cfg(test)]
mod tests {
    use http::header::AUTHORIZATION;

    use super::*;

    fn sender(credential: &'static str) -> Owner {
        Owner::of(&[(AUTHORIZATION, credential.parse().unwrap())].into_iter().collect())
    }

    #[tokio::test(start_paused = true)]
    async fn one_sender_leaves_turns_to_others() {
        let turns = Turns::new();
        let mut held = Vec::new();
        for _ in 0..OF_ONE {
            held.push(turns.take(sender("one")).await.unwrap());
        }
        assert!(matches!(turns.take(sender("one")).await, Err(Refused::Busy)));
        for _ in OF_ONE..ALL {
            held.push(turns.take(sender("other")).await.unwrap());
        }
        assert!(matches!(turns.take(sender("third")).await, Err(Refused::Busy)), "as many as there are");
        held.clear();
        turns.take(sender("one")).await.unwrap();
        assert_eq!(turns.senders.lock().unwrap().len(), 1, "who has no turn is forgotten");
    }
}
