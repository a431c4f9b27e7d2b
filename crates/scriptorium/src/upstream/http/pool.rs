//! The HTTP client and its connection pool, replaced once one of its connections turns out to be dead.
//!
//! Owns the client, and which connection a request uses. Must not know what is asked, nor how a connection is made.

use std::time::Duration;

use ::http::{Extensions, Request, Response};
use bytes::Bytes;
use http_body_util::combinators::UnsyncBoxBody;
use hyper::body::Incoming;
use hyper_util::client::legacy::connect::{CaptureConnection, Connected, capture_connection};
use hyper_util::client::legacy::{Client, ResponseFuture};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tokio::time::Instant;

use super::connection::ConnectionHistory;
use super::dial::Dialler;
use super::sending::SendStopped;

pub(super) type RequestBody = UnsyncBoxBody<Bytes, SendStopped>;

/// How many idle HTTP/1 connections are kept, and how long.
const MAX_IDLE: usize = 32;
const LONGEST_IDLE: Duration = Duration::from_secs(60);
/// How often an HTTP/2 connection with open requests is pinged, and how long its answer may take.
const PING_EVERY: Duration = Duration::from_secs(15);
const PING_FOR: Duration = Duration::from_secs(10);

/// A client and its connections.
pub(super) struct ConnectionPool(Client<Dialler, RequestBody>);

/// The connection that a request uses, once there is one. The latest, where the request was sent again.
#[derive(Clone)]
pub(super) struct RequestConnection {
    connection: CaptureConnection,
    began: Instant,
}

impl ConnectionPool {
    pub(super) fn new(dialler: Dialler, max_concurrent: usize) -> Self {
        let mut builder = Client::builder(TokioExecutor::new());
        builder.timer(TokioTimer::new()).pool_timer(TokioTimer::new());
        builder.pool_idle_timeout(LONGEST_IDLE).pool_max_idle_per_host(max_concurrent.min(MAX_IDLE));
        builder.http2_keep_alive_interval(PING_EVERY).http2_keep_alive_timeout(PING_FOR);
        Self(builder.build(dialler))
    }

    /// Sends `request` over an idle or a new connection.
    pub(super) fn send(&self, mut request: Request<RequestBody>) -> (ResponseFuture, RequestConnection) {
        let way = RequestConnection { connection: capture_connection(&mut request), began: Instant::now() };
        (self.0.request(request), way)
    }
}

impl RequestConnection {
    /// Whether the connection existed before the request, or has answered one. False while there is no connection.
    pub(super) fn is_used(&self) -> bool {
        let past = |connected: &Connected| past(connected).is_some_and(|past| past.precedes(self.began));
        self.connection.connection_metadata().as_ref().is_some_and(past)
    }

    /// Waits until the request has a connection. Never ends where none can be made.
    pub(super) async fn begun(&mut self) {
        drop(self.connection.wait_for_connection_metadata().await);
    }
}

/// Notes that the connection of `response` has answered.
pub(super) fn note(response: &Response<Incoming>) {
    if let Some(history) = response.extensions().get::<ConnectionHistory>() {
        history.note_answer();
    }
}

fn past(connected: &Connected) -> Option<ConnectionHistory> {
    let mut extras = Extensions::new();
    connected.get_extras(&mut extras);
    extras.get().cloned()
}
