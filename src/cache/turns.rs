//! Turns: how many files are brought in at once, so that no registry, no host that it points to and no client has all.
//!
//! | files that come in | at most | so that |
//! |---|---|---|
//! | of all registries | 256 | the threads that inspect them leave half of all to what is held |
//! | of one registry | 16 | its trouble is its own |
//! | of those, from one host | 12 | a host that is slow leaves room to the registry's others |
//! | of those, that one client asked for first | 8 | so does a client that wants all of them |
//!
//! Who finds none waits for a while and is then refused. A turn that is free goes to the client that has the fewest,
//! and among those to who came first. A fill that nobody waits for any more gives its turn to whoever is in need of it,
//! and ends after a while even where nobody is.
//!
//! Owns that. Must not know how a file is brought in.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{oneshot, watch};
use tokio::time::{Instant, sleep_until, timeout};

use super::flight::Waiters;
use super::sealed_file::Fetch;
use super::sealed_files::Fill;
use crate::domain::Registry;
use crate::limit::Client;
use crate::telemetry::{Ended, Metrics};

/// Files of all registries.
const ALL: usize = 256;
/// Those of one registry.
const OF_REGISTRY: usize = 16;
/// Those of one registry from one host.
const OF_HOST: usize = 12;
/// Those of one registry for one client.
const OF_CLIENT: usize = 8;

/// How long a fill goes on that nobody waits for and that is in nobody's way.
const ALONE: Duration = Duration::from_secs(10 * 60);

/// What somebody needs a turn for.
#[derive(Debug, Clone)]
pub(super) struct Need {
    pub(super) fetch: Fetch,
    /// The host it is asked of first.
    pub(super) host: Option<String>,
    /// Who asked for it first.
    pub(super) client: Option<Client>,
}

/// No turn came in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct NoTurn;

/// The turns of all registries.
#[derive(Debug)]
pub(super) struct Turns {
    state: Mutex<State>,
    /// Changes when somebody begins to wait.
    needed: watch::Sender<()>,
    metrics: Arc<Metrics>,
}

#[derive(Debug, Default)]
struct State {
    next: u64,
    taken: usize,
    lines: HashMap<Registry, Line>,
}

/// Who has a turn of one registry, and who waits for one.
#[derive(Debug, Default)]
struct Line {
    taken: Vec<(u64, Need)>,
    waiting: VecDeque<(u64, Need, oneshot::Sender<()>)>,
}

/// A turn, or a place among those who wait for one, until it is dropped.
#[derive(Debug)]
pub(super) struct Turn {
    turns: Arc<Turns>,
    registry: Registry,
    number: u64,
}

impl Turns {
    /// All of them free.
    pub(super) fn new(metrics: Arc<Metrics>) -> Self {
        Self { state: Mutex::default(), needed: watch::Sender::new(()), metrics }
    }

    /// A turn for `need`, waited for as long as `patience`.
    pub(super) async fn take(self: &Arc<Self>, need: Need, patience: Duration) -> Result<Turn, NoTurn> {
        let registry = need.fetch.registry.clone();
        let (number, called) = {
            let mut state = self.state();
            let number = state.next;
            state.next += 1;
            let (call, called) = oneshot::channel();
            let line = state.lines.entry(registry.clone()).or_default();
            line.waiting.push_back((number, need, call));
            state.admit(&registry);
            self.tell(&registry, &state);
            (number, called)
        };
        let turn = Turn { turns: Arc::clone(self), registry, number };
        self.needed.send_replace(());
        match timeout(patience, called).await {
            Ok(_called) => Ok(turn),
            Err(_) => {
                self.metrics.fetches.ended(turn.registry.name(), Ended::NoTurn);
                Err(NoTurn)
            }
        }
    }

    /// What `fill` comes to, unless it ends before because nobody waits for it.
    pub(super) async fn unless_left(
        &self,
        fetch: &Fetch,
        waiters: &Waiters<Fetch, Fill>,
        fill: impl Future<Output = Fill>,
    ) -> Option<Fill> {
        tokio::select! {
            biased;
            filled = fill => Some(filled),
            () = self.left(fetch, waiters) => {
                self.metrics.fetches.ended(fetch.registry.name(), Ended::Left);
                None
            }
        }
    }

