//! What goes on of a request, and what comes back of an answer.
//!
//! Owns both lists: a field that is not on its list ends here. Must not know what is relayed.

use bytes::Bytes;
use http::header::{
    ACCEPT, ACCEPT_ENCODING, ACCEPT_LANGUAGE, AUTHORIZATION, CACHE_CONTROL, CONTENT_DISPOSITION,
    CONTENT_ENCODING, CONTENT_LANGUAGE, CONTENT_TYPE, ETAG, IF_MATCH, IF_NONE_MATCH, LAST_MODIFIED, LINK,
    RANGE, RETRY_AFTER, USER_AGENT, VARY, WWW_AUTHENTICATE,
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

/// The fields of `headers` that go on, and those whose name begins with `prefix`, which are the API's own.
pub(super) fn onward(headers: &HeaderMap, prefix: &str) -> HeaderMap {
    kept(headers, &ONWARD, prefix)
}

/// An answer whose content is read to its end first, at most `limit` bytes of it.
pub(super) async fn whole(
    relayed: Relayed,
    prefix: &str,
    limit: u64,
) -> Result<(Answer, Bytes), CouldNotAsk> {
    let (status, headers, body) = relayed.whole(limit).await?;
    let headers = kept(&headers, &BACK, prefix);
    Ok((Answer { status, headers, content: Content::Whole(body.clone()) }, body))
}

/// An answer that is handed on as it comes.
pub(super) fn coming(relayed: Relayed, prefix: &str) -> Answer {
    let Relayed { status, headers, length, body } = relayed;
    let content = Content::Coming { length, pieces: body };
    Answer { status, headers: kept(&headers, &BACK, prefix), content }
}

fn kept(headers: &HeaderMap, listed: &[HeaderName], prefix: &str) -> HeaderMap {
    let goes = |name: &HeaderName| {
        listed.contains(name) || (!prefix.is_empty() && name.as_str().starts_with(prefix))
    };
    headers.iter().filter(|(name, _)| goes(name)).map(|(name, value)| (name.clone(), value.clone())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_listed_ends_here() {
        let fields = [
            ("authorization", "Bearer x"),
            ("cookie", "session"),
            ("connection", "x-nullspace-part"),
            ("content-type", "application/x-tar"),
            ("x-forwarded-for", "10.0.0.1"),
            ("x-nullspace-part", "1"),
        ];
        let headers: HeaderMap = fields
            .into_iter()
            .map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap()))
            .collect();
        let names = |prefix| {
            let kept = onward(&headers, prefix);
            let mut names: Vec<String> = kept.keys().map(ToString::to_string).collect();
            names.sort();
            names
        };
        assert_eq!(names(""), ["authorization", "content-type"]);
        assert_eq!(names("x-nullspace-"), ["authorization", "content-type", "x-nullspace-part"]);
    }
}
