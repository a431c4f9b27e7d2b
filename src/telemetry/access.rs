//! The access record: one for each answered request.
//!
//! It is spelt as every other record is, by hand: what formats records of any shape takes a tenth of the time of a hit.
//! Owns its members and their spelling. Must not know how a request was answered.

use std::fmt;
use std::io::Write;
use std::net::SocketAddr;
use std::time::Duration;

use tracing_appender::non_blocking::NonBlocking;

use crate::clock::Timestamp;
use crate::config::LogFormat;

const TARGET: &str = "scriptorium::access";

/// Room for most records.
const USUAL: usize = 512;

/// One answered request.
#[derive(Clone, Copy)]
pub struct Access<'a> {
    /// The request's id.
    pub request_id: Option<&'a str>,
    /// The other end of the connection.
    pub peer: Option<SocketAddr>,
    /// The rate class.
    pub class: &'a str,
    /// Whose bucket it was counted in.
    pub client: &'a (dyn fmt::Display + Sync),
    /// The method.
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

/// How members are spelt.
trait Spelling {
    const NAME: (&'static str, &'static str);

    fn begin(record: &mut Vec<u8>, now: Timestamp);
    fn text(record: &mut Vec<u8>, text: &str);
    fn shown(record: &mut Vec<u8>, value: &dyn fmt::Display);
    fn end(record: &mut Vec<u8>);

    fn record(access: &Access<'_>, now: Timestamp) -> Vec<u8> {
        let Access { request_id, peer, class, client, method, path, status, cache, took } = access;
        let mut record = Vec::with_capacity(USUAL);
        let into = &mut record;
        Self::begin(into, now);
        if let Some(id) = request_id {
            Self::name(into, "request_id");
            Self::text(into, id);
        }
        if let Some(peer) = peer {
            Self::name(into, "peer");
            Self::shown(into, peer);
        }
        Self::name(into, "class");
        Self::text(into, class);
        Self::name(into, "client");
        Self::shown(into, client);
        Self::name(into, "method");
        Self::text(into, method);
        Self::name(into, "path");
        Self::text(into, path);
        Self::name(into, "status");
        number(into, *status);
        if let Some(cache) = cache {
            Self::name(into, "cache");
            Self::text(into, cache);
        }
        Self::name(into, "micros");
        number(into, took.as_micros());
        Self::end(into);
        record
    }

    fn name(record: &mut Vec<u8>, name: &str) {
        let (before, after) = Self::NAME;
        record.extend_from_slice(before.as_bytes());
        record.extend_from_slice(name.as_bytes());
        record.extend_from_slice(after.as_bytes());
    }
}

/// For people: `name="text"`.
struct Text;

impl Spelling for Text {
    const NAME: (&'static str, &'static str) = (" ", "=");

    fn begin(record: &mut Vec<u8>, now: Timestamp) {
        show(record, &now.precisely());
        record.extend_from_slice(b"  INFO ");
        record.extend_from_slice(TARGET.as_bytes());
        record.push(b':');
    }

    fn text(record: &mut Vec<u8>, text: &str) {
        if text.bytes().all(|byte| matches!(byte, b' '..=b'~') && !matches!(byte, b'"' | b'\\')) {
            record.push(b'"');
            record.extend_from_slice(text.as_bytes());
            record.push(b'"');
        } else {
            show(record, &format_args!("{text:?}"));
        }
    }

    fn shown(record: &mut Vec<u8>, value: &dyn fmt::Display) {
        show(record, value);
    }

    fn end(record: &mut Vec<u8>) {
        record.push(b'\n');
    }
}

/// For programs: one JSON object a line.
struct Json;

impl Spelling for Json {
    const NAME: (&'static str, &'static str) = (",\"", "\":");

    fn begin(record: &mut Vec<u8>, now: Timestamp) {
        record.extend_from_slice(b"{\"timestamp\":");
        Self::shown(record, &now.precisely());
        record.extend_from_slice(b",\"level\":\"INFO\"");
    }

    fn text(record: &mut Vec<u8>, text: &str) {
        // Writing to memory fails for no text.
        let _ = serde_json::to_writer(record, text);
    }

    fn shown(record: &mut Vec<u8>, value: &dyn fmt::Display) {
        Self::text(record, &value.to_string());
    }

    fn end(record: &mut Vec<u8>) {
        Self::name(record, "target");
        Self::text(record, TARGET);
        record.extend_from_slice(b"}\n");
    }
}

fn show(record: &mut Vec<u8>, value: &dyn fmt::Display) {
    // Writing to memory does not fail.
    let _ = write!(record, "{value}");
}

fn number(record: &mut Vec<u8>, number: impl itoa::Integer) {
    record.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp(1_763_879_001_042);

    fn access(path: &str) -> Access<'_> {
        Access {
            request_id: Some("a\"b\\c"),
            peer: Some(([127, 0, 0, 1], 4711).into()),
            class: "anonymous",
            client: &"127.0.0.1",
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
        let access = Access { request_id: None, peer: None, cache: None, ..access("/") };
        let record = String::from_utf8(Text::record(&access, NOW)).unwrap();
        assert!(record.contains("access: class=\"anonymous\" client=127.0.0.1 method"), "{record}");
        assert!(record.ends_with("status=200 micros=17\n"), "{record}");
    }
}
