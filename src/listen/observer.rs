//! Who is told what becomes of connections.
//!
//! Owns the events and the words for them. Must not know how they are counted.

use std::fmt::Debug;

/// Told of the connections of one port.
pub trait Observer: Debug + Send + Sync + 'static {
    /// So many are open, and their room is taken up to so many bytes.
    fn open(&self, connections: usize, bytes: usize);
    /// So many were closed before their time.
    fn gone(&self, cause: Cause, fate: Fate, connections: usize);
}

/// Why connections are closed before their time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// There are as many as there may be.
    Connections,
    /// Of one client there are as many as there may be.
    ConnectionsPerClient,
    /// Together they keep as much as they may.
    Memory,
    /// A trusted proxy did not say whose connection it is.
    ProxyHeader,
}

impl Cause {
    /// Every cause.
    pub const ALL: [Self; 4] =
        [Self::Connections, Self::ConnectionsPerClient, Self::Memory, Self::ProxyHeader];

    /// The key that bounds it, or the word for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Connections => "max_connections",
            Self::ConnectionsPerClient => "max_connections_per_client",
            Self::Memory => "max_connection_memory",
            Self::ProxyHeader => "proxy-header",
        }
    }
}

/// Which connection goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// The newcomer, or the one that wants more.
    Refused,
    /// One that waited longer than others.
    Evicted,
}

impl Fate {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Refused, Self::Evicted];

    /// Its name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Refused => "refused",
            Self::Evicted => "evicted",
        }
    }
}
