//! What every answer says about its client's rate (IETF httpapi draft "RateLimit header fields").
//!
//! Owns the two fields' wording. Must not count, nor refuse.

use http::{HeaderMap, HeaderName};

use super::joined;
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
    let [mut one, mut other] = [itoa::Buffer::new(), itoa::Buffer::new()];
    let (limit, window) = (one.format(*limit), other.format(*window));
    headers.insert(POLICY, joined(&["\"", class, "\";q=", limit, ";w=", window]));
    let [mut one, mut other] = [itoa::Buffer::new(), itoa::Buffer::new()];
    let (remaining, reset) = (one.format(*remaining), other.format(*reset));
    headers.insert(LEFT, joined(&["\"", class, "\";r=", remaining, ";t=", reset]));
}
