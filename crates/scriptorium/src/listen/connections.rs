//! The connections of a port: how many, of which clients, and which are closed when there is no room for another.
//!
//! Owns the bounds of all and of each client, and the order of eviction: of the connections that wait for their client,
//! the one on which nothing happened for the longest goes first. Must not know what is said on a connection.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};

use ahash::RandomState;
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::task::AbortHandle;

use super::activity::Activity;
use super::loads::WorkerLoads;
use super::memory::{ConnectionMemory, PortMemory};
use crate::telemetry::Metrics;

/// Of all that may be open, the part that is closed at once when one has to.
const PART: usize = 64;
/// Most connections that are closed for a new one.
const BATCH: usize = 32;

/// How much there may be of what connections need.
#[derive(Debug, Clone, Copy)]
pub(super) struct ConnectionLimits {
    /// Open at once, handshakes included.
    pub(super) all: usize,
    /// Of one client.
    pub(super) each: usize,
    /// Memory of all of them, in bytes.
    pub(super) bytes: usize,
}

/// Why a connection is closed early.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum CloseCause {
    Connections,
    ConnectionsPerClient,
    Memory,
    /// A trusted proxy did not name its client.
    ProxyHeader,
}

impl CloseCause {
    pub(super) const ALL: [Self; 4] =
        [Self::Connections, Self::ConnectionsPerClient, Self::Memory, Self::ProxyHeader];

    /// The key of the bound that was met, or a word.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Connections => "max_connections",
            Self::ConnectionsPerClient => "max_connections_per_client",
            Self::Memory => "max_connection_memory",
            Self::ProxyHeader => "proxy-header",
        }
    }
}

/// Which connection is closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// The new one, or the one that needs more memory.
    Refused,
    /// An inactive one.
    Evicted,
}

impl Fate {
    pub(super) const ALL: [Self; 2] = [Self::Refused, Self::Evicted];

    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Refused => "refused",
            Self::Evicted => "evicted",
        }
    }
}

/// A bound is met, and every connection that could be closed instead is being answered.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("`{}` is reached, and every connection is being answered", .0.as_str())]
pub(super) struct PortFull(CloseCause);

/// The connections of one port.
#[derive(Debug)]
pub(super) struct Connections {
    limits: ConnectionLimits,
    memory: Arc<PortMemory>,
    /// How many ever came.
    arrivals: Arc<AtomicU64>,
    table: Mutex<Table>,
    closed: Notify,
    /// The port's name in metrics.
    name: &'static str,
    metrics: Arc<Metrics>,
}

#[derive(Debug)]
struct Table {
    /// Those that were not told to close.
    open: HashMap<u64, Entry, RandomState>,
    clients: HashMap<IpAddr, usize, RandomState>,
    /// Those that were told to close and have not yet are among these.
    alive: WorkerLoads,
}

#[derive(Debug)]
struct Entry {
    connection: Arc<Connection>,
    client: Option<IpAddr>,
}

impl Connections {
    /// Those of a port that has so many workers.
    pub(super) fn new(
        limits: ConnectionLimits,
        workers: usize,
        name: &'static str,
        metrics: Arc<Metrics>,
    ) -> Arc<Self> {
        let memory = PortMemory::of(limits.bytes);
        let alive = WorkerLoads::new(workers, &memory);
        let table = Table { open: HashMap::default(), clients: HashMap::default(), alive };
        let port = Self {
            limits,
            memory,
            arrivals: Arc::default(),
            table: Mutex::new(table),
            closed: Notify::new(),
            name,
            metrics,
        };
        // A counter is known before its first event.
        for cause in CloseCause::ALL {
            Fate::ALL.into_iter().for_each(|fate| port.count_closed(cause, fate, 0));
        }
        Arc::new(port)
    }

