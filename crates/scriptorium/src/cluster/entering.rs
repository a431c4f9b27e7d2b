//! Taking a place among the proxies on the bucket: at the start, and leaving it to the next process at an orderly end.
//!
//! A process does not know what the one before it did. If that one ended in order, the bucket says what it left, and this one goes
//! on with it; if it was killed, this process has no share of permits until that one cannot count any more. Owns the record of
//! places in the bucket, and that this process acts only on what it knows to be written. Must not know what a permit is for.

use std::time::Duration;

use ::cluster::{Entered, Legacy, Places};
use bytes::Bytes;
use tokio::time::sleep;
use tracing::{debug, warn};

use super::ClusterNode;
use super::place::PlaceState;
use crate::store::{StorageKey, StoreError, record};

/// Between attempts to enter, and looks for a better place.
const AGAIN: Duration = Duration::from_secs(1);
/// A process that follows a killed one looks so long for the place of one that ends in order. Then it has a share of its own.
const LOOKS: Duration = Duration::from_secs(70);

impl ClusterNode {
    /// Enters, and looks for the place of a process that ended in order while this one follows a killed one. `entered` is told
    /// once it may ask for permits.
    pub(super) async fn keep_place(&self, entered: impl Fn()) {
        let mut is_told = false;
        loop {
            let mut state = self.place.0.lock().await;
            let looks = |since: Duration| self.clock.monotonic().saturating_sub(since) < LOOKS;
            if state.has_left || !state.entered.is_none_or(looks) {
                return;
            }
            match self.enter(&mut state).await {
                Ok(true) => return entered(),
                Ok(false) => entered(),
                Err(error) if !is_told => {
                    is_told = true;
                    warn!(%error, "the bucket does not take the start of this proxy; until it does, this proxy asks registries nothing");
                }
                Err(_) => {}
            }
            drop(state);
            sleep(AGAIN).await;
        }
    }

    /// Whether the place is the best that there will be.
    async fn enter(&self, state: &mut PlaceState) -> Result<bool, StoreError> {
        let (name, meant, now) = (self.name(), self.meant(), self.clock.now().0);
        state.is_unsure = true;
        let PlaceState { found, .. } = state;
        self.change_places(|places| {
            let entered = places.enter(name, meant, now);
            if entered != Entered::Again {
                *found = Some(entered);
            }
        })
        .await?;
        state.is_unsure = false;
        let is_first = state.entered.is_none();
        state.entered = state.entered.or(Some(self.clock.monotonic()));
        match state.found.as_ref() {
            Some(Entered::Nothing | Entered::NewRoom) if is_first => self.pools.enter(Some(Duration::ZERO)),
            Some(Entered::Nothing | Entered::NewRoom) | None => {}
            Some(Entered::Room | Entered::Again) => self.pools.enter(None),
            Some(Entered::Successor(left)) => self.pools.succeed(left),
        }
        debug!(name, found = ?state.found.as_ref().map(found_word), "this process has a place among the proxies");
        Ok(!matches!(state.found, Some(Entered::Nothing)))
    }

    /// Takes no permits any more, tells the engine, and leaves the place to the next process.
    pub(super) async fn leave_place(&self) {
        let mut state = self.place.0.lock().await;
        state.has_left = true;
        let (calls, left) = self.pools.leave(self.is_together());
        // Another process may have left this one something that it does not know of.
        let is_known = state.entered.is_some() && !state.is_unsure;
        let ended = async { if is_known { self.end_place(&left).await } else { Ok(()) } };
        let (_, ended) = futures_util::join!(self.tell_pools(calls), ended);
        if let Err(error) = ended {
            warn!(%error, "the bucket does not know that this proxy ended; its successor takes it for one that was killed");
        }
    }

    async fn end_place(&self, left: &Legacy) -> Result<(), StoreError> {
        let (name, meant, now) = (self.name(), self.meant(), self.clock.now().0);
        self.change_places(|places| _ = places.put(name, meant, false)).await?;
        self.change_places(|places| _ = places.end(name, left, now)).await
    }

    async fn change_places(&self, mut change: impl FnMut(&mut Places) + Send) -> Result<(), StoreError> {
        let mut changed = |stored: Option<Bytes>| {
            let known =
                stored.as_ref().map_or_else(|| Ok(Places::default()), |stored| record::decode(stored));
            // One that cannot be read says that others may count.
            let before = known.unwrap_or_else(|_| Places::unknown(self.meant()));
            let mut places = before.clone();
            change(&mut places);
            (places != before).then(|| record::encode(&places))
        };
        self.store.update(&StorageKey::Starts, &mut changed).await
    }
}

fn found_word(found: &Entered) -> &'static str {
    match found {
        Entered::Room => "one that is free",
        Entered::NewRoom => "one that is new",
        Entered::Successor(_) => "that of a process that ended in order",
        Entered::Nothing => "that of a process that was killed",
        Entered::Again => "its own",
    }
}
