//! What a response's head means: found, current, refused, elsewhere, or no answer at all.
//!
//! Owns the table from statuses to meanings, as pure functions. Must not know bodies, retries or who asked.

use std::ops::Range;
use std::time::{Duration, UNIX_EPOCH};

use ::http::header::{CONTENT_TYPE, ETAG, HeaderName, LOCATION, RETRY_AFTER};
use ::http::{HeaderMap, HeaderValue, StatusCode};

use super::CouldNotAsk;
use super::part::{self, Announced};
use crate::clock::Timestamp;

/// A registry that asks for more is asked again anyway.
const LONGEST_WAIT: Duration = Duration::from_secs(3600);

/// A head that is an answer.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// The body is what was asked for.
    Found,
    /// The body is the range that was asked for.
    Part(Announced),
    /// What the asker holds is current.
    NotModified,
    /// The body says why not.
    Refused(u16),
    /// Ask there.
    Redirect(String),
}

/// Reads a head that came at `now`; `sent` is the entity tag that had been sent, `range` the range that had.
pub(super) fn read(
    status: StatusCode,
    headers: &HeaderMap,
    sent: Option<&HeaderValue>,
    range: Option<&Range<u64>>,
    now: Timestamp,
) -> Result<Answer, CouldNotAsk> {
    let code = status.as_u16();
    match code {
        200 => Ok(Answer::Found),
        206 => {
            let part = range.and_then(|range| part::announced(headers, range));
            part.map(Answer::Part).ok_or(CouldNotAsk::Unexpected(code))
        }
        304 if sent.is_some_and(|sent| confirms(headers, sent)) => Ok(Answer::NotModified),
        301 | 302 | 303 | 307 | 308 => {
            let location = text(headers, &LOCATION).ok_or(CouldNotAsk::Unexpected(code))?;
            Ok(Answer::Redirect(location.to_owned()))
        }
        400 | 403 | 404 | 409 | 410 | 422 => Ok(Answer::Refused(code)),
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

/// Whether a 304 speaks of the entity tag that was `sent`; one that names none does.
fn confirms(headers: &HeaderMap, sent: &HeaderValue) -> bool {
    let opaque = |tag: &HeaderValue| {
        let tag = tag.as_bytes();
        tag.strip_prefix(b"W/").unwrap_or(tag).to_vec()
    };
    headers.get(ETAG).is_none_or(|named| opaque(named) == opaque(sent))
}

/// Whether what came of a conditional question may be due to its condition, so that the same without one may have an
/// answer: a gateway that takes no such header, or an edge that confirms something else.
pub(super) fn is_due_to_a_condition(status: u16) -> bool {
    matches!(status, 304 | 400 | 412 | 431)
}

/// Whether the body is labelled as a problem document (RFC 9457).
pub(super) fn is_problem(headers: &HeaderMap) -> bool {
    let essence = text(headers, &CONTENT_TYPE).and_then(|kind| kind.split(';').next()).unwrap_or_default();
    essence.trim().eq_ignore_ascii_case("application/problem+json")
}

/// Any header that is one whole number.
pub(super) fn number(headers: &HeaderMap, name: &HeaderName) -> Option<u64> {
    text(headers, name)?.trim().parse().ok()
}

fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

/// Seconds or a date; anything else is as good as nothing.
fn retry_after(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    let wait = number(headers, &RETRY_AFTER).map(Duration::from_secs).or_else(|| {
        let date = httpdate::parse_http_date(text(headers, &RETRY_AFTER)?).ok()?;
        let now = UNIX_EPOCH + Duration::from_millis(now.0);
        Some(date.duration_since(now).unwrap_or_default())
    });
    wait.map(|wait| wait.min(LONGEST_WAIT))
}

/// A status as a metric label; the registry must not be able to invent new ones.
pub(super) fn status_label(status: u16) -> &'static str {
    match status {
        200 => "200",
        201 => "201",
        202 => "202",
        204 => "204",
        206 => "206",
        304 => "304",
        400 => "400",
        401 => "401",
        403 => "403",
        404 => "404",
        409 => "409",
        410 => "410",
        413 => "413",
        415 => "415",
        416 => "416",
        422 => "422",
        429 => "429",
        500 => "500",
        502 => "502",
        503 => "503",
        504 => "504",
        _ => "other",
    }
}

#[cfg(test)]
mod tests {
    use ::http::header::CONTENT_RANGE;

    use super::*;

    fn head(status: u16, headers: &[(HeaderName, &str)]) -> Result<Answer, CouldNotAsk> {
        conditional(status, headers, false)
    }

    fn conditional(
        status: u16,
        headers: &[(HeaderName, &str)],
        conditional: bool,
    ) -> Result<Answer, CouldNotAsk> {
        asked(status, headers, conditional.then_some("\"a\""), None)
    }

    fn asked(
        status: u16,
        headers: &[(HeaderName, &str)],
        sent: Option<&str>,
        range: Option<&Range<u64>>,
    ) -> Result<Answer, CouldNotAsk> {
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
        assert_eq!(head(200, &[]), Ok(Answer::Found));
        assert_eq!(conditional(304, &[], true), Ok(Answer::NotModified));
        assert_eq!(head(304, &[]), Err(CouldNotAsk::Unexpected(304)));
        for status in [400, 403, 404, 409, 410, 422] {
            assert_eq!(head(status, &[]), Ok(Answer::Refused(status)));
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
            let expected = if confirms { Ok(Answer::NotModified) } else { Err(CouldNotAsk::Unexpected(304)) };
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
    fn a_part_is_an_answer_to_whoever_asked_for_it() {
        let ranged = |status, stated| asked(status, &[(CONTENT_RANGE, stated)], None, Some(&(2..6)));
        assert_eq!(ranged(206, "bytes 2-5/10"), Ok(Answer::Part(Announced { length: 4, of: Some(10) })));
        assert_eq!(ranged(206, "bytes 2-5/*"), Ok(Answer::Part(Announced { length: 4, of: None })));
        assert_eq!(ranged(206, "bytes 0-9/10"), Err(CouldNotAsk::Unexpected(206)));
        assert_eq!(ranged(416, "bytes */1"), Err(CouldNotAsk::Unexpected(416)));
        assert_eq!(ranged(200, "bytes 2-5/10"), Ok(Answer::Found), "the whole, whatever else it says");
        assert_eq!(head(206, &[(CONTENT_RANGE, "bytes 2-5/10")]), Err(CouldNotAsk::Unexpected(206)));
    }

    #[test]
    fn redirects_need_a_place() {
        for status in [301, 302, 303, 307, 308] {
            assert_eq!(head(status, &[(LOCATION, "/x")]), Ok(Answer::Redirect("/x".to_owned())));
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
