//! The access record: one for each answered request.
//!
//! It is written by hand in the form of every other record: the general formatter takes a tenth of the time of a hit.
//! Owns the fields and their form. Must not know how a request was answered.

use std::fmt;
use std::io::Write;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use prometheus::IntCounterVec;
use prometheus::core::Collector;

use super::log_buffers::LogBuffers;
use crate::clock::Timestamp;
use crate::config::LogFormat;

#[derive(Clone, Copy)]
pub(crate) struct AccessRecord<'a> {
    pub(crate) request_id: &'a str,
    pub(crate) peer: Option<SocketAddr>,
    pub(crate) class: &'static str,
    /// The client that the request is counted for.
    pub(crate) client: AccessClient<'a>,
    pub(crate) method: &'a str,
    /// Without the query.
    pub(crate) path: &'a str,
    pub(crate) status: u16,
    pub(crate) cache: Option<&'a str>,
    /// The rule of the operator's policy that says something against the release.
    pub(crate) policy: Option<&'a str>,
    /// The trace that the request belongs to, if there is one.
    pub(crate) trace_id: Option<&'a str>,
    /// From the request's head to the answer's.
    pub(crate) took: Duration,
}

/// A client, as rate limits know it.
#[derive(Clone, Copy)]
pub(crate) enum AccessClient<'a> {
    Address(IpAddr),
    /// Of a token.
    Name(&'a str),
}

/// Puts access records into the log of the process, if there is one and it has them.
#[derive(Debug, Clone, Default)]
pub(crate) struct AccessLog {
    log: Option<Arc<LogBuffers>>,
    format: Option<LogFormat>,
    /// What became of spans, where requests have some.
    spans: Option<IntCounterVec>,
}

impl AccessLog {
    /// Without a `format`, no record is put there.
    pub(super) fn new(log: Arc<LogBuffers>, format: Option<LogFormat>, spans: Option<IntCounterVec>) -> Self {
        Self { log: Some(log), format, spans }
    }

    /// Lines that were dropped, and spans by what became of them.
    pub(super) fn counted(&self) -> impl Iterator<Item = Box<dyn Collector>> {
        let lines = self.log.iter().map(|log| Box::new(log.dropped.clone()) as Box<dyn Collector>);
        lines.chain(self.spans.iter().map(|spans| Box::new(spans.clone()) as Box<dyn Collector>))
    }

    /// Whether requests have spans.
    pub(crate) fn is_traced(&self) -> bool {
        self.spans.is_some()
    }

    pub(crate) fn write(&self, access: &AccessRecord<'_>, now: Timestamp) {
        let (Some(log), Some(format)) = (&self.log, self.format) else { return };
        log.put(|lines| match format {
            LogFormat::Text => TextSpelling::record(lines, access, now),
            LogFormat::Json => JsonSpelling::record(lines, access, now),
        });
    }
}

/// The names of all fields, each with the characters between it and its neighbours.
struct Names {
    request_id: &'static str,
    peer: &'static str,
    class: &'static str,
    client: &'static str,
    method: &'static str,
    path: &'static str,
    status: &'static str,
    cache: &'static str,
    policy: &'static str,
    trace_id: &'static str,
    micros: &'static str,
}

macro_rules! names {
    ($before:literal, $after:literal: $($name:ident)*) => {
        Names { $($name: concat!($before, stringify!($name), $after),)* }
    };
    ($before:literal, $after:literal) => {
        names!($before, $after: request_id peer class client method path status cache policy trace_id micros)
    };
}

/// Bytes that are not printable ASCII.
const ODD: u8 = 1;
/// Bytes that are escaped between quotes.
const QUOTED: u8 = 2;

/// The mark of each byte.
const MARKS: [u8; 256] = {
    let (mut marks, mut byte) = ([0; 256], 0);
    while byte < marks.len() {
        marks[byte] = match byte as u8 {
            b'"' | b'\\' => QUOTED,
            b' '..=b'~' => 0,
            _ => ODD,
        };
        byte += 1;
    }
    marks
};

/// How fields are written.
trait Spelling {
    const NAMES: Names;
    /// The quotes around an address.
    const QUOTE: &'static str;

    fn begin(record: &mut Vec<u8>, now: Timestamp);
    fn text(record: &mut Vec<u8>, text: &str);
    fn name(record: &mut Vec<u8>, name: &str);
    const END: &'static str;

