//! The access record: one for each answered request.
//!
//! It is spelt as every other record is, by hand: what formats records of any shape takes a tenth of the time of a hit.
//! Owns its members and their spelling. Must not know how a request was answered.

use std::fmt;
use std::io::Write;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use tracing_appender::non_blocking::NonBlocking;

use crate::clock::Timestamp;
use crate::config::LogFormat;

/// Room for all but the path, the request id and what the cache says.
const USUAL: usize = 384;

/// One answered request.
#[derive(Clone, Copy)]
pub struct Access<'a> {
    /// The request's id.
    pub request_id: &'a str,
    /// The other end of the connection.
    pub peer: Option<SocketAddr>,
    /// The rate class, a word.
    pub class: &'static str,
    /// Whose bucket it was counted in.
    pub client: Who<'a>,
    /// The method, a token of HTTP.
    pub method: &'a str,
    /// The path, without a query.
    pub path: &'a str,
    /// The status.
    pub status: u16,
    /// `Cache-Status`.
    pub cache: Option<&'a str>,
    /// From the request's head to the answer's.
    pub took: Duration,
}

/// Who asked.
#[derive(Clone, Copy)]
pub enum Who<'a> {
    /// Somebody at an address.
    Address(IpAddr),
    /// Somebody with a name.
    Name(&'a str),
}

/// Where access records go.
#[derive(Debug, Clone, Default)]
pub struct AccessLog(Option<(NonBlocking, LogFormat)>);

impl AccessLog {
    /// Records go to `writer`.
    pub(super) fn to(writer: NonBlocking, format: LogFormat) -> Self {
        Self(Some((writer, format)))
    }

    /// Writes what was answered at `now`.
    pub fn write(&self, access: &Access<'_>, now: Timestamp) {
        let Some((writer, format)) = &self.0 else { return };
        let record = match format {
            LogFormat::Text => Text::record(access, now),
            LogFormat::Json => Json::record(access, now),
        };
        // A record that cannot be written has nowhere to be told of.
        let _ = writer.clone().write(&record);
    }
}

/// The names of all members, each with what stands between it and its neighbours.
struct Names {
    request_id: &'static str,
    peer: &'static str,
    class: &'static str,
    client: &'static str,
    method: &'static str,
    path: &'static str,
    status: &'static str,
    cache: &'static str,
    micros: &'static str,
}

macro_rules! names {
    ($before:literal, $after:literal: $($name:ident)*) => {
        Names { $($name: concat!($before, stringify!($name), $after),)* }
    };
    ($before:literal, $after:literal) => {
        names!($before, $after: request_id peer class client method path status cache micros)
    };
}

/// What is not printable ASCII.
const ODD: u8 = 1;
/// What is escaped between quotes.
const QUOTED: u8 = 2;

/// What each byte is.
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

/// How members are spelt.
trait Spelling {
    const NAMES: Names;
    /// What stands around an address.
    const QUOTE: &'static str;

    fn begin(record: &mut Vec<u8>, now: Timestamp);
    fn text(record: &mut Vec<u8>, text: &str);
    fn name(record: &mut Vec<u8>, name: &str);
    const END: &'static str;

    fn record(access: &Access<'_>, now: Timestamp) -> Vec<u8> {
        let Access { request_id, peer, class, client, method, path, status, cache, took } = *access;
        let length = |text: Option<&str>| text.map_or(0, str::len);
        let mut record = Vec::with_capacity(USUAL + path.len() + request_id.len() + length(cache));
        let into = &mut record;
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
            Who::Address(client) => {
                put(into, Self::QUOTE);
                address(into, client);
                put(into, Self::QUOTE);
            }
            Who::Name(name) => Self::name(into, name),
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
        put(into, Self::NAMES.micros);
        number(into, u64::try_from(took.as_micros()).unwrap_or(u64::MAX));
        put(into, Self::END);
        record
    }
}

/// For people: `name="text"`.
struct Text;

impl Spelling for Text {
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

    fn name(record: &mut Vec<u8>, name: &str) {
        put(record, name);
    }
}

/// For programs: one JSON object a line.
struct Json;

