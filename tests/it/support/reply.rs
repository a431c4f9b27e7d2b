//! What the upstream says to one request, down to the ways in which it can go wrong on the wire.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::ranging::{Ranging, requested};
use super::wire::Fields;

/// A scripted answer.
#[derive(Clone)]
pub(crate) struct Reply {
    status: u16,
    fields: Vec<(String, String)>,
    body: Arc<[u8]>,
    made: Option<Made>,
    chunked: bool,
    ranging: Ranging,
    fault: Fault,
}

/// A body that is too long to be held: its length, and who writes it.
type Made = (u64, Arc<dyn Fn(&mut dyn Write) -> io::Result<()> + Send + Sync>);

#[derive(Clone)]
enum Fault {
    None,
    /// Closes after this many bytes of the announced body.
    Cut(usize),
    /// Announces a body of this length, whatever it has.
    Claims(usize),
    /// Sends so much of the body, the rest when the hold is released.
    Pauses(usize, Arc<Gate>),
    /// Waits so long before each piece of the body.
    Slow(Duration),
    /// Accepts and never answers.
    Silent,
    /// Writes these bytes instead of HTTP.
    Raw(Arc<[u8]>),
}

impl Reply {
    pub(crate) fn new(status: u16, content_type: &str, body: impl Into<Vec<u8>>) -> Self {
        let fields = vec![("content-type".to_owned(), content_type.to_owned())];
        Self {
            status,
            fields,
            body: body.into().into(),
            made: None,
            chunked: false,
            ranging: Ranging::Ignored,
            fault: Fault::None,
        }
    }

    /// A document with a strong `ETag`, which is honoured.
    pub(crate) fn json(document: &Value) -> Self {
        Self::document(document.to_string())
    }

    /// A JSON document spelt exactly so.
    pub(crate) fn document(text: impl Into<Vec<u8>>) -> Self {
        let text = text.into();
        let tag = data_encoding::HEXLOWER.encode(&Sha256::digest(&text)[..8]);
        Self::new(200, "application/json", text).with("etag", &format!("\"{tag}\""))
    }

    /// A JSON answer that is no document to be kept: what a write is answered with.
    pub(crate) fn answer(status: u16, body: &Value) -> Self {
        Self::new(status, "application/json", body.to_string())
    }

    /// Whether it tells of success.
    pub(crate) fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    pub(crate) fn archive(bytes: impl Into<Vec<u8>>) -> Self {
        Self::new(200, "application/gzip", bytes)
    }

    /// An archive of this length that is written anew for everybody who asks.
    pub(crate) fn made_archive(
        length: u64,
        make: impl Fn(&mut dyn Write) -> io::Result<()> + Send + Sync + 'static,
    ) -> Self {
        Self { made: Some((length, Arc::new(make))), ..Self::archive([]) }
    }

    pub(crate) fn problem(status: u16, slug: &str, title: &str, detail: &str) -> Self {
        let kind = format!("https://agentvolumes.org/problems/{slug}");
        let body = json!({ "type": kind, "title": title, "status": status, "detail": detail });
        Self::new(status, "application/problem+json", body.to_string())
    }

    pub(crate) fn not_found() -> Self {
        Self::problem(404, "not-found", "Not found", "There is no such thing here.")
    }

    pub(crate) fn failure(status: u16) -> Self {
        Self::new(status, "text/html", "<html><body>upstream's own page</body></html>")
    }

    pub(crate) fn redirect(url: &str) -> Self {
        Self::new(302, "text/plain", "elsewhere").with("location", url)
    }

    pub(crate) fn silence() -> Self {
        Self { fault: Fault::Silent, ..Self::new(200, "text/plain", "") }
    }

    pub(crate) fn raw(bytes: &[u8]) -> Self {
        Self { fault: Fault::Raw(bytes.into()), ..Self::new(200, "text/plain", "") }
    }

