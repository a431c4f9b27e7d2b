//! Which header fields of requests and answers are passed on.
//!
//! Owns two rules. An API whose routes are all known passes on the listed fields. An API that is relayed whole passes
//! on all fields except those of the connection, of cookies and of forwarding proxies. Must not know what is relayed.

use bytes::Bytes;
use http::header::{
    ACCEPT, ACCEPT_ENCODING, ACCEPT_LANGUAGE, AUTHORIZATION, CACHE_CONTROL, CONNECTION, CONTENT_DISPOSITION,
    CONTENT_ENCODING, CONTENT_LANGUAGE, CONTENT_TYPE, ETAG, FORWARDED, IF_MATCH, IF_NONE_MATCH,
    LAST_MODIFIED, LINK, RANGE, RETRY_AFTER, USER_AGENT, VARY, VIA, WWW_AUTHENTICATE,
};
use http::{HeaderMap, HeaderName, HeaderValue};

use super::{RelayedAnswer, RelayedContent};
use crate::domain::fields::is_media_type;
use crate::upstream::{CouldNotAsk, HOP_BY_HOP, Relayed};

pub(super) const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// The fields of a client's request that a registry receives. The sender adds the request id and the body's length.
const REQUEST_FIELDS: [HeaderName; 12] = [
    ACCEPT,
    ACCEPT_ENCODING,
    ACCEPT_LANGUAGE,
    AUTHORIZATION,
    CONTENT_ENCODING,
    CONTENT_LANGUAGE,
    CONTENT_TYPE,
    IDEMPOTENCY_KEY,
    IF_MATCH,
    IF_NONE_MATCH,
    RANGE,
    USER_AGENT,
];

/// The fields of a registry's answer that a client receives. The length follows from the content.
const ANSWER_FIELDS: [HeaderName; 12] = [
    CACHE_CONTROL,
    CONTENT_DISPOSITION,
    CONTENT_ENCODING,
    CONTENT_LANGUAGE,
    CONTENT_TYPE,
    ETAG,
    IDEMPOTENCY_KEY,
    LAST_MODIFIED,
    LINK,
    RETRY_AFTER,
    VARY,
    WWW_AUTHENTICATE,
];

/// Fields that name the client, the proxies before this one, or another request than the request line. This proxy is the
/// registry's client, so none of them is passed on.
const FORWARDING_FIELDS: [HeaderName; 12] = [
    FORWARDED,
    VIA,
    HeaderName::from_static("x-real-ip"),
    HeaderName::from_static("x-client-ip"),
    HeaderName::from_static("true-client-ip"),
    HeaderName::from_static("cf-connecting-ip"),
    HeaderName::from_static("x-original-host"),
    HeaderName::from_static("x-original-url"),
    HeaderName::from_static("x-rewrite-url"),
    HeaderName::from_static("x-http-method"),
    HeaderName::from_static("x-http-method-override"),
    HeaderName::from_static("x-method-override"),
];
const FORWARDED_PREFIX: &str = "x-forwarded-";

/// Which fields are passed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PassedFields {
    /// The listed ones.
    Listed,
    /// All except those of the connection, of cookies and of forwarding proxies.
    AllButHop,
}

/// The fields of a request's `headers` that are passed on.
pub(super) fn request(headers: &HeaderMap, passed: PassedFields) -> HeaderMap {
    select(headers, &REQUEST_FIELDS, passed)
}

/// The same, asking for an answer without content coding, which this proxy can read.
pub(super) fn uncoded_request(headers: &HeaderMap, passed: PassedFields) -> HeaderMap {
    let mut headers = request(headers, passed);
    headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    headers
}

/// Whether content has no content coding.
pub(super) fn is_uncoded(headers: &HeaderMap) -> bool {
    headers.get_all(CONTENT_ENCODING).iter().all(|coding| coding.as_bytes().eq_ignore_ascii_case(b"identity"))
}

/// Whether content is sent as the media type `expected`, whatever the parameters.
pub(super) fn is_sent_as(headers: &HeaderMap, expected: &str) -> bool {
    let mut sent = headers.get_all(CONTENT_TYPE).iter();
    let (Some(sent), None) = (sent.next(), sent.next()) else { return false };
    is_media_type(sent, expected)
}

/// Reads an answer to its end, at most `limit` bytes.
pub(super) async fn whole(
    relayed: Relayed,
    passed: PassedFields,
    limit: u64,
) -> Result<(RelayedAnswer, Bytes), CouldNotAsk> {
    let (status, headers, body) = relayed.whole(limit).await?;
    let headers = select(&headers, &ANSWER_FIELDS, passed);
    Ok((RelayedAnswer { status, headers, content: RelayedContent::Whole(body.clone()) }, body))
}

/// An answer whose content is passed on while it arrives.
pub(super) fn streamed(relayed: Relayed, passed: PassedFields) -> RelayedAnswer {
    let Relayed { status, headers, length, body } = relayed;
    let content = RelayedContent::Streamed { length, pieces: body };
    RelayedAnswer { status, headers: select(&headers, &ANSWER_FIELDS, passed), content }
}

fn select(headers: &HeaderMap, listed: &[HeaderName], passed: PassedFields) -> HeaderMap {
    let passes = |name: &HeaderName| match passed {
        PassedFields::Listed => listed.contains(name),
        PassedFields::AllButHop => !is_hop_or_forwarding(name) && !named_by_connection(headers, name),
    };
    headers
        .iter()
        .filter(|(name, _)| passes(name))
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect()
}

fn is_hop_or_forwarding(name: &HeaderName) -> bool {
    HOP_BY_HOP.contains(name)
        || FORWARDING_FIELDS.contains(name)
        || name.as_str().starts_with(FORWARDED_PREFIX)
}

/// Whether a `Connection` field names the field.
fn named_by_connection(headers: &HeaderMap, name: &HeaderName) -> bool {
    let options = headers.get_all(CONNECTION).into_iter().filter_map(|value| value.to_str().ok());
    options.flat_map(|value| value.split(',')).any(|option| option.trim().eq_ignore_ascii_case(name.as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIELDS: [(&str, &str); 15] = [
        ("authorization", "Bearer x"),
        ("cookie", "session"),
        ("set-cookie", "session"),
        ("connection", "Keep-Alive, X-Hop"),
        ("x-hop", "1"),
        ("content-type", "application/x-tar"),
        ("content-length", "3"),
        ("host", "here"),
        ("via", "1.1 x"),
        ("forwarded", "for=10.0.0.1"),
        ("x-forwarded-for", "10.0.0.1"),
        ("x-forwarded-anything", "10.0.0.1"),
        ("x-http-method-override", "PUT"),
        ("x-nullspace-part", "1"),
        ("idempotency-key", "k"),
    ];

    #[test]
    fn fields_of_the_connection_and_of_proxies_are_not_passed_on() {
        let headers: HeaderMap = FIELDS
            .into_iter()
            .map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap()))
            .collect();
        let names = |passed| {
            let kept = request(&headers, passed);
            let mut names: Vec<String> = kept.keys().map(ToString::to_string).collect();
            names.sort();
            names
        };
        let listed = ["authorization", "content-type", "idempotency-key"];
        assert_eq!(names(PassedFields::Listed), listed);
        assert_eq!(
            names(PassedFields::AllButHop),
            [&listed[..], &["x-nullspace-part"]].concat(),
            "an unlisted field of the API passes"
        );
    }
}
