//! HTTP on one accepted connection.
//!
//! Owns the protocol's limits and timeouts, and how a connection ends. Must not know what a request means, nor which
//! thread it runs on. rustls encrypts, hyper speaks HTTP/1.1 and HTTP/2; this is the only file that holds both.

use std::convert::Infallible;
use std::error::Error;
use std::future::poll_fn;
use std::io;
use std::mem;
use std::net;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use futures_util::FutureExt;
use http_body_util::BodyExt;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use rustls::ServerConnection;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout_at};
use tokio_rustls::TlsAcceptor;

use super::accept::NewConnection;
use super::connections::{CloseCause, Connection, ConnectionSlot, Connections, Fate, PortFull};
use super::head::is_head;
use super::http2::Http2Activity;
use super::idle_timeout::IdleTimeout;
use super::memory::{CONNECTION, HANDSHAKE, HTTP1, HTTP2, READ_MOST, TLS, TLS_UNSENT};
use super::peer::{Peer, PeerResolver};
use super::replay::Replay;
use super::stream::ClientStream;
use super::tcp_info::bytes_acknowledged;
use super::tls::ALPN_HTTP2;
use super::{PortTerms, RequestHandler};

/// Most bytes of a request's head. More is answered with 431.
const MAX_HEAD: usize = 32 * 1024;

/// Most bytes that an HTTP/1.1 connection buffers in each direction, bodies included.
const MAX_BUFFER: usize = 64 * 1024;

/// Requests of an HTTP/2 connection in flight at once.
const MAX_STREAMS: u32 = 128;

/// Most bytes of bodies that an HTTP/2 client may send before they are read.
const WINDOW: u32 = READ_MOST as u32;

/// Most bytes of an answer that hyper holds before the client has taken them.
const MAX_UNSENT: usize = 16 * 1024;

/// Requests that the client cancelled before they were read, and requests with an error: more of either end the connection.
const MAX_RESET: usize = 20;
const MAX_ERRORS: usize = 64;

/// How long after the beginning of a shutdown the first request of a connection is answered.
const FIRST_REQUEST: Duration = Duration::from_millis(300);

const PING_INTERVAL: Duration = Duration::from_secs(30);
const PING_TIMEOUT: Duration = Duration::from_secs(20);

/// Serves those connections of one port that are one worker's.
pub(super) struct Http<H> {
    handler: Arc<H>,
    port: Arc<Connections>,
    terms: PortTerms,
    tls: Option<TlsAcceptor>,
    peers: PeerResolver,
    /// Whether connections are to finish; closed when the worker ends.
    shutdown: watch::Receiver<bool>,
    http1: http1::Builder,
    http2: http2::Builder<TokioExecutor>,
}

impl<H> Http<H> {
    pub(super) fn new(
        handler: Arc<H>,
        port: Arc<Connections>,
        terms: PortTerms,
        tls: Option<TlsAcceptor>,
        peers: PeerResolver,
        shutdown: watch::Receiver<bool>,
    ) -> Self {
        let mut http1 = http1::Builder::new();
        http1.header_read_timeout(None).max_header_size(MAX_HEAD).max_buf_size(MAX_BUFFER);
        let mut http2 = http2::Builder::new(TokioExecutor::new());
        http2
            .timer(TokioTimer::new())
            .max_concurrent_streams(MAX_STREAMS)
            .max_header_list_size(MAX_HEAD as u32)
            .max_send_buf_size(MAX_UNSENT)
            .initial_connection_window_size(WINDOW)
            .initial_stream_window_size(WINDOW)
            .max_pending_accept_reset_streams(MAX_RESET)
            .max_local_error_reset_streams(MAX_ERRORS)
            .keep_alive_interval(PING_INTERVAL)
            .keep_alive_timeout(PING_TIMEOUT);
        Self { handler, port, terms, tls, peers, shutdown, http1, http2 }
    }
}

/// Why a connection ended otherwise than it should.
type EndedEarly = Box<dyn Error + Send + Sync>;

/// What a client sends and is sent, before TLS.
type Socket = ClientStream<TcpStream, fn(&TcpStream) -> u64>;

