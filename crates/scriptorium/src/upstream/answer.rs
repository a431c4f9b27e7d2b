//! The meaning of a response's head: the document, "not modified", a refusal, a redirect, or no answer.
//!
//! Owns the table from statuses to meanings, as pure functions. Must not know bodies, retries or clients.

use std::ops::Range;
use std::time::{Duration, UNIX_EPOCH};

use ::http::header::{CONTENT_TYPE, ETAG, HeaderName, LOCATION, RETRY_AFTER};
use ::http::{HeaderMap, HeaderValue, StatusCode};

use super::CouldNotAsk;
use super::part::{self, AnnouncedPart};
use crate::clock::Timestamp;
use crate::domain::fields::is_media_type;

/// The longest `Retry-After` that is obeyed.
const LONGEST_WAIT: Duration = Duration::from_secs(3600);

/// The meaning of a head that is an answer.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum HeadMeaning {
    /// The body is what was asked for.
    Found,
    /// The body is the requested range.
    Part(AnnouncedPart),
    /// The document with the entity tag that was sent is still current.
    NotModified,
    /// The registry refuses; the body may say why.
    Refused(u16),
    /// The registry redirects to this location.
    Redirect(String),
}

/// Reads a head that came at `now`. `sent` is the entity tag of the request, `range` its range.
pub(super) fn read(
    status: StatusCode,
    headers: &HeaderMap,
    sent: Option<&HeaderValue>,
    range: Option<&Range<u64>>,
    now: Timestamp,
) -> Result<HeadMeaning, CouldNotAsk> {
    let code = status.as_u16();
    match code {
        200 => Ok(HeadMeaning::Found),
        206 => {
            let part = range.and_then(|range| part::announced(headers, range));
            part.map(HeadMeaning::Part).ok_or(CouldNotAsk::Unexpected(code))
        }
        304 if sent.is_some_and(|sent| confirms(headers, sent)) => Ok(HeadMeaning::NotModified),
        301 | 302 | 303 | 307 | 308 => {
            let location = text(headers, &LOCATION).ok_or(CouldNotAsk::Unexpected(code))?;
            Ok(HeadMeaning::Redirect(location.to_owned()))
        }
        400 | 403 | 404 | 409 | 410 | 422 => Ok(HeadMeaning::Refused(code)),
        401 => Err(CouldNotAsk::CredentialRefused),
        429 => Err(CouldNotAsk::Throttled { retry_after: retry_after(headers, now) }),
        502..=504 => Err(match retry_after(headers, now) {
            None => CouldNotAsk::ServerError(code),
            wait => CouldNotAsk::Throttled { retry_after: wait },
        }),
        500..=599 => Err(CouldNotAsk::ServerError(code)),
        _ => Err(CouldNotAsk::Unexpected(code)),
    }
}

/// Whether a 304 confirms the entity tag that was `sent`. A 304 without a tag does.
fn confirms(headers: &HeaderMap, sent: &HeaderValue) -> bool {
    let opaque = |tag: &HeaderValue| {
        let tag = tag.as_bytes();
        tag.strip_prefix(b"W/").unwrap_or(tag).to_vec()
    };
    headers.get(ETAG).is_none_or(|named| opaque(named) == opaque(sent))
}

/// Whether a status may be due to the request's condition, so that an unconditional request may succeed: a gateway
/// may reject the header, and an edge cache may confirm another document.
pub(super) fn is_due_to_a_condition(status: u16) -> bool {
    matches!(status, 304 | 400 | 412 | 431)
}

/// Whether the body is labelled as a problem document (RFC 9457).
pub(super) fn is_problem(headers: &HeaderMap) -> bool {
    headers.get(CONTENT_TYPE).is_some_and(|kind| is_media_type(kind, "application/problem+json"))
}

/// A header whose value is a whole number.
pub(super) fn number(headers: &HeaderMap, name: &HeaderName) -> Option<u64> {
    text(headers, name)?.trim().parse().ok()
}

fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

/// Reads seconds or a date. Anything else is ignored.
fn retry_after(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    let wait = number(headers, &RETRY_AFTER).map(Duration::from_secs).or_else(|| {
        let date = httpdate::parse_http_date(text(headers, &RETRY_AFTER)?).ok()?;
        let now = UNIX_EPOCH + Duration::from_millis(now.0);
        Some(date.duration_since(now).unwrap_or_default())
    });
    wait.map(|wait| wait.min(LONGEST_WAIT))
}

#[cfg(test)]
mod tests {
    use ::http::header::CONTENT_RANGE;

    use super::*;

    fn head(status: u16, headers: &[(HeaderName, &str)]) -> Result<HeadMeaning, CouldNotAsk> {
        conditional(status, headers, false)
    }

    fn conditional(
        status: u16,
        headers: &[(HeaderName, &str)],
        conditional: bool,
    ) -> Result<HeadMeaning, CouldNotAsk> {
        asked(status, headers, conditional.then_some("\"a\""), None)
    }