    /// The slot of a new connection, for as long as it is open. Others are closed for it where there is none.
    pub(super) fn open(self: &Arc<Self>) -> Result<ConnectionSlot, PortFull> {
        let (all, mut table) = (self.limits.all, self.table.lock());
        if table.open.len() >= all {
            let count = (all / PART).clamp(1, BATCH);
            self.evict(&mut table, CloseCause::Connections, |_| true, count, usize::MAX)?;
        }
        let id = self.arrivals.fetch_add(1, Relaxed) + 1;
        let (worker, memory) = table.alive.join().ok_or(PortFull(CloseCause::Connections))?;
        let connection = Arc::new(Connection {
            port: self.clone(),
            id,
            worker,
            task: OnceLock::new(),
            activity: Activity::new(self.arrivals.clone(), id),
            memory: ConnectionMemory::new(memory),
        });
        table.open.insert(id, Entry { connection: connection.clone(), client: None });
        self.measure_open(&table);
        Ok(ConnectionSlot { connection })
    }

    /// Whether idle connections are to use as little memory as they can.
    pub(super) fn is_crowded(&self) -> bool {
        self.memory.is_crowded()
    }

    /// Counts connections that are closed early.
    pub(super) fn count_closed(&self, cause: CloseCause, fate: Fate, connections: usize) {
        self.metrics.connections.closed(self.name, cause.as_str(), fate.as_str(), connections);
    }

    fn measure_open(&self, table: &Table) {
        self.metrics.connections.open(self.name, table.alive.total(), self.memory.leased());
    }

    /// Waits until none is open.
    pub(super) async fn all_closed(&self) {
        loop {
            let closed = self.closed.notified();
            if self.table.lock().alive.total() == 0 {
                return;
            }
            closed.await;
        }
    }

    /// Closes the connections that have been inactive for the longest, up to so many of them or so many bytes.
    fn evict(
        &self,
        table: &mut Table,
        cause: CloseCause,
        may_close: impl Fn(&Entry) -> bool,
        count: usize,
        bytes: usize,
    ) -> Result<(), PortFull> {
        let mut candidates = Vec::new();
        for entry in table.open.values().filter(|entry| may_close(entry)) {
            let Connection { id, task, activity, .. } = &*entry.connection;
            if let Some(task) = task.get().filter(|_| activity.waits_for_client()) {
                candidates.push((activity.last(), *id, task.clone()));
            }
        }
        candidates.sort_unstable_by_key(|(last, id, _)| (*last, *id));
        let (mut closed, mut freed) = (Vec::<AbortHandle>::new(), 0);
        for (_, id, task) in candidates {
            if closed.len() >= count || freed >= bytes {
                break;
            }
            let Some(connection) = table.remove(id) else { continue };
            freed += connection.memory.leaves();
            tracing::debug!(
                connection = id,
                cause = cause.as_str(),
                "inactive connection closed to make room"
            );
            closed.push(task);
        }
        if closed.is_empty() {
            self.count_closed(cause, Fate::Refused, 1);
            return Err(PortFull(cause));
        }
        self.count_closed(cause, Fate::Evicted, closed.len());
        closed.iter().for_each(AbortHandle::abort);
        Ok(())
    }
}

impl Table {
    fn remove(&mut self, id: u64) -> Option<Arc<Connection>> {
        let Entry { connection, client } = self.open.remove(&id)?;
        if let Some(client) = client
            && let Some(count) = self.clients.get_mut(&client)
        {
            *count -= 1;
            if *count == 0 {
                self.clients.remove(&client);
            }
        }
        Some(connection)
    }
}

/// One connection of a port. It shares no cache line with those of other workers, since its own writes it with every
/// request.
#[derive(Debug)]
#[repr(align(128))]
pub(super) struct Connection {
    port: Arc<Connections>,
    id: u64,
    /// The number of the worker that serves it.
    pub(super) worker: usize,
    task: OnceLock<AbortHandle>,
    pub(super) activity: Activity,
    memory: ConnectionMemory,
}

impl Connection {
    /// The task that an eviction ends.
    pub(super) fn runs(&self, task: AbortHandle) {
        // Set once, by who spawned it.
        let _ = self.task.set(task);
    }

