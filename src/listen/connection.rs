//! HTTP on one accepted connection.
//!
//! Owns the protocol's limits and timeouts, and how a connection ends. Must not know what a request means. The library
//! accepts, rustls encrypts, hyper speaks HTTP/1.1 and HTTP/2; this is the only file that holds all three.

use std::convert::Infallible;
use std::error::Error;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use pingora_core::apps::ServerApp;
use pingora_core::protocols::Stream;
use pingora_core::server::ShutdownWatch;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

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
        http1
            .timer(TokioTimer::new())
            .header_read_timeout(terms.header_timeout)
            .max_header_size(MAX_HEAD)
            .max_buf_size(MAX_BUFFER);
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
    async fn process_new(self: &Arc<Self>, stream: Stream, shutdown: &ShutdownWatch) -> Option<Stream> {
        let digest = stream.get_socket_digest();
        let address = digest.as_ref().and_then(|digest| digest.peer_addr()?.as_inet().copied());
        let peer = Peer { address, tls: self.tls.is_some() };
        let Some(_place) = self.connections.open() else {
            tracing::debug!(?peer, "connection refused: too many are open");
            return None;
        };
        let traffic = Traffic::new();
        let taken = move || {
            digest.as_ref().and_then(|digest| digest.tcp_info()).map_or(0, |tcp| tcp.tcpi_bytes_acked)
        };
        let stream = Stalling::new(stream, taken, self.terms.send_timeout, traffic.clone());
        let ended = match &self.tls {
            None => self.http1(stream, peer, shutdown).await,
            Some(tls) => match timeout(self.terms.header_timeout, tls.accept(stream)).await {
                Ok(Ok(stream)) if stream.get_ref().1.alpn_protocol() == Some(HTTP2) => {
                    self.http2(stream, peer, &traffic, shutdown).await
                }
                Ok(Ok(stream)) => self.http1(stream, peer, shutdown).await,
                Ok(Err(error)) => Err(error.into()),
                Err(late) => Err(late.into()),
            },
        };
        if let Err(error) = ended {
            tracing::debug!(?peer, %error, "connection ended early");
        }
        None
    }
}

/// Why a connection ended before its end.
type Ended = Result<(), Box<dyn Error + Send + Sync>>;