/// A connection is idle for most of its life, and its task is as large as its largest branch. So a future that only some
/// connections need, or only for a while, is boxed.
impl<H: RequestHandler> Http<H> {
    /// Serves a connection to its end.
    pub(super) async fn serve(self: Arc<Self>, new: NewConnection, slot: ConnectionSlot) {
        let (stream, address) = new;
        let mut peer = Peer { address: Some(address), tls: self.tls.is_some() };
        if let Err(error) = self.speak(stream, &mut peer, &slot).await {
            tracing::debug!(?peer, %error, "connection ended early");
        }
    }

    /// Finds out which client it is, shakes hands, and answers requests until the connection ends.
    async fn speak(
        self: &Arc<Self>,
        stream: net::TcpStream,
        peer: &mut Peer,
        slot: &ConnectionSlot,
    ) -> Result<(), EndedEarly> {
        let connection = slot.connection();
        let _reserved = connection.reserve(CONNECTION)?;
        // Registered with the runtime of this thread, where its events then come.
        let stream = TcpStream::from_std(stream)?;
        let (patience, unsent) = (self.terms.send_timeout, self.tls.as_ref().map_or(0, |_| TLS_UNSENT));
        let stream = Socket::new(stream, bytes_acknowledged, patience, unsent, connection.clone());
        let mut stream = Replay::new(stream);
        let deadline = Instant::now() + self.terms.header_timeout;
        if self.peers.awaits_header(peer.address) {
            let resolving = self.peers.resolve(&mut stream, peer);
            let resolved = Box::pin(self.in_time(deadline, resolving)).await;
            resolved.inspect_err(|_| self.port.count_closed(CloseCause::ProxyHeader, Fate::Refused, 1))?;
        }
        if let Some(client) = self.peers.counted_client(*peer) {
            slot.belongs_to(client)?;
        }
        match &self.tls {
            None => {
                let read = stream.unread();
                self.http1(stream, read, *peer, connection).await
            }
            Some(tls) => {
                // TLS needs no memory before the client has sent something.
                Box::pin(self.in_time(deadline, stream.first_byte())).await?;
                let _reserved = connection.reserve(TLS)?;
                Box::pin(self.encrypted(tls, stream, *peer, connection, deadline)).await
            }
        }
    }

    async fn encrypted(
        self: &Arc<Self>,
        tls: &TlsAcceptor,
        stream: Replay<Socket>,
        peer: Peer,
        connection: &Arc<Connection>,
        deadline: Instant,
    ) -> Result<(), EndedEarly> {
        let shaking = connection.reserve(HANDSHAKE)?;
        let bounded = |tls: &mut ServerConnection| tls.set_buffer_limit(Some(TLS_UNSENT));
        let stream = Box::pin(self.in_time(deadline, tls.accept_with(stream, bounded))).await?;
        drop(shaking);
        if stream.get_ref().1.alpn_protocol() == Some(ALPN_HTTP2) {
            Box::pin(self.http2(stream, peer, connection)).await
        } else {
            self.http1(Replay::new(stream), Vec::new(), peer, connection).await
        }
    }

    async fn http1<S: Speakable>(
        &self,
        mut stream: Replay<S>,
        mut read: Vec<u8>,
        peer: Peer,
        connection: &Arc<Connection>,
    ) -> Result<(), EndedEarly> {
        let mut look = pin!(sleep(self.terms.header_timeout));
        let mut idle = IdleTimeout::new(look.as_mut(), self.terms.header_timeout);
        let mut is_new = true;
        loop {
            let goes_on = tokio::select! {
                biased;
                came = stream.gather(&mut read, |read, judged| is_head(read, judged, MAX_HEAD)) => came?,
                () = self.shutdown_ends(mem::replace(&mut is_new, false)) => false,
                () = poll_fn(|context| idle.poll_over(context, &connection.activity)) => false,
            };
            if !goes_on {
                return Ok(stream.shutdown().await?);
            }
            stream.replay(mem::take(&mut read));
            let Some(left) = self.turn(stream, connection, &mut idle, peer).await? else {
                return Ok(());
            };
            (stream, read) = left;
        }
    }

