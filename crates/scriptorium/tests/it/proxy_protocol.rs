//! The PROXY protocol: whose connection it is, said before its first byte by balancers that are trusted, and by no others.

use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use socket2::{Domain, Socket, Type};

use crate::support::{Proxy, Release, Setup, Upstream, eventually, tls};

/// Behind a balancer at 127.0.0.2, whose clients may ask three times each.
fn behind_a_balancer(set: impl FnOnce(Setup) -> Setup) -> (Upstream, Proxy, Release) {
    let (upstream, release) = (Upstream::start(), Release::new("lamp", "1.0.0"));
    upstream.publish(&release);
    let setup = Setup::before(&upstream)
        .set("server.trusted_proxies", vec!["127.0.0.2".to_owned()])
        .set("server.client_address", "proxy-protocol")
        .set("rate_limits.anonymous", "3/h");
    (upstream, set(setup).start(), release)
}

fn connect(from: &str, proxy: &Proxy) -> TcpStream {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    let from: IpAddr = from.parse().unwrap();
    socket.bind(&SocketAddr::new(from, 0).into()).unwrap();
    socket.connect(&proxy.client().0.into()).unwrap();
    let stream = TcpStream::from(socket);
    stream.set_nodelay(true).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    stream
}

/// All that comes back, until the proxy hangs up.
fn said(mut stream: TcpStream) -> String {
    let mut text = Vec::new();
    stream.read_to_end(&mut text).ok();
    String::from_utf8_lossy(&text).into_owned()
}

fn request(release: &Release) -> String {
    format!("GET {} HTTP/1.1\r\nhost: volumes.example\r\nconnection: close\r\n\r\n", release.exact())
}

/// What is answered to a connection from `from` that begins with `header`, in pieces of so many bytes.
fn ask(from: &str, proxy: &Proxy, header: &[u8], release: &Release, piece: usize) -> String {
    let mut stream = connect(from, proxy);
    for piece in [header, request(release).as_bytes()].concat().chunks(piece) {
        if stream.write_all(piece).is_err() {
            break;
        }
    }
    said(stream)
}

fn status(answer: &str) -> &str {
    answer.strip_prefix("HTTP/1.1 ").map_or("none", |rest| &rest[..3])
}

/// Version 2, for a client at 192.0.2.`last`.
fn second(command: u8, last: u8, values: &[u8]) -> Vec<u8> {
    let addresses = [192, 0, 2, last, 10, 0, 0, 1, 0x1f, 0x90, 1, 0xbb];
    let length = u16::try_from(addresses.len() + values.len()).unwrap().to_be_bytes();
    [&b"\r\n\r\n\0\r\nQUIT\n"[..], &[0x20 | command, 0x11], &length, &addresses, values].concat()
}

fn first(last: u8) -> Vec<u8> {
    format!("PROXY TCP4 192.0.2.{last} 10.0.0.1 8080 443\r\n").into_bytes()
}

#[test]
fn each_client_that_a_balancer_names_has_a_bucket_of_its_own_in_both_versions() {
    let (_upstream, proxy, release) = behind_a_balancer(|setup| setup);
    for header in [first(1), first(2), second(1, 3, &[]), second(1, 4, &[3, 0, 4, 1, 2, 3, 4])] {
        let answers: Vec<_> = (0..4).map(|_| ask("127.0.0.2", &proxy, &header, &release, 1 << 16)).collect();
        let statuses: Vec<_> = answers.iter().map(|answer| status(answer)).collect();
        assert_eq!(statuses, ["200", "200", "200", "429"], "{header:?}");
    }
    // Both versions name the same client.
    assert_eq!(status(&ask("127.0.0.2", &proxy, &second(1, 1, &[]), &release, 1 << 16)), "429");
    eventually("the client in the access log", || proxy.log().contains("192.0.2.4").then_some(()));
}

#[test]
fn a_header_may_come_in_any_pieces() {
    let (_upstream, proxy, release) = behind_a_balancer(|setup| setup.set("rate_limits.anonymous", "1000/s"));
    for piece in [1, 2, 7, 11, 13, 29] {
        for header in [first(1), second(1, 1, &[]), second(0, 1, &[]), b"PROXY UNKNOWN\r\n".to_vec()] {
            let answer = ask("127.0.0.2", &proxy, &header, &release, piece);
            assert_eq!(status(&answer), "200", "{header:?} in pieces of {piece}");
        }
    }
}

