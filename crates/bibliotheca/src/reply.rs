//! One scripted reply, and the ways in which it can go wrong on the wire.
//!
//! Owns what is written to a connection for one request. Must not know which request gets which reply.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};
use serde_json::{Value, json};

use crate::ranging::{RangeSupport, requested};
use crate::request::{ReceivedRequest, hex_digest};

/// A scripted reply.
#[derive(Clone)]
pub struct ScriptedReply {
    status: u16,
    fields: Vec<(String, String)>,
    body: Arc<[u8]>,
    generated: Option<GeneratedBody>,
    chunked: bool,
    ranging: RangeSupport,
    fault: WireFault,
}

type BodyWriter = dyn Fn(&mut dyn Write) -> io::Result<()> + Send + Sync;

/// A body that is too long to be held in memory. It is written anew for each request.
#[derive(Clone)]
struct GeneratedBody {
    length: u64,
    write: Arc<BodyWriter>,
}

#[derive(Clone)]
enum WireFault {
    None,
    /// Closes after this many bytes of the announced body.
    Cut(usize),
    /// Announces a body of this length, whatever it has.
    Claims(usize),
    /// Sends this much of the body, and the rest when the hold is released.
    Pauses(usize, Arc<ReplyGate>),
    /// Waits this long before each piece of the body.
    Slow(Duration),
    /// Accepts and never answers.
    Silent,
    /// Writes these bytes instead of HTTP.
    Raw(Arc<[u8]>),
}

impl ScriptedReply {
    /// A reply without an entity tag.
    pub fn new(status: u16, content_type: &str, body: impl Into<Vec<u8>>) -> Self {
        let fields = vec![("content-type".to_owned(), content_type.to_owned())];
        let body = body.into().into();
        let (ranging, fault) = (RangeSupport::Ignored, WireFault::None);
        Self { status, fields, body, generated: None, chunked: false, ranging, fault }
    }

    /// A document with a strong `ETag`, which is honoured.
    pub fn json(document: &Value) -> Self {
        Self::document(document.to_string())
    }

    /// A JSON document spelt exactly so.
    pub fn document(text: impl Into<Vec<u8>>) -> Self {
        Self::new(200, "application/json", text).tagged()
    }

    /// A JSON answer that must not be cached, such as the answer to a write.
    pub fn answer(status: u16, body: &Value) -> Self {
        Self::new(status, "application/json", body.to_string())
    }

    /// An archive.
    pub fn archive(bytes: impl Into<Vec<u8>>) -> Self {
        Self::new(200, "application/gzip", bytes)
    }

    /// An archive of this length that is written anew for each request.
    pub fn made_archive(
        length: u64,
        write: impl Fn(&mut dyn Write) -> io::Result<()> + Send + Sync + 'static,
    ) -> Self {
        Self { generated: Some(GeneratedBody { length, write: Arc::new(write) }), ..Self::archive([]) }
    }

    /// A problem document of the protocol.
    pub fn problem(status: u16, slug: &str, title: &str, detail: &str) -> Self {
        let kind = format!("https://agentvolumes.org/problems/{slug}");
        let body = json!({ "type": kind, "title": title, "status": status, "detail": detail });
        Self::new(status, "application/problem+json", body.to_string())
    }

    /// The problem `not-found`.
    pub fn not_found() -> Self {
        Self::problem(404, "not-found", "Not found", "There is no such thing here.")
    }

    /// A 304 with this entity tag.
    pub fn not_modified(tag: &str) -> Self {
        Self { fields: vec![("etag".to_owned(), tag.to_owned())], ..Self::new(304, "", "") }
    }

    /// An HTML page, such as a load balancer sends.
    pub fn failure(status: u16) -> Self {
        Self::new(status, "text/html", "<html><body>upstream's own page</body></html>")
    }

    /// A redirect to `url`.
    pub fn redirect(url: &str) -> Self {
        Self::new(302, "text/plain", "elsewhere").with("location", url)
    }

