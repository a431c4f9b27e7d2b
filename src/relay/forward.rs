//! What goes on of a request, and what comes back of an answer.
//!
//! Owns both rules: an API whose routes are all known passes on what is listed, one that is relayed whole passes on
//! all but what belongs to the connection, to cookies or to the way through proxies. Must not know what is relayed.

use bytes::Bytes;
use http::header::{
    ACCEPT, ACCEPT_ENCODING, ACCEPT_LANGUAGE, ALT_SVC, AUTHORIZATION, CACHE_CONTROL, CONNECTION,
    CONTENT_DISPOSITION, CONTENT_ENCODING, CONTENT_LANGUAGE, CONTENT_LENGTH, CONTENT_TYPE, COOKIE, ETAG,
    EXPECT, FORWARDED, HOST, IF_MATCH, IF_NONE_MATCH, LAST_MODIFIED, LINK, PROXY_AUTHENTICATE,
    PROXY_AUTHORIZATION, RANGE, RETRY_AFTER, SET_COOKIE, STRICT_TRANSPORT_SECURITY, TE, TRAILER,
    TRANSFER_ENCODING, UPGRADE, USER_AGENT, VARY, VIA, WWW_AUTHENTICATE,
};
use http::{HeaderMap, HeaderName};

use super::{Answer, Content};
use crate::upstream::{CouldNotAsk, Relayed};

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// What a registry is told of a client's request. The request's id and its body's length are the sender's.
const ONWARD: [HeaderName; 12] = [
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

/// What a client is told of a registry's answer. Its length is known from its content.
const BACK: [HeaderName; 12] = [
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

/// Fields of one connection (RFC 9110, section 7.6.1), of the message's framing, or of a site's cookies.
const STAYS: [HeaderName; 18] = [
    ALT_SVC,
    CONNECTION,
    CONTENT_LENGTH,
    COOKIE,
    EXPECT,
    HOST,
    HeaderName::from_static("keep-alive"),
    PROXY_AUTHENTICATE,
    PROXY_AUTHORIZATION,
    HeaderName::from_static("proxy-connection"),
    HeaderName::from_static("http2-settings"),
    SET_COOKIE,
    STRICT_TRANSPORT_SECURITY,
    TE,
    TRAILER,
    TRANSFER_ENCODING,
    UPGRADE,
    HeaderName::from_static("x-request-id"),
];

/// Fields that say who asked, on which way, or for what else than the request's own line; the way begins anew here.
const WAY: [HeaderName; 12] = [
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
const FORWARDED_AS: &str = "x-forwarded-";

/// Which fields pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Passing {
    /// Those that are listed here.
    Listed,
    /// All but those that end with the connection, with a site or with the way through proxies.
    AllButOurs,
}

/// The fields of a request's `headers` that go on.
pub(super) fn onward(headers: &HeaderMap, passing: Passing) -> HeaderMap {
    kept(headers, &ONWARD, passing)
}

/// An answer whose content is read to its end first, at most `limit` bytes of it.
pub(super) async fn whole(
    relayed: Relayed,
    passing: Passing,
    limit: u64,
) -> Result<(Answer, Bytes), CouldNotAsk> {
    let (status, headers, body) = relayed.whole(limit).await?;
    let headers = kept(&headers, &BACK, passing);
    Ok((Answer { status, headers, content: Content::Whole(body.clone()) }, body))
}

/// An answer that is handed on as it comes.
pub(super) fn coming(relayed: Relayed, passing: Passing) -> Answer {
    let Relayed { status, headers, length, body } = relayed;
    let content = Content::Coming { length, pieces: body };
    Answer { status, headers: kept(&headers, &BACK, passing), content }
}

fn kept(headers: &HeaderMap, listed: &[HeaderName], passing: Passing) -> HeaderMap {
    let goes = |name: &HeaderName| match passing {
        Passing::Listed => listed.contains(name),
        Passing::AllButOurs => !stays(name) && !named_by_connection(headers, name),
    };
    headers.iter().filter(|(name, _)| goes(name)).map(|(name, value)| (name.clone(), value.clone())).collect()
}

fn stays(name: &HeaderName) -> bool {
    STAYS.contains(name) || WAY.contains(name) || name.as_str().starts_with(FORWARDED_AS)
}

/// Whether the sender declared the field to be the connection's.
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
    fn what_may_not_pass_ends_here() {
        let headers: HeaderMap = FIELDS
            .into_iter()
            .map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap()))
            .collect();
        let names = |passing| {
            let kept = onward(&headers, passing);
            let mut names: Vec<String> = kept.keys().map(ToString::to_string).collect();
            names.sort();
            names
        };
        let listed = ["authorization", "content-type", "idempotency-key"];
        assert_eq!(names(Passing::Listed), listed);
        assert_eq!(
            names(Passing::AllButOurs),
            [&listed[..], &["x-nullspace-part"]].concat(),
            "the API's own fields pass, whoever named them"
        );
    }
}
