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

/// A request's head must be complete this long after the connection could bring it; an idle connection ends so too.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);

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
    http1: http1::Builder,
    http2: http2::Builder<TokioExecutor>,
}

impl<A> Http<A> {
    pub(super) fn new(answer: Arc<A>, connections: Connections) -> Self {
        let mut http1 = http1::Builder::new();
        http1
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD_TIMEOUT)
            .max_header_size(MAX_HEAD)
            .max_buf_size(MAX_BUFFER);
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
    use tokio::time::timeout;

    use super::*;

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
        let http = Arc::new(Http::new(echo.clone(), Connections::at_most(max_connections)));
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
