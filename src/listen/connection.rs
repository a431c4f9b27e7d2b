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
use futures_util::FutureExt;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use pingora_core::apps::ServerApp;
use pingora_core::protocols::Stream;
use pingora_core::server::ShutdownWatch;
use rustls::ServerConnection;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::time::{Instant, sleep, timeout_at};
use tokio_rustls::TlsAcceptor;

use super::connections::{Full, Place, Port};
use super::doorkeeper::Doorkeeper;
use super::observer::{Cause, Fate};
use super::quiet::Quiet;
use super::replay::Replay;
use super::rest::{Opened, Rested};
use super::stall::Stalling;
use super::standing::{HANDSHAKE, HTTP1, HTTP2, READ_MOST, Standing, TLS, TLS_UNSENT};
use super::tls;
use super::traffic::Traffic;
use super::{Answer, Peer, Terms};

/// What a request's head may measure. More is answered 431.
const MAX_HEAD: usize = 32 * 1024;

/// What an HTTP/1.1 connection may buffer in each direction, bodies included.
const MAX_BUFFER: usize = 64 * 1024;

/// Requests of an HTTP/2 connection in flight at once.
const MAX_STREAMS: u32 = 128;

/// What an HTTP/2 connection may send of bodies that nobody has read yet.
const WINDOW: u32 = READ_MOST as u32;

/// What is taken from an answer before its client has taken it, in bytes.
const MAX_UNSENT: usize = 16 * 1024;

/// Requests that were taken back before they were looked at, and that were none: more of either end the connection.
const MAX_RESET: usize = 20;
const MAX_ERRORS: usize = 64;

const PING_INTERVAL: Duration = Duration::from_secs(30);
const PING_TIMEOUT: Duration = Duration::from_secs(20);

/// Brings the requests of one port's connections to what answers them.
pub(super) struct Http<A> {
    answer: Arc<A>,
    port: Arc<Port>,
    terms: Terms,
    tls: Option<TlsAcceptor>,
    doorkeeper: Doorkeeper,
    http1: http1::Builder,
    http2: http2::Builder<TokioExecutor>,
}

impl<A> Http<A> {
    pub(super) fn new(
        answer: Arc<A>,
        port: Arc<Port>,
        terms: Terms,
        tls: Option<TlsAcceptor>,
        doorkeeper: Doorkeeper,
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
        Self { answer, port, terms, tls, doorkeeper, http1, http2 }
    }
}

#[async_trait]
impl<A: Answer> ServerApp for Http<A> {
    /// The library's task keeps room for its own handshake for as long as it lives, 9 KiB, so HTTP has another.
    async fn process_new(self: &Arc<Self>, stream: Stream, shutdown: &ShutdownWatch) -> Option<Stream> {
        match self.port.open() {
            Ok(place) => {
                let standing = place.standing().clone();
                standing
                    .runs(tokio::spawn(self.clone().serve(stream, place, shutdown.clone())).abort_handle());
            }
            Err(error) => tracing::debug!(%error, "connection refused"),
        }
        None
    }
}

/// Why a connection ended before its end.
type Ended = Result<(), Box<dyn Error + Send + Sync>>;

/// A connection is idle for most of its life, and its task is never smaller than its largest branch: what only
/// some connections use, or only for a while, is boxed.
impl<A: Answer> Http<A> {
    async fn serve(self: Arc<Self>, stream: Stream, place: Place, shutdown: ShutdownWatch) {
        let digest = stream.get_socket_digest();
        let address = digest.as_ref().and_then(|digest| digest.peer_addr()?.as_inet().copied());
        let mut peer = Peer { address, tls: self.tls.is_some() };
        let taken = move || {
            digest.as_ref().and_then(|digest| digest.tcp_info()).map_or(0, |tcp| tcp.tcpi_bytes_acked)
        };
        let stream = Stalling::new(stream, taken, self.terms.send_timeout, place.standing().clone());
        let ended = self.speak(Replay::new(stream), &mut peer, &place, &shutdown).await;
        if let Err(error) = ended {
            tracing::debug!(?peer, %error, "connection ended early");
        }
    }

    /// Hears whose connection it is, shakes hands, and answers until it ends.
    async fn speak<S: Encryptable>(
        &self,
        mut stream: Replay<S>,
        peer: &mut Peer,
        place: &Place,
        shutdown: &ShutdownWatch,
    ) -> Ended {
        let deadline = Instant::now() + self.terms.header_timeout;
        if self.doorkeeper.awaits_header(peer.address) {
            let heard = Box::pin(self.hear(&mut stream, peer, deadline, shutdown)).await;
            heard.inspect_err(|_| self.port.observer().gone(Cause::ProxyHeader, Fate::Refused, 1))?;
        }
        if let Some(client) = self.doorkeeper.counts(*peer) {
            place.belongs_to(client)?;
        }
        match &self.tls {
            None => {
                let read = stream.unread();
                self.http1(stream, read, *peer, place.standing(), shutdown).await
            }
            Some(tls) => {
                // Nothing of TLS is kept before the client has said a word.
                Box::pin(first_byte(&mut stream, deadline, shutdown)).await?;
                let _kept = place.standing().keep(TLS)?;
                Box::pin(self.encrypted(tls, stream, *peer, place.standing(), (deadline, shutdown))).await
            }
        }
    }