    /// Accepts the request and never answers.
    pub fn silence() -> Self {
        Self { fault: WireFault::Silent, ..Self::new(200, "text/plain", "") }
    }

    /// These bytes instead of HTTP.
    pub fn raw(bytes: &[u8]) -> Self {
        Self { fault: WireFault::Raw(bytes.into()), ..Self::new(200, "text/plain", "") }
    }

    /// Adds a header field.
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.fields.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Adds a strong `ETag` made of the digest of the body.
    pub fn tagged(self) -> Self {
        let tag = hex_digest(&self.body);
        self.with("etag", &format!("\"{}\"", &tag[..16]))
    }

    /// Sends the body in chunks, without announcing a length.
    pub fn chunked(self) -> Self {
        Self { chunked: true, ..self }
    }

    /// Answers a request for `bytes=a-b` in this way. A fault of the body then applies to the part.
    pub fn ranging(self, ranging: RangeSupport) -> Self {
        Self { ranging, ..self }
    }

    /// Answers a request for a range with the part.
    pub fn ranged(self) -> Self {
        self.ranging(RangeSupport::Honoured)
    }

    /// Answers a request for a range with the part, every byte of it changed.
    pub fn ranged_wrongly(self) -> Self {
        self.ranging(RangeSupport::Garbled)
    }

    /// Answers a request for a range with the part one byte beside it, and a `Content-Range` that says so.
    pub fn ranged_elsewhere(self) -> Self {
        self.ranging(RangeSupport::Elsewhere)
    }

    /// Closes after this many bytes of the body.
    pub fn cut_after(self, bytes: usize) -> Self {
        Self { fault: WireFault::Cut(bytes), ..self }
    }

    /// Closes in the middle of the body.
    pub fn halved(self) -> Self {
        let half = self.body.len() / 2;
        self.cut_after(half)
    }

    /// Waits before each piece of the body.
    pub fn slowed_by(self, pause: Duration) -> Self {
        Self { fault: WireFault::Slow(pause), ..self }
    }

    /// Announces a body of this length, whatever it has.
    pub fn claiming(self, length: usize) -> Self {
        Self { fault: WireFault::Claims(length), ..self }
    }

    /// Stops after `bytes` of the body until the returned hold is released.
    pub fn pausing_after(self, bytes: usize) -> (Self, ReplyHold) {
        let hold = ReplyHold::default();
        (Self { fault: WireFault::Pauses(bytes, Arc::clone(&hold.0)), ..self }, hold)
    }

    /// The status code.
    pub fn status(&self) -> u16 {
        self.status
    }

