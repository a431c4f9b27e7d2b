//! What clients change: relayed to the registry it is meant for, after this proxy looked at it.
//!
//! Two APIs are understood, Agent Volumes' writes (`volumes`) and Nullspace (`nullspace`), each as a description of the
//! same things: the client's body (`body`), an upload that is taken in, judged and only then sent on (`upload`), what
//! goes on of a request and comes back of an answer (`forward`), and what is remembered between the requests of an
//! upload (`kept`). Owns them. Must not know the cache's rules, nor how a refusal is worded to a client.

pub mod body;
mod forward;
mod kept;
mod nullspace;
mod refused;
mod room;
mod shares;
mod token;
mod upload;
mod volumes;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::BoxStream;
use http::{HeaderMap, Method, StatusCode};

pub use self::body::{AnyBody, BodyError, ClientBody, any_body};
pub use self::nullspace::{Nullspace, Refused as NullspaceRefused, UploadFault};
pub use self::refused::Refused;
use self::room::Room;
use self::shares::Shares;
pub use self::volumes::{Refused as VolumesRefused, Volumes};
use crate::cache::Bounds;
use crate::cache::{Documents, SealedFiles};
use crate::clock::Clock;
use crate::limit::Client;
use crate::store::Store;
use crate::telemetry::Metrics;
use crate::upstream::{CouldNotAsk, Errand};

/// Uploads that are taken in at once. A client may be as slow as is allowed for as long as its upload lasts, so each has
/// a share of them.
const UPLOADS: usize = 32;

/// What lies here until a registry took it, in units of so many bytes: 16 GiB of all clients.
const STAGED: usize = 16 << 10;
const STAGED_UNIT: u64 = 1 << 20;

/// A request that is relayed.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// Its method.
    pub method: &'a Method,
    /// Its path as the client wrote it.
    pub path: &'a str,
    /// Its query, without the question mark.
    pub query: Option<&'a str>,
    /// Its header fields.
    pub headers: &'a HeaderMap,
    /// Where the client reaches this proxy, without a slash at the end.
    pub base: &'a str,
    /// On whose behalf.
    pub errand: Errand<'a>,
}

impl Request<'_> {
    /// Whose share of what many want it counts in.
    fn client(&self) -> Client {
        self.errand.client.cloned().unwrap_or(Client::Unknown)
    }
}

/// The registry's answer, as far as it is the client's.
#[derive(Debug)]
pub struct Answer {
    /// The registry's own status.
    pub status: StatusCode,
    /// The header fields that are about the content, not the connection.
    pub headers: HeaderMap,
    /// The content.
    pub content: Content,
}

/// The content of an answer.
pub enum Content {
    /// All of it.
    Whole(Bytes),
    /// What is still coming.
    Coming {
        /// How long it will be, where that was said.
        length: Option<u64>,
        /// The pieces; an error cuts the client's connection.
        pieces: BoxStream<'static, Result<Bytes, CouldNotAsk>>,
    },
}

impl fmt::Debug for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Whole(bytes) => write!(f, "Whole({})", bytes.len()),
            Self::Coming { length, .. } => write!(f, "Coming({length:?})"),
        }
    }
}

/// Bounds on what is relayed.
#[derive(Debug, Clone, Copy)]
pub struct Sizes {
    /// Bytes of a request's body.
    pub max_body: u64,
    /// Bytes of a document, sent or received.
    pub max_document: u64,
    /// Bytes of an archive, and what its verifier bounds.
    pub archive: Bounds,
    /// Longest wait between two pieces of a body.
    pub patience: Duration,
}

/// What both APIs stand on.
#[derive(Debug)]
pub struct Ground {
    store: Arc<dyn Store>,
    documents: Arc<Documents>,
    files: Arc<SealedFiles>,
    clock: Arc<dyn Clock>,
    metrics: Arc<Metrics>,
    max_body: AtomicU64,
    patience: Duration,
    uploads: Shares,
    staged: Shares,
    room: Room,
}

impl Ground {
    /// The same store, documents and files as reads use. A request's body has at most `max_body` bytes, and no pause
    /// between two pieces of it is longer than `patience`.
    #[must_use]
    pub fn new(
        store: Arc<dyn Store>,
        documents: Arc<Documents>,
        files: Arc<SealedFiles>,
        clock: Arc<dyn Clock>,
        metrics: Arc<Metrics>,
        (max_body, patience): (u64, Duration),
    ) -> Self {
        let (uploads, staged, room) = (Shares::of(UPLOADS), Shares::of(STAGED), Room::new());
        let max_body = AtomicU64::new(max_body);
        Self { store, documents, files, clock, metrics, max_body, patience, uploads, staged, room }
    }

    /// The bounds in force.
    #[must_use]
    pub fn sizes(&self) -> Sizes {
        Sizes {
            max_body: self.max_body.load(Ordering::Relaxed),
            max_document: self.documents.live().max_document,
            archive: self.files.bounds(),
            patience: self.patience,
        }
    }

    /// Bounds the bodies that come from now on.
    pub fn reload(&self, max_body: u64) {
        self.max_body.store(max_body, Ordering::Relaxed);
    }
}
