//! What every answer says about its client's rate (IETF httpapi draft "RateLimit header fields").
//!
//! Owns the two fields' wording. Must not count, nor refuse.

use http::{HeaderMap, HeaderName};

use super::Values;
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
    let mut values = Values::new();
    let policy = values.text("\"").text(class).text("\";q=").number(*limit).text(";w=").number(*window).end();
    let left =
        values.text("\"").text(class).text("\";r=").number(*remaining).text(";t=").number(*reset).end();
    let [policy, left] = values.cut([policy, left]);
    headers.insert(POLICY, policy);
    headers.insert(LEFT, left);
}
