//! Any bytes on a connection: heads, chunked bodies, pipelined requests, ranges and conditions, up to the real pipeline
//! and back.
//!
//! The codec is the server's, with its bounds; what answers is wired as in production and holds an index and an
//! archive. Nothing answers 500, everything answers with a request id, and no byte of the archive is another.

use std::time::Duration;

use bibliotheca::RegistryServer;
use bytes::Bytes;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use scriptorium::facade::{LoadedConfig, PortlessProxy};
use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};
use tokio::runtime::Runtime;

const VERSION: &str = "1.0.0";

pub(crate) const WORDS: &[&[u8]] = &[
    b"\r\n",
    b"\r\n\r\n",
    b"\n",
    b"GET ",
    b"HEAD ",
    b"POST ",
    b"PUT ",
    b"OPTIONS * ",
    b"CONNECT a:1 ",
    b" HTTP/1.1\r\n",
    b" HTTP/1.0\r\n",
    b"Host: a\r\n",
    b"Host: \r\n",
    b"Range: bytes=0-0\r\n",
    b"Range: bytes=-1\r\n",
    b"Range: bytes=5-,7-8\r\n",
    b"If-Range: \"x\"\r\n",
    b"If-None-Match: *\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"Transfer-Encoding: gzip, chunked\r\n",
    b"Content-Length: 5\r\n",
    b"Content-Length: 99999999999999999999\r\n",
    b"Expect: 100-continue\r\n",
    b"5\r\nhello\r\n",
    b"0\r\n\r\n",
    b"ffffffffffffffff\r\n",
    b"Connection: close\r\n",
    b"Connection: upgrade\r\nUpgrade: h2c\r\n",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    b"X-Request-Id: \x7f\r\n",
    b"Accept-Encoding: zstd;q=0.5, gzip;q=0\r\n",
    b"Forwarded: for=\"",
    b"/api/v1/index/volumes/",
    b"/archives/",
    b"%00",
    b"\x80",
];

pub(crate) fn seeds() -> Vec<Vec<u8>> {
    let archive = format!("GET /archives/lamp/{VERSION}.tar.gz HTTP/1.1\r\nHost: a\r\n");
    [
        "GET /api/v1/index/volumes/index-2k HTTP/1.1\r\nHost: proxy.example:8080\r\nAccept-Encoding: gzip\r\n\r\n".to_owned(),
        "HEAD /api/v1/index/volumes/index-2k HTTP/1.1\r\nHost: a\r\nIf-None-Match: \"x\", *\r\n\r\n".to_owned(),
        format!("{archive}\r\n"),
        format!("{archive}Range: bytes=100-199\r\nIf-Range: \"x\"\r\n\r\n"),
        format!("{archive}Range: bytes=-300\r\n\r\n{archive}Connection: close\r\n\r\n"),
        "GET /api/v1/index/volumes/index-2k HTTP/1.1\r\nHost: a\r\n\r\nPOST /api/v1/volumes HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5;x=y\r\nhello\r\n0\r\nT: v\r\n\r\n".to_owned(),
        "GET /api/v1/index/volumes/index-2k HTTP/1.1\r\nHost: a\r\n\r\nPUT /uploads/x HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\nhello".to_owned(),
    ]
    .map(String::into_bytes)
    .into()
}

/// A proxy, and the archive that it holds.
struct Proxy {
    proxy: PortlessProxy,
    runtime: Runtime,
    archive: Bytes,
    _registry: RegistryServer,
}

thread_local! {
    static PROXY: Proxy = Proxy::start();
}

impl Proxy {
    fn start() -> Self {
        let registry = RegistryServer::start();
        registry.publish_index_of_size("index-2k", 2_000);
        registry.publish_release_of_size("lamp", VERSION, 40_000);
        let config = format!(
            "upstreams = [{{ name = \"origin\", url = \"{}\" }}]\n\
             storage = {{ url = \"memory:///\", scratch = \"{}\" }}\n\
             rate_limits.anonymous = \"1000000000/s\"\n",
            registry.url(),
            std::env::temp_dir().display()
        );
        let (proxy, background) =
            PortlessProxy::new(&LoadedConfig::parse(config.as_bytes()).unwrap(), false).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.spawn(background);
        let mut proxy = Self { proxy, runtime, archive: Bytes::new(), _registry: registry };
        let whole = proxy.converse(&seeds()[2]);
        let mut answers = Answers(&whole);
        proxy.archive = Bytes::copy_from_slice(answers.next(false).expect("the archive").body);
        assert!(proxy.archive.len() > 30_000, "{}", String::from_utf8_lossy(&whole));
        proxy
    }

