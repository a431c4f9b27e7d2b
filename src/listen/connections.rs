//! The connections of a port: how many, whose, and who goes when there is no room for one more.
//!
//! Owns the places, of all and of each client, and the order in which they are taken away: whoever it is whose turn it
//! has been the longest goes first. Must not know what is said on a connection.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, ThreadId};

use ahash::RandomState;
use tokio::sync::Notify;
use tokio::task::AbortHandle;

use super::observer::{Cause, Fate, Observer};
use super::room::{Part, Room};
use super::standing::{CONNECTION, Kept, Standing};

/// Most connections that one newcomer sends away, so that not each newcomer has to look for who goes.
const BATCH: usize = 32;

/// How much there may be of what connections need.
#[derive(Debug, Clone, Copy)]
pub(super) struct Places {
    /// Open at once, handshakes included.
    pub(super) all: usize,
    /// Of one client.
    pub(super) each: usize,
    /// Bytes that they keep together.
    pub(super) bytes: usize,
}

/// There is no room, and nobody who could make some.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("no room for it, and nobody waits who could go instead: {}", .0.as_str())]
pub(super) struct Full(Cause);

/// The connections of one port.
#[derive(Debug)]
pub(super) struct Port {
    places: Places,
    room: Arc<Room>,
    newest: AtomicU64,
    open: Mutex<Opened>,
    closed: Notify,
    observer: Arc<dyn Observer>,
}

#[derive(Debug, Default)]
struct Opened {
    connections: HashMap<u64, Connection, RandomState>,
    clients: HashMap<IpAddr, usize, RandomState>,
    /// What each worker counts.
    parts: Vec<(ThreadId, Arc<Part>)>,
    /// Those that were told to go among them.
    alive: usize,
}

#[derive(Debug)]
struct Connection {
    standing: Arc<Standing>,
    client: Option<IpAddr>,
}

impl Port {
    pub(super) fn new(places: Places, observer: Arc<dyn Observer>) -> Arc<Self> {
        Arc::new(Self {
            places,
            room: Room::of(places.bytes),
            newest: AtomicU64::new(0),
            open: Mutex::default(),
            closed: Notify::new(),
            observer,
        })
    }

    /// The place of a new connection, for as long as it is open. Where there is none, others go; none of all may.
    pub(super) fn open(self: &Arc<Self>) -> Result<Place, Full> {
        let standing = {
            let mut open = self.opened();
            if open.connections.len() >= self.places.all {
                let count = (self.places.all / 64).clamp(1, BATCH);
                self.evict(&mut open, Cause::Connections, |_| true, count, usize::MAX)?;
            }
            let part = open.part(&self.room);
            let id = self.newest.fetch_add(1, Relaxed) + 1;
            let standing = Arc::new(Standing::new(self.clone(), part, id));
            open.connections.insert(id, Connection { standing: standing.clone(), client: None });
            open.alive += 1;
            self.observer.open(open.alive, self.room.taken());
            standing
        };
        let mut place = Place { standing, _kept: None };
        place._kept = Some(place.standing.keep(CONNECTION)?);
        Ok(place)
    }

    /// Whether idle connections are to keep as little as they can.
    pub(super) fn is_crowded(&self) -> bool {
        self.room.is_crowded()
    }

    /// How many connections ever came.
    pub(super) fn newest(&self) -> u64 {
        self.newest.load(Relaxed)
    }

    pub(super) fn observer(&self) -> &dyn Observer {
        &*self.observer
    }

    /// Takes bytes for a connection that others give back who waited longer.
    pub(super) fn make_room(connection: &Arc<Standing>, bytes: usize) -> Result<(), Full> {
        let port = connection.port();
        {
            let mut open = port.opened();
            let others = |other: &Connection| other.standing.id() != connection.id();
            port.evict(&mut open, Cause::Memory, others, usize::MAX, port.room.batch().max(2 * bytes))?;
        }
        connection.part().take_over(bytes);
        Ok(())
    }

