//! What proxies share: a bucket, by the S3 server of the tests, and a Redis. Both end when dropped.
//!
//! Owns these servers. Must not know what is measured.

use std::env;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// The variable with the URL of the Redis.
pub(crate) const ENGINE: &str = "HIT_ENGINE";
/// Of these each makes a missing server a failure.
const REQUIRED: [&str; 2] = ["SCRIPTORIUM_REQUIRE_S3", "SCRIPTORIUM_REQUIRE_REDIS"];
const STARTS_WITHIN: Duration = Duration::from_secs(20);

/// The servers.
pub(crate) struct Servers {
    /// The bucket server ends with its standard input.
    _bucket: RunningServer,
    _engine: RunningServer,
    bucket_port: u16,
    engine_port: u16,
}

struct RunningServer(Child);

/// Why there are no servers.
pub(crate) struct NoServers {
    pub(crate) missing: &'static str,
    /// Whether that is a failure.
    pub(crate) is_required: bool,
}

impl Servers {
    /// Both, with an empty bucket.
    pub(crate) fn start() -> Result<Self, NoServers> {
        let required = |index: usize| env::var_os(REQUIRED[index]).is_some_and(|value| !value.is_empty());
        let no = |missing, index| NoServers { missing, is_required: required(index) };
        let (bucket, bucket_port) = bucket().ok_or(no("moto", 0))?;
        let (engine, engine_port) = engine().ok_or(no("redis-server", 1))?;
        let servers = Self { _bucket: bucket, _engine: engine, bucket_port, engine_port };
        servers.make_bucket();
        Ok(servers)
    }

    /// What a process has to know that uses them.
    pub(crate) fn environment(&self) -> [(&'static str, String); 5] {
        [
            ("AWS_ENDPOINT_URL", format!("http://127.0.0.1:{}", self.bucket_port)),
            ("AWS_ALLOW_HTTP", "true".to_owned()),
            ("AWS_ACCESS_KEY_ID", "test".to_owned()),
            ("AWS_SECRET_ACCESS_KEY", "test".to_owned()),
            (ENGINE, format!("redis://127.0.0.1:{}/0", self.engine_port)),
        ]
    }

    /// The server does not look at signatures, only whether there is one.
    fn make_bucket(&self) {
        let mut stream = TcpStream::connect(("127.0.0.1", self.bucket_port)).unwrap();
        write!(
            stream,
            "PUT /volumes HTTP/1.1\r\nHost: 127.0.0.1:{}\r\nContent-Length: 0\r\nConnection: close\r\n\
             Authorization: AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/s3/aws4_request, \
             SignedHeaders=host, Signature=0\r\n\r\n",
            self.bucket_port
        )
        .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.contains(" 200 "), "{answer}");
    }
}

impl Drop for RunningServer {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

fn bucket() -> Option<(RunningServer, u16)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let moto = env::var_os("SCRIPTORIUM_MOTO").unwrap_or(root.join("../../target/tools/moto").into());
    let mut server = Command::new("python3");
    server.env("PYTHONPATH", moto).arg(root.join("tests/bucket_server.py")).arg("0");
    let mut server =
        server.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().ok()?;
    let mut port = String::new();
    BufReader::new(server.stdout.take()?).read_line(&mut port).ok()?;
    let server = RunningServer(server);
    Some((server, port.trim().parse().ok()?))
}

fn engine() -> Option<(RunningServer, u16)> {
    let port = TcpListener::bind(("127.0.0.1", 0)).ok()?.local_addr().ok()?.port();
    let mut server = Command::new("redis-server");
    server.args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]);
    server.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let server = RunningServer(server.spawn().ok()?);
    let started = Instant::now();
    while TcpStream::connect(("127.0.0.1", port)).is_err() {
        assert!(started.elapsed() < STARTS_WITHIN, "redis-server does not listen");
        thread::sleep(Duration::from_millis(10));
    }
    Some((server, port))
}
