//! Why a registry could not be asked: each cause is told apart, to the client in a sentence, in one line of the log and in
//! what an operator looks at.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::thread;

use serde_json::Value;

use crate::support::authority::{self, Authority};
use crate::support::egress::Egress;
use crate::support::{Proxy, Setup, Upstream, eventually, free_port};

const INDEX: &str = "/api/v1/index/volumes/lamp";

/// Lines of the log about exchanges.
fn exchanges(proxy: &Proxy) -> Vec<Value> {
    let lines = proxy.log();
    let records = lines.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    records.filter(|record| record["target"] == "scriptorium::upstream").collect()
}

/// Asserts that what stands in the way is told as `cause`, with `detail` for the client and `words` for the operator.
fn assert_told(setup: Setup, cause: &str, detail: &str, words: &str) {
    let proxy = setup.set("upstream.connect_timeout", "1s").start();
    let answer = proxy.client().get_with(INDEX, "x-request-id", "who-asked");
    let problem = answer.problem(502, "about:blank");
    let told = problem["detail"].as_str().unwrap();
    assert!(told.contains(detail), "{cause}: {told}");
    for inner in ["127.0.0.1", ".pem", "os error", "secret"] {
        assert!(!told.contains(inner), "{cause}: {told}");
    }
    let records =
        eventually("one line about it", || Some(exchanges(&proxy)).filter(|records| !records.is_empty()));
    assert_eq!(records.len(), 1, "{cause}: {records:?}");
    let field = |name: &str| {
        let record = &records[0];
        record["fields"].get(name).or_else(|| record.get(name)).cloned().unwrap_or_default()
    };
    assert_eq!((field("status"), field("upstream")), (cause.into(), "public".into()), "{records:?}");
    assert_eq!((field("request_id"), records[0]["level"].clone()), ("who-asked".into(), "WARN".into()));
    assert!(field("causes").as_str().is_some_and(|causes| causes.contains(words)), "{cause}: {records:?}");
    assert!(field("remedy").as_str().is_some_and(|remedy| !remedy.is_empty()), "{cause}: {records:?}");

    let status = proxy.admin().get("/admin/v1/status").ok().json();
    let failure = &status["upstreams"][0]["last_failure"];
    assert_eq!(failure["cause"], cause, "{status}");
    assert!(failure["why"].as_str().unwrap().contains(detail), "{status}");
    let explained = proxy.admin().get("/admin/v1/explain?volume=lamp&version=1.0.0").ok().json();
    assert_eq!(explained["upstream"]["last_failure"]["cause"], cause, "{explained}");
    let metrics = proxy.admin().get("/metrics").ok().text();
    assert!(metrics.contains(&format!("status=\"{cause}\"")), "{metrics}");
}

fn at(url: &str) -> Setup {
    Setup::before(&Upstream::start()).set("upstream.url", url)
}

#[test]
fn nobody_there() {
    let closed = free_port();
    assert_told(at(&format!("http://127.0.0.1:{closed}")), "refused", "refuses connections", "refused");
    assert_told(at("http://no-such-name.invalid"), "dns", "cannot be resolved", "no-such-name.invalid");
}

/// Listens and lets nobody in: the queue is full, and the kernel answers no more.
pub(crate) fn filtered() -> (TcpListener, Vec<std::net::TcpStream>) {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
    socket.listen(0).unwrap();
    let listener = TcpListener::from(socket);
    let address = listener.local_addr().unwrap();
    let wait = std::time::Duration::from_millis(200);
    let queued = std::iter::from_fn(|| std::net::TcpStream::connect_timeout(&address, wait).ok()).take(16);
    let queued = queued.collect();
    (listener, queued)
}

#[test]
fn nothing_comes_back() {
    let (listener, _queued) = filtered();
    let url = format!("http://{}", listener.local_addr().unwrap());
    assert_told(at(&url), "filtered", "nothing answers", "the connection to");
}

#[test]
fn certificates_that_do_not_hold() {
    let Some(authority) = Authority::new() else { return };
    let stranger = Authority::new().unwrap();
    let upstream = Upstream::start();
    let behind = upstream.authority().parse().unwrap();
    let good = "DNS:registry.localhost";
    let before = |identity| {
        let door = authority::door(&identity, None, behind);
        at(&format!("https://registry.localhost:{}", door.port()))
            .set("upstream.ca_file", authority.certificate())
    };
    assert_told(
        before(authority.issue("name", "DNS:other.test")),
        "tls-name",
        "for another name",
        "not valid for name",
    );
    assert_told(before(authority.issue_expired("old", good)), "tls-expired", "expired", "certificate");
    assert_told(before(stranger.issue("stranger", good)), "tls-authority", "authority", "peer certificate");
    let mutual = authority::door(&authority.issue("mutual", good), Some(&authority), behind);
    let setup = at(&format!("https://registry.localhost:{}", mutual.port()));
    let setup = setup.set("upstream.ca_file", authority.certificate());
    assert_told(setup, "tls-client-certificate", "client certificate", "alert");
}

#[test]
fn the_other_scheme() {
    let upstream = Upstream::start();
    let plain = saying("HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n");
    assert_told(at(&format!("https://{plain}")), "not-tls", "does not speak TLS", "TLS handshake");
    let Some(authority) = Authority::new() else { return };
    let door = authority::door(
        &authority.issue("door", "IP:127.0.0.1"),
        None,
        upstream.authority().parse().unwrap(),
    );
    assert_told(at(&format!("http://{door}")), "only-tls", "speaks TLS", "TLS, and plain text");
}

/// Takes connections and says this to everybody.
fn saying(words: &'static str) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            let _ = stream.read(&mut [0; 4096]);
            let _ = stream.write_all(words.as_bytes());
        }
    });
    address
}

#[test]
fn a_proxy_in_the_way() {
    let through = |proxy: &str| at("https://registry.test").set("upstream.proxy", proxy);
    let closed = format!("http://127.0.0.1:{}", free_port());
    assert_told(through(&closed), "proxy-unreachable", "proxy on the way", "refused");
    assert_told(
        through("http://no-such-proxy.invalid"),
        "proxy-unreachable",
        "proxy on the way",
        "no-such-proxy",
    );
    let egress = Egress::start();
    assert_told(through(&egress.url()), "proxy-refused", "refuses or fails", "503");
    let strict = Egress::start_with(Some("Basic x"));
    assert_told(through(&strict.url()), "proxy-credential", "credential", "407");
    let no_proxy = saying("SSH-2.0-x\r\n");
    assert_told(through(&format!("http://{no_proxy}")), "proxy-unreachable", "proxy on the way", "CONNECT");
}
