//! Byte ranges (RFC 9110, section 14): one range is honoured, anything else is answered whole.
//!
//! Owns the grammar of `Range`. Must not know bodies.

use std::ops::Range;

/// What a `Range` header asks of a representation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Wanted {
    /// All of it: no range, several, another unit, or nonsense, which the RFC says to ignore.
    Whole,
    /// These bytes.
    Part(Range<u64>),
    /// Bytes it does not have.
    Unsatisfiable,
}

/// Reads a `Range` header against a representation of `length` bytes.
pub(super) fn wanted(field: Option<&str>, length: u64) -> Wanted {
    let spec = field.and_then(|field| field.trim().strip_prefix("bytes=")).filter(|spec| !spec.contains(','));
    let Some((first, last)) = spec.and_then(|spec| spec.trim().split_once('-')) else { return Wanted::Whole };
    let part = match (number(first), number(last)) {
        (Some(first), Some(last)) if first <= last => first..last.saturating_add(1).min(length),
        (Some(first), None) if last.is_empty() => first..length,
        (None, Some(suffix)) if first.is_empty() => {
            if suffix == 0 {
                return Wanted::Unsatisfiable;
            }
            length.saturating_sub(suffix)..length
        }
        _ => return Wanted::Whole,
    };
    if part.start < length { Wanted::Part(part) } else { Wanted::Unsatisfiable }
}

/// Digits only; a number too large for any file counts as the largest.
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
            ("bytes=0-0", Wanted::Part(0..1)),
            ("bytes=0-99", Wanted::Part(0..100)),
            ("bytes=10-", Wanted::Part(10..100)),
            ("bytes=10-1000", Wanted::Part(10..100)),
            ("bytes=-5", Wanted::Part(95..100)),
            ("bytes=-1000", Wanted::Part(0..100)),
            ("bytes=99999999999999999999999-", Wanted::Unsatisfiable),
            ("bytes=100-", Wanted::Unsatisfiable),
            ("bytes=-0", Wanted::Unsatisfiable),
            ("bytes=5-4", Wanted::Whole),
            ("bytes=0-1,3-4", Wanted::Whole),
            ("bytes=a-b", Wanted::Whole),
            ("bytes=-", Wanted::Whole),
            ("bytes=+1-2", Wanted::Whole),
            ("lines=0-1", Wanted::Whole),
        ] {
            assert_eq!(wanted(Some(field), 100), expected, "{field}");
        }
        assert_eq!(wanted(None, 100), Wanted::Whole);
        assert_eq!(wanted(Some("bytes=0-"), 0), Wanted::Unsatisfiable);
    }

    proptest! {
        #[test]
        fn a_part_lies_inside(field in "bytes=[0-9]{0,22}-[0-9]{0,22}", length in 0u64..1000) {
            if let Wanted::Part(part) = wanted(Some(&field), length) {
                prop_assert!(part.start < part.end && part.end <= length);
            }
        }
    }
}
