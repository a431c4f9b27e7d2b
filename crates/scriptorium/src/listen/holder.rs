//! Which process listens at an address, as far as the system tells this user.
//!
//! Owns the search in `/proc`. Must not know why it is asked.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use procfs::net::{TcpNetEntry, TcpState, tcp, tcp6};
use procfs::process::{FDTarget, Process, all_processes};

/// A process that listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PortHolder {
    /// Its number; only its own user and root may know it.
    pub(crate) pid: Option<i32>,
    /// Its name, which it chose itself; empty where it is unknown.
    pub(crate) name: String,
    pub(crate) user: u32,
}

impl fmt::Display for PortHolder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.pid {
            Some(pid) => write!(f, "process {pid} ({}) of user {}", self.name, self.user),
            None => write!(f, "a process of user {}", self.user),
        }
    }
}

/// Who listens at `address`, or at all addresses with its port.
pub(crate) fn port_holder(address: SocketAddr) -> Option<PortHolder> {
    let sockets = [tcp(), tcp6()].into_iter().flatten().flatten();
    let socket = sockets.into_iter().find(|socket| holds(socket, address))?;
    let process = all_processes().ok()?.flatten().find(|process| has(process, socket.inode));
    let name = process.as_ref().and_then(|process| process.stat().ok()).map(|stat| printable(&stat.comm));
    Some(PortHolder {
        pid: process.map(|process| process.pid),
        name: name.unwrap_or_default(),
        user: socket.uid,
    })
}

fn holds(socket: &TcpNetEntry, address: SocketAddr) -> bool {
    let (theirs, ours) = (canonical(socket.local_address.ip()), canonical(address.ip()));
    socket.state == TcpState::Listen
        && socket.local_address.port() == address.port()
        && (theirs == ours || theirs.is_unspecified() || ours.is_unspecified())
}

/// An IPv4 address as itself, also where an IPv6 socket has it.
fn canonical(ip: IpAddr) -> IpAddr {
    match ip {
        IpAddr::V6(ip) if ip != Ipv6Addr::UNSPECIFIED => ip.to_canonical(),
        ip => ip,
    }
}

fn has(process: &Process, socket: u64) -> bool {
    let Ok(files) = process.fd() else { return false };
    files.flatten().any(|file| matches!(file.target, FDTarget::Socket(inode) if inode == socket))
}

/// Without what could break a line of the log.
fn printable(name: &str) -> String {
    name.chars().map(|letter| if letter.is_control() { '?' } else { letter }).collect()
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn a_listener_is_found_by_its_address_and_by_every_address() {
        for listen in ["127.0.0.1:0", "[::1]:0", "0.0.0.0:0", "[::]:0"] {
            let listener = TcpListener::bind(listen).unwrap();
            let address = listener.local_addr().unwrap();
            let everywhere = SocketAddr::new("0.0.0.0".parse().unwrap(), address.port());
            for asked in [address, everywhere] {
                let holder = port_holder(asked).expect("it listens");
                assert_eq!(holder.pid, Some(std::process::id() as i32), "{asked}: {holder}");
            }
            drop(listener);
            assert_eq!(port_holder(address), None);
        }
    }

    #[test]
    fn a_name_breaks_no_line() {
        assert_eq!(printable("a\nb\u{1b}[0m"), "a?b?[0m");
    }
}