    /// Everything that is answered to a client who sends `bytes` and then no more.
    fn converse(&self, bytes: &[u8]) -> Vec<u8> {
        let (mut client, server) = duplex(64 << 10);
        let service = service_fn(|request| {
            let answer = self.proxy.answer_connection(request, ([192, 0, 2, 1], 50_000).into());
            async move { Ok::<_, std::convert::Infallible>(answer.await) }
        });
        let mut codec = hyper::server::conn::http1::Builder::new();
        // The client has said all it will, so its half is closed at once; it still reads.
        codec.header_read_timeout(None).max_header_size(32 << 10).max_buf_size(64 << 10).half_close(true);
        self.runtime.block_on(async {
            let serving = codec.serve_connection(TokioIo::new(server), service);
            let client = async move {
                let (mut reader, mut writer) = tokio::io::split(&mut client);
                let mut answers = Vec::new();
                let sending = async {
                    // Who is refused may be hung up on before all is sent.
                    let _ = writer.write_all(bytes).await;
                    let _ = writer.shutdown().await;
                };
                let _ = tokio::join!(sending, reader.read_to_end(&mut answers));
                answers
            };
            let both = async { tokio::join!(serving, client) };
            tokio::time::timeout(Duration::from_secs(60), both).await.expect("a connection hangs").1
        })
    }
}

/// Taken is what gets an answer that is no refusal.
pub(crate) fn fuzz(data: &[u8]) -> bool {
    PROXY.with(|proxy| {
        let said = proxy.converse(data);
        let mut answers = Answers(&said);
        let mut taken = false;
        // Which requests were a HEAD is not known from outside, so only what cannot be one is read on.
        while let Some(answer) = answers.next(data.windows(4).any(|word| word == b"HEAD")) {
            answer.judge(&proxy.archive);
            taken |= answer.status < 400;
        }
        taken
    })
}

/// Answers as they lie in what a connection sent, one behind the other.
struct Answers<'a>(&'a [u8]);

/// One answer.
struct Told<'a> {
    status: u16,
    head: String,
    body: &'a [u8],
}

impl<'a> Answers<'a> {
    fn next(&mut self, bodiless: bool) -> Option<Told<'a>> {
        let end = self.0.windows(4).position(|end| end == b"\r\n\r\n")? + 4;
        let (head, rest) = self.0.split_at(end);
        let head = String::from_utf8_lossy(head).to_ascii_lowercase();
        let status = head.get(9..12).and_then(|status| status.parse().ok());
        let status = status.unwrap_or_else(|| panic!("no status: {head}"));
        let length = field(&head, "content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
        let none = bodiless || matches!(status, 100..=199 | 204 | 304);
        let length = if none { 0 } else { usize::min(length, rest.len()) };
        let (body, rest) = rest.split_at(length);
        self.0 = if bodiless { &[] } else { rest };
        Some(Told { status, head, body })
    }
}

fn field<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(str::trim)
}

impl Told<'_> {
    fn judge(&self, archive: &[u8]) {
        let Self { status, head, body } = self;
        assert_ne!(*status, 500, "{head}");
        // What hyper refuses of a head nobody else sees.
        let is_codecs = matches!(status, 100 | 400 | 414 | 431) && field(head, "cache-status").is_none();
        assert!(is_codecs || field(head, "x-request-id").is_some(), "{head}");
        if field(head, "content-type") != Some("application/gzip") || body.is_empty() {
            return;
        }
        match field(head, "content-range") {
            None => assert_eq!(*body, archive, "{head}"),
            Some(range) => {
                let (part, of) =
                    range.strip_prefix("bytes ").and_then(|range| range.split_once('/')).expect("a range");
                let (first, last) = part.split_once('-').expect("two ends");
                let (first, last) = (first.parse::<usize>().unwrap(), last.parse::<usize>().unwrap());
                assert_eq!(of, archive.len().to_string(), "{head}");
                assert_eq!(*body, &archive[first..=last], "{head}");
            }
        }
    }
}