    /// Returns once nobody waits for the fill of `fetch` and it has given its place up.
    async fn left(&self, fetch: &Fetch, waiters: &Waiters<Fetch, Fill>) {
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
                        // Somebody came back.
                        false => break,
                    },
                }
            }
        }
    }

    /// Gives up what the fill of `fetch` has, if nobody waits for it and somebody is in need of that. Answers with
    /// whether the fill is over.
    fn gives_way(&self, fetch: &Fetch, waiters: &Waiters<Fetch, Fill>) -> bool {
        let mut state = self.state();
        let Some(line) = state.lines.get(&fetch.registry) else { return false };
        // Who waits for a turn in vain keeps nobody from theirs by going.
        let waits = line.waiting.iter().any(|(_, need, _)| need.fetch == *fetch);
        let held = line.taken.iter().find(|(_, need)| need.fetch == *fetch).map(|(number, _)| *number);
        let needed = held.is_some_and(|held| state.needs(&fetch.registry, held));
        if !(waits || needed) || !waiters.leave() {
            return false;
        }
        if let Some(held) = held {
            state.release(&fetch.registry, held);
        }
        self.tell(&fetch.registry, &state);
        true
    }

    fn tell(&self, registry: &Registry, state: &State) {
        let (taken, waiting) =
            state.lines.get(registry).map_or((0, 0), |line| (line.taken.len(), line.waiting.len()));
        self.metrics.fetches.standing(registry.name(), taken, waiting);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Whether somebody waits for what is free once the turn called `number` is.
    fn needs(&self, registry: &Registry, number: u64) -> bool {
        let without = |of: &Registry| (of == registry).then_some(number);
        self.lines.iter().any(|(of, line)| line.next(self.taken.saturating_sub(1), without(of)).is_some())
    }

    /// Gives turns of `registry` to those who wait, as far as there are any.
    fn admit(&mut self, registry: &Registry) {
        let Some(line) = self.lines.get_mut(registry) else { return };
        while let Some(next) = line.next(self.taken, None) {
            let Some((number, need, call)) = line.waiting.remove(next) else { return };
            // Who is gone meanwhile gives it back when his turn is dropped.
            let _ = call.send(());
            line.taken.push((number, need));
            self.taken += 1;
        }
    }

    /// Takes back what is called `number`, turn or place in the line, and gives it to the next.
    fn release(&mut self, registry: &Registry, number: u64) {
        let Some(line) = self.lines.get_mut(registry) else { return };
        line.waiting.retain(|(waiting, _, _)| *waiting != number);
        let before = line.taken.len();
        line.taken.retain(|(taken, _)| *taken != number);
        let (freed, full) = (before - line.taken.len(), self.taken >= ALL);
        self.taken -= freed;
        if freed > 0 {
            self.admit(registry);
        }
        if freed > 0 && full {
            let others: Vec<Registry> = self.lines.keys().cloned().collect();
            others.iter().for_each(|other| self.admit(other));
        }
        self.lines.retain(|_, line| !(line.taken.is_empty() && line.waiting.is_empty()));
    }
}

impl Line {
    /// Who is next where `all` turns are taken of all registries, and here all but that called `without`.
    fn next(&self, all: usize, without: Option<u64>) -> Option<usize> {
        let taken = || self.taken.iter().filter(|(number, _)| Some(*number) != without).map(|(_, need)| need);
        if all >= ALL || taken().count() >= OF_REGISTRY {
            return None;
        }
        let of_client = |client: &Option<Client>| taken().filter(|need| need.client == *client).count();
        let fits = |need: &Need| {
            let of_host = taken().filter(|other| other.host == need.host).count();
            of_host < OF_HOST && of_client(&need.client) < OF_CLIENT
        };
        let waiting = self.waiting.iter().enumerate().filter(|(_, (_, need, _))| fits(need));
        waiting.min_by_key(|(_, (_, need, _))| of_client(&need.client)).map(|(at, _)| at)
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut state = self.turns.state();
        state.release(&self.registry, self.number);
        self.turns.tell(&self.registry, &state);
    }
}

#[cfg(test)]
mod tests;
