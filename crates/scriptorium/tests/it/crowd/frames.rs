//! HTTP/2 in bytes, written by hand: what no library would send.

/// What a client may do to a server, before anything was asked.
pub(super) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RESET: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const CONTINUATION: u8 = 9;

const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// Settings with the window that every answer may fill.
pub(super) fn settings(window: u32) -> Vec<u8> {
    frame(SETTINGS, 0, 0, &[&[0, 4][..], &window.to_be_bytes()].concat())
}

pub(super) fn ping() -> Vec<u8> {
    frame(PING, 0, 0, &[7; 8])
}

pub(super) fn reset(stream: u32) -> Vec<u8> {
    frame(RESET, 0, stream, &8_u32.to_be_bytes())
}

/// `GET target`, whole.
pub(super) fn get(stream: u32, target: &str) -> Vec<u8> {
    frame(HEADERS, END_STREAM | END_HEADERS, stream, &fields(target))
}

/// `GET target` with a body that does not end.
pub(super) fn get_with_body(stream: u32, target: &str, body: usize) -> Vec<u8> {
    let head = frame(HEADERS, END_HEADERS, stream, &fields(target));
    [head, data(stream, body)].concat()
}

/// A part of a body.
pub(super) fn data(stream: u32, length: usize) -> Vec<u8> {
    frame(DATA, 0, stream, &[0; 8 << 10]).repeat(length / (8 << 10))
}

/// The beginning of a request whose head does not end, of `length` bytes.
pub(super) fn unfinished(stream: u32, target: &str, length: usize) -> Vec<u8> {
    let mut bytes = frame(HEADERS, END_STREAM, stream, &fields(target));
    while bytes.len() + 128 < length {
        // A field without indexing: name and value as they are, lengths below 127.
        let field = [&[0, 1, b'x', 100][..], &[b'y'; 100]].concat();
        // Few frames: many of them are an attack that is known.
        let count = ((length - bytes.len()) / field.len()).clamp(1, 150);
        bytes.extend(frame(CONTINUATION, 0, stream, &field.repeat(count)));
    }
    bytes
}

fn fields(target: &str) -> Vec<u8> {
    let length = u8::try_from(target.len()).unwrap();
    [&[0x82, 0x87, 0x04, length][..], target.as_bytes(), &[0x01, 1, b'a']].concat()
}
