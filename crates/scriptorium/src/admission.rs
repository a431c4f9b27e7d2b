//! Admission: a bounded number of units for all, and a share of them for each holder.
//!
//! A holder is whoever the units are counted for: a client, a registry, or `()` where only the bound for all counts. A
//! [`Slot`] is the right to proceed; it gives its units back when it is dropped. A caller that finds none is refused at
//! once ([`take_now`](Admission::take_now)) or waits ([`take`](Admission::take)). Those who wait are admitted in the order
//! in which they came, except that a holder whose share is used up keeps no other holder waiting.
//!
//! Three bounds are not here. Download slots (`files::slots`) go to the client with the fewest, not to the first in
//! the queue. The memory of connections is counted by each worker for itself, since it is written with every request
//! (`listen`). A bound without shares and without a refusal is a plain semaphore.
//!
//! Owns the counts and the queue. Must not know what a unit is, nor how a refusal is told to a client.

use std::collections::{HashSet, VecDeque};
use std::fmt::Debug;
use std::hash::Hash;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use ahash::RandomState;
use dashmap::DashMap;
use dashmap::mapref::entry::Entry;
use parking_lot::{Mutex, MutexGuard};
use tokio::sync::oneshot;
use tokio::time::timeout;

/// Whose units are counted together.
pub(crate) trait Holder: Clone + Debug + Eq + Hash {}

impl<K: Clone + Debug + Eq + Hash> Holder for K {}

/// Whose units are used up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exhausted {
    /// The holder's own share.
    Share,
    /// The units of all holders together.
    All,
}

/// A bounded number of units.
#[derive(Debug)]
pub(crate) struct Admission<K: Holder> {
    all: AtomicUsize,
    share: AtomicUsize,
    taken: AtomicUsize,
    /// A holder without units is not in it.
    holders: DashMap<K, usize, RandomState>,
    queue: Mutex<VecDeque<Waiter<K>>>,
    /// The length of the queue: a slot is given back without the lock while nobody waits.
    waiting: AtomicUsize,
}

#[derive(Debug)]
struct Waiter<K: Holder> {
    holder: K,
    units: usize,
    admitted: oneshot::Sender<Slot<K>>,
}

/// Units that a holder has, until this is dropped.
#[derive(Debug)]
#[must_use = "the units are free again as soon as this is dropped"]
pub(crate) struct Slot<K: Holder> {
    admission: Arc<Admission<K>>,
    holder: K,
    units: usize,
}

/// A place in the queue. Dropping it lets those behind it move up.
struct Queued<'a, K: Holder> {
    admission: &'a Arc<Admission<K>>,
    admitted: oneshot::Receiver<Slot<K>>,
}

impl<K: Holder> Admission<K> {
    /// `all` units, at most `share` of them for one holder. All are free.
    #[must_use]
    pub(crate) fn new(all: usize, share: usize) -> Arc<Self> {
        Arc::new(Self {
            all: AtomicUsize::new(all),
            share: AtomicUsize::new(share),
            taken: AtomicUsize::new(0),
            holders: DashMap::default(),
            queue: Mutex::default(),
            waiting: AtomicUsize::new(0),
        })
    }

    /// Replaces both bounds. Slots that were given out stay valid, also where there are fewer units now.
    pub(crate) fn resize(self: &Arc<Self>, all: usize, share: usize) {
        self.all.store(all, Ordering::Relaxed);
        self.share.store(share, Ordering::Relaxed);
        self.admit();
    }

    /// The units of all holders together.
    #[must_use]
    pub(crate) fn all(&self) -> usize {
        self.all.load(Ordering::Relaxed)
    }

    /// The most units that one holder has.
    #[must_use]
    pub(crate) fn share(&self) -> usize {
        self.share.load(Ordering::Relaxed)
    }

    /// Free units.
    #[cfg(test)]
    pub(crate) fn free(&self) -> usize {
        self.all().saturating_sub(self.taken.load(Ordering::SeqCst))
    }

    /// Holders that have units.
    #[cfg(test)]
    pub(crate) fn holders(&self) -> usize {
        self.holders.len()
    }

    /// A slot of so many units, if they are free now.
    ///
    /// # Errors
    /// Whose units are used up. A holder that has its whole share is told so even where all units are taken.
    pub(crate) fn take_now(self: &Arc<Self>, holder: &K, units: usize) -> Result<Slot<K>, Exhausted> {
        self.count(holder, units)?;
        Ok(self.slot(holder.clone(), units))
    }

