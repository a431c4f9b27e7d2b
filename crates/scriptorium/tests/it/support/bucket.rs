//! A bucket server of a test's own, which the proxy under test takes for S3, and a look behind its back.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use super::Setup;
use super::proxy::signal;

const NAME: &str = "volumes";
const PREFIX: &str = "some/where";
/// The server does not look at signatures, only whether there is one.
const SIGNED: &str = "Authorization: AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/s3/aws4_request, \
                      SignedHeaders=host, Signature=0\r\n";

/// The server, with an empty bucket; it ends when dropped.
pub(crate) struct Bucket {
    server: Child,
    authority: String,
}

impl Bucket {
    /// `None` where the machine has no such server and none is required.
    pub(crate) fn start() -> Option<Self> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let installed =
            std::env::var_os("SCRIPTORIUM_MOTO").unwrap_or(root.join("../../target/tools/moto").into());
        let spawned = Command::new("python3")
            .env("PYTHONPATH", installed)
            .arg(root.join("tests/bucket_server.py"))
            .arg("0")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn();
        let mut port = String::new();
        if let Ok(mut server) = spawned {
            BufReader::new(server.stdout.take().unwrap()).read_line(&mut port).unwrap();
            if !port.is_empty() {
                let bucket = Self { server, authority: format!("127.0.0.1:{}", port.trim()) };
                bucket.ask("PUT", "", b"");
                return Some(bucket);
            }
            server.wait().unwrap();
        }
        let required = std::env::var_os("SCRIPTORIUM_REQUIRE_S3").is_some();
        assert!(!required, "moto is neither in $SCRIPTORIUM_MOTO nor in target/tools/moto");
        eprintln!("skipped: moto is neither in $SCRIPTORIUM_MOTO nor in target/tools/moto");
        None
    }

    pub(crate) fn authority(&self) -> &str {
        &self.authority
    }

    /// The proxy of `setup` keeps things in this bucket.
    pub(crate) fn below(&self, setup: Setup) -> Setup {
        self.named(setup, NAME)
    }

    /// The same with another bucket's name.
    pub(crate) fn named(&self, setup: Setup, name: &str) -> Setup {
        setup
            .set("storage.url", format!("s3://{name}/{PREFIX}"))
            .env("AWS_ENDPOINT_URL", &format!("http://{}", self.authority))
            .env("AWS_ALLOW_HTTP", "true")
            .env("AWS_ACCESS_KEY_ID", "test")
            .env("AWS_SECRET_ACCESS_KEY", "hunter2")
    }

    /// The keys below a shelf, without the prefix.
    pub(crate) fn keys(&self, shelf: &str) -> Vec<String> {
        let listing = self.ask("GET", &format!("?list-type=2&prefix={PREFIX}/{shelf}/"), b"");
        let listing = String::from_utf8(listing).unwrap();
        let keys = listing.split("<Key>").skip(1).map(|rest| rest.split("</Key>").next().unwrap());
        keys.map(|key| key.strip_prefix(PREFIX).unwrap()[1..].to_owned()).collect()
    }

    /// How many requests it served so far.
    pub(crate) fn requests(&self) -> u64 {
        let count = self.exchange("GET", "/-/requests", b"");
        String::from_utf8(count).unwrap().parse().unwrap()
    }

    pub(crate) fn get(&self, key: &str) -> Vec<u8> {
        self.ask("GET", &format!("/{PREFIX}/{key}"), b"")
    }

    pub(crate) fn put(&self, key: &str, bytes: &[u8]) {
        self.ask("PUT", &format!("/{PREFIX}/{key}"), bytes);
    }

    /// Ends the server and forgets all it held.
    pub(crate) fn down(&mut self) {
        self.server.kill().unwrap();
        self.server.wait().unwrap();
    }

    /// Keeps the server from answering, or lets it go on.
    pub(crate) fn signal(&self, name: &str) {
        signal(self.server.id(), name);
    }

    /// Has the server hang in the middle of the next object that it sends, for ever.
    pub(crate) fn stall(&self) {
        self.exchange("GET", "/-/stall", b"");
    }

    fn ask(&self, method: &str, what: &str, body: &[u8]) -> Vec<u8> {
        self.exchange(method, &format!("/{NAME}{what}"), body)
    }

    fn exchange(&self, method: &str, path: &str, body: &[u8]) -> Vec<u8> {
        let mut stream = TcpStream::connect(&self.authority).unwrap();
        let (host, length) = (&self.authority, body.len());
        write!(
            stream,
            "{method} {path} HTTP/1.1\r\nHost: {host}\r\n{SIGNED}Content-Length: {length}\r\n\
             Content-Type: application/octet-stream\r\nConnection: close\r\n\r\n"
        )
        .unwrap();
        stream.write_all(body).unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        let end = answer.windows(4).position(|window| window == b"\r\n\r\n").unwrap();
        let (head, body) = answer.split_at(end + 4);
        assert!(head[8..].starts_with(b" 200 "), "{method} {path}: {}", String::from_utf8_lossy(head));
        body.to_vec()
    }
}

impl Drop for Bucket {
    fn drop(&mut self) {
        self.server.kill().ok();
        self.server.wait().ok();
    }
}