    /// The header fields, without those that delimit the body.
    pub fn fields(&self) -> impl Iterator<Item = (&str, &str)> {
        self.fields.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// The body, where it is held in memory.
    pub fn body(&self) -> &[u8] {
        &self.body
    }

    pub(crate) fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// The reply to this request once its condition and its range are considered.
    pub fn to(&self, request: &ReceivedRequest) -> Self {
        if let Some((_, tag)) = self.fields().find(|(name, _)| *name == "etag")
            && request.header("if-none-match").is_some_and(|condition| matches(condition, tag))
        {
            return Self::not_modified(tag);
        }
        let range = request.header("range").filter(|_| request.method == "GET" && self.status == 200);
        let part = range.and_then(requested).and_then(|range| self.ranging.answer(range, &self.body));
        let Some(part) = part else { return self.clone() };
        let (status, body) = (part.status, part.body.into());
        Self { status, body, ..self.clone().with("content-range", &part.content_range) }
    }

    /// Writes the reply; true when the connection may be used again. `sent` counts bytes of bodies.
    pub(crate) fn write(
        &self,
        request: &ReceivedRequest,
        to: &mut TcpStream,
        sent: &AtomicU64,
    ) -> io::Result<bool> {
        match &self.fault {
            WireFault::Raw(bytes) => return to.write_all(bytes).map(|()| false),
            WireFault::Silent => return to.read(&mut [0]).map(|_| false),
            _ => {}
        }
        let reply = self.to(request);
        to.write_all(reply.head().as_bytes())?;
        if request.method == "HEAD" || reply.status == 304 { Ok(true) } else { reply.write_body(to, sent) }
    }

    fn head(&self) -> String {
        let length = match (&self.fault, &self.generated) {
            (WireFault::Claims(length), _) => *length as u64,
            (_, Some(generated)) => generated.length,
            _ => self.body.len() as u64,
        };
        let framing = match self.status {
            304 => String::new(),
            _ if self.chunked => "transfer-encoding: chunked\r\n".to_owned(),
            _ => format!("content-length: {length}\r\n"),
        };
        let fields = self.fields().map(|(name, value)| format!("{name}: {value}\r\n"));
        format!("HTTP/1.1 {} Scripted\r\n{framing}{}\r\n", self.status, fields.collect::<String>())
    }

    fn write_body(&self, to: &mut TcpStream, sent: &AtomicU64) -> io::Result<bool> {
        if let Some(generated) = &self.generated {
            return (generated.write)(&mut CountedWriter { to, sent }).map(|()| true);
        }
        let (now, later) = match &self.fault {
            WireFault::Cut(bytes) => (&self.body[..*bytes], None),
            WireFault::Pauses(bytes, gate) => (&self.body[..*bytes], Some((gate, &self.body[*bytes..]))),
            _ => (&self.body[..], None),
        };
        self.write_pieces(now, to, sent)?;
        if let Some((gate, rest)) = later {
            gate.wait();
            self.write_pieces(rest, to, sent)?;
        }
        let ended = matches!(self.fault, WireFault::None | WireFault::Pauses(..) | WireFault::Slow(_));
        if self.chunked && ended {
            to.write_all(b"0\r\n\r\n")?;
        }
        Ok(ended)
    }

    fn write_pieces(&self, bytes: &[u8], to: &mut TcpStream, sent: &AtomicU64) -> io::Result<()> {
        bytes.chunks(64 << 10).try_for_each(|piece| {
            if let WireFault::Slow(pause) = self.fault {
                thread::sleep(pause);
            }
            sent.fetch_add(piece.len() as u64, Ordering::Relaxed);
            if !self.chunked {
                return to.write_all(piece);
            }
            to.write_all(format!("{:x}\r\n", piece.len()).as_bytes())?;
            to.write_all(piece)?;
            to.write_all(b"\r\n")
        })
    }
}

/// Whether an `If-None-Match` names `tag`, by the weak comparison of RFC 9110, section 13.1.2.
fn matches(condition: &str, tag: &str) -> bool {
    let mut named = condition.split(',').map(str::trim);
    named.any(|named| named == "*" || named.strip_prefix("W/").unwrap_or(named) == tag)
}

/// Counts the bytes that are written through it.
struct CountedWriter<'a> {
    to: &'a mut TcpStream,
    sent: &'a AtomicU64,
}

impl Write for CountedWriter<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.to.write(bytes)?;
        self.sent.fetch_add(written as u64, Ordering::Relaxed);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}

/// Holds replies back until it is released or dropped.
#[derive(Default)]
pub struct ReplyHold(pub(crate) Arc<ReplyGate>);

impl ReplyHold {
    /// Lets the replies go.
    pub fn release(self) {}
}

impl Drop for ReplyHold {
    fn drop(&mut self) {
        *self.0.opened.lock() = true;
        self.0.changed.notify_all();
    }
}

#[derive(Default)]
pub(crate) struct ReplyGate {
    opened: Mutex<bool>,
    changed: Condvar,
}

impl ReplyGate {
    pub(crate) fn wait(&self) {
        self.changed.wait_while(&mut self.opened.lock(), |opened| !*opened);
    }
}
