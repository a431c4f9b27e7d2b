//! HTTP on one accepted connection.
//!
//! Owns the protocol's limits and timeouts, and how a connection ends. Must not know what a request means. The library
//! accepts and encrypts, hyper speaks HTTP/1.1 and HTTP/2; this is the only file that holds both.

use std::convert::Infallible;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use pingora_core::apps::ServerApp;
use pingora_core::listeners::ALPN;
use pingora_core::protocols::Stream;
use pingora_core::server::ShutdownWatch;

use super::server::Connections;
use super::{Answer, Peer};

/// A request's head must be complete this long after the connection could bring it; idle connections end so too.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);

/// What a request's head may measure. More is answered 431.
const MAX_HEAD: usize = 32 * 1024;
const MAX_STREAMS: u32 = 128;

const PING_INTERVAL: Duration = Duration::from_secs(30);
const PING_TIMEOUT: Duration = Duration::from_secs(20);

/// Brings the requests of one port's connections to what answers them.
pub(super) struct Http<A> {
    answer: Arc<A>,
    connections: Connections,
    http1: http1::Builder,
    http2: http2::Builder<TokioExecutor>,
}

impl<A> Http<A> {
    pub(super) fn new(answer: Arc<A>, connections: Connections) -> Self {
        let mut http1 = http1::Builder::new();
        http1
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD_TIMEOUT)
            .max_buf_size(MAX_HEAD)
            .pipeline_flush(true);
        let mut http2 = http2::Builder::new(TokioExecutor::new());
        http2
            .timer(TokioTimer::new())
            .max_concurrent_streams(MAX_STREAMS)
            .max_header_list_size(MAX_HEAD as u32)
            .keep_alive_interval(PING_INTERVAL)
            .keep_alive_timeout(PING_TIMEOUT);
        Self { answer, connections, http1, http2 }
    }
}

#[async_trait]
impl<A: Answer> ServerApp for Http<A> {
    async fn process_new(self: &Arc<Self>, stream: Stream, shutdown: &ShutdownWatch) -> Option<Stream> {
        let peer = peer(&stream);
        let Some(_place) = self.connections.open() else {
            tracing::debug!(?peer, "connection refused: too many are open");
            return None;
        };
        let speaks_http2 = matches!(stream.selected_alpn_proto(), Some(ALPN::H2));
        let stream = TokioIo::new(stream);
        let service = service_fn(|request| {
            let answer = self.answer.clone();
            async move { Ok::<_, Infallible>(answer.answer(request, peer).await) }
        });
        let ended = if speaks_http2 {
            let connection = self.http2.serve_connection(stream, service);
            until_shutdown(connection, http2::Connection::graceful_shutdown, shutdown).await
        } else {
            let connection = self.http1.serve_connection(stream, service);
            until_shutdown(connection, http1::Connection::graceful_shutdown, shutdown).await
        };
        if let Err(error) = ended {
            tracing::debug!(?peer, %error, "connection ended early");
        }
        None
    }
}

fn peer(stream: &Stream) -> Peer {
    let digest = stream.get_socket_digest();
    Peer {
        address: digest.and_then(|digest| digest.peer_addr()?.as_inet().copied()),
        tls: stream.get_ssl_digest().is_some(),
    }
}

/// Drives a connection to its end. At a shutdown it is told to finish: at once when idle, else after its request.
async fn until_shutdown<C: Future<Output = hyper::Result<()>>>(
    connection: C,
    finish: impl FnOnce(Pin<&mut C>),
    shutdown: &ShutdownWatch,
) -> hyper::Result<()> {
    let mut connection = pin!(connection);
    let mut shutdown = shutdown.clone();
    tokio::select! {
        biased;
        ended = connection.as_mut() => return ended,
        _ = shutdown.wait_for(|begun| *begun) => finish(connection.as_mut()),
    }
    connection.await
}
