//! How the registry answers a `Range`: with the whole, with the part, or with a wrong part.

use std::ops::Range;

/// How ranges of a body are answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RangeSupport {
    /// With the whole body.
    Ignored,
    /// With the part.
    Honoured,
    /// With the part, every byte of it changed.
    Garbled,
    /// With the part one byte beside it, and a `Content-Range` that says so.
    Elsewhere,
}

/// A part of a body, or the refusal of one.
pub(crate) struct RangeAnswer {
    pub(crate) status: u16,
    pub(crate) content_range: String,
    pub(crate) body: Vec<u8>,
}

impl RangeSupport {
    /// The answer to a request for `range`; nothing where the range changes nothing.
    pub(crate) fn answer(self, range: Range<usize>, whole: &[u8]) -> Option<RangeAnswer> {
        if matches!(self, Self::Ignored) {
            return None;
        }
        if range.start >= whole.len() {
            let content_range = format!("bytes */{}", whole.len());
            return Some(RangeAnswer { status: 416, content_range, body: Vec::new() });
        }
        let Range { start, end } = range;
        let sent = match self {
            Self::Elsewhere if start == 0 => 1..(end + 1).min(whole.len()),
            Self::Elsewhere => start - 1..end.min(whole.len()) - 1,
            _ => start..end.min(whole.len()),
        };
        let mask = if matches!(self, Self::Garbled) { 0xff } else { 0 };
        let content_range = format!("bytes {}-{}/{}", sent.start, sent.end - 1, whole.len());
        let body = whole[sent].iter().map(|byte| byte ^ mask).collect();
        Some(RangeAnswer { status: 206, content_range, body })
    }
}

/// The bytes that a `Range` of the form `bytes=a-b` asks for. A registry may ignore every other form.
pub(crate) fn requested(range: &str) -> Option<Range<usize>> {
    let (first, last) = range.strip_prefix("bytes=")?.split_once('-')?;
    let (first, last) = (first.parse::<usize>().ok()?, last.parse::<usize>().ok()?);
    (first <= last).then(|| first..last.saturating_add(1))
}
