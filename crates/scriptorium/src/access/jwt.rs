//! One signed token (JWT, RFC 7519): whether it holds for an issuer, and until when.
//!
//! ```text
//! 1. signature  by a key of the issuer that the token names, with the algorithm that is bound to the key
//! 2. iss, aud   those of the configuration, to the letter; `aud` may be a list with it
//! 3. exp, nbf   `exp` is required; both with a minute for clocks that differ
//! 4. sub        required: 1 to 256 visible ASCII characters or spaces, since it is logged
//! 5. claims     each that the configuration names
//! ```
//! Nothing of a token is believed before its signature was verified, except which key it names. Owns these rules. Must not know
//! what is remembered of a token.

use jsonwebtoken::{Header, Validation, decode};
use serde_json::{Map, Value};

use super::distinct::DistinctClaims;
use super::keys::{BoundKey, KeySet};
use crate::clock::Timestamp;
use crate::config::{ExpectedClaim, Issuer};

/// How far clocks may differ, in milliseconds.
const SKEW: u64 = 60_000;
/// The longest `sub`, in bytes.
const LONGEST_SUBJECT: usize = 256;

type Claims = Map<String, Value>;

/// What a token that holds says.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct HeldClaims {
    pub(super) subject: String,
    /// The first millisecond in which it does not hold any more.
    pub(super) until: u64,
}

/// What `token`, whose header was read already, says to `issuer`, if it holds at `now`.
pub(super) fn held(
    token: &str,
    header: &Header,
    issuer: &Issuer,
    keys: &KeySet,
    now: Timestamp,
) -> Option<HeldClaims> {
    let claims = keys.candidates(header).into_iter().find_map(|key| signed(token, key))?;
    judged(&claims, issuer, now)
}

/// The claims of a token that `key` signed.
fn signed(token: &str, key: &BoundKey) -> Option<Claims> {
    let mut rule = Validation::new(key.algorithm);
    // These are judged below, by the time that is passed in.
    rule.required_spec_claims.clear();
    (rule.validate_exp, rule.validate_nbf, rule.validate_aud) = (false, false, false);
    decode::<DistinctClaims>(token, &key.key, &rule).ok().map(|decoded| decoded.claims.0)
}

fn judged(claims: &Claims, issuer: &Issuer, now: Timestamp) -> Option<HeldClaims> {
    let text = |name: &str| claims.get(name)?.as_str();
    let is_for_us = match claims.get("aud")? {
        Value::Array(all) => all.iter().any(|one| one.as_str() == Some(&*issuer.audience)),
        one => one.as_str() == Some(&*issuer.audience),
    };
    let until = instant(claims.get("exp")?)?.saturating_add(SKEW);
    let from = match claims.get("nbf") {
        Some(from) => instant(from)?.saturating_sub(SKEW),
        None => 0,
    };
    let subject = text("sub")?;
    let is_subject = (1..=LONGEST_SUBJECT).contains(&subject.len())
        && subject.bytes().all(|byte| matches!(byte, b' '..=b'~'));
    let holds = text("iss")? == issuer.issuer
        && is_for_us
        && (from..until).contains(&now.0)
        && is_subject
        && issuer.claims.iter().all(|expected| has(claims, expected));
    holds.then(|| HeldClaims { subject: subject.to_owned(), until })
}

/// A `NumericDate` in milliseconds: seconds since 1970, perhaps with a fraction.
fn instant(value: &Value) -> Option<u64> {
    match value.as_u64() {
        Some(seconds) => Some(seconds.saturating_mul(1000)),
        None => {
            let seconds = value.as_f64().filter(|seconds| seconds.is_finite() && *seconds >= 0.0)?;
            // A float beyond the range becomes its end.
            Some((seconds * 1000.0) as u64)
        }
    }
}

fn has(claims: &Claims, expected: &ExpectedClaim) -> bool {
    let matches = |value: &Value| match value {
        Value::String(text) => expected.pattern.matches(text),
        Value::Bool(_) | Value::Number(_) => expected.pattern.matches(&value.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => false,
    };
    match claims.get(&expected.name) {
        Some(Value::Array(all)) => all.iter().any(matches),
        Some(one) => matches(one),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::config::TokenClass;

    fn issuer() -> Issuer {
        Issuer {
            claims: vec![
                ExpectedClaim { name: "repository".into(), pattern: "acme/*".parse().unwrap() },
                ExpectedClaim { name: "protected".into(), pattern: "true".parse().unwrap() },
            ],
            ..Issuer::with("ci".into(), "https://issuer".into(), "scriptorium".into(), TokenClass::Ci)
        }
    }

    fn claims() -> Value {
        json!({"iss": "https://issuer", "aud": "scriptorium", "sub": "repo:acme/x", "exp": 1000, "nbf": 500,
            "repository": "acme/x", "protected": true})
    }

    fn judge(change: impl FnOnce(&mut Value), seconds: u64) -> Option<HeldClaims> {
        let mut claims = claims();
        change(&mut claims);
        judged(claims.as_object().unwrap(), &issuer(), Timestamp(seconds * 1000))
    }

    #[test]
    fn a_token_holds_from_nbf_to_exp_and_a_minute_around() {
        for (seconds, holds) in
            [(439, false), (440, true), (700, true), (1059, true), (1060, false), (9_999, false)]
        {
            assert_eq!(judge(|_| {}, seconds).is_some(), holds, "{seconds}");
        }
        let held = judge(|_| {}, 700).unwrap();
        assert_eq!(held, HeldClaims { subject: "repo:acme/x".into(), until: 1_060_000 });
        assert!(judge(|claims| drop(claims.as_object_mut().unwrap().remove("nbf")), 0).is_some());
        assert!(judge(|claims| claims["exp"] = json!(1000.5), 1060).is_some());
    }

    #[test]
    fn whatever_differs_is_no_token() {
        for (name, value) in [
            ("iss", json!("https://issuer/")),
            ("iss", json!(["https://issuer"])),
            ("aud", json!("other")),
            ("aud", json!(["other"])),
            ("aud", json!([])),
            ("aud", json!({"scriptorium": 1})),
            ("sub", json!("")),
            ("sub", json!("a\nb")),
            ("sub", json!("a\u{202e}b")),
            ("sub", json!("x".repeat(257))),
            ("sub", json!(7)),
            ("exp", json!("1000")),
            ("exp", json!(-1)),
            ("exp", json!(null)),
            ("nbf", json!("500")),
            ("nbf", json!(null)),
            ("nbf", json!(900)),
            ("repository", json!("evil/acme/x")),
            ("repository", json!(["evil/x"])),
            ("repository", json!({"acme/": 1})),
            ("protected", json!(false)),
            ("protected", json!(null)),
        ] {
            assert_eq!(judge(|claims| claims[name] = value.clone(), 700), None, "{name}: {value}");
        }
        for name in ["iss", "aud", "sub", "exp", "repository", "protected"] {
            let without = |claims: &mut Value| drop(claims.as_object_mut().unwrap().remove(name));
            assert_eq!(judge(without, 700), None, "without {name}");
        }
    }

    #[test]
    fn lists_hold_with_one_element_that_does() {
        assert!(judge(|claims| claims["aud"] = json!(["other", "scriptorium"]), 700).is_some());
        assert!(judge(|claims| claims["repository"] = json!(["evil/x", "acme/x"]), 700).is_some());
        assert!(judge(|claims| claims["protected"] = json!("true"), 700).is_some());
        assert!(judge(|claims| claims["exp"] = json!(1e300), 700).is_some());
    }
}
