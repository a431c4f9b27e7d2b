//! Bodies that are sent: framed, broken off, answered early, and waited for.

use std::io;

use ::http::{HeaderMap, Method};
use futures_util::stream::{self, BoxStream};
use tokio::io::AsyncRead;
use tokio::sync::oneshot;

use super::*;

const CREATED: &str = "HTTP/1.1 201 Created\r\ncontent-length: 2\r\n\r\nok";
const TOO_LARGE: &str = "HTTP/1.1 413 Content Too Large\r\ncontent-length: 3\r\nconnection: close\r\n\r\nbig";

fn pieces(pieces: Vec<io::Result<&'static str>>) -> BoxStream<'static, io::Result<Bytes>> {
    stream::iter(pieces).map(|piece| piece.map(Bytes::from)).boxed()
}

fn cut() -> io::Error {
    io::ErrorKind::UnexpectedEof.into()
}

/// Pieces without end, far more than any buffer takes.
fn endless() -> OutgoingBody {
    let pieces = stream::repeat_with(|| Ok(Bytes::from_static(&[b'x'; 65_536])));
    OutgoingBody::Stream { length: None, pieces: pieces.boxed() }
}

async fn listen() -> (Url, TcpListener) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    (format!("http://{}/", listener.local_addr().unwrap()).parse().unwrap(), listener)
}

async fn head(stream: &mut TcpStream) -> String {
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        request.push(stream.read_u8().await.unwrap());
    }
    String::from_utf8(request).unwrap().to_ascii_lowercase()
}

/// Reads on for as long as something comes.
async fn rest(stream: &mut (impl AsyncRead + Unpin)) -> Vec<u8> {
    let mut rest = Vec::new();
    // A reset is an end as well.
    let _ = stream.read_to_end(&mut rest).await;
    rest
}

async fn send(url: &Url, method: Method, body: OutgoingBody) -> Result<RegistryResponse, TransportError> {
    transport(url)
        .send(Outgoing { method, url, headers: HeaderMap::new(), body, notes: Notes::default() })
        .await
}

async fn post(url: &Url, body: OutgoingBody) -> Result<RegistryResponse, TransportError> {
    send(url, Method::POST, body).await
}

/// What the server sees of a request that it answers once it has read `length` bytes of body.
async fn seen(method: Method, body: OutgoingBody, length: usize) -> (String, Vec<u8>) {
    let (url, listener) = listen().await;
    let server = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let head = head(&mut stream).await;
        let mut body = vec![0; length];
        stream.read_exact(&mut body).await.unwrap();
        stream.write_all(CREATED.as_bytes()).await.unwrap();
        (head, body)
    });
    let response = send(&url, method, body).await.unwrap();
    assert_eq!((response.status.as_u16(), body_of(response).await), (201, b"ok".to_vec()));
    server.await.unwrap()
}

async fn body_of(response: RegistryResponse) -> Vec<u8> {
    body(response).await.unwrap().concat()
}

#[tokio::test]
async fn a_body_of_known_length_is_announced_and_not_chunked() {
    let big = || Bytes::from(vec![7; 300_000]);
    let streamed = |length| {
        let pieces = stream::iter([big(), Bytes::new(), big()]).map(Ok).boxed();
        OutgoingBody::Stream { length: Some(length), pieces }
    };
    for (body, length) in [(OutgoingBody::Whole(big()), 300_000), (streamed(600_000), 600_000)] {
        let (head, body) = seen(Method::POST, body, length).await;
        assert!(head.starts_with("post / http/1.1\r\n"), "{head}");
        assert!(head.contains(&format!("\r\ncontent-length: {length}\r\n")), "{head}");
        assert!(!head.contains("transfer-encoding") && !head.contains("expect"), "{head}");
        assert!(body.iter().all(|byte| *byte == 7));
    }
}

#[tokio::test]
async fn a_body_of_unknown_length_is_chunked() {
    let body = OutgoingBody::Stream { length: None, pieces: pieces(vec![Ok("ab"), Ok("c")]) };
    let expected = "2\r\nab\r\n1\r\nc\r\n0\r\n\r\n";
    let (head, body) = seen(Method::PUT, body, expected.len()).await;
    assert!(
        head.contains("\r\ntransfer-encoding: chunked\r\n") && !head.contains("content-length"),
        "{head}"
    );
    assert_eq!(String::from_utf8(body).unwrap(), expected);
}

#[tokio::test]
async fn no_body_has_no_length_but_where_one_is_usual() {
    for (method, announced) in [(Method::POST, true), (Method::PUT, true), (Method::DELETE, false)] {
        let (head, _) = seen(method, OutgoingBody::Empty, 0).await;
        assert_eq!(head.contains("\r\ncontent-length: 0\r\n"), announced, "{head}");
        assert!(!head.contains("transfer-encoding"), "{head}");
    }
    let (head, _) = seen(Method::POST, OutgoingBody::Whole(Bytes::new()), 0).await;
    assert!(head.contains("\r\ncontent-length: 0\r\n"), "{head}");
}

