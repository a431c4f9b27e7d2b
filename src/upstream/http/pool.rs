//! The HTTP client with its connections, until one of them turns out to be dead: then all of them are left behind.
//!
//! Owns the client and how one answers on which connection. Nothing else names it. Must not know what is asked, nor how a
//! connection is made.

use std::time::Duration;

use ::http::{Extensions, Request, Response};
use bytes::Bytes;
use http_body_util::combinators::UnsyncBoxBody;
use hyper::body::Incoming;
use hyper_util::client::legacy::connect::{CaptureConnection, Connected, capture_connection};
use hyper_util::client::legacy::{Client, ResponseFuture};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tokio::time::Instant;

use super::connection::Past;
use super::dial::Dialler;
use super::sending::Cut;

/// What is sent along.
pub(super) type Sent = UnsyncBoxBody<Bytes, Cut>;

/// Connections of HTTP/1 that are kept, and for how long nobody may use one.
const MAX_IDLE: usize = 32;
const LONGEST_IDLE: Duration = Duration::from_secs(60);
/// How often a connection of HTTP/2 with requests on it is asked whether it is alive, and how long for.
const PING_EVERY: Duration = Duration::from_secs(15);
const PING_FOR: Duration = Duration::from_secs(10);

/// A client and its connections.
pub(super) struct Pool(Client<Dialler, Sent>);

/// Which connection a request went over, once it went over one. The latest, where it was sent again.
#[derive(Clone)]
pub(super) struct Way {
    connection: CaptureConnection,
    began: Instant,
}

impl Pool {
    pub(super) fn new(dialler: Dialler, max_concurrent: usize) -> Self {
        let mut builder = Client::builder(TokioExecutor::new());
        builder.timer(TokioTimer::new()).pool_timer(TokioTimer::new());
        builder.pool_idle_timeout(LONGEST_IDLE).pool_max_idle_per_host(max_concurrent.min(MAX_IDLE));
        builder.http2_keep_alive_interval(PING_EVERY).http2_keep_alive_timeout(PING_FOR);
        Self(builder.build(dialler))
    }

    /// Sends `request`, over a connection that is there or a new one.
    pub(super) fn send(&self, mut request: Request<Sent>) -> (ResponseFuture, Way) {
        let way = Way { connection: capture_connection(&mut request), began: Instant::now() };
        (self.0.request(request), way)
    }
}

impl Way {
    /// Whether the connection was there before the request, or answered one. There is none yet where none could be made.
    pub(super) fn is_used(&self) -> bool {
        let past = |connected: &Connected| past(connected).is_some_and(|past| past.precedes(self.began));
        self.connection.connection_metadata().as_ref().is_some_and(past)
    }

    /// Waits until the request goes over a connection. Never ends where none can be made.
    pub(super) async fn begun(&mut self) {
        drop(self.connection.wait_for_connection_metadata().await);
    }
}

/// Notes that `response` came on its connection.
pub(super) fn note(response: &Response<Incoming>) {
    if let Some(past) = response.extensions().get::<Past>() {
        past.note_answer();
    }
}

fn past(connected: &Connected) -> Option<Past> {
    let mut extras = Extensions::new();
    connected.get_extras(&mut extras);
    extras.get().cloned()
}
