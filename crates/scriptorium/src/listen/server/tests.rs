//! Real connections to a port of several workers: which thread serves them, and that none is left over.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::thread;

use bytes::Bytes;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use tokio::runtime;

use super::super::connections::tests::MANY;
use super::super::peer::Peer;
use super::super::socket::Sockets;
use super::*;

const WORKERS: usize = 4;

const PATIENCE: Duration = Duration::from_secs(30);

const TERMS: PortTerms = PortTerms { connections: MANY, header_timeout: PATIENCE, send_timeout: PATIENCE };

/// Answers with the name of the thread that it runs on.
struct Namer;

impl RequestHandler for Namer {
    type Body = UnsyncBoxBody<Bytes, io::Error>;

    async fn answer(&self, _: http::Request<Incoming>, _: Peer) -> http::Response<Self::Body> {
        let name = thread::current().name().unwrap_or_default().to_owned();
        http::Response::new(Full::from(name).map_err(|never| match never {}).boxed_unsync())
    }
}

fn serving() -> (RunningServer, SocketAddr, Arc<Metrics>) {
    let metrics = Arc::new(Metrics::new().unwrap());
    let any = "127.0.0.1:0".parse().unwrap();
    let listener = Sockets::new(None).unwrap().claim("server.listen", any).unwrap();
    let address = listener.local_addr().unwrap();
    let mut server = RunningServer::start().unwrap();
    let port = Port {
        name: "public",
        listener,
        threads: WORKERS,
        terms: TERMS,
        tls: None,
        peers: PeerResolver::counting_nobody(),
        metrics: metrics.clone(),
        handler: Arc::new(Namer),
    };
    server.serve(port).unwrap();
    (server, address, metrics)
}

/// The thread that serves this connection.
fn thread_of(client: &mut TcpStream) -> String {
    client.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").unwrap();
    let mut answer = Vec::new();
    let mut byte = [0];
    while !answer.ends_with(b"public-") {
        client.read_exact(&mut byte).unwrap();
        answer.extend(byte);
    }
    client.read_exact(&mut byte).unwrap();
    String::from_utf8_lossy(&byte).into_owned()
}

fn served_by(clients: &mut [TcpStream]) -> Vec<usize> {
    let threads: Vec<_> = clients.iter_mut().map(thread_of).collect();
    (0..WORKERS).map(|at| threads.iter().filter(|thread| **thread == at.to_string()).count()).collect()
}

#[test]
fn every_worker_serves_as_many_of_few_connections_as_of_many() {
    let (_server, address, _) = serving();
    let mut clients = Vec::new();
    for connections in [8, 64, 1_000] {
        clients.resize_with(connections, || TcpStream::connect(address).unwrap());
        assert_eq!(served_by(&mut clients), [connections / WORKERS; WORKERS]);
    }
    // Each request of a connection is served where the first one was.
    let first: Vec<_> = clients.iter_mut().map(thread_of).collect();
    let again: Vec<_> = clients.iter_mut().map(thread_of).collect();
    assert_eq!(first, again);
}

#[test]
fn a_worker_whose_clients_left_gets_the_next_ones() {
    let (_server, address, metrics) = serving();
    let mut clients: Vec<_> = (0..40).map(|_| TcpStream::connect(address).unwrap()).collect();
    assert_eq!(served_by(&mut clients), [10; WORKERS]);
    let (left, mut stayed): (Vec<_>, Vec<_>) =
        clients.into_iter().partition(|client| thread_of(&mut client.try_clone().unwrap()) == "0");
    drop(left);
    while !metrics.render().contains("scriptorium_connections{port=\"public\"} 30") {
        thread::yield_now();
    }
    stayed.extend((0..10).map(|_| TcpStream::connect(address).unwrap()));
    assert_eq!(served_by(&mut stayed), [10; WORKERS]);
}

#[test]
fn a_stop_closes_what_is_idle_and_accepts_no_more() {
    let (mut server, address, _) = serving();
    let mut clients: Vec<_> = (0..8).map(|_| TcpStream::connect(address).unwrap()).collect();
    served_by(&mut clients);
    let runtime = runtime::Builder::new_current_thread().enable_time().build().unwrap();
    runtime.block_on(async {
        server.stop().await;
        server.finished(PATIENCE).await.unwrap();
    });
    assert!(clients.iter_mut().all(|client| client.read(&mut [0]).unwrap() == 0));
    assert!(TcpStream::connect(address).is_err(), "nothing listens any more");
}

#[test]
fn the_end_of_accepting_is_noticed() {
    let (mut server, ..) = serving();
    let runtime = runtime::Builder::new_current_thread().enable_time().build().unwrap();
    runtime.block_on(async {
        assert!(tokio::time::timeout(Duration::ZERO, server.failed()).await.is_err());
        server.accepting.abort_all();
        server.failed().await;
    });
}
