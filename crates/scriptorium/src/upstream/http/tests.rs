//! The transport over real sockets.

use std::process::Command;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt};
use http::HeaderMap;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use url::Url;

use super::*;
use crate::upstream::GuardRule;

mod bodies;

const WHOLE: &str = "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello";

/// Answers the first request with `response`; whether the connection then ends or stays silent is up to `after`.
async fn serve<F: Future<Output = ()> + Send>(
    response: &'static str,
    after: impl FnOnce(TcpStream) -> F + Send + 'static,
) -> (Url, tokio::task::JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap()).parse().unwrap();
    let server = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut request = Vec::new();
        while !request.ends_with(b"\r\n\r\n") {
            request.push(stream.read_u8().await.unwrap());
        }
        stream.write_all(response.as_bytes()).await.unwrap();
        after(stream).await;
        String::from_utf8(request).unwrap()
    });
    (url, server)
}

async fn hang_up(stream: TcpStream) {
    drop(stream);
}

async fn stay_silent(stream: TcpStream) {
    std::future::pending::<()>().await;
    drop(stream);
}

fn transport(home: &Url) -> HttpTransport {
    let mut config = config::Upstream::new("public", home.clone());
    config.read_timeout = Duration::from_millis(200);
    config.connect_timeout = Duration::from_millis(500);
    HttpTransport::new(&config, Listeners::default()).unwrap()
}

async fn get(transport: &HttpTransport, url: &Url) -> Result<RegistryResponse, TransportError> {
    transport.send(Outgoing::get(url, HeaderMap::new(), Notes::default())).await
}

async fn body(response: RegistryResponse) -> Result<Vec<Bytes>, TransportError> {
    response.body.try_collect().await
}

#[tokio::test]
async fn an_answer_comes_whole() {
    let (url, server) = serve(WHOLE, hang_up).await;
    let response = get(&transport(&url), &url).await.unwrap();
    assert_eq!((response.status.as_u16(), &response.headers["content-length"]), (200, &"5".parse().unwrap()));
    assert_eq!(body(response).await.unwrap().concat(), b"hello");
    let request = server.await.unwrap().to_ascii_lowercase();
    assert!(request.contains("\r\nuser-agent: scriptorium/"), "{request}");
    for unwanted in ["accept-encoding", "referer", "cookie", "authorization"] {
        assert!(!request.contains(unwanted), "{request}");
    }
}

#[tokio::test]
async fn redirects_are_left_to_the_caller() {
    let (url, _server) =
        serve("HTTP/1.1 302 Found\r\nlocation: /x\r\ncontent-length: 0\r\n\r\n", hang_up).await;
    assert_eq!(get(&transport(&url), &url).await.unwrap().status.as_u16(), 302);
}

#[tokio::test]
async fn a_cut_body_is_broken_and_not_short() {
    for cut in [
        "HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhello",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n",
    ] {
        let (url, _server) = serve(cut, hang_up).await;
        let response = get(&transport(&url), &url).await.unwrap();
        assert_eq!(body(response).await.err(), Some(TransportError::Broken), "{cut}");
    }
}

#[tokio::test]
async fn what_is_not_http_is_broken() {
    for garbage in ["", "SSH-2.0-OpenSSH\r\n\r\n"] {
        let (url, _server) = serve(garbage, hang_up).await;
        assert_eq!(get(&transport(&url), &url).await.err(), Some(TransportError::Broken), "{garbage}");
    }
}

#[tokio::test]
async fn silence_times_out_before_and_between_bytes() {
    let started = Instant::now();
    let (url, _server) = serve("", stay_silent).await;
    assert_eq!(get(&transport(&url), &url).await.err(), Some(TransportError::Timeout));

    let (url, _server) = serve("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhello", stay_silent).await;
    let mut response = get(&transport(&url), &url).await.unwrap();
    assert_eq!(response.body.next().await, Some(Ok(Bytes::from_static(b"hello"))));
    assert_eq!(response.body.next().await, Some(Err(TransportError::Timeout)));
    assert!(started.elapsed() >= Duration::from_millis(400), "both waits were granted in full");
}

#[tokio::test]
async fn nobody_listens() {
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let url = format!("http://{closed}/").parse().unwrap();
    assert_eq!(
        get(&transport(&url), &url).await.err(),
        Some(TransportError::Unreachable(ConnectFailure::Refused))
    );
    let url = "http://no-such-name.invalid/".parse().unwrap();
    assert_eq!(
        get(&transport(&url), &url).await.err(),
        Some(TransportError::Unreachable(ConnectFailure::Name))
    );
}

#[tokio::test]
async fn a_name_the_operator_did_not_give_leads_to_no_private_address() {
    let (url, server) = serve(WHOLE, hang_up).await;
    let local: Url = format!("http://localhost:{}/", url.port().unwrap()).parse().unwrap();
    let stranger = transport(&"http://registry.example/".parse().unwrap());
    for private in [&local, &url] {
        assert_eq!(
            get(&stranger, private).await.err(),
            Some(TransportError::Forbidden(GuardRule::Address)),
            "{private}"
        );
    }
    assert!(!server.is_finished(), "it was not dialled");
    assert!(get(&transport(&local), &local).await.is_ok(), "one that the operator gave may lead anywhere");
}

/// Without CA certificates: the same tests, in a process that finds none.
#[test]
fn http_works_on_a_machine_without_certificates() {
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "upstream::http::tests::an_answer_comes_whole"])
        .env("SSL_CERT_FILE", "/dev/null")
        .env("SSL_CERT_DIR", "/nonexistent")
        .output()
        .unwrap();
    let report = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && report.contains("1 passed"), "{report}");
}
