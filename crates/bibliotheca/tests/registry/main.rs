//! The registry over a real socket.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod ranges;
mod sample;

use std::io::{BufReader, Write};
use std::net::TcpStream;

use bibliotheca::wire::{BodyFraming, HeaderFields, read_body, read_head};

/// What came back.
struct Answer {
    status: u16,
    fields: HeaderFields,
    body: Vec<u8>,
    whole: bool,
}

impl Answer {
    fn header(&self, name: &str) -> Option<&str> {
        self.fields.get(name)
    }
}

/// Sends one request on a connection of its own.
fn send(authority: &str, method: &str, target: &str, fields: &[(&str, &str)]) -> Answer {
    let mut stream = TcpStream::connect(authority).unwrap();
    let fields: String = fields.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    write!(stream, "{method} {target} HTTP/1.1\r\nhost: {authority}\r\n{fields}\r\n").unwrap();
    let mut stream = BufReader::new(stream);
    let (start, fields) = read_head(&mut stream).unwrap().unwrap();
    let status = start.split(' ').nth(1).unwrap().parse().unwrap();
    let framing = match fields.get("content-length") {
        Some(length) if method != "HEAD" => BodyFraming::Length(length.parse().unwrap()),
        _ => BodyFraming::None,
    };
    let mut body = Vec::new();
    let whole = read_body(&mut stream, framing, |piece| {
        body.extend_from_slice(piece);
        true
    });
    Answer { status, fields, body, whole }
}
