//! HTTP on one accepted connection.
//!
//! Owns the protocol's limits and timeouts, and how a connection ends. Must not know what a request means. The library
//! accepts, rustls encrypts, hyper speaks HTTP/1.1 and HTTP/2; this is the only file that holds all three.

use std::convert::Infallible;
use std::error::Error;
use std::future::poll_fn;
use std::io;
use std::mem;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::FutureExt;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use pingora_core::apps::ServerApp;
use pingora_core::protocols::Stream;
use pingora_core::server::ShutdownWatch;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::quiet::Quiet;
use super::rest::{Opened, Rested, Turn};
use super::server::Connections;
use super::stall::Stalling;
use super::tls::HTTP2;
use super::traffic::Traffic;
use super::{Answer, Peer, Terms};

/// What a request's head may measure. More is answered 431.
const MAX_HEAD: usize = 32 * 1024;

/// What an HTTP/1.1 connection may buffer in each direction, bodies included.
const MAX_BUFFER: usize = 64 * 1024;

/// Requests of an HTTP/2 connection in flight at once.
const MAX_STREAMS: u32 = 128;

const PING_INTERVAL: Duration = Duration::from_secs(30);
const PING_TIMEOUT: Duration = Duration::from_secs(20);

/// Brings the requests of one port's connections to what answers them.
pub(super) struct Http<A> {
    answer: Arc<A>,
    connections: Connections,
    terms: Terms,
    tls: Option<TlsAcceptor>,
    http1: http1::Builder,
    http2: http2::Builder<TokioExecutor>,
}

impl<A> Http<A> {
    pub(super) fn new(
        answer: Arc<A>,
        connections: Connections,
        terms: Terms,
        tls: Option<TlsAcceptor>,
    ) -> Self {
        let mut http1 = http1::Builder::new();
        http1.header_read_timeout(None).max_header_size(MAX_HEAD).max_buf_size(MAX_BUFFER);
        let mut http2 = http2::Builder::new(TokioExecutor::new());
        http2
            .timer(TokioTimer::new())
            .max_concurrent_streams(MAX_STREAMS)
            .max_header_list_size(MAX_HEAD as u32)
            .keep_alive_interval(PING_INTERVAL)
            .keep_alive_timeout(PING_TIMEOUT);
        Self { answer, connections, terms, tls, http1, http2 }
    }
}

#[async_trait]
impl<A: Answer> ServerApp for Http<A> {
    /// The library's task keeps room for its own handshake for as long as it lives, 9 KiB, so HTTP has another.
    async fn process_new(self: &Arc<Self>, stream: Stream, shutdown: &ShutdownWatch) -> Option<Stream> {
        tokio::spawn(self.clone().serve(stream, shutdown.clone()));
        None
    }
}

/// Why a connection ended before its end.
type Ended = Result<(), Box<dyn Error + Send + Sync>>;

/// A connection is idle for most of its life, and its task is never smaller than its largest branch: what only
/// some connections use, or only for a while, is boxed.
impl<A: Answer> Http<A> {
    async fn serve(self: Arc<Self>, stream: Stream, shutdown: ShutdownWatch) {
        let digest = stream.get_socket_digest();
        let address = digest.as_ref().and_then(|digest| digest.peer_addr()?.as_inet().copied());
        let peer = Peer { address, tls: self.tls.is_some() };
        let Some(_place) = self.connections.open() else {
            tracing::debug!(?peer, "connection refused: too many are open");
            return;
        };
        let traffic = Traffic::new();
        let taken = move || {
            digest.as_ref().and_then(|digest| digest.tcp_info()).map_or(0, |tcp| tcp.tcpi_bytes_acked)
        };
        let stream = Stalling::new(stream, taken, self.terms.send_timeout, traffic.clone());
        let ended = match &self.tls {
            None => self.http1(stream, peer, &shutdown).await,
            Some(tls) => Box::pin(self.encrypted(tls, stream, peer, &traffic, &shutdown)).await,
        };
        if let Err(error) = ended {
            tracing::debug!(?peer, %error, "connection ended early");
        }
    }

    async fn encrypted(
        &self,
        tls: &TlsAcceptor,
        stream: impl Socket,
        peer: Peer,
        traffic: &Arc<Traffic>,
        shutdown: &ShutdownWatch,
    ) -> Ended {
        let stream = Box::pin(self.handshake(tls, stream, shutdown)).await?;
        if stream.get_ref().1.alpn_protocol() == Some(HTTP2) {
            Box::pin(self.http2(stream, peer, traffic, shutdown)).await
        } else {
            self.http1(stream, peer, shutdown).await
        }
    }

    /// Shakes hands for no longer than a head may take, and not beyond the beginning of a shutdown.
    async fn handshake<S: Socket>(
        &self,
        tls: &TlsAcceptor,
        stream: S,
        shutdown: &ShutdownWatch,
    ) -> io::Result<TlsStream<S>> {
        tokio::select! {
            biased;
            stream = timeout(self.terms.header_timeout, tls.accept(stream)) => stream?,
            () = begun(shutdown) => Err(io::ErrorKind::ConnectionAborted.into()),
        }
    }