    /// A slot of so many units, waited for as long as `patience`.
    ///
    /// # Errors
    /// Whose units were still used up in the end.
    pub(crate) async fn take(
        self: &Arc<Self>,
        holder: &K,
        units: usize,
        patience: Duration,
    ) -> Result<Slot<K>, Exhausted> {
        let (admitted, receiver) = oneshot::channel();
        let mut queued = Queued { admission: self, admitted: receiver };
        {
            let mut queue = self.queue();
            self.waiting.fetch_add(1, Ordering::SeqCst);
            queue.push_back(Waiter { holder: holder.clone(), units, admitted });
        }
        self.admit();
        match timeout(patience, &mut queued.admitted).await {
            Ok(Ok(slot)) => Ok(slot),
            Ok(Err(_)) | Err(_) => Err(self.exhausted(holder, units)),
        }
    }

    /// Admits the waiters for whom there are units.
    fn admit(self: &Arc<Self>) {
        if self.waiting.load(Ordering::SeqCst) == 0 {
            return;
        }
        // Sent after the lock is released: a receiver that is gone drops its slot, which comes here again.
        for Waiter { holder, units, admitted } in self.admissible() {
            drop(admitted.send(self.slot(holder, units)));
        }
    }

    /// Takes those whose units are counted now out of the queue.
    fn admissible(&self) -> Vec<Waiter<K>> {
        let mut queue = self.queue();
        let before = queue.len();
        queue.retain(|waiter| !waiter.admitted.is_closed());
        let (mut admissible, mut passed_over, mut at) = (Vec::new(), HashSet::new(), 0);
        while let Some(waiter) = queue.get(at) {
            let counted = match passed_over.contains(&waiter.holder) {
                true => Err(Exhausted::Share),
                false => self.count(&waiter.holder, waiter.units),
            };
            match counted {
                Ok(()) => admissible.extend(queue.remove(at)),
                Err(Exhausted::Share) => {
                    passed_over.insert(waiter.holder.clone());
                    at += 1;
                }
                Err(Exhausted::All) => break,
            }
        }
        self.waiting.fetch_sub(before - queue.len(), Ordering::SeqCst);
        admissible
    }

    fn slot(self: &Arc<Self>, holder: K, units: usize) -> Slot<K> {
        Slot { admission: Arc::clone(self), holder, units }
    }

    /// Counts so many units more. The holder's share comes first: a holder that has all of it takes nothing from others
    /// while it is refused.
    fn count(&self, holder: &K, units: usize) -> Result<(), Exhausted> {
        let fits = |taken: usize, bound: usize| taken.checked_add(units).filter(|sum| *sum <= bound);
        match self.holders.entry(holder.clone()) {
            Entry::Occupied(mut entry) => {
                *entry.get_mut() = fits(*entry.get(), self.share()).ok_or(Exhausted::Share)?;
            }
            Entry::Vacant(entry) => {
                drop(entry.insert(fits(0, self.share()).ok_or(Exhausted::Share)?));
            }
        }
        let counted =
            self.taken.fetch_update(Ordering::SeqCst, Ordering::Relaxed, |taken| fits(taken, self.all()));
        counted.map(drop).map_err(|_| {
            self.discount(holder, units);
            Exhausted::All
        })
    }

    fn discount(&self, holder: &K, units: usize) {
        self.holders.remove_if_mut(holder, |_, taken| {
            *taken = taken.saturating_sub(units);
            *taken == 0
        });
    }

    fn exhausted(&self, holder: &K, units: usize) -> Exhausted {
        let taken = self.holders.get(holder).map_or(0, |taken| *taken);
        if taken.saturating_add(units) > self.share() { Exhausted::Share } else { Exhausted::All }
    }

    fn queue(&self) -> MutexGuard<'_, VecDeque<Waiter<K>>> {
        self.queue.lock()
    }
}

impl<K: Holder> Slot<K> {
    /// Whether its units are counted for `holder`.
    pub(crate) fn is_of(&self, holder: &K) -> bool {
        self.holder == *holder
    }

    /// Adds the units of another slot of the same holder.
    pub(crate) fn merge(&mut self, mut more: Self) {
        self.units += std::mem::take(&mut more.units);
    }
}

impl<K: Holder> Drop for Slot<K> {
    fn drop(&mut self) {
        let admission = &self.admission;
        admission.discount(&self.holder, self.units);
        admission.taken.fetch_sub(self.units, Ordering::SeqCst);
        admission.admit();
    }
}

