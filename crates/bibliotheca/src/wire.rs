//! HTTP/1.1 framing for both ends of a test: heads, header fields and bodies.
//!
//! Owns where a head and a body end. Must not know what a request means.

use std::io::{self, BufRead, Read};

/// The longest line that is read. A longer one ends the connection.
const LONGEST_LINE: u64 = 1 << 20;

/// Header fields in the order of their arrival, with names in lower case.
#[derive(Clone, Debug, Default)]
pub struct HeaderFields(Vec<(String, String)>);

impl HeaderFields {
    /// The first value of a field; `name` is in lower case.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(field, _)| field == name).map(|(_, value)| value.as_str())
    }

    /// Every name and value.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }
}

impl<N: Into<String>, V: Into<String>> FromIterator<(N, V)> for HeaderFields {
    fn from_iter<T: IntoIterator<Item = (N, V)>>(fields: T) -> Self {
        Self(fields.into_iter().map(|(name, value)| (name.into(), value.into())).collect())
    }
}

/// How a message delimits its body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyFraming {
    /// It has no body.
    None,
    /// `Content-Length` bytes.
    Length(u64),
    /// Chunked transfer coding.
    Chunked,
}

impl BodyFraming {
    pub(crate) fn of(fields: &HeaderFields) -> Self {
        if fields.get("transfer-encoding").is_some_and(|coding| coding.eq_ignore_ascii_case("chunked")) {
            return Self::Chunked;
        }
        match fields.get("content-length").and_then(|length| length.parse().ok()) {
            Some(length) => Self::Length(length),
            None => Self::None,
        }
    }
}

/// Reads a start line and its fields; `None` when the peer closed before it sent anything.
///
/// # Errors
/// When the connection breaks within the head, or a line is no header field.
pub fn read_head(stream: &mut impl BufRead) -> io::Result<Option<(String, HeaderFields)>> {
    let Some(start) = read_line(stream)? else { return Ok(None) };
    let mut fields = Vec::new();
    loop {
        let line = read_line(stream)?.ok_or(io::ErrorKind::UnexpectedEof)?;
        if line.is_empty() {
            return Ok(Some((start, HeaderFields(fields))));
        }
        let (name, value) = line.split_once(':').ok_or(io::ErrorKind::InvalidData)?;
        fields.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
}

/// Passes a body to `wanted` piece by piece until it ends or `wanted` returns false. Returns whether the whole
/// body was read.
pub fn read_body(
    stream: &mut impl BufRead,
    framing: BodyFraming,
    mut wanted: impl FnMut(&[u8]) -> bool,
) -> bool {
    match framing {
        BodyFraming::None => true,
        BodyFraming::Length(length) => read_bytes(stream, length, &mut wanted),
        BodyFraming::Chunked => loop {
            match chunk_size(stream) {
                None => return false,
                Some(0) => return matches!(read_trailers(stream), Ok(true)),
                Some(size) if !read_bytes(stream, size, &mut wanted) => return false,
                Some(_) if !matches!(read_line(stream), Ok(Some(_))) => return false,
                Some(_) => {}
            }
        },
    }
}

fn chunk_size(stream: &mut impl BufRead) -> Option<u64> {
    let line = read_line(stream).ok()??;
    u64::from_str_radix(line.split(';').next()?.trim(), 16).ok()
}

/// Reads up to the empty line that ends the trailers; false when it is missing.
fn read_trailers(stream: &mut impl BufRead) -> io::Result<bool> {
    while let Some(line) = read_line(stream)? {
        if line.is_empty() {
            return Ok(true);
        }
    }
    Ok(false)
}

fn read_bytes(stream: &mut impl BufRead, length: u64, wanted: &mut impl FnMut(&[u8]) -> bool) -> bool {
    let mut left = length;
    while left > 0 {
        let Ok(buffer) = stream.fill_buf() else { return false };
        let taken = buffer.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        if taken == 0 || !wanted(&buffer[..taken]) {
            return false;
        }
        stream.consume(taken);
        left -= taken as u64;
    }
    true
}

/// One line without its line ending; `None` at the end of the stream.
///
/// # Errors
/// When the stream fails.
pub fn read_line(stream: &mut impl BufRead) -> io::Result<Option<String>> {
    let mut line = Vec::new();
    if stream.by_ref().take(LONGEST_LINE).read_until(b'\n', &mut line)? == 0 {
        return Ok(None);
    }
    let text = String::from_utf8_lossy(&line);
    Ok(Some(text.trim_end_matches(['\r', '\n']).to_owned()))
}