    async fn hear<S: Socket>(
        &self,
        stream: &mut Replay<S>,
        peer: &mut Peer,
        deadline: Instant,
        shutdown: &ShutdownWatch,
    ) -> Ended {
        tokio::select! {
            biased;
            heard = timeout_at(deadline, self.doorkeeper.hear(stream, peer)) => Ok(heard??),
            () = begun(shutdown) => Err(io::Error::from(io::ErrorKind::ConnectionAborted).into()),
        }
    }

    async fn encrypted<S: Encryptable>(
        &self,
        tls: &TlsAcceptor,
        mut stream: Replay<S>,
        peer: Peer,
        standing: &Arc<Standing>,
        (deadline, shutdown): (Instant, &ShutdownWatch),
    ) -> Ended {
        stream.below().is_encrypted();
        let shaking = standing.keep(HANDSHAKE)?;
        let bounded = |tls: &mut ServerConnection| tls.set_buffer_limit(Some(TLS_UNSENT));
        let stream = tokio::select! {
            biased;
            shaken = timeout_at(deadline, Box::pin(tls.accept_with(stream, bounded))) => shaken??,
            () = begun(shutdown) => return Err(io::Error::from(io::ErrorKind::ConnectionAborted).into()),
        };
        drop(shaking);
        if stream.get_ref().1.alpn_protocol() == Some(tls::HTTP2) {
            Box::pin(self.http2(stream, peer, standing, shutdown)).await
        } else {
            self.http1(Replay::new(stream), Vec::new(), peer, standing, shutdown).await
        }
    }

    async fn http1<S: Socket>(
        &self,
        stream: Replay<S>,
        mut read: Vec<u8>,
        peer: Peer,
        standing: &Arc<Standing>,
        shutdown: &ShutdownWatch,
    ) -> Ended {
        let mut look = pin!(sleep(self.terms.header_timeout));
        let mut quiet = Quiet::new(look.as_mut(), self.terms.header_timeout);
        let mut stream = Rested::new(stream, standing.clone());
        loop {
            let goes_on = tokio::select! {
                biased;
                came = stream.head(&mut read, MAX_HEAD) => came?,
                () = begun(shutdown) => false,
                () = poll_fn(|context| quiet.poll_over(context, standing)) => false,
            };
            if !goes_on {
                return Ok(stream.shutdown().await?);
            }
            stream.begin(mem::take(&mut read));
            let Some(left) = self.turn(stream, standing, &mut quiet, peer, shutdown).await? else {
                return Ok(());
            };
            (stream, read) = left;
        }
    }

    /// Lets hyper answer requests until the connection ends, or nothing is asked for too long. In a crowd it is given
    /// back as soon as it is idle, with what was read of the next request.
    async fn turn<S: Socket>(
        &self,
        stream: Rested<S>,
        standing: &Arc<Standing>,
        quiet: &mut Quiet<'_>,
        peer: Peer,
        shutdown: &ShutdownWatch,
    ) -> Result<Option<(Rested<S>, Vec<u8>)>, Box<dyn Error + Send + Sync>> {
        let _kept = standing.keep(HTTP1)?;
        let before = standing.asked();
        let service = service_fn(|request| {
            let (answer, open) = (self.answer.clone().answer(request, peer), standing.open());
            let opened = |answer: http::Response<_>| answer.map(|body| Opened { body, _open: open });
            Box::pin(answer.map(opened).map(Ok::<_, Infallible>))
        });
        let mut connection = self.http1.serve_connection(TokioIo::new(stream), service);
        let mut finish = pin!(begun(shutdown));
        let (mut waits, mut told) = (false, false);
        let rests = poll_fn(|context| {
            if let Poll::Ready(ended) = Pin::new(&mut connection).poll(context) {
                return Poll::Ready(ended.map(|()| false));
            }
            if quiet.poll_over(context, standing).is_ready() {
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
            if !(standing.asked() != before && standing.is_quiet() && self.port.is_crowded()) {
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
        Ok(Some((parts.io.into_inner(), parts.read_buf.to_vec())))
    }

    /// hyper ends neither a connection that is idle, nor one whose client answers pings and takes nothing else.
    async fn http2(
        &self,
        stream: impl Socket,
        peer: Peer,
        standing: &Arc<Standing>,
        shutdown: &ShutdownWatch,
    ) -> Ended {
        let _kept = standing.keep(HTTP2)?;
        let traffic = Traffic::new(standing.clone());
        let Terms { header_timeout, send_timeout, .. } = self.terms;
        let service = service_fn(|request| {
            let asked = traffic.open().map(|asked| (asked, self.answer.clone().answer(request, peer)));
            async {
                let (asked, answer) = asked?;
                Ok::<_, Full>(answer.await.map(|body| asked.watch(body)))
            }
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

/// Waits until the client has said something.
async fn first_byte<S: Socket>(stream: &mut Replay<S>, deadline: Instant, shutdown: &ShutdownWatch) -> Ended {
    let mut read = stream.unread();
    let said = tokio::select! {
        biased;
        said = timeout_at(deadline, stream.gather(&mut read, |read, _| !read.is_empty())) => said??,
        () = begun(shutdown) => false,
    };
    stream.replay(read);
    if said { Ok(()) } else { Err(io::Error::from(io::ErrorKind::UnexpectedEof).into()) }
}

/// A socket on which TLS may be spoken, which then holds more of what is not taken.
trait Encryptable: Socket {
    fn is_encrypted(&mut self);
}

impl<S: Socket, F: Fn() -> u64 + Unpin + Send + 'static> Encryptable for Stalling<S, F> {
    fn is_encrypted(&mut self) {
        self.keeps_unsent(TLS_UNSENT);
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
