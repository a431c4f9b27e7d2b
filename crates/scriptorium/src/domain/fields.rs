//! Header fields that several rooms read.
//!
//! Owns the comparison of media types. Must not know what a message is about.

use http::HeaderValue;

/// Whether a `Content-Type` is `expected`, whatever the parameters of either.
pub(crate) fn is_media_type(value: &HeaderValue, expected: &str) -> bool {
    essence(value.as_bytes()).eq_ignore_ascii_case(essence(expected.as_bytes()))
}

fn essence(media_type: &[u8]) -> &[u8] {
    media_type.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_media_type_is_compared_without_parameters_and_case() {
        let json = |value: &str| is_media_type(&value.parse().unwrap(), "application/json; charset=utf-8");
        assert!(json("application/json") && json("Application/JSON ;q") && json(" application/json;"));
        assert!(!json("") && !json("application/json5") && !json("text/plain; application/json"));
    }
}