    pub(crate) fn with(mut self, name: &str, value: &str) -> Self {
        self.fields.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Sends the body in chunks, without announcing a length.
    pub(crate) fn chunked(self) -> Self {
        Self { chunked: true, ..self }
    }

    /// Answers a request for `bytes=a-b` with that part; what is done to a body is then done to the part.
    pub(crate) fn ranged(self) -> Self {
        Self { ranging: Ranging::Honoured, ..self }
    }

    /// The same with every byte of the part turned into another.
    pub(crate) fn ranged_wrongly(self) -> Self {
        Self { ranging: Ranging::Garbled, ..self }
    }

    /// The same with the part one byte beside the one that was asked for, and said to be that.
    pub(crate) fn ranged_elsewhere(self) -> Self {
        Self { ranging: Ranging::Elsewhere, ..self }
    }

    pub(crate) fn cut_after(self, bytes: usize) -> Self {
        Self { fault: Fault::Cut(bytes), ..self }
    }

    /// Closes in the middle of the body.
    pub(crate) fn halved(self) -> Self {
        let half = self.body.len() / 2;
        self.cut_after(half)
    }

    /// Waits before each piece of the body.
    pub(crate) fn slowed_by(self, pause: Duration) -> Self {
        Self { fault: Fault::Slow(pause), ..self }
    }

    pub(crate) fn claiming(self, length: usize) -> Self {
        Self { fault: Fault::Claims(length), ..self }
    }

    /// Stops after `bytes` of the body until the returned hold is released.
    pub(crate) fn pausing_after(self, bytes: usize) -> (Self, Hold) {
        let hold = Hold::default();
        (Self { fault: Fault::Pauses(bytes, Arc::clone(&hold.0)), ..self }, hold)
    }

    /// Writes the answer; true when the connection may be used again. `sent` counts body bytes.
    pub(super) fn write(
        &self,
        method: &str,
        asked: &Fields,
        to: &mut TcpStream,
        sent: &AtomicU64,
    ) -> io::Result<bool> {
        match &self.fault {
            Fault::Raw(bytes) => return to.write_all(bytes).map(|()| false),
            Fault::Silent => return to.read(&mut [0]).map(|_| false),
            _ => {}
        }
        let tag = self.fields.iter().find(|(name, _)| name == "etag").map(|(_, tag)| tag.as_str());
        if tag.is_some() && asked.get("if-none-match") == tag {
            write!(to, "HTTP/1.1 304 Not Modified\r\netag: {}\r\n\r\n", tag.unwrap_or_default())?;
            return Ok(true);
        }
        let part = match method {
            "GET" => self.part(asked),
            _ => None,
        };
        let reply = part.as_ref().unwrap_or(self);
        to.write_all(reply.head().as_bytes())?;
        if method == "HEAD" { Ok(true) } else { reply.write_body(to, sent) }
    }

    /// What is said to whom asks for a range of this.
    fn part(&self, asked: &Fields) -> Option<Self> {
        let range = requested(asked.get("range")?).filter(|_| self.status == 200)?;
        let (status, stated, body) = self.ranging.answer(range, &self.body)?;
        Some(Self { status, body: body.into(), ..self.clone().with("content-range", &stated) })
    }

    fn head(&self) -> String {
        let length = match (&self.fault, &self.made) {
            (Fault::Claims(length), _) => *length as u64,
            (_, Some((length, _))) => *length,
            _ => self.body.len() as u64,
        };
        let framing = if self.chunked {
            "transfer-encoding: chunked".to_owned()
        } else {
            format!("content-length: {length}")
        };
        let mut head = format!("HTTP/1.1 {} Scripted\r\n{framing}\r\n", self.status);
        for (name, value) in &self.fields {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head + "\r\n"
    }

    fn write_body(&self, to: &mut TcpStream, sent: &AtomicU64) -> io::Result<bool> {
        if let Some((_, make)) = &self.made {
            return make(&mut Counted { to, sent }).map(|()| true);
        }
        let (now, later) = match &self.fault {
            Fault::Cut(bytes) => (&self.body[..*bytes], None),
            Fault::Pauses(bytes, gate) => (&self.body[..*bytes], Some((gate, &self.body[*bytes..]))),
            _ => (&self.body[..], None),
        };
        self.write_pieces(now, to, sent)?;
        if let Some((gate, rest)) = later {
            gate.wait();
            self.write_pieces(rest, to, sent)?;
        }
        let ended = matches!(self.fault, Fault::None | Fault::Pauses(..) | Fault::Slow(_));
        if self.chunked && ended {
            to.write_all(b"0\r\n\r\n")?;
        }
        Ok(ended)
    }

    fn write_pieces(&self, bytes: &[u8], to: &mut TcpStream, sent: &AtomicU64) -> io::Result<()> {
        bytes.chunks(64 << 10).try_for_each(|piece| {
            if let Fault::Slow(pause) = self.fault {
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

/// Counts what passes through it.
struct Counted<'a> {
    to: &'a mut TcpStream,
    sent: &'a AtomicU64,
}

impl Write for Counted<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.to.write(bytes)?;
        self.sent.fetch_add(written as u64, Ordering::Relaxed);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}

/// Keeps answers back until it is released or dropped.
#[derive(Default)]
pub(crate) struct Hold(pub(super) Arc<Gate>);

impl Hold {
    pub(crate) fn release(self) {}
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.0.open();
    }
}

#[derive(Default)]
pub(super) struct Gate {
    opened: Mutex<bool>,
    changed: Condvar,
}

impl Gate {
    fn open(&self) {
        *self.opened.lock().unwrap() = true;
        self.changed.notify_all();
    }

    pub(super) fn wait(&self) {
        let mut opened = self.opened.lock().unwrap();
        while !*opened {
            opened = self.changed.wait(opened).unwrap();
        }
    }
}
