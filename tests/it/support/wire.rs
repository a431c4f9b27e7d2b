//! HTTP/1.1 as both ends of a test need it: read a head, look a header up, read a body by its framing.
//! No semantics.

use std::io::{self, BufRead};

/// Header fields in the order they came, names in lower case.
#[derive(Clone, Debug, Default)]
pub(crate) struct Fields(Vec<(String, String)>);

impl Fields {
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(field, _)| field == name).map(|(_, value)| value.as_str())
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }
}

/// How a request says where its body ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Framing {
    /// It has no body.
    None,
    Length(u64),
    Chunked,
}

impl Framing {
    pub(super) fn of(fields: &Fields) -> Self {
        if fields.get("transfer-encoding").is_some_and(|coding| coding.eq_ignore_ascii_case("chunked")) {
            return Self::Chunked;
        }
        match fields.get("content-length").and_then(|length| length.parse().ok()) {
            Some(length) => Self::Length(length),
            None => Self::None,
        }
    }
}

/// Reads a start line and its fields; `None` when the peer closed before saying anything.
pub(crate) fn read_head(stream: &mut impl BufRead) -> io::Result<Option<(String, Fields)>> {
    let Some(start) = read_line(stream)? else { return Ok(None) };
    let mut fields = Vec::new();
    loop {
        let line = read_line(stream)?.ok_or(io::ErrorKind::UnexpectedEof)?;
        if line.is_empty() {
            return Ok(Some((start, Fields(fields))));
        }
        let (name, value) = line.split_once(':').ok_or(io::ErrorKind::InvalidData)?;
        fields.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
}

/// Hands a body on as it comes, until it ends or `wanted` is false; whether it was read whole.
pub(crate) fn read_body(
    stream: &mut impl BufRead,
    framing: Framing,
    mut wanted: impl FnMut(&[u8]) -> bool,
) -> bool {
    match framing {
        Framing::None => true,
        Framing::Length(length) => read_bytes(stream, length, &mut wanted),
        Framing::Chunked => loop {
            match chunk_size(stream) {
                None => return false,
                Some(0) => return matches!(read_head_end(stream), Ok(true)),
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

/// Reads trailers up to the empty line; false when it never comes.
fn read_head_end(stream: &mut impl BufRead) -> io::Result<bool> {
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

/// One line without its ending; `None` at the end of the stream.
pub(crate) fn read_line(stream: &mut impl BufRead) -> io::Result<Option<String>> {
    let mut line = Vec::new();
    if stream.read_until(b'\n', &mut line)? == 0 {
        return Ok(None);
    }
    let text = String::from_utf8_lossy(&line);
    Ok(Some(text.trim_end_matches(['\r', '\n']).to_owned()))
}