    fn asked(
        status: u16,
        headers: &[(HeaderName, &str)],
        sent: Option<&str>,
        range: Option<&Range<u64>>,
    ) -> Result<HeadMeaning, CouldNotAsk> {
        let sent = sent.map(|tag| HeaderValue::from_str(tag).unwrap());
        let headers =
            headers.iter().map(|(name, value)| (name.clone(), value.parse().unwrap())).collect::<HeaderMap>();
        // Sun, 06 Nov 1994 08:49:37 GMT
        read(
            StatusCode::from_u16(status).unwrap(),
            &headers,
            sent.as_ref(),
            range,
            Timestamp(784_111_777_000),
        )
    }

    #[test]
    fn definite_answers() {
        assert_eq!(head(200, &[]), Ok(HeadMeaning::Found));
        assert_eq!(conditional(304, &[], true), Ok(HeadMeaning::NotModified));
        assert_eq!(head(304, &[]), Err(CouldNotAsk::Unexpected(304)));
        for status in [400, 403, 404, 409, 410, 422] {
            assert_eq!(head(status, &[]), Ok(HeadMeaning::Refused(status)));
        }
    }

    #[test]
    fn a_304_confirms_the_tag_it_names_and_no_other() {
        for (named, sent, confirms) in [
            ("\"a\"", "\"a\"", true),
            ("W/\"a\"", "\"a\"", true),
            ("\"a\"", "W/\"a\"", true),
            ("\"b\"", "\"a\"", false),
            ("", "\"a\"", false),
        ] {
            let expected =
                if confirms { Ok(HeadMeaning::NotModified) } else { Err(CouldNotAsk::Unexpected(304)) };
            assert_eq!(asked(304, &[(ETAG, named)], Some(sent), None), expected, "{named} {sent}");
        }
    }

    #[test]
    fn everything_else_is_no_answer() {
        assert_eq!(head(401, &[]), Err(CouldNotAsk::CredentialRefused));
        for status in [500, 501, 502, 503, 504, 507, 599] {
            assert_eq!(head(status, &[]), Err(CouldNotAsk::ServerError(status)));
        }
        for status in [201, 204, 206, 300, 302, 305, 402, 405, 416, 418, 600, 999] {
            assert_eq!(head(status, &[]), Err(CouldNotAsk::Unexpected(status)), "{status}");
        }
    }

    #[test]
    fn a_part_is_an_answer_to_a_request_for_a_range() {
        let ranged = |status, stated| asked(status, &[(CONTENT_RANGE, stated)], None, Some(&(2..6)));
        assert_eq!(
            ranged(206, "bytes 2-5/10"),
            Ok(HeadMeaning::Part(AnnouncedPart { length: 4, of: Some(10) }))
        );
        assert_eq!(ranged(206, "bytes 2-5/*"), Ok(HeadMeaning::Part(AnnouncedPart { length: 4, of: None })));
        assert_eq!(ranged(206, "bytes 0-9/10"), Err(CouldNotAsk::Unexpected(206)));
        assert_eq!(ranged(416, "bytes */1"), Err(CouldNotAsk::Unexpected(416)));
        assert_eq!(ranged(200, "bytes 2-5/10"), Ok(HeadMeaning::Found), "the whole, whatever else it says");
        assert_eq!(head(206, &[(CONTENT_RANGE, "bytes 2-5/10")]), Err(CouldNotAsk::Unexpected(206)));
    }

    #[test]
    fn redirects_need_a_place() {
        for status in [301, 302, 303, 307, 308] {
            assert_eq!(head(status, &[(LOCATION, "/x")]), Ok(HeadMeaning::Redirect("/x".to_owned())));
        }
    }

    #[test]
    fn waiting_times() {
        let wait = |status, value| match head(status, &[(RETRY_AFTER, value)]) {
            Err(CouldNotAsk::Throttled { retry_after }) => retry_after.map(|wait| wait.as_secs()),
            other => panic!("{other:?}"),
        };
        assert_eq!(head(429, &[]), Err(CouldNotAsk::Throttled { retry_after: None }));
        assert_eq!(wait(429, "7"), Some(7));
        assert_eq!(wait(503, " 0 "), Some(0));
        assert_eq!(wait(429, "3600"), Some(3600));
        assert_eq!(wait(429, "3601"), Some(3600));
        assert_eq!(wait(429, "Sun, 06 Nov 1994 08:50:00 GMT"), Some(23));
        assert_eq!(wait(429, "Sun, 06 Nov 1994 08:49:00 GMT"), Some(0));
        assert_eq!(wait(429, "Mon, 06 Nov 1995 08:49:37 GMT"), Some(3600));
        for garbage in ["soon", "-1", "1.5", ""] {
            assert_eq!(wait(429, garbage), None, "{garbage}");
            assert_eq!(head(503, &[(RETRY_AFTER, garbage)]), Err(CouldNotAsk::ServerError(503)));
        }
        assert_eq!(head(500, &[(RETRY_AFTER, "7")]), Err(CouldNotAsk::ServerError(500)));
    }
}
