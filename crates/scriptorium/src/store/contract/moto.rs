//! A bucket server for tests, one for all of this process, which ends with it.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;

/// A bucket that is there.
pub(in crate::store) const BUCKET: &str = "contract";

/// Where the server listens; `None` where the machine has none and none is required.
pub(in crate::store) fn endpoint() -> Option<&'static str> {
    // Never dropped; but its standard input closes with this process, and it ends.
    static SERVER: OnceLock<Option<(Child, String)>> = OnceLock::new();
    SERVER.get_or_init(start).as_ref().map(|(_, endpoint)| endpoint.as_str())
}

fn start() -> Option<(Child, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut python = Command::new("python3");
    // A folder that pip installed moto to, if it is none of python's own.
    python.env(
        "PYTHONPATH",
        std::env::var_os("SCRIPTORIUM_MOTO").unwrap_or(root.join("../../target/tools/moto").into()),
    );
    python.arg(root.join("tests/bucket_server.py")).arg("0");
    let spawned = python.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn();
    let mut port = String::new();
    if let Ok(mut child) = spawned
        && BufReader::new(child.stdout.take().unwrap()).read_line(&mut port).is_ok_and(|read| read > 0)
    {
        let authority = format!("127.0.0.1:{}", port.trim());
        make_bucket(&authority);
        return Some((child, format!("http://{authority}")));
    }
    let required = std::env::var_os("SCRIPTORIUM_REQUIRE_S3").is_some();
    assert!(!required, "moto is neither in $SCRIPTORIUM_MOTO nor in target/tools/moto");
    eprintln!("S3 is not tested: moto is neither in $SCRIPTORIUM_MOTO nor in target/tools/moto");
    None
}

fn make_bucket(authority: &str) {
    let mut stream = TcpStream::connect(authority).unwrap();
    write!(stream, "PUT /{BUCKET} HTTP/1.1\r\nHost: {authority}\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.contains(" 200 "), "{answer}");
}
