//! Why the process cannot serve.
//!
//! Owns the texts, each with what to do. Must not know how a failure was noticed.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use super::holder::PortHolder;

/// Why the ports could not be opened, or are no longer served.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ListenError {
    #[error(
        "{address} is already in use by {}: stop it, or choose another `{key}`",
        holder.as_ref().map_or_else(|| "another process (`ss -ltnp` names it)".to_owned(), ToString::to_string)
    )]
    AddressInUse { key: &'static str, address: SocketAddr, holder: Option<PortHolder> },
    #[error(
        "no permission to listen on {address}: choose a `{key}` port above 1023, or grant CAP_NET_BIND_SERVICE"
    )]
    Permission { key: &'static str, address: SocketAddr },
    /// For another reason, such as an address of another machine.
    #[error("cannot listen on {address}: {source}; `{key}` must be an address of this machine")]
    Bind { key: &'static str, address: SocketAddr, source: io::Error },
    #[error("{}: {reason}; `server.tls` needs a PEM certificate chain and its private key", path.display())]
    Tls { path: PathBuf, reason: String },
    #[error(
        "no sockets came through {}: {reason}; start the new process first, then send SIGQUIT to the old one",
        path.display()
    )]
    TakeOver { path: PathBuf, reason: String },
    /// The system refused a thread or a signal handler.
    #[error("cannot start serving: {0}; check the limits on threads and open files (`ulimit -a`)")]
    Start(#[source] io::Error),
    /// A service ended without being asked to.
    #[error("serving ended unexpectedly; the log says why, a restart is needed")]
    Ended,
}