    /// Appends the line of `access`.
    fn record(into: &mut Vec<u8>, access: &AccessRecord<'_>, now: Timestamp) {
        let AccessRecord { request_id, peer, class, client, method, path, status, .. } = *access;
        let AccessRecord { cache, policy, trace_id, took, .. } = *access;
        Self::begin(into, now);
        put(into, Self::NAMES.request_id);
        Self::text(into, request_id);
        if let Some(peer) = peer {
            put(into, Self::NAMES.peer);
            put(into, Self::QUOTE);
            socket(into, peer);
            put(into, Self::QUOTE);
        }
        put(into, Self::NAMES.class);
        word(into, class);
        put(into, Self::NAMES.client);
        match client {
            AccessClient::Address(client) => {
                put(into, Self::QUOTE);
                address(into, client);
                put(into, Self::QUOTE);
            }
            AccessClient::Name(name) => Self::name(into, name),
        }
        put(into, Self::NAMES.method);
        word(into, method);
        put(into, Self::NAMES.path);
        Self::text(into, path);
        put(into, Self::NAMES.status);
        number(into, status);
        if let Some(cache) = cache {
            put(into, Self::NAMES.cache);
            Self::text(into, cache);
        }
        if let Some(policy) = policy {
            put(into, Self::NAMES.policy);
            Self::name(into, policy);
        }
        if let Some(trace_id) = trace_id {
            put(into, Self::NAMES.trace_id);
            Self::name(into, trace_id);
        }
        put(into, Self::NAMES.micros);
        number(into, u64::try_from(took.as_micros()).unwrap_or(u64::MAX));
        put(into, Self::END);
    }
}

/// For people: `name="text"`.
struct TextSpelling;

impl Spelling for TextSpelling {
    const NAMES: Names = names!(" ", "=");
    const QUOTE: &'static str = "";
    const END: &'static str = "\n";

    fn begin(record: &mut Vec<u8>, now: Timestamp) {
        record.extend_from_slice(&now.precisely());
        put(record, "  INFO scriptorium::access:");
    }

    fn text(record: &mut Vec<u8>, text: &str) {
        let marks = text.bytes().fold(0, |marks, byte| marks | MARKS[usize::from(byte)]);
        match (marks & ODD != 0, marks & QUOTED != 0) {
            (false, false) => word(record, text),
            (false, true) => {
                let escape =
                    |byte| [b'\\', byte].into_iter().skip(usize::from(!matches!(byte, b'"' | b'\\')));
                record.push(b'"');
                record.extend(text.bytes().flat_map(escape));
                record.push(b'"');
            }
            (true, _) => show(record, &format_args!("{text:?}")),
        }
    }

    /// A subject of an issuer may have any visible character; it must not look like further fields.
    fn name(record: &mut Vec<u8>, name: &str) {
        let is_plain = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'\\' | b'=');
        if name.bytes().all(is_plain) { put(record, name) } else { Self::text(record, name) }
    }
}

/// For programs: one JSON object a line.
struct JsonSpelling;

impl Spelling for JsonSpelling {
    const NAMES: Names = names!(",\"", "\":");
    const QUOTE: &'static str = "\"";
    const END: &'static str = ",\"target\":\"scriptorium::access\"}\n";

    fn begin(record: &mut Vec<u8>, now: Timestamp) {
        put(record, "{\"timestamp\":\"");
        record.extend_from_slice(&now.precisely());
        put(record, "\",\"level\":\"INFO\"");
    }

    fn text(record: &mut Vec<u8>, text: &str) {
        // Writing to memory does not fail.
        let _ = serde_json::to_writer(record, text);
    }

    fn name(record: &mut Vec<u8>, name: &str) {
        Self::text(record, name);
    }
}

#[inline]
fn put(record: &mut Vec<u8>, text: &str) {
    record.extend_from_slice(text.as_bytes());
}

/// Writes a text that needs no escapes.
#[inline]
fn word(record: &mut Vec<u8>, word: &str) {
    record.push(b'"');
    put(record, word);
    record.push(b'"');
}

fn socket(record: &mut Vec<u8>, socket: SocketAddr) {
    match socket {
        SocketAddr::V4(socket) => {
            address(record, IpAddr::V4(*socket.ip()));
            record.push(b':');
            number(record, socket.port());
        }
        SocketAddr::V6(socket) => show(record, &socket),
    }
}

fn address(record: &mut Vec<u8>, address: IpAddr) {
    match address {
        IpAddr::V4(address) => {
            let [first, rest @ ..] = address.octets();
            number(record, first);
            for octet in rest {
                record.push(b'.');
                number(record, octet);
            }
        }
        IpAddr::V6(address) => show(record, &address),
    }
}

