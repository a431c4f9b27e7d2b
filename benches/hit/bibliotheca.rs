//! The registry behind the measured proxy: two indexes, and two releases with their archives.
//!
//! Owns what it answers and a server that is just enough for a proxy that asks everything once. Must not know
//! what is measured.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::thread;

use flate2::{Compression, write::GzEncoder};
use scriptorium::archive::TreeHasher;
use scriptorium::domain::{Integrity, Sha256};
use serde_json::{Value, json};
use tar::{Builder, Header};

pub(crate) const VERSION: &str = "1.0.0";

type Answers = HashMap<String, Vec<u8>>;

/// Serves `indexes` and `archives`, by name and size, for as long as the process lives.
pub(crate) fn serve(indexes: &[(&str, usize)], archives: &[(&str, usize)]) -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    let base = format!("http://{address}");
    let mut answers = Answers::new();
    for (name, size) in indexes {
        answers.insert(format!("/api/v1/index/volumes/{name}"), index(&base, name, *size));
    }
    for (name, size) in archives {
        let (archive, integrity) = pack(name, *size);
        let items = [row(&base, name, VERSION, integrity)];
        answers.insert(format!("/api/v1/index/volumes/{name}"), bytes(&json!({"items": items})));
        answers.insert(format!("/api/v1/volumes/{name}/{VERSION}"), bytes(&release(&base, name, integrity)));
        answers.insert(format!("/cdn/{name}.tar.gz"), archive);
    }
    thread::spawn(move || {
        for stream in listener.incoming() {
            answer(&stream.unwrap(), &answers);
        }
    });
    address
}

/// One request a connection, one connection at a time.
fn answer(mut stream: &TcpStream, answers: &Answers) {
    let head: Vec<_> =
        BufReader::new(stream).lines().map_while(Result::ok).take_while(|line| !line.is_empty()).collect();
    let path = head.first().and_then(|line| line.split(' ').nth(1)).unwrap_or_default();
    let (status, kind, body) = match answers.get(path) {
        Some(body) if path.starts_with("/cdn/") => ("200 OK", "application/gzip", body.clone()),
        Some(body) => ("200 OK", "application/json", body.clone()),
        None => ("404 Not Found", "application/problem+json", bytes(&not_found())),
    };
    let length = body.len();
    let head = format!(
        "HTTP/1.1 {status}\r\ncontent-type: {kind}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n"
    );
    stream.write_all(&[head.as_bytes(), &body].concat()).unwrap();
}

fn bytes(value: &Value) -> Vec<u8> {
    value.to_string().into_bytes()
}

fn not_found() -> Value {
    json!({"type": "about:blank", "title": "Not Found", "status": 404, "detail": "There is no such volume."})
}

fn index(base: &str, name: &str, size: usize) -> Vec<u8> {
    let mut rows = Vec::new();
    loop {
        let version = format!("1.{}.0", rows.len());
        rows.push(row(base, name, &version, Integrity::new(Sha256::of(version.as_bytes()))));
        let document = bytes(&json!({"items": rows}));
        if document.len() >= size {
            return document;
        }
    }
}

fn row(base: &str, name: &str, version: &str, integrity: Integrity) -> Value {
    json!({
        "version": version,
        "status": {"state": "available"},
        "integrity": integrity,
        "dependencies": {"base-prompts": "^1.2.0"},
        "release": {"url": format!("{base}/api/v1/volumes/{name}/{version}")},
    })
}

fn release(base: &str, name: &str, integrity: Integrity) -> Value {
    json!({
        "name": name,
        "version": VERSION,
        "purl": format!("pkg:volume/{name}@{VERSION}"),
        "integrity": integrity,
        "status": {"state": "available"},
        "dist": {
            "source": "cdn",
            "mediaType": "application/gzip",
            "url": format!("{base}/cdn/{name}.tar.gz"),
        },
    })
}

/// A release of about `size` bytes, the most of them in one file that does not compress.
fn pack(name: &str, size: usize) -> (Vec<u8>, Integrity) {
    let manifest = format!(
        "[volume]\nschema = 1\nname = \"{name}\"\nversion = \"{VERSION}\"\n\
         description = \"To measure with\"\n\
         license = \"Apache-2.0\"\nrole = \"library\"\n\n[publisher]\nid = \"bench\"\n\n[[components]]\n\
         type = \"agent\"\nname = \"review\"\nentrypoint = \"agents/review.md\"\n"
    );
    let noise = (0_u64..).flat_map(|at| *Sha256::of(&at.to_le_bytes()).as_bytes()).take(size).collect();
    let files = [
        ("agents/review.md", b"# Review\n".to_vec()),
        ("data/noise.bin", noise),
        ("volume.toml", manifest.into_bytes()),
    ];
    let mut archive = Builder::new(GzEncoder::new(Vec::new(), Compression::fast()));
    let mut tree = TreeHasher::new();
    for (path, content) in files {
        let mut header = Header::new_ustar();
        header.set_mode(0o644);
        header.set_size(content.len() as u64);
        archive.append_data(&mut header, path, &*content).unwrap();
        tree.file(path, false, content.len() as u64);
        tree.content(&content);
    }
    (archive.into_inner().unwrap().finish().unwrap(), tree.finish())
}
