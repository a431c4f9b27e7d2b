//! The listening sockets: bound here, or taken over from the process that this one replaces.
//!
//! Owns where a socket comes from. Must not know what is served on it. The server library binds late, retries for half a
//! minute and then panics; it gets every socket from here instead.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::{IntoRawFd, RawFd};

use super::ListenError;
use super::hand_over::{Meeting, Offer, TakeOver};

/// A socket that listens, with the name by which the library finds it.
#[derive(Debug, Clone)]
pub(super) struct Socket {
    pub(super) name: String,
    pub(super) fd: RawFd,
}

/// The sockets that are served, and those of the process being replaced that nobody claimed yet, if there is one.
pub(super) struct Sockets {
    inherited: Vec<Offer>,
    /// What can be handed on to the next process. They accept nothing, so that they go before the process stops.
    claimed: Vec<Offer>,
}

impl Sockets {
    /// Waits a few seconds for the running process to hand its sockets over, where `from` says where.
    pub(super) fn new(from: Option<&Meeting>) -> Result<Self, ListenError> {
        let inherited = from.map(Meeting::take_over).transpose();
        let inherited =
            inherited.map_err(|TakeOver { path, reason }| ListenError::TakeOver { path, reason })?;
        Ok(Self { inherited: inherited.unwrap_or_default(), claimed: Vec::new() })
    }

    /// The inherited socket of this address, else a new one.
    pub(super) fn claim(&mut self, key: &'static str, address: SocketAddr) -> Result<Socket, ListenError> {
        let refused = |source| refused(key, address, source);
        let listener = match self.inherited.iter().position(|(inherited, _)| *inherited == address) {
            Some(at) => self.inherited.swap_remove(at).1,
            None => bind(address).map_err(refused)?,
        };
        self.claimed.push((address, listener.try_clone().map_err(refused)?));
        Ok(Socket { name: address.to_string(), fd: listener.into_raw_fd() })
    }

    /// What was claimed. A socket that nobody accepts on would swallow connections: the others are closed.
    pub(super) fn into_claimed(self) -> Vec<Offer> {
        for (address, _) in &self.inherited {
            tracing::info!(%address, "no longer listening");
        }
        self.claimed
    }
}

fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let listener = TcpListener::bind(address)?;
    listener.set_nonblocking(true)?;
    tracing::info!(address = %listener.local_addr()?, "listening");
    Ok(listener)
}

fn refused(key: &'static str, address: SocketAddr, source: io::Error) -> ListenError {
    match source.kind() {
        io::ErrorKind::AddrInUse => ListenError::AddressInUse { key, address },
        io::ErrorKind::PermissionDenied => ListenError::Permission { key, address },
        _ => ListenError::Bind { key, address, source },
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    #[test]
    fn an_address_in_use_is_named_with_its_key() {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = taken.local_addr().unwrap();
        let refused = Sockets::new(None).unwrap().claim("server.listen", address).unwrap_err();
        assert!(matches!(refused, ListenError::AddressInUse { key: "server.listen", .. }), "{refused}");
        assert!(refused.to_string().contains(&address.to_string()));
    }

    #[test]
    fn an_address_of_another_machine_is_refused() {
        let elsewhere = "192.0.2.1:8080".parse().unwrap();
        let refused = Sockets::new(None).unwrap().claim("server.listen", elsewhere).unwrap_err();
        assert!(matches!(refused, ListenError::Bind { .. }), "{refused}");
    }

    #[test]
    fn taking_over_needs_a_place_to_meet() {
        let nowhere =
            Meeting { folders: vec![PathBuf::from("/proc/nowhere")], name: "upgrade.sock".to_owned() };
        let refused = Sockets::new(Some(&nowhere)).err().unwrap();
        assert!(matches!(refused, ListenError::TakeOver { .. }), "{refused}");
    }
}