#[test]
fn a_balancer_that_says_nothing_of_its_client_is_not_served() {
    let (_upstream, proxy, release) = behind_a_balancer(|setup| setup);
    let bad = [
        Vec::new(),
        b"PROXY TCP4 192.0.2.1\r\n".to_vec(),
        second(9, 1, &[]),
        b"\r\n\r\n\0\r\nQUIT\n\x21\x11\xff\xff".to_vec(),
    ];
    for header in &bad {
        assert_eq!(ask("127.0.0.2", &proxy, header, &release, 1 << 16), "", "{header:?}");
    }
    let line = format!(
        "scriptorium_connections_closed_total{{cause=\"proxy-header\",fate=\"refused\",port=\"public\"}} {}",
        bad.len()
    );
    eventually("the count of it", || {
        proxy.admin().get("/metrics").text().lines().any(|held| held == line).then_some(())
    });
}

#[test]
fn nobody_else_can_name_a_client() {
    let (_upstream, mut proxy, release) = behind_a_balancer(|setup| setup);
    assert_eq!(status(&ask("127.0.0.3", &proxy, b"", &release, 1 << 16)), "200", "an ordinary client");
    for header in [first(9), second(1, 9, &[])] {
        assert_eq!(status(&ask("127.0.0.3", &proxy, &header, &release, 1 << 16)), "400", "{header:?}");
    }
    assert!(!proxy.whole_log().contains("192.0.2.9"));
}

#[test]
fn a_header_that_does_not_come_takes_a_place_for_no_longer_than_a_head() {
    let (_upstream, proxy, _) = behind_a_balancer(|setup| setup.set("limits.header_timeout", "2s"));
    let began = Instant::now();
    let mut slow = connect("127.0.0.2", &proxy);
    slow.write_all(b"PROXY TCP4 192.0.2.1").unwrap();
    assert_eq!(said(slow), "");
    assert!((2..6).contains(&began.elapsed().as_secs()), "after {:?}", began.elapsed());
}

#[test]
fn a_client_that_came_encrypted_gets_links_that_are() {
    let (_upstream, proxy, release) = behind_a_balancer(|setup| setup.set("rate_limits.anonymous", "1000/s"));
    let (plain, encrypted) =
        (second(1, 1, &[0x20, 0, 5, 0, 0, 0, 0, 0]), second(1, 1, &[0x20, 0, 5, 1, 0, 0, 0, 0]));
    let links = |header: &[u8]| ask("127.0.0.2", &proxy, header, &release, 1 << 16);
    assert!(links(&plain).contains("http://volumes.example/"), "{}", links(&plain));
    assert!(links(&encrypted).contains("https://volumes.example/"), "{}", links(&encrypted));
}

#[test]
fn the_header_comes_before_the_handshake() {
    let (_upstream, proxy, release) = behind_a_balancer(tls::encrypted);
    for _ in 0..3 {
        let mut stream = connect("127.0.0.2", &proxy);
        stream.write_all(&second(1, 7, &[])).unwrap();
        tls::get(stream, &release.exact());
    }
    let mut stream = connect("127.0.0.2", &proxy);
    stream.write_all(&first(7)).unwrap();
    let mut stream = tls::shake_hands(stream, b"http/1.1").unwrap();
    stream.write_all(request(&release).as_bytes()).unwrap();
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"HTTP/1.1 429", "the fourth of one client");
}

#[test]
fn connections_count_against_the_client_that_is_named() {
    let (_upstream, proxy, release) = behind_a_balancer(|setup| {
        setup.set("limits.max_connections_per_client", 2).set("rate_limits.anonymous", "1000/s")
    });
    let request = format!("GET {} HTTP/1.1\r\nhost: a\r\n\r\n", release.exact());
    let open = |last| {
        let mut stream = connect("127.0.0.2", &proxy);
        stream.write_all(&[&first(last), request.as_bytes()].concat()).unwrap();
        let mut piece = [0; 15];
        stream.read_exact(&mut piece).unwrap();
        assert_eq!(&piece, b"HTTP/1.1 200 OK");
        stream
    };
    let other = open(1);
    let mut greedy: Vec<_> = (0..3).map(|_| open(2)).collect();
    let closed = |stream: &mut TcpStream| stream.read_to_end(&mut Vec::new()).is_ok();
    assert!(closed(&mut greedy[0]), "the first of three");
    for stream in greedy.iter_mut().skip(1).chain([&mut { other }]) {
        stream.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
        assert!(!closed(stream), "it has not been the longest");
    }
}