impl<A: Answer> Http<A> {
    async fn http1(&self, stream: impl Socket, peer: Peer, shutdown: &ShutdownWatch) -> Ended {
        let service = service_fn(|request| {
            let answer = self.answer.clone();
            async move { Ok::<_, Infallible>(answer.answer(request, peer).await) }
        });
        let connection = self.http1.serve_connection(TokioIo::new(stream), service);
        Ok(until(begun(shutdown), connection, http1::Connection::graceful_shutdown).await?)
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
            let (answer, open) = (self.answer.clone(), traffic.open());
            async move {
                let answered = answer.answer(request, peer).await;
                Ok::<_, Infallible>(answered.map(|body| open.watch(body)))
            }
        });
        let connection = self.http2.serve_connection(TokioIo::new(stream), service);
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
    connection: C,
    tell: impl FnOnce(Pin<&mut C>),
) -> hyper::Result<()> {
    let mut connection = pin!(connection);
    tokio::select! {
        biased;
        ended = connection.as_mut() => return ended,
        () = finish => tell(connection.as_mut()),
    }
    connection.await
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::net::SocketAddr;
    use std::os::fd::AsRawFd;

    use bytes::Bytes;
    use http_body_util::{BodyExt, Full, StreamBody, combinators::UnsyncBoxBody};
    use hyper::body::{Frame, Incoming};
    use pingora_core::protocols::l4::stream::Stream as Accepted;
    use pingora_core::protocols::{GetSocketDigest, SocketDigest};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpListener, TcpStream};
    use tokio::sync::{Notify, watch};

    use super::*;

    const HEADER: Duration = Duration::from_secs(30);

    /// Answers with the path; `/held` keeps its body open until released.
    #[derive(Default)]
    struct Echo {
        release: Notify,
    }

    impl Answer for Echo {
        type Body = UnsyncBoxBody<Bytes, io::Error>;

        async fn answer(
            self: &Arc<Self>,
            request: http::Request<Incoming>,
            peer: Peer,
        ) -> http::Response<Self::Body> {
            assert!(peer.address.is_some_and(|address| address.ip().is_loopback()) && !peer.tls);
            let path = request.uri().path().to_owned();
            if path != "/held" {
                return http::Response::new(Full::from(path).map_err(|never| match never {}).boxed_unsync());
            }
            let echo = self.clone();
            let tail = futures_util::stream::once(async move {
                echo.release.notified().await;
                Ok(Frame::data(Bytes::from_static(b"released")))
            });
            http::Response::new(StreamBody::new(tail).boxed_unsync())
        }
    }

    struct Port {
        address: SocketAddr,
        echo: Arc<Echo>,
        shutdown: watch::Sender<bool>,
    }

    async fn port(max_connections: usize) -> Port {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let echo = Arc::<Echo>::default();
        let (shutdown, begun) = watch::channel(false);
        let terms = Terms { max_connections, header_timeout: HEADER, send_timeout: HEADER };
        let http = Arc::new(Http::new(echo.clone(), Connections::at_most(max_connections), terms, None));
        tokio::spawn(async move {
            while let Ok((accepted, _)) = listener.accept().await {
                let mut accepted = Accepted::from(accepted);
                accepted.set_socket_digest(SocketDigest::from_raw_fd(accepted.as_raw_fd()));
                let (http, begun) = (http.clone(), begun.clone());
                tokio::spawn(async move { http.process_new(Box::new(accepted), &begun).await });
            }
        });
        Port { address, echo, shutdown }
    }

    async fn connect(port: &Port, send: &str) -> TcpStream {
        let mut client = TcpStream::connect(port.address).await.unwrap();
        client.write_all(send.as_bytes()).await.unwrap();
        client
    }

    async fn within_seconds<T>(work: impl Future<Output = T>) -> T {
        timeout(Duration::from_secs(10), work).await.expect("it hangs")
    }

    async fn read_until(client: &mut TcpStream, end: &str) -> String {
        let mut text = String::new();
        let mut buffer = [0; 4096];
        while !text.ends_with(end) {
            let read = within_seconds(client.read(&mut buffer)).await.unwrap();
            assert_ne!(read, 0, "closed after {text:?}, before {end:?}");
            text.push_str(std::str::from_utf8(&buffer[..read]).unwrap());
        }
        text
    }

    async fn read_to_close(client: &mut TcpStream) -> String {
        let mut text = String::new();
        within_seconds(client.read_to_string(&mut text)).await.unwrap();
        text
    }

    fn request(path: &str) -> String {
        format!("GET {path} HTTP/1.1\r\nHost: proxy\r\n\r\n")
    }

    #[tokio::test]
    async fn pipelined_requests_are_answered_in_order() {
        let port = port(8).await;
        let mut client = connect(&port, &[request("/a"), request("/b"), request("/end")].concat()).await;
        let text = read_until(&mut client, "/end").await;
        let bodies: Vec<_> = text.split("\r\n").filter(|line| line.starts_with('/')).collect();
        assert_eq!(text.matches("HTTP/1.1 200").count(), 3, "{text}");
        assert!(bodies[0].starts_with("/a") && bodies[1].starts_with("/b"), "{bodies:?}");
    }

    #[tokio::test]
    async fn what_is_no_request_or_too_big_is_answered_and_closed() {
        let port = port(8).await;
        let head = |fields: String| format!("GET / HTTP/1.1\r\nHost: proxy\r\n{fields}\r\n");
        let many: String = (0..101).map(|n| format!("X-{n}: y\r\n")).collect();
        for (sent, status) in [
            ("nonsense\r\n\r\n".to_owned(), "400"),
            (head(many), "431"),
            (head(format!("X: {}\r\n", "y".repeat(MAX_HEAD))), "431"),
        ] {
            let mut client = connect(&port, &sent).await;
            let answer = read_until(&mut client, "\r\n\r\n").await;
            assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{answer}");
        }
    }

    #[tokio::test]
    async fn a_shutdown_closes_idle_connections_and_finishes_the_rest() {
        let port = port(8).await;
        let mut fresh = connect(&port, "").await;
        let mut idle = connect(&port, &request("/idle")).await;
        read_until(&mut idle, "/idle").await;
        let mut busy = connect(&port, &request("/held")).await;
        read_until(&mut busy, "\r\n\r\n").await;

        port.shutdown.send(true).unwrap();
        assert_eq!(read_to_close(&mut fresh).await, "");
        assert_eq!(read_to_close(&mut idle).await, "");
        port.echo.release.notify_one();
        assert_eq!(read_to_close(&mut busy).await, "8\r\nreleased\r\n0\r\n\r\n");
    }

    #[tokio::test]
    async fn one_connection_too_many_is_closed_and_a_freed_place_is_used() {
        let port = port(1).await;
        let mut first = connect(&port, &request("/first")).await;
        read_until(&mut first, "/first").await;
        let mut second = TcpStream::connect(port.address).await.unwrap();
        assert_eq!(read_to_close(&mut second).await, "");

        drop(first);
        within_seconds(async {
            loop {
                let mut third = connect(&port, &request("/third")).await;
                let mut byte = [0];
                if matches!(third.read(&mut byte).await, Ok(1)) {
                    return;
                }
            }
        })
        .await;
    }
}