impl Spelling for Json {
    const NAMES: Names = names!(",\"", "\":");
    const QUOTE: &'static str = "\"";
    const END: &'static str = ",\"target\":\"scriptorium::access\"}\n";

    fn begin(record: &mut Vec<u8>, now: Timestamp) {
        put(record, "{\"timestamp\":\"");
        record.extend_from_slice(&now.precisely());
        put(record, "\",\"level\":\"INFO\"");
    }

    fn text(record: &mut Vec<u8>, text: &str) {
        // Writing to memory fails for no text.
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

/// A text that needs no escapes.
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

    fn access(path: &str) -> Access<'_> {
        Access {
            request_id: "a\"b\\c",
            peer: Some(([127, 0, 0, 1], 4711).into()),
            class: "anonymous",
            client: Who::Address([127, 0, 0, 1].into()),
            method: "GET",
            path,
            status: 200,
            cache: Some("scriptorium; hit; ttl=42"),
            took: Duration::from_micros(17),
        }
    }

    #[test]
    fn text_is_spelt_as_other_records_are() {
        let record = String::from_utf8(Text::record(&access("/a\"\n\u{e9}"), NOW)).unwrap();
        let expected = "2025-11-23T06:23:21.042Z  INFO scriptorium::access: request_id=\"a\\\"b\\\\c\" \
            peer=127.0.0.1:4711 class=\"anonymous\" client=127.0.0.1 method=\"GET\" path=\"/a\\\"\\n\u{e9}\" \
            status=200 cache=\"scriptorium; hit; ttl=42\" micros=17\n";
        assert_eq!(record, expected);
    }

    #[test]
    fn json_is_one_object_a_line() {
        let record = Json::record(&access("/a\"\n\u{e9}"), NOW);
        assert_eq!(record.iter().filter(|byte| **byte == b'\n').count(), 1);
        let record: serde_json::Value = serde_json::from_slice(&record).unwrap();
        let expected = serde_json::json!({
            "timestamp": "2025-11-23T06:23:21.042Z", "level": "INFO", "request_id": "a\"b\\c",
            "peer": "127.0.0.1:4711", "class": "anonymous", "client": "127.0.0.1", "method": "GET",
            "path": "/a\"\n\u{e9}", "status": 200, "cache": "scriptorium; hit; ttl=42", "micros": 17,
            "target": "scriptorium::access",
        });
        assert_eq!(record, expected);
    }

    #[test]
    fn what_is_not_known_is_left_out() {
        let access = Access { peer: None, cache: None, ..access("/") };
        let record = String::from_utf8(Text::record(&access, NOW)).unwrap();
        assert!(record.contains("c\" class=\"anonymous\" client=127.0.0.1 method"), "{record}");
        assert!(record.ends_with("status=200 micros=17\n"), "{record}");
    }

    #[test]
    fn addresses_and_names_of_any_kind() {
        let peer = |peer: &str, client| Access { peer: Some(peer.parse().unwrap()), client, ..access("/") };
        let network: IpAddr = "2001:db8::".parse().unwrap();
        for (access, text) in [
            (peer("[::1]:80", Who::Address(network)), "peer=[::1]:80 class=\"anonymous\" client=2001:db8:: "),
            (
                peer("192.0.2.255:65535", Who::Name("build")),
                "peer=192.0.2.255:65535 class=\"anonymous\" client=build ",
            ),
        ] {
            let spelt = String::from_utf8(Text::record(&access, NOW)).unwrap();
            assert!(spelt.contains(text), "{spelt}");
            let json = String::from_utf8(Json::record(&access, NOW)).unwrap();
            let client = text.rsplit('=').next().unwrap().trim();
            assert!(json.contains(&format!("\"client\":\"{client}\",")), "{json}");
        }
    }

    #[test]
    fn a_text_is_quoted_as_rust_quotes_it() {
        for text in ["", "a", "a\"b", "\\", "a\tb\"", "\u{e9}\"", "scriptorium; hit; detail=\"negative\""] {
            let mut spelt = Vec::new();
            Text::text(&mut spelt, text);
            assert_eq!(String::from_utf8(spelt).unwrap(), format!("{text:?}"));
        }
    }
}