    /// Waits until none is open.
    pub(super) async fn all_closed(&self) {
        loop {
            let closed = self.closed.notified();
            if self.opened().alive == 0 {
                return;
            }
            closed.await;
        }
    }

    /// Sends those away that waited the longest, up to so many of them or so many bytes.
    fn evict(
        &self,
        open: &mut Opened,
        cause: Cause,
        may_go: impl Fn(&Connection) -> bool,
        count: usize,
        bytes: usize,
    ) -> Result<(), Full> {
        let going =
            open.connections.values().filter(|connection| connection.standing.waits() && may_go(connection));
        let mut going: Vec<_> = going
            .filter_map(|connection| {
                Some((
                    connection.standing.stirred(),
                    connection.standing.task()?.clone(),
                    connection.standing.clone(),
                ))
            })
            .collect();
        going.sort_unstable_by_key(|(stirred, _, standing)| (*stirred, standing.id()));
        let (mut gone, mut freed) = (Vec::<AbortHandle>::new(), 0);
        for (_, task, standing) in going {
            if gone.len() >= count || freed >= bytes {
                break;
            }
            freed += standing.kept();
            standing.goes();
            open.forget(standing.id());
            tracing::debug!(
                connection = standing.id(),
                cause = cause.as_str(),
                "connection closed: it waited the longest, and its place is needed"
            );
            gone.push(task);
        }
        if gone.is_empty() {
            return Err(self.refused(cause));
        }
        self.observer.gone(cause, Fate::Evicted, gone.len());
        gone.iter().for_each(AbortHandle::abort);
        Ok(())
    }

    fn refused(&self, cause: Cause) -> Full {
        self.observer.gone(cause, Fate::Refused, 1);
        Full(cause)
    }

    fn opened(&self) -> MutexGuard<'_, Opened> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Opened {
    /// What the worker of this thread counts.
    fn part(&mut self, room: &Arc<Room>) -> Arc<Part> {
        let this = thread::current().id();
        if let Some((_, part)) = self.parts.iter().find(|(thread, _)| *thread == this) {
            return part.clone();
        }
        let part = Part::of(room.clone());
        self.parts.push((this, part.clone()));
        part
    }

    /// The connection has no place any more.
    fn forget(&mut self, id: u64) {
        let client = self.connections.remove(&id).and_then(|connection| connection.client);
        if let Some(client) = client
            && let Some(count) = self.clients.get_mut(&client)
        {
            *count -= 1;
            if *count == 0 {
                self.clients.remove(&client);
            }
        }
    }
}

/// The place of one connection, free again when it is dropped.
#[derive(Debug)]
pub(super) struct Place {
    standing: Arc<Standing>,
    _kept: Option<Kept>,
}

impl Place {
    pub(super) fn standing(&self) -> &Arc<Standing> {
        &self.standing
    }

    /// It is this client's. Where the client has too many, others of its own go.
    pub(super) fn belongs_to(&self, address: IpAddr) -> Result<(), Full> {
        let (client, port) = (subnet(address), self.standing.port());
        let mut open = port.opened();
        if open.clients.get(&client).is_some_and(|count| *count >= port.places.each) {
            let count = (port.places.each / 64).clamp(1, BATCH);
            port.evict(
                &mut open,
                Cause::ConnectionsPerClient,
                |other| other.client == Some(client),
                count,
                usize::MAX,
            )?;
        }
        // Nobody is counted who was sent away meanwhile.
        if let Some(connection) = open.connections.get_mut(&self.standing.id()) {
            connection.client = Some(client);
            *open.clients.entry(client).or_default() += 1;
        }
        Ok(())
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let port = self.standing.port();
        let mut open = port.opened();
        open.forget(self.standing.id());
        // Only now can nobody tell it to go any more.
        self.standing.ends();
        open.alive -= 1;
        port.observer.open(open.alive, port.room.taken());
        if open.alive == 0 {
            port.closed.notify_waiters();
        }
    }
}

#[cfg(test)]
pub(super) mod tests;

/// An IPv6 client owns a /64 at least, so that is what is counted.
fn subnet(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        address @ IpAddr::V4(_) => address,
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX)).into(),
    }
}