impl<K: Holder> Drop for Queued<'_, K> {
    fn drop(&mut self) {
        self.admitted.close();
        self.admission.admit();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Duration = Duration::from_secs(10);

    #[tokio::test(start_paused = true)]
    async fn one_holder_has_its_share_and_leaves_the_rest_to_others() {
        let admission = Admission::new(16, 4);
        let mut held = Vec::new();
        for _ in 0..4 {
            held.push(admission.take(&"one", 1, PATIENCE).await.unwrap());
        }
        assert_eq!(admission.take(&"one", 1, PATIENCE).await.unwrap_err(), Exhausted::Share);
        assert_eq!(admission.take_now(&"one", 1).unwrap_err(), Exhausted::Share);
        for name in ["two", "three", "four"] {
            held.push(admission.take(&name, 4, PATIENCE).await.unwrap());
        }
        assert_eq!(admission.take(&"five", 1, PATIENCE).await.unwrap_err(), Exhausted::All);
        assert_eq!(admission.take_now(&"five", 1).unwrap_err(), Exhausted::All);
        let both = admission.take(&"one", 1, PATIENCE).await.unwrap_err();
        assert_eq!(both, Exhausted::Share, "a holder is told what it can change itself");
        assert_eq!((admission.holders(), admission.free()), (4, 0), "a refused holder keeps nothing");
        held.clear();
        drop(admission.take(&"one", 1, PATIENCE).await.unwrap());
        assert_eq!((admission.holders(), admission.free()), (0, 16), "a holder without units is forgotten");
    }

    #[tokio::test]
    async fn merged_units_are_given_back_together() {
        let admission = Admission::new(16, 4);
        let mut slot = admission.take_now(&(), 1).unwrap();
        slot.merge(admission.take_now(&(), 3).unwrap());
        assert_eq!(admission.free(), 12);
        assert!(admission.take_now(&(), 1).is_err());
        drop(slot);
        assert_eq!((admission.holders(), admission.free()), (0, 16));
    }

    #[tokio::test(start_paused = true)]
    async fn those_who_wait_are_admitted_in_their_order_and_a_full_share_keeps_nobody_waiting() {
        let admission = Admission::new(4, 3);
        let (one, two) = (admission.take_now(&"one", 3).unwrap(), admission.take_now(&"two", 1).unwrap());
        let admitted = Arc::new(Mutex::new(Vec::new()));
        for (number, (holder, units)) in
            [("one", 1), ("three", 2), ("four", 1), ("one", 1)].into_iter().enumerate()
        {
            let (admission, admitted) = (Arc::clone(&admission), Arc::clone(&admitted));
            tokio::spawn(async move {
                let slot = admission.take(&holder, units, PATIENCE).await.unwrap();
                admitted.lock().push(number);
                std::mem::forget(slot);
            });
            tokio::task::yield_now().await;
        }
        let seen = async || {
            tokio::task::yield_now().await;
            admitted.lock().clone()
        };
        drop(two);
        assert_eq!(
            seen().await,
            [0_usize; 0],
            "one unit is not enough for the next, and none behind it overtakes"
        );
        drop(one);
        assert_eq!(seen().await, [0, 1, 2]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_waiter_that_leaves_keeps_nobody_behind_it_waiting() {
        let admission = Admission::new(2, 2);
        let slot = admission.take_now(&"one", 1).unwrap();
        let heavy = tokio::spawn({
            let admission = Arc::clone(&admission);
            async move { admission.take(&"two", 2, PATIENCE).await.map(drop) }
        });
        tokio::task::yield_now().await;
        let light = admission.take(&"three", 1, 2 * PATIENCE).await.unwrap();
        assert_eq!(heavy.await.unwrap(), Err(Exhausted::All));
        let mut aborted = Box::pin(admission.take(&"two", 2, PATIENCE));
        assert!(futures_util::poll!(&mut aborted).is_pending());
        drop((aborted, light));
        let light = admission.take(&"three", 1, PATIENCE).await.unwrap();
        drop((slot, light));
        assert_eq!((admission.free(), admission.holders()), (2, 0));
    }

    #[tokio::test(start_paused = true)]
    async fn other_bounds_admit_those_who_wait_and_take_no_slot_away() {
        let admission = Admission::new(1, 1);
        let slot = admission.take_now(&"one", 1).unwrap();
        let (waits, ()) = tokio::join!(admission.take(&"two", 1, PATIENCE), async { admission.resize(2, 1) });
        admission.resize(0, 0);
        assert!(admission.take_now(&"three", 1).is_err());
        drop((slot, waits.unwrap()));
        assert_eq!(admission.take_now(&"three", 1).unwrap_err(), Exhausted::Share, "no share is no unit");
    }

    #[test]
    fn many_threads_never_have_more_units_than_there_are() {
        let admission = Admission::new(3, 2);
        let barrier = std::sync::Barrier::new(8);
        std::thread::scope(|scope| {
            for number in 0..8_u8 {
                let (admission, barrier) = (&admission, &barrier);
                scope.spawn(move || {
                    barrier.wait();
                    for _ in 0..1000 {
                        let slot = admission.take_now(&(number % 4), 1);
                        assert!(admission.taken.load(Ordering::SeqCst) <= 3);
                        drop(slot);
                    }
                });
            }
        });
        assert_eq!((admission.free(), admission.holders()), (3, 0));
    }
}