    async fn http1(&self, stream: impl Socket, peer: Peer, shutdown: &ShutdownWatch) -> Ended {
        let mut look = pin!(sleep(self.terms.header_timeout));
        let mut quiet = Quiet::new(look.as_mut(), self.terms.header_timeout);
        let mut stream = Rested::new(stream);
        let mut read = Bytes::new();
        loop {
            let turn = stream.begin(read);
            let Some((rested, left)) = self.turn(stream, &turn, &mut quiet, peer, shutdown).await? else {
                return Ok(());
            };
            (stream, read) = (rested, left);
            if read.is_empty() {
                read = tokio::select! {
                    biased;
                    read = stream.wait() => read?,
                    () = begun(shutdown) => Bytes::new(),
                    () = poll_fn(|context| quiet.poll_over(context, || turn.stirred())) => Bytes::new(),
                };
            }
            if read.is_empty() {
                return Ok(stream.shutdown().await?);
            }
        }
    }

    /// Lets hyper answer requests until the connection ends, or nothing is asked for too long. In a crowd it is given
    /// back as soon as it is idle, with what was read of the next request.
    async fn turn<S: Socket>(
        &self,
        stream: Rested<S>,
        turn: &Arc<Turn>,
        quiet: &mut Quiet<'_>,
        peer: Peer,
        shutdown: &ShutdownWatch,
    ) -> hyper::Result<Option<(Rested<S>, Bytes)>> {
        let service = service_fn(|request| {
            let (answer, turn) = (self.answer.clone().answer(request, peer), turn.open());
            let opened = |answer: http::Response<_>| answer.map(|body| Opened { body, _turn: turn });
            Box::pin(answer.map(opened).map(Ok::<_, Infallible>))
        });
        let mut connection = self.http1.serve_connection(TokioIo::new(stream), service);
        let mut finish = pin!(begun(shutdown));
        let (mut waits, mut told) = (false, false);
        let rests = poll_fn(|context| {
            if let Poll::Ready(ended) = Pin::new(&mut connection).poll(context) {
                return Poll::Ready(ended.map(|()| false));
            }
            if quiet.poll_over(context, || turn.stirred()).is_ready() {
                return Poll::Ready(Ok(false));
            }
            if told {
                return Poll::Pending;
            }
            // Asked once it has changed, and once before: asking takes a lock that all connections share.
            let may_have_begun = !mem::replace(&mut waits, true) || shutdown.has_changed().unwrap_or(true);
            if may_have_begun && finish.as_mut().poll(context).is_ready() {
                told = true;
                Pin::new(&mut connection).graceful_shutdown();
                return Pin::new(&mut connection).poll(context).map_ok(|()| false);
            }
            if !(turn.is_over() && self.connections.are_a_crowd()) {
                return Poll::Pending;
            }
            // One that is not idle after all is closed by hyper after its answer.
            told = true;
            Pin::new(&mut connection).graceful_shutdown();
            connection.poll_without_shutdown(context).map_ok(|()| true)
        });
        if !rests.await? {
            return Ok(None);
        }
        let parts = connection.into_parts();
        // Copied, for even an empty one holds on to all of hyper's buffer.
        Ok(Some((parts.io.into_inner(), Bytes::copy_from_slice(&parts.read_buf))))
    }

    /// hyper ends neither a connection that is idle, nor one whose client answers pings and takes nothing else.
    async fn http2(
        &self,
        stream: impl Socket,
        peer: Peer,
        traffic: &Arc<Traffic>,
        shutdown: &ShutdownWatch,
    ) -> Ended {
        let Terms { header_timeout, send_timeout, .. } = self.terms;
        let service = service_fn(|request| {
            let (answer, open) = (self.answer.clone().answer(request, peer), traffic.open());
            answer.map(|answer| Ok::<_, Infallible>(answer.map(|body| open.watch(body))))
        });
        let connection = pin!(self.http2.serve_connection(TokioIo::new(stream), service));
        let finish = async {
            tokio::select! {
                () = begun(shutdown) => {}
                () = traffic.idle(header_timeout) => {}
            }
        };
        tokio::select! {
            biased;
            ended = until(finish, connection, http2::Connection::graceful_shutdown) => Ok(ended?),
            () = traffic.stalled(send_timeout) => Err("the client takes nothing".into()),
            () = traffic.idle(header_timeout.saturating_mul(2)) => Err("the client does not hang up".into()),
        }
    }
}

/// What HTTP is spoken on.
trait Socket: AsyncRead + AsyncWrite + Unpin + Send + 'static {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> Socket for S {}

async fn begun(shutdown: &ShutdownWatch) {
    // Closed means that nobody is left to wait for.
    let _ = shutdown.clone().wait_for(|begun| *begun).await;
}

/// Drives a connection to its end. After `finish` it is told to: at once when idle, else after its request.
async fn until<C: Future<Output = hyper::Result<()>>>(
    finish: impl Future<Output = ()>,
    mut connection: Pin<&mut C>,
    tell: impl FnOnce(Pin<&mut C>),
) -> hyper::Result<()> {
    tokio::select! {
        biased;
        ended = connection.as_mut() => return ended,
        () = finish => tell(connection.as_mut()),
    }
    connection.await
}

#[cfg(test)]
mod tests;
