//! What every answer says about its client's rate (IETF httpapi draft "RateLimit header fields").
//!
//! Owns the two fields' wording. Must not count, nor refuse.

use http::{HeaderMap, HeaderName};

use super::Value;
use crate::limit::{Admission, Quota};

const POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
const LEFT: HeaderName = HeaderName::from_static("ratelimit");

/// Adds `RateLimit-Policy` and `RateLimit`: the quota, what is left of it, and in how many seconds it is whole
/// again, or for who is refused, lets one request in.
pub fn rate_limit(headers: &mut HeaderMap, admission: &Admission) {
    let class = admission.class.as_str();
    let Quota { limit, window, remaining, reset } = match &admission.verdict {
        Ok(quota) => quota,
        Err(refused) => &refused.quota,
    };
    let value = |first: &'static str| Value::of("\"").text(class).text(first);
    headers.insert(POLICY, value("\";q=").number(*limit).text(";w=").number(*window).end());
    headers.insert(LEFT, value("\";r=").number(*remaining).text(";t=").number(*reset).end());
}
