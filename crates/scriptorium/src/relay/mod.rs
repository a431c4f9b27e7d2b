//! Writes: this proxy checks a client's upload or change, and relays it to its registry.
//!
//! Two APIs are understood: Agent Volumes' writes (`volumes`) and Nullspace (`nullspace`). Both use the same parts:
//! the client's body (`body`), an upload that is staged and checked before it is sent (`upload`), the header fields
//! that are passed on (`forward`), and the records between the requests of an upload (`upload_records`). Owns them. Must
//! not know the rules of the cache, nor statuses of refusals.

pub(crate) mod body;
mod body_memory;
mod forward;
mod nullspace;
mod owner;
mod refusal;
mod upload;
mod upload_records;
mod volumes;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::BoxStream;
use http::{HeaderMap, Method, StatusCode};

pub(crate) use self::body::{AnyBody, BodyError, ClientBody, any_body};
use self::body_memory::BodyMemory;
pub(crate) use self::nullspace::Nullspace;
pub(crate) use self::refusal::{RefusalFacets, RefusalKind, WriteRefusal};
pub(crate) use self::volumes::Volumes;
use crate::admission::Admission;
use crate::clock::Clock;
use crate::files::{Bounds, SealedFiles};
use crate::limit::Client;
use crate::read::Documents;
use crate::store::Store;
use crate::telemetry::Metrics;
use crate::upstream::{CouldNotAsk, FetchContext};

/// How long a write waits for a slot.
const PATIENCE: Duration = Duration::from_secs(10);

/// The most uploads that are received at the same time. Each client has a share of them, since a client may be slow for
/// as long as its upload lasts.
const UPLOADS: usize = 32;

/// The most bytes that are staged until the registry accepts them, in units: 16 GiB of all clients.
const STAGED: usize = 16 << 10;
const STAGED_UNIT: u64 = 1 << 20;

/// `all` units, of which one client may hold a quarter. A client is an address or a configured token. A credential that
/// only a registry can judge gives no share of its own, since anybody can invent one.
fn quarter_shares(all: usize) -> Arc<Admission<Client>> {
    Admission::new(all, all.div_ceil(4))
}

/// A request that is relayed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RelayRequest<'a> {
    pub(crate) method: &'a Method,
    /// The path as the client wrote it.
    pub(crate) path: &'a str,
    /// The query, without the question mark.
    pub(crate) query: Option<&'a str>,
    pub(crate) headers: &'a HeaderMap,
    /// Where the client reaches this proxy, without a slash at the end.
    pub(crate) base: &'a str,
    pub(crate) context: FetchContext<'a>,
}

impl RelayRequest<'_> {
    /// The client whose share it counts in.
    fn client(&self) -> Client {
        self.context.client.cloned().unwrap_or(Client::Unknown)
    }
}

/// The registry's answer, as far as it is passed on to the client.
#[derive(Debug)]
pub(crate) struct RelayedAnswer {
    pub(crate) status: StatusCode,
    /// The header fields that are passed on.
    pub(crate) headers: HeaderMap,
    pub(crate) content: RelayedContent,
}

pub(crate) enum RelayedContent {
    Whole(Bytes),
    /// It is passed on while it arrives.
    Streamed {
        /// Its length, if known.
        length: Option<u64>,
        /// The pieces; an error cuts the client's connection.
        pieces: BoxStream<'static, Result<Bytes, CouldNotAsk>>,
    },
}

impl fmt::Debug for RelayedContent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Whole(bytes) => write!(f, "Whole({})", bytes.len()),
            Self::Streamed { length, .. } => write!(f, "Streamed({length:?})"),
        }
    }
}

/// The bounds on what is relayed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sizes {
    /// Bytes of a request's body.
    pub(crate) max_body: u64,
    /// Bytes of a document, sent or received.
    pub(crate) max_document: u64,
    /// The bounds of an archive and its verification.
    pub(crate) archive: Bounds,
    /// The longest silence of a body.
    pub(crate) patience: Duration,
}

/// The parts that both APIs use.
#[derive(Debug)]
pub(crate) struct RelayServices {
    store: Arc<dyn Store>,
    documents: Arc<Documents>,
    files: Arc<SealedFiles>,
    clock: Arc<dyn Clock>,
    metrics: Arc<Metrics>,
    max_body: AtomicU64,
    patience: Duration,
    uploads: Arc<Admission<Client>>,
    staged: Arc<Admission<Client>>,
    body_memory: BodyMemory,
}

impl RelayServices {
    /// Uses the same store, documents and files as reads. A request's body has at most `max_body` bytes, and is
    /// silent for at most `patience`.
    pub(crate) fn new(
        store: Arc<dyn Store>,
        documents: Arc<Documents>,
        files: Arc<SealedFiles>,
        clock: Arc<dyn Clock>,
        metrics: Arc<Metrics>,
        max_body: u64,
        patience: Duration,
    ) -> Self {
        let (uploads, staged) = (quarter_shares(UPLOADS), quarter_shares(STAGED));
        let body_memory = BodyMemory::new();
        let max_body = AtomicU64::new(max_body);
        Self { store, documents, files, clock, metrics, max_body, patience, uploads, staged, body_memory }
    }

    /// The bounds in force.
    pub(crate) fn sizes(&self) -> Sizes {
        Sizes {
            max_body: self.max_body.load(Ordering::Relaxed),
            max_document: self.documents.live().max_document,
            archive: self.files.bounds(),
            patience: self.patience,
        }
    }

    /// Changes the bound on bodies, for those that come from now on.
    pub(crate) fn reload(&self, max_body: u64) {
        self.max_body.store(max_body, Ordering::Relaxed);
    }
}
