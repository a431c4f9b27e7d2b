//! The listening sockets: bound here, or taken over from the process that this one replaces.
//!
//! Owns where a socket comes from, and the options that its connections inherit. Must not know what is served on it.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

use rustix::net::listen;
use rustix::net::sockopt::{
    set_socket_keepalive, set_tcp_keepcnt, set_tcp_keepidle, set_tcp_keepintvl, set_tcp_nodelay,
};

use super::ListenError;
use super::hand_over::{BoundListener, HandOver, TakeOverError};
use super::holder::port_holder;

/// A client that does not answer is asked whether it is still there: after how long, how often, how many times.
const KEEPALIVE_IDLE: Duration = Duration::from_secs(60);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(10);
const KEEPALIVE_PROBES: u32 = 6;

/// Connections that wait to be accepted; the system may allow fewer.
const BACKLOG: i32 = 4096;

/// The sockets that are served, and those taken over that nothing has claimed yet.
pub(super) struct Sockets {
    inherited: Vec<BoundListener>,
    /// Copies that can be handed to the next process.
    claimed: Vec<BoundListener>,
}

impl Sockets {
    /// Waits a few seconds for the running process to hand its sockets over, if there is a place for that.
    pub(super) fn new(from: Option<&HandOver>) -> Result<Self, ListenError> {
        let inherited = from.map(HandOver::take_over).transpose();
        let inherited =
            inherited.map_err(|TakeOverError { path, reason }| ListenError::TakeOver { path, reason })?;
        Ok(Self { inherited: inherited.unwrap_or_default(), claimed: Vec::new() })
    }

    /// The inherited socket of this address, else a new one.
    pub(super) fn claim(
        &mut self,
        key: &'static str,
        address: SocketAddr,
    ) -> Result<TcpListener, ListenError> {
        let refused = |source| refused(key, address, source);
        let listener = match self.inherited.iter().position(|inherited| inherited.address == address) {
            Some(at) => self.inherited.swap_remove(at).listener,
            None => bind(address).map_err(refused)?,
        };
        prepare(&listener).map_err(refused)?;
        self.claimed.push(BoundListener { address, listener: listener.try_clone().map_err(refused)? });
        Ok(listener)
    }

    /// The claimed sockets. The others are closed, since clients would connect and never be accepted.
    pub(super) fn into_claimed(self) -> Vec<BoundListener> {
        for BoundListener { address, .. } in &self.inherited {
            tracing::info!(%address, "no longer listening");
        }
        self.claimed
    }
}

fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let listener = TcpListener::bind(address)?;
    tracing::info!(address = %listener.local_addr()?, "listening");
    Ok(listener)
}

/// Sets how it waits, and the options that its connections inherit, as Linux has it: none needs a call of its own.
fn prepare(listener: &TcpListener) -> io::Result<()> {
    listener.set_nonblocking(true)?;
    listen(listener, BACKLOG)?;
    set_socket_keepalive(listener, true)?;
    set_tcp_keepidle(listener, KEEPALIVE_IDLE)?;
    set_tcp_keepintvl(listener, KEEPALIVE_INTERVAL)?;
    set_tcp_keepcnt(listener, KEEPALIVE_PROBES)?;
    Ok(set_tcp_nodelay(listener, true)?)
}

fn refused(key: &'static str, address: SocketAddr, source: io::Error) -> ListenError {
    match source.kind() {
        io::ErrorKind::AddrInUse => ListenError::AddressInUse { key, address, holder: port_holder(address) },
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
        let told = refused.to_string();
        assert!(told.contains(&address.to_string()), "{told}");
        assert!(told.contains(&format!("process {}", std::process::id())), "{told}");
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
            HandOver { folders: vec![PathBuf::from("/proc/nowhere")], name: "upgrade.sock".to_owned() };
        let refused = Sockets::new(Some(&nowhere)).err().unwrap();
        assert!(matches!(refused, ListenError::TakeOver { .. }), "{refused}");
    }
}