    /// A request has come; its answer counts as open until the value is dropped.
    pub(super) fn open_answer(self: &Arc<Self>) -> OpenAnswer {
        self.activity.request();
        self.memory.forget_received();
        OpenAnswer(self.clone())
    }

    /// So many bytes were received; their memory is counted until they have become a request.
    pub(super) fn receive(&self, count: usize) -> Result<(), PortFull> {
        let more = self.memory.receive(count);
        if more > 0 {
            self.take(more)?;
            self.memory.took_for_received(more);
        }
        Ok(())
    }

    /// Counts so many bytes until the value is dropped; inactive connections may be closed for them.
    pub(super) fn reserve(self: &Arc<Self>, bytes: usize) -> Result<MemoryReservation, PortFull> {
        self.take(bytes)?;
        Ok(MemoryReservation { connection: self.clone(), bytes })
    }

    /// Whether to wait until evicted connections have released their memory.
    pub(super) fn is_overdrawn(&self) -> bool {
        self.memory.is_overdrawn()
    }

    fn take(&self, bytes: usize) -> Result<(), PortFull> {
        if self.memory.take(bytes) {
            return Ok(());
        }
        let (port, mut table) = (&self.port, self.port.table.lock());
        let others = |other: &Entry| other.connection.id != self.id;
        let enough = port.memory.batch().max(2 * bytes);
        port.evict(&mut table, CloseCause::Memory, others, usize::MAX, enough)?;
        self.memory.take_over(bytes);
        Ok(())
    }
}

/// Memory of a connection that is in use.
#[derive(Debug)]
pub(super) struct MemoryReservation {
    connection: Arc<Connection>,
    bytes: usize,
}

impl Drop for MemoryReservation {
    fn drop(&mut self) {
        self.connection.memory.give(self.bytes);
    }
}

/// An answer in the making, or not handed over.
#[derive(Debug)]
pub(super) struct OpenAnswer(Arc<Connection>);

impl OpenAnswer {
    pub(super) fn activity(&self) -> &Activity {
        &self.0.activity
    }
}

impl Drop for OpenAnswer {
    fn drop(&mut self) {
        self.0.activity.answered();
    }
}

/// One of the connections that a port may have, free again when it is dropped.
#[derive(Debug)]
pub(super) struct ConnectionSlot {
    connection: Arc<Connection>,
}

impl ConnectionSlot {
    pub(super) fn connection(&self) -> &Arc<Connection> {
        &self.connection
    }

    /// The connection is of this client. Where the client has too many, others of its own are closed.
    pub(super) fn belongs_to(&self, address: IpAddr) -> Result<(), PortFull> {
        let (client, port) = (subnet(address), &self.connection.port);
        let mut table = port.table.lock();
        let each = port.limits.each;
        if table.clients.get(&client).is_some_and(|count| *count >= each) {
            let count = (each / PART).clamp(1, BATCH);
            let its_own = |other: &Entry| other.client == Some(client);
            port.evict(&mut table, CloseCause::ConnectionsPerClient, its_own, count, usize::MAX)?;
        }
        // A connection that was evicted meanwhile is not counted.
        if let Some(entry) = table.open.get_mut(&self.connection.id) {
            entry.client = Some(client);
            *table.clients.entry(client).or_default() += 1;
        }
        Ok(())
    }
}

impl Drop for ConnectionSlot {
    fn drop(&mut self) {
        let port = &self.connection.port;
        let mut table = port.table.lock();
        table.remove(self.connection.id);
        // From here on it cannot be evicted any more.
        self.connection.memory.ends();
        table.alive.leave(self.connection.worker);
        port.measure_open(&table);
        if table.alive.total() == 0 {
            port.closed.notify_waiters();
        }
    }
}

/// The network that is counted as one client: the owner of an IPv6 address has a /64 at least.
fn subnet(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        address @ IpAddr::V4(_) => address,
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX)).into(),
    }
}

#[cfg(test)]
pub(super) mod tests;
