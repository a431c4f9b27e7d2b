//! A port on loopback for HTTP/1.1, and a pipe with a clock turned by hand for HTTP/2.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};

use bytes::Bytes;
use http_body_util::{BodyExt, Empty, Full, StreamBody, combinators::UnsyncBoxBody};
use hyper::body::{Frame, Incoming};
use hyper::client::conn::http2 as client;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, watch};
use tokio::task::{JoinHandle, yield_now};

use super::super::connections::ConnectionLimits;
use super::super::connections::tests::MANY;
use super::*;
use crate::telemetry::Metrics;

const HEADER: Duration = Duration::from_secs(30);

const TERMS: PortTerms = PortTerms { connections: MANY, header_timeout: HEADER, send_timeout: SEND };

const LARGE: usize = 1 << 20;

/// Answers with the path; `/held` keeps its body open until released, `/large` is a mebibyte.
#[derive(Default)]
struct Echo {
    release: Arc<Notify>,
}

impl RequestHandler for Echo {
    type Body = UnsyncBoxBody<Bytes, io::Error>;

    async fn answer(&self, request: http::Request<Incoming>, peer: Peer) -> http::Response<Self::Body> {
        assert!(peer.address.is_some_and(|address| address.ip().is_loopback()) && !peer.tls);
        let path = request.uri().path().to_owned();
        if path == "/large" {
            let large = Full::from(vec![7; LARGE]).map_err(|never| match never {});
            return http::Response::new(large.boxed_unsync());
        }
        if path != "/held" {
            return http::Response::new(Full::from(path).map_err(|never| match never {}).boxed_unsync());
        }
        let release = self.release.clone();
        let tail = futures_util::stream::once(async move {
            release.notified().await;
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
    serving(at_most(max_connections)).await
}

fn at_most(max_connections: usize) -> Arc<Connections> {
    let limits = ConnectionLimits { all: max_connections, ..MANY };
    Connections::new(limits, 1, "public", Arc::new(Metrics::new().unwrap()))
}

/// Connections that rest as soon as they can.
fn crowd() -> Arc<Connections> {
    let port = at_most(MANY.all);
    let filler = port.open().unwrap();
    mem::forget(filler.connection().reserve(MANY.bytes / 4).unwrap());
    mem::forget(filler);
    port
}

fn speaker(echo: Arc<Echo>, connections: Arc<Connections>, shutdown: watch::Receiver<bool>) -> Http<Echo> {
    Http::new(echo, connections, TERMS, None, PeerResolver::counting_nobody(), shutdown)
}

async fn serving(connections: Arc<Connections>) -> Port {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let echo = Arc::<Echo>::default();
    let (shutdown, begun) = watch::channel(false);
    let http = Arc::new(speaker(echo.clone(), connections.clone(), begun));
    tokio::spawn(async move {
        while let Ok((accepted, peer)) = listener.accept().await {
            let Ok(slot) = connections.open() else { continue };
            let connection = slot.connection().clone();
            let new = (accepted.into_std().unwrap(), peer);
            connection.runs(tokio::spawn(http.clone().serve(new, slot)).abort_handle());
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
    timeout_at(Instant::now() + Duration::from_secs(10), work).await.expect("it hangs")
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
    for port in [port(8).await, serving(crowd()).await] {
        let mut client = connect(&port, &[request("/a"), request("/b"), request("/end")].concat()).await;
        let text = read_until(&mut client, "/end").await;
        let bodies: Vec<_> = text.split("\r\n").filter(|line| line.starts_with('/')).collect();
        assert_eq!(text.matches("HTTP/1.1 200").count(), 3, "{text}");
        assert!(bodies[0].starts_with("/a") && bodies[1].starts_with("/b"), "{bodies:?}");
    }
}

#[tokio::test]
async fn a_connection_that_rested_answers_whatever_comes_in_whatever_pieces() {
    let port = serving(crowd()).await;
    let mut client = connect(&port, "").await;
    let long = format!("/{}", "x".repeat(3000));
    for path in ["/a", "/b", &long, "/c"] {
        for piece in request(path).as_bytes().chunks(1 + path.len() / 3) {
            client.write_all(piece).await.unwrap();
            yield_now().await;
        }
        let answer = read_until(&mut client, path).await;
        assert!(answer.starts_with("HTTP/1.1 200") && !answer.contains("connection: close"), "{answer}");
    }
    let (all, cut) = ([request("/d"), request("/e"), request("/end")].concat(), request("/d").len() + 9);
    client.write_all(&all.as_bytes()[..cut]).await.unwrap();
    read_until(&mut client, "/d").await;
    client.write_all(&all.as_bytes()[cut..]).await.unwrap();
    assert_eq!(read_until(&mut client, "/end").await.matches("HTTP/1.1 200").count(), 2);
}

#[tokio::test]
async fn a_connection_does_not_rest_before_its_answer_is_sent() {
    let (mut far, served) = speak_http1(crowd());
    let mut buffer = vec![0; LARGE];
    for _ in 0..2 {
        far.write_all(request("/large").as_bytes()).await.unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(within_seconds(far.read_u8()).await.unwrap());
        }
        within_seconds(far.read_exact(&mut buffer)).await.unwrap();
    }
    drop(far);
    assert_eq!(served.await.unwrap().0, Ok(()));
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
    for port in [port(8).await, serving(crowd()).await] {
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
}

/// How a connection ended, and when.
type Outcome = (Result<(), String>, Duration);

/// A narrow HTTP/1.1 connection without sockets, so that the clock can be turned; its client, how it ended and when.
fn speak_http1(connections: Arc<Connections>) -> (DuplexStream, JoinHandle<Outcome>) {
    let (near, far) = duplex(1 << 12);
    let slot = connections.open().unwrap();
    let (keep, shutdown) = watch::channel(false);
    let http = Arc::new(speaker(Arc::default(), connections, shutdown));
    let peer = Peer { address: Some((Ipv4Addr::LOCALHOST, 1).into()), tls: false };
    let began = Instant::now();
    let served = tokio::spawn(async move {
        let _keep = keep;
        let near = ClientStream::new(near, |_: &DuplexStream| 0, SEND, 0, slot.connection().clone());
        let ended = http.http1(Replay::new(near), Vec::new(), peer, slot.connection()).await;
        (ended.map_err(|error| error.to_string()), began.elapsed())
    });
    (far, served)
}

#[tokio::test(start_paused = true)]
async fn a_silent_connection_ends_whether_it_rests_or_not() {
    for connections in [at_most(1), crowd()] {
        let (mut far, served) = speak_http1(connections);
        far.write_all(request("/a").as_bytes()).await.unwrap();
        assert_ended_for_silence(served).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_head_that_comes_bit_by_bit_is_not_waited_for_longer_than_one_that_does_not_come() {
    for connections in [at_most(1), crowd()] {
        let (mut far, served) = speak_http1(connections);
        let trickle = tokio::spawn(async move {
            far.write_all(b"GET / HTTP/1.1\r\n").await.unwrap();
            while far.write_all(b"a: b\r\n").await.is_ok() {
                sleep(HEADER / 10).await;
            }
        });
        assert_ended_for_silence(served).await;
        trickle.await.unwrap();
    }
}

/// Whether a connection on which something was asked in the beginning, or nothing, lasted as long as it may.
async fn assert_ended_for_silence(served: JoinHandle<Outcome>) {
    let (ended, after) = served.await.unwrap();
    assert_eq!(ended, Ok(()));
    assert!((HEADER..=HEADER * 5 / 4).contains(&after), "after {after:?}");
}

#[tokio::test]
async fn one_connection_too_many_takes_the_place_of_an_idle_one() {
    let port = port(1).await;
    let mut first = connect(&port, &request("/first")).await;
    read_until(&mut first, "/first").await;
    let mut second = connect(&port, &request("/second")).await;
    read_until(&mut second, "/second").await;
    assert_eq!(read_to_close(&mut first).await, "");
}

#[tokio::test]
async fn one_connection_too_many_is_closed_while_all_are_answered_and_a_freed_place_is_used() {
    let port = port(1).await;
    let mut first = connect(&port, &request("/held")).await;
    read_until(&mut first, "\r\n\r\n").await;
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

const SEND: Duration = Duration::from_secs(60);

type Client = client::SendRequest<Empty<Bytes>>;

/// An HTTP/2 connection without sockets, so that the clock can be turned; how it ended, when, and its client.
async fn speak_http2() -> (JoinHandle<(Result<(), String>, Duration)>, Client) {
    let (near, far) = duplex(1 << 16);
    let connections = at_most(1);
    let slot = connections.open().unwrap();
    let (keep, shutdown) = watch::channel(false);
    let http = Arc::new(speaker(Arc::default(), connections, shutdown));
    let peer = Peer { address: Some((Ipv4Addr::LOCALHOST, 1).into()), tls: false };
    let began = Instant::now();
    let served = tokio::spawn(async move {
        let _keep = keep;
        let stream = ClientStream::new(near, |_: &DuplexStream| 0, SEND, 0, slot.connection().clone());
        let ended = http.http2(stream, peer, slot.connection()).await;
        (ended.map_err(|error| error.to_string()), began.elapsed())
    });
    let mut builder = client::Builder::new(TokioExecutor::new());
    builder.initial_stream_window_size(1 << 15).initial_connection_window_size(1 << 20);
    let (client, connection) = builder.handshake(TokioIo::new(far)).await.unwrap();
    tokio::spawn(connection);
    (served, client)
}

async fn ask(client: &mut Client, path: &str) -> Incoming {
    let request = http::Request::get(format!("http://proxy{path}"));
    let request = request.body(Empty::new()).unwrap();
    client.send_request(request).await.unwrap().into_body()
}

#[tokio::test(start_paused = true)]
async fn an_http2_client_that_takes_nothing_is_cut_though_it_answers_pings() {
    let (served, mut client) = speak_http2().await;
    let untaken = ask(&mut client, "/large").await;
    let (ended, after) = served.await.unwrap();
    assert_eq!(ended, Err("the client takes nothing".to_owned()));
    assert_eq!(after.as_secs(), SEND.as_secs());
    untaken.collect().await.unwrap_err();
}

#[tokio::test(start_paused = true)]
async fn an_http2_client_that_moves_is_not_cut() {
    let (served, mut client) = speak_http2().await;
    let mut slow = ask(&mut client, "/large").await;
    let mut taken = 0;
    while let Some(frame) = slow.frame().await {
        taken += frame.unwrap().into_data().unwrap().len();
        sleep(SEND / 3).await;
    }
    assert_eq!(taken, LARGE);
    drop(client);
    // The end of a pipe may be seen as a broken one.
    let (ended, _) = served.await.unwrap();
    assert!(ended.is_ok() || ended == Err("connection error".to_owned()), "{ended:?}");
}

#[tokio::test(start_paused = true)]
async fn an_idle_http2_connection_ends() {
    let (served, mut client) = speak_http2().await;
    assert_eq!(ask(&mut client, "/a").await.collect().await.unwrap().to_bytes(), "/a");
    let (_, after) = served.await.unwrap();
    assert_eq!(after.as_secs(), HEADER.as_secs());
}