#[tokio::test]
async fn a_body_that_breaks_off_is_never_complete_there() {
    for (length, sent) in [
        (Some(6), vec![Ok("abc"), Err(cut())]),
        (Some(6), vec![Ok("abc")]),
        (Some(6), vec![Ok("abc"), Ok("defg")]),
        (None, vec![Ok("abc"), Err(cut())]),
        (None, vec![Err(cut())]),
    ] {
        let (url, listener) = listen().await;
        let server = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            rest(&mut stream).await
        });
        let body = OutgoingBody::Stream { length, pieces: pieces(sent) };
        assert_eq!(post(&url, body).await.err(), Some(TransportError::Unsent));
        let request = String::from_utf8(server.await.unwrap()).unwrap();
        let sent = request.split_once("\r\n\r\n").map_or("", |(_, body)| body);
        assert!(!sent.contains("0\r\n\r\n") && !sent.contains("def"), "{request}");
    }
}

#[tokio::test]
async fn who_stops_waiting_sends_no_more() {
    let (url, listener) = listen().await;
    let (asked, was_asked) = oneshot::channel();
    let server = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let head = head(&mut stream).await;
        asked.send(()).unwrap();
        rest(&mut stream).await;
        head
    });
    let body = OutgoingBody::Stream { length: Some(9), pieces: stream::pending().boxed() };
    tokio::select! {
        _ = post(&url, body) => panic!("nobody answers"),
        asked = was_asked => asked.unwrap(),
    }
    assert!(server.await.unwrap().contains("content-length: 9"), "and the connection was closed");
}

#[tokio::test]
async fn an_answer_before_the_bodys_end_is_delivered() {
    for linger in [true, false] {
        let (url, listener) = listen().await;
        let server = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            head(&mut stream).await;
            stream.write_all(TOO_LARGE.as_bytes()).await.unwrap();
            if linger {
                rest(&mut stream).await;
            }
        });
        let response = post(&url, endless()).await.unwrap();
        assert_eq!(response.status.as_u16(), 413);
        assert_eq!(body_of(response).await, b"big");
        server.await.unwrap();
    }
}

#[tokio::test]
async fn once_answered_a_source_that_stalls_is_let_go() {
    let (url, listener) = listen().await;
    let server = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        head(&mut stream).await;
        stream.write_all(TOO_LARGE.as_bytes()).await.unwrap();
        rest(&mut stream).await
    });
    let (held, released) = oneshot::channel::<()>();
    let stalled = stream::unfold(held, |held| async move {
        std::future::pending::<()>().await;
        Some((Ok(Bytes::new()), held))
    });
    let body = OutgoingBody::Stream { length: Some(9), pieces: stalled.boxed() };
    assert_eq!(body_of(post(&url, body).await.unwrap()).await, b"big");
    assert!(released.await.is_err(), "it was dropped");
    server.await.unwrap();
}

#[tokio::test]
async fn an_upload_that_moves_is_not_cut() {
    let (url, listener) = listen().await;
    let server = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        head(&mut stream).await;
        stream.read_exact(&mut [0; 8]).await.unwrap();
        stream.write_all(CREATED.as_bytes()).await.unwrap();
    });
    let started = Instant::now();
    let paced = stream::unfold(tokio::time::interval(Duration::from_millis(90)), |mut pace| async move {
        pace.tick().await;
        Some((Ok(Bytes::from_static(b"x")), pace))
    });
    let body = OutgoingBody::Stream { length: Some(8), pieces: paced.take(8).boxed() };
    assert_eq!(post(&url, body).await.unwrap().status.as_u16(), 201);
    assert!(started.elapsed() >= Duration::from_millis(600), "three times the timeout");
    server.await.unwrap();
}

#[tokio::test]
async fn an_upstream_that_takes_nothing_times_out() {
    let (url, listener) = listen().await;
    let server = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        head(&mut stream).await;
        stay_silent(stream).await;
    });
    let started = Instant::now();
    assert_eq!(post(&url, endless()).await.err(), Some(TransportError::Timeout));
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
    server.abort();
}

#[tokio::test]
async fn an_upstream_that_took_all_and_says_nothing_times_out() {
    let (url, listener) = listen().await;
    let server = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        head(&mut stream).await;
        stream.read_exact(&mut [0; 3]).await.unwrap();
        rest(&mut stream).await
    });
    let started = Instant::now();
    let body = OutgoingBody::Whole(Bytes::from_static(b"abc"));
    assert_eq!(post(&url, body).await.err(), Some(TransportError::Timeout));
    assert!(started.elapsed() >= Duration::from_millis(200));
    assert_eq!(server.await.unwrap(), b"", "and the connection is closed");
}
