//! The rate limit's headers, on every response (IETF httpapi draft "RateLimit header fields").
//!
//! Owns the format of the two fields. Must not count requests, nor refuse any.

use http::{HeaderMap, HeaderName};

use super::HeaderValues;
use crate::limit::{RateDecision, RateQuota};

const POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
const LEFT: HeaderName = HeaderName::from_static("ratelimit");

/// Adds `RateLimit-Policy` and `RateLimit`: the quota, what is left of it, and the seconds until it is full again, or
/// for a refused request, until the next one is admitted.
pub(super) fn rate_limit(headers: &mut HeaderMap, admission: &RateDecision) {
    let class = admission.class.as_str();
    let RateQuota { limit, window, remaining, reset } = match &admission.verdict {
        Ok(quota) => quota,
        Err(refused) => &refused.quota,
    };
    let mut values = HeaderValues::new();
    let policy = values.text("\"").text(class).text("\";q=").number(*limit).text(";w=").number(*window).end();
    let left =
        values.text("\"").text(class).text("\";r=").number(*remaining).text(";t=").number(*reset).end();
    let [policy, mut left] = values.cut([policy, left]);
    // The next response says something else, so it takes no place in the header table of an HTTP/2 connection.
    left.set_sensitive(true);
    headers.insert(POLICY, policy);
    headers.insert(LEFT, left);
}
