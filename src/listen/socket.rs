//! The listening sockets: bound here, or taken over from the process that this one replaces.
//!
//! Owns where a socket comes from. Must not know what is served on it. The server library binds late, retries for half a
//! minute and then panics; it gets every socket from here instead.

use std::collections::HashSet;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::{IntoRawFd, RawFd};
use std::os::unix::net::UnixListener;
use std::path::Path;

use pingora_core::server::Fds;

use super::ListenError;

/// A socket that listens, with the name under which it is handed to the next process.
#[derive(Debug, Clone)]
pub(super) struct Socket {
    pub(super) name: String,
    pub(super) fd: RawFd,
}

/// The sockets of the process being replaced, if there is one.
pub(super) struct Sockets {
    inherited: Fds,
    claimed: HashSet<String>,
}

impl Sockets {
    /// Waits a few seconds for the running process to hand its sockets over at `from`, where that is given.
    pub(super) fn new(from: Option<&Path>) -> Result<Self, ListenError> {
        let mut inherited = Fds::new();
        if let Some(path) = from {
            receive(&mut inherited, path)
                .map_err(|reason| ListenError::TakeOver { path: path.to_owned(), reason })?;
        }
        Ok(Self { inherited, claimed: HashSet::new() })
    }

    /// The inherited socket of this address, else a new one.
    pub(super) fn claim(&mut self, key: &'static str, address: SocketAddr) -> Result<Socket, ListenError> {
        let name = address.to_string();
        let fd = match self.inherited.get(&name) {
            Some(&fd) => fd,
            None => bind(address).map_err(|source| refused(key, address, source))?,
        };
        self.claimed.insert(name.clone());
        Ok(Socket { name, fd })
    }
}

impl Drop for Sockets {
    /// A socket that nobody accepts on would swallow connections.
    fn drop(&mut self) {
        for name in self.inherited.close_unclaimed(&self.claimed) {
            tracing::info!(address = name, "no longer listening");
        }
    }
}

fn receive(inherited: &mut Fds, path: &Path) -> Result<(), String> {
    let name = path.to_str().ok_or("its path must be UTF-8")?;
    // The library panics where it cannot bind; a socket left there by an earlier process is replaced.
    match UnixListener::bind(path) {
        Err(error) if error.kind() != io::ErrorKind::AddrInUse => Err(error.to_string()),
        _ => inherited.get_from_sock(name).map_err(|error| error.to_string()),
    }
}

fn bind(address: SocketAddr) -> io::Result<RawFd> {
    let listener = TcpListener::bind(address)?;
    listener.set_nonblocking(true)?;
    tracing::info!(address = %listener.local_addr()?, "listening");
    Ok(listener.into_raw_fd())
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
        let nowhere = Path::new("/nonexistent/upgrade.sock");
        let refused = Sockets::new(Some(nowhere)).err().unwrap();
        assert!(matches!(refused, ListenError::TakeOver { .. }), "{refused}");
    }
}