fn show(record: &mut Vec<u8>, value: &dyn fmt::Display) {
    // Writing to memory does not fail.
    let _ = write!(record, "{value}");
}

#[inline]
fn number(record: &mut Vec<u8>, number: impl itoa::Integer) {
    put(record, itoa::Buffer::new().format(number));
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp(1_763_879_001_042);

    fn access(path: &str) -> AccessRecord<'_> {
        AccessRecord {
            request_id: "a\"b\\c",
            peer: Some(([127, 0, 0, 1], 4711).into()),
            class: "anonymous",
            client: AccessClient::Address([127, 0, 0, 1].into()),
            method: "GET",
            path,
            status: 200,
            cache: Some("scriptorium; hit; ttl=42"),
            policy: Some("too-new"),
            trace_id: Some("0af7651916cd43dd8448eb211c80319c"),
            took: Duration::from_micros(17),
        }
    }

    fn spelt<S: Spelling>(access: &AccessRecord<'_>) -> String {
        let mut record = Vec::new();
        S::record(&mut record, access, NOW);
        String::from_utf8(record).unwrap()
    }

    #[test]
    fn text_is_spelt_as_other_records_are() {
        let record = spelt::<TextSpelling>(&access("/a\"\n\u{e9}"));
        let expected = "2025-11-23T06:23:21.042Z  INFO scriptorium::access: request_id=\"a\\\"b\\\\c\" \
            peer=127.0.0.1:4711 class=\"anonymous\" client=127.0.0.1 method=\"GET\" path=\"/a\\\"\\n\u{e9}\" \
            status=200 cache=\"scriptorium; hit; ttl=42\" policy=too-new trace_id=0af7651916cd43dd8448eb211c80319c micros=17\n";
        assert_eq!(record, expected);
    }

    #[test]
    fn json_is_one_object_a_line() {
        let record = spelt::<JsonSpelling>(&access("/a\"\n\u{e9}"));
        assert_eq!(record.matches('\n').count(), 1);
        let record: serde_json::Value = serde_json::from_str(&record).unwrap();
        let expected = serde_json::json!({
            "timestamp": "2025-11-23T06:23:21.042Z", "level": "INFO", "request_id": "a\"b\\c",
            "peer": "127.0.0.1:4711", "class": "anonymous", "client": "127.0.0.1", "method": "GET",
            "path": "/a\"\n\u{e9}", "status": 200, "cache": "scriptorium; hit; ttl=42", "policy": "too-new",
            "trace_id": "0af7651916cd43dd8448eb211c80319c", "micros": 17,
            "target": "scriptorium::access",
        });
        assert_eq!(record, expected);
    }

    #[test]
    fn what_is_not_known_is_left_out() {
        let access = AccessRecord { peer: None, cache: None, policy: None, trace_id: None, ..access("/") };
        let record = spelt::<TextSpelling>(&access);
        assert!(record.contains("c\" class=\"anonymous\" client=127.0.0.1 method"), "{record}");
        assert!(record.ends_with("status=200 micros=17\n"), "{record}");
    }

    #[test]
    fn addresses_and_names_of_any_kind() {
        let peer =
            |peer: &str, client| AccessRecord { peer: Some(peer.parse().unwrap()), client, ..access("/") };
        let network: IpAddr = "2001:db8::".parse().unwrap();
        for (access, text) in [
            (
                peer("[::1]:80", AccessClient::Address(network)),
                "peer=[::1]:80 class=\"anonymous\" client=2001:db8:: ",
            ),
            (
                peer("192.0.2.255:65535", AccessClient::Name("build")),
                "peer=192.0.2.255:65535 class=\"anonymous\" client=build ",
            ),
        ] {
            let record = spelt::<TextSpelling>(&access);
            assert!(record.contains(text), "{record}");
            let json = spelt::<JsonSpelling>(&access);
            let client = text.rsplit('=').next().unwrap().trim();
            assert!(json.contains(&format!("\"client\":\"{client}\",")), "{json}");
        }
    }

    #[test]
    fn a_text_is_quoted_as_rust_quotes_it() {
        for text in ["", "a", "a\"b", "\\", "a\tb\"", "\u{e9}\"", "scriptorium; hit; detail=\"negative\""] {
            let mut spelt = Vec::new();
            TextSpelling::text(&mut spelt, text);
            assert_eq!(String::from_utf8(spelt).unwrap(), format!("{text:?}"));
        }
    }
}