    /// Lets hyper answer requests until the connection ends or is idle for too long. In a crowd, returns the stream as soon
    /// as it is idle, with what was read of the next request.
    async fn turn<S: Speakable>(
        &self,
        stream: Replay<S>,
        connection: &Arc<Connection>,
        idle: &mut IdleTimeout<'_>,
        peer: Peer,
    ) -> Result<Option<(Replay<S>, Vec<u8>)>, EndedEarly> {
        let _reserved = connection.reserve(HTTP1)?;
        let activity = &connection.activity;
        let before = activity.requests();
        let service = service_fn(|request| {
            let (answer, open) = (self.handler.answer(request, peer), connection.open_answer());
            // The answer is open until its body is dropped, which holds this function.
            let as_it_is = move |error| {
                let _ = &open;
                error
            };
            Box::pin(answer.map(|answer| Ok::<_, Infallible>(answer.map(|body| body.map_err(as_it_is)))))
        });
        let mut http = self.http1.serve_connection(TokioIo::new(stream), service);
        let mut finish = pin!(self.shutdown_begun());
        let (mut waits, mut told) = (false, false);
        let rests = poll_fn(|context| {
            if let Poll::Ready(ended) = Pin::new(&mut http).poll(context) {
                return Poll::Ready(ended.map(|()| false));
            }
            if idle.poll_over(context, activity).is_ready() {
                return Poll::Ready(Ok(false));
            }
            if told {
                return Poll::Pending;
            }
            // The channel has a lock, so it is read only at first and after a change.
            let may_have_begun =
                !mem::replace(&mut waits, true) || self.shutdown.has_changed().unwrap_or(true);
            if may_have_begun && finish.as_mut().poll(context).is_ready() {
                told = true;
                Pin::new(&mut http).graceful_shutdown();
                return Pin::new(&mut http).poll(context).map_ok(|()| false);
            }
            if !(activity.requests() != before && activity.is_idle() && self.port.is_crowded()) {
                return Poll::Pending;
            }
            // If a request has come after all, hyper closes the connection after the answer.
            told = true;
            Pin::new(&mut http).graceful_shutdown();
            http.poll_without_shutdown(context).map_ok(|()| true)
        });
        if !rests.await? {
            return Ok(None);
        }
        let parts = http.into_parts();
        // Copied, since even an empty part of hyper's buffer keeps all of it.
        Ok(Some((parts.io.into_inner(), parts.read_buf.to_vec())))
    }

    /// hyper closes neither an idle connection, nor one whose client answers pings and takes nothing else.
    async fn http2(
        self: &Arc<Self>,
        stream: impl Speakable,
        peer: Peer,
        connection: &Arc<Connection>,
    ) -> Result<(), EndedEarly> {
        let _reserved = connection.reserve(HTTP2)?;
        let activity = Http2Activity::new(connection.clone());
        let PortTerms { header_timeout, send_timeout, .. } = self.terms;
        let service = service_fn(|request| {
            let (open, http) = (activity.open(), self.clone());
            async move {
                let open = open?;
                let answer = http.handler.answer(request, peer).await;
                Ok::<_, PortFull>(answer.map(|body| open.watch(body)))
            }
        });
        let mut http = pin!(self.http2.serve_connection(TokioIo::new(stream), service));
        let ended = async {
            tokio::select! {
                biased;
                ended = http.as_mut() => return ended,
                () = self.shutdown_begun() => {}
                () = activity.idle(header_timeout) => {}
            }
            http.as_mut().graceful_shutdown();
            http.await
        };
        tokio::select! {
            biased;
            ended = ended => Ok(ended?),
            () = activity.stalled(send_timeout) => Err("the client takes nothing".into()),
            () = activity.idle(header_timeout.saturating_mul(2)) => Err("the client does not close".into()),
        }
    }

    /// What comes before the first request: it fails after the deadline, and soon after the port begins to shut down.
    async fn in_time<T, E: Error + Send + Sync + 'static>(
        &self,
        deadline: Instant,
        work: impl Future<Output = Result<T, E>>,
    ) -> Result<T, EndedEarly> {
        tokio::select! {
            biased;
            done = timeout_at(deadline, work) => Ok(done??),
            () = self.shutdown_ends(true) => Err(io::Error::from(io::ErrorKind::ConnectionAborted).into()),
        }
    }

    /// Waits until a shutdown ends a connection without an open request. A new one is given time for its first request: its
    /// client has just connected, and cannot know.
    async fn shutdown_ends(&self, is_new: bool) {
        self.shutdown_begun().await;
        if is_new {
            Box::pin(sleep(FIRST_REQUEST)).await;
        }
    }

    async fn shutdown_begun(&self) {
        let _ = self.shutdown.clone().wait_for(|begun| *begun).await;
    }
}

/// A stream that HTTP is spoken on.
trait Speakable: AsyncRead + AsyncWrite + Unpin + Send + 'static {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> Speakable for S {}

#[cfg(test)]
mod tests;
