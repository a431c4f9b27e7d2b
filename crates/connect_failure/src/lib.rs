//! Why no connection could be made. The causes are told apart because each needs another action of the operator.
//!
//! Registries and the engine of a cluster are connected to by different libraries, and fail for the same causes. Here are the
//! causes, the words for them, and how each is told from the errors of system and TLS libraries.
//!
//! ```
//! use std::io;
//! use connect_failure::{ConnectFailure, ConnectTarget, of_connecting};
//!
//! let why = of_connecting(&io::Error::from(io::ErrorKind::ConnectionRefused));
//! assert_eq!(why, ConnectFailure::Refused);
//! assert!(why.remedy(ConnectTarget::Engine).contains("`cluster.url`"));
//! ```
//!
//! Must not know how a connection is made, nor any address or file name.

mod causes;
mod failure;
mod identity;

pub use causes::{SpeaksTls, causes, find, is_tls_record, of_connecting, of_handshake, of_request, unnamed};
pub use failure::{ConnectFailure, ConnectTarget};
pub use identity::MissingIdentity;
