//! The context of a trace, as W3C Trace Context writes it: `traceparent`.
//!
//! Owns its form. A client sends it, so it is taken to the letter or not at all: one field, lower-case digits, the lengths of the
//! specification. `tracestate` is dropped, since nothing here reads it. Must not know any span.

use http::{HeaderMap, HeaderName, HeaderValue};
use opentelemetry::trace::{SpanContext, SpanId, TraceFlags, TraceId, TraceState};

const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// The length of version 00. A later version may go on after a hyphen.
const LENGTH: usize = 55;

/// The span of the sender, if `headers` name exactly one in the form of the specification.
pub(super) fn parent(headers: &HeaderMap) -> Option<SpanContext> {
    let mut fields = headers.get_all(TRACEPARENT).iter();
    let field = fields.next()?.as_bytes();
    if fields.next().is_some() {
        return None;
    }
    let (known, later) = field.split_at_checked(LENGTH)?;
    let version = number(known.get(..2)?)?;
    let fits = match version {
        0 => later.is_empty(),
        0xff => false,
        _ => later.first().is_none_or(|next| *next == b'-'),
    };
    let hyphens = [2, 35, 52].iter().all(|at| known.get(*at) == Some(&b'-'));
    let trace = number(known.get(3..35)?)?;
    let span = u64::try_from(number(known.get(36..52)?)?).ok()?;
    let flags = u8::try_from(number(known.get(53..)?)?).ok()?;
    // Only one flag has a meaning here, and no other is passed on.
    let flags = TraceFlags::new(flags) & TraceFlags::SAMPLED;
    let (trace, span) = (TraceId::from(trace), SpanId::from(span));
    let parent = SpanContext::new(trace, span, flags, true, TraceState::NONE);
    // An id of zeros is none.
    (fits && hyphens && parent.is_valid()).then_some(parent)
}

/// Names `span` as the sender in `headers`.
pub(super) fn send(span: &SpanContext, headers: &mut HeaderMap) {
    let sampled = u8::from(span.is_sampled());
    let field = format!("00-{}-{}-{sampled:02x}", span.trace_id(), span.span_id());
    if let Ok(field) = HeaderValue::from_str(&field) {
        headers.insert(TRACEPARENT, field);
    }
}

/// Lower-case hexadecimal digits, at most 32.
fn number(digits: &[u8]) -> Option<u128> {
    digits.iter().try_fold(0_u128, |number, digit| {
        let digit = match digit {
            b'0'..=b'9' => digit - b'0',
            b'a'..=b'f' => digit - b'a' + 10,
            _ => return None,
        };
        Some(number << 4 | u128::from(digit))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const SENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    fn taken(fields: &[&[u8]]) -> Option<SpanContext> {
        let mut headers = HeaderMap::new();
        for field in fields {
            headers.append(TRACEPARENT, HeaderValue::from_bytes(field).unwrap());
        }
        parent(&headers)
    }

    #[test]
    fn what_is_taken_is_sent_on() {
        for flags in ["00", "01"] {
            let sent = format!("{}{flags}", &SENT[..53]);
            let parent = taken(&[sent.as_bytes()]).unwrap();
            assert_eq!((parent.is_sampled(), parent.is_remote()), (flags == "01", true));
            let mut headers = HeaderMap::new();
            send(&parent, &mut headers);
            assert_eq!(headers[TRACEPARENT], sent);
        }
    }

    #[test]
    fn a_later_version_may_say_more() {
        for later in ["cc", "01"] {
            let known = format!("{later}{}", &SENT[2..]);
            let parent = taken(&[known.as_bytes()]).unwrap();
            assert_eq!(taken(&[format!("{known}-what-comes").as_bytes()]), Some(parent));
            assert_eq!(taken(&[format!("{known}.what-comes").as_bytes()]), None);
        }
    }

    #[test]
    fn unknown_flags_are_not_passed_on() {
        let parent = taken(&[format!("{}ff", &SENT[..53]).as_bytes()]).unwrap();
        assert_eq!(parent.trace_flags(), TraceFlags::SAMPLED);
    }

    #[test]
    fn nothing_else_is_taken() {
        let zero =
            |from: usize, to: usize| format!("{}{}{}", &SENT[..from], "0".repeat(to - from), &SENT[to..]);
        let put = |at: usize, byte: &str| format!("{}{byte}{}", &SENT[..at], &SENT[at + 1..]);
        let bad = [
            String::new(),
            SENT[..54].to_owned(),
            format!("{SENT}-"),
            format!("{SENT}0"),
            format!(" {SENT}"),
            format!("ff{}", &SENT[2..]),
            SENT.to_uppercase(),
            zero(3, 35),
            zero(36, 52),
            put(2, "_"),
            put(35, "0"),
            put(52, "0"),
            put(3, "+"),
            put(10, "-"),
            put(10, "g"),
            put(53, "+"),
            put(0, "-"),
            "0".repeat(55),
        ];
        for field in bad {
            assert_eq!(taken(&[field.as_bytes()]), None, "{field}");
        }
        assert_eq!(taken(&[b"\xff\xfe", &[b'\xe9'; 55]]), None);
        assert_eq!(taken(&[SENT.as_bytes(), SENT.as_bytes()]), None, "which of the two?");
        assert_eq!(taken(&[]), None);
    }
}
