//! Byte ranges (RFC 9110, section 14). One range is honoured; for anything else the whole is sent.
//!
//! Owns the grammar of `Range`. Must not know bodies.

use std::ops::Range;

/// What a `Range` header asks of a representation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum RequestedRange {
    /// There is no range, there are several, or the header must be ignored by the RFC.
    Whole,
    Part(Range<u64>),
    Unsatisfiable,
}

/// Reads a `Range` header against a representation of `length` bytes.
pub(super) fn requested(field: Option<&str>, length: u64) -> RequestedRange {
    let spec = field.and_then(|field| field.trim().strip_prefix("bytes=")).filter(|spec| !spec.contains(','));
    let Some((first, last)) = spec.and_then(|spec| spec.trim().split_once('-')) else {
        return RequestedRange::Whole;
    };
    let part = match (number(first), number(last)) {
        (Some(first), Some(last)) if first <= last => first..last.saturating_add(1).min(length),
        (Some(first), None) if last.is_empty() => first..length,
        (None, Some(suffix)) if first.is_empty() => {
            if suffix == 0 {
                return RequestedRange::Unsatisfiable;
            }
            length.saturating_sub(suffix)..length
        }
        _ => return RequestedRange::Whole,
    };
    if part.start < length { RequestedRange::Part(part) } else { RequestedRange::Unsatisfiable }
}

/// A number that is too large for `u64` counts as the largest.
fn number(text: &str) -> Option<u64> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn every_form() {
        for (field, expected) in [
            ("bytes=0-0", RequestedRange::Part(0..1)),
            ("bytes=0-99", RequestedRange::Part(0..100)),
            ("bytes=10-", RequestedRange::Part(10..100)),
            ("bytes=10-1000", RequestedRange::Part(10..100)),
            ("bytes=-5", RequestedRange::Part(95..100)),
            ("bytes=-1000", RequestedRange::Part(0..100)),
            ("bytes=99999999999999999999999-", RequestedRange::Unsatisfiable),
            ("bytes=100-", RequestedRange::Unsatisfiable),
            ("bytes=-0", RequestedRange::Unsatisfiable),
            ("bytes=5-4", RequestedRange::Whole),
            ("bytes=0-1,3-4", RequestedRange::Whole),
            ("bytes=a-b", RequestedRange::Whole),
            ("bytes=-", RequestedRange::Whole),
            ("bytes=+1-2", RequestedRange::Whole),
            ("lines=0-1", RequestedRange::Whole),
        ] {
            assert_eq!(requested(Some(field), 100), expected, "{field}");
        }
        assert_eq!(requested(None, 100), RequestedRange::Whole);
        assert_eq!(requested(Some("bytes=0-"), 0), RequestedRange::Unsatisfiable);
    }

    proptest! {
        #[test]
        fn a_part_lies_inside(field in "bytes=[0-9]{0,22}-[0-9]{0,22}", length in 0u64..1000) {
            if let RequestedRange::Part(part) = requested(Some(&field), length) {
                prop_assert!(part.start < part.end && part.end <= length);
            }
        }
    }
}
