//! Why the process cannot serve.
//!
//! Owns the texts, each with what to do. Must not know how any of it was noticed.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

/// Why the ports could not be opened, or are no longer served.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// Something else listens there.
    #[error(
        "{address} is already in use: stop what listens there (`ss -ltnp` names it), or choose another `{key}`"
    )]
    AddressInUse {
        /// The configuration key.
        key: &'static str,
        /// Its value.
        address: SocketAddr,
    },
    /// A privileged port.
    #[error(
        "no permission to listen on {address}: choose a `{key}` port above 1023, or grant CAP_NET_BIND_SERVICE"
    )]
    Permission {
        /// The configuration key.
        key: &'static str,
        /// Its value.
        address: SocketAddr,
    },
    /// Any other reason, such as an address of another machine.
    #[error("cannot listen on {address}: {source}; `{key}` must be an address of this machine")]
    Bind {
        /// The configuration key.
        key: &'static str,
        /// Its value.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// A certificate or key that cannot be used.
    #[error("{}: {reason}; `server.tls` needs a PEM certificate chain and its private key", path.display())]
    Tls {
        /// The file at fault.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// No running process handed its sockets over.
    #[error(
        "no sockets came through {}: {reason}; start the new process first, then send SIGQUIT to the old one",
        path.display()
    )]
    TakeOver {
        /// Where they were expected.
        path: PathBuf,
        /// Why none came.
        reason: String,
    },
    /// The system refused a thread or a signal handler.
    #[error("cannot start serving: {0}; check the limits on threads and open files (`ulimit -a`)")]
    Start(#[source] io::Error),
    /// A service came to its end without being told to.
    #[error("serving ended unexpectedly; the log says why, a restart is needed")]
    Ended,
}
