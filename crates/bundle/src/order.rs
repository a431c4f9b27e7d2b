//! The order of bundles: which may be taken in after which.
//!
//! Owns the rule on sequences, for each key by itself, and the rule on expiry. Pure: the journal of what was taken in and the time are
//! given. Must not know where the journal is kept.
//!
//! | the last one of the key | the one offered | verdict |
//! |---|---|---|
//! | none | any | `Next` |
//! | lower sequence | | `Next`, with how many were skipped |
//! | same sequence, same manifest | | `Repeated` |
//! | same sequence, other manifest | | `Forked` |
//! | higher sequence | | `Older` |
//!
//! A sequence that is signed once far ahead locks every later bundle of its key out. No bound on a leap would be right: a
//! receiver that joins late leaps, too. So a leap is told (`skipped`), and the way out is the operator's: to trust a new key
//! and drop the old one, which begins anew, or to set the journal's entry of the key back by an explicit command.

use archive::Sha256;

use super::layout::MAX_NUMBER;
use super::manifest::ManifestHead;
use super::time::UtcSecond;

/// A bundle's place in the order of its key, as a journal keeps it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SequencePoint {
    /// The sequence.
    pub sequence: u64,
    /// The digest of the manifest's bytes.
    pub manifest: Sha256,
}

/// Whether a bundle may be taken in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OrderVerdict {
    /// It may.
    Next {
        /// How many sequences lie between it and the last one. Some are usual, very many are not.
        skipped: u64,
    },
    /// It was taken in before, byte for byte: there is nothing to do, but to finish what was left.
    Repeated,
    /// A later one was taken in.
    Older {
        /// The sequence of that one.
        held: u64,
    },
    /// Another one of the same sequence was taken in: the key signed twice.
    Forked,
    /// Its time is over.
    Expired {
        /// Since when.
        since: UtcSecond,
    },
}

impl OrderVerdict {
    /// Judges a bundle of the key whose last one is `last`, at the time `now`.
    ///
    /// One that was taken in already stays `Repeated` when it has expired: nothing of it is new.
    #[must_use]
    pub fn of(head: &ManifestHead, manifest: Sha256, last: Option<&SequencePoint>, now: UtcSecond) -> Self {
        let order = match last {
            None => Self::Next { skipped: 0 },
            Some(last) if head.sequence < last.sequence => Self::Older { held: last.sequence },
            Some(last) if head.sequence > last.sequence => {
                Self::Next { skipped: head.sequence - last.sequence - 1 }
            }
            Some(last) if last.manifest == manifest => Self::Repeated,
            Some(_) => Self::Forked,
        };
        match (order, head.expires) {
            (Self::Next { .. }, Some(since)) if head.is_expired(now) => Self::Expired { since },
            (order, _) => order,
        }
    }
}

/// A key has signed as many bundles as it can.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the key has used its last sequence; make a new key, and let receivers trust it")]
pub struct SequencesSpent;

/// The sequence after the last one that a key signed.
///
/// # Errors
/// [`SequencesSpent`]
pub fn next_sequence(last: Option<u64>) -> Result<u64, SequencesSpent> {
    match last {
        None => Ok(1),
        Some(last) if last < MAX_NUMBER => Ok(last + 1),
        Some(_) => Err(SequencesSpent),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::Coverage;

    fn head(sequence: u64, expires: Option<u64>) -> ManifestHead {
        ManifestHead {
            origin: "x".to_owned(),
            key_id: "0123456789ABCDEF".parse().unwrap(),
            sequence,
            kind: Coverage::Full,
            base: None,
            created: UtcSecond::new(0).unwrap(),
            expires: expires.map(|at| UtcSecond::new(at).unwrap()),
        }
    }

    #[test]
    fn each_row_of_the_table() {
        let (this, other) = (Sha256::of(b"this"), Sha256::of(b"other"));
        let of = |sequence, expires, last: Option<(u64, Sha256)>| {
            let last = last.map(|(sequence, manifest)| SequencePoint { sequence, manifest });
            OrderVerdict::of(&head(sequence, expires), this, last.as_ref(), UtcSecond::new(100).unwrap())
        };
        let since = UtcSecond::new(100).unwrap();
        for (sequence, expires, last, expected) in [
            (9, None, None, OrderVerdict::Next { skipped: 0 }),
            (9, Some(101), Some((8, other)), OrderVerdict::Next { skipped: 0 }),
            (MAX_NUMBER, None, Some((8, other)), OrderVerdict::Next { skipped: MAX_NUMBER - 9 }),
            (9, None, Some((9, this)), OrderVerdict::Repeated),
            (9, None, Some((9, other)), OrderVerdict::Forked),
            (9, None, Some((10, this)), OrderVerdict::Older { held: 10 }),
            (9, Some(100), None, OrderVerdict::Expired { since }),
            (9, Some(100), Some((8, other)), OrderVerdict::Expired { since }),
            (9, Some(100), Some((9, this)), OrderVerdict::Repeated),
            (9, Some(100), Some((9, other)), OrderVerdict::Forked),
            (9, Some(100), Some((10, other)), OrderVerdict::Older { held: 10 }),
        ] {
            assert_eq!(of(sequence, expires, last), expected, "{sequence} {expires:?} {last:?}");
        }
    }

    #[test]
    fn sequences_end() {
        assert_eq!([None, Some(1), Some(MAX_NUMBER - 1)].map(next_sequence), [Ok(1), Ok(2), Ok(MAX_NUMBER)]);
        assert_eq!(next_sequence(Some(MAX_NUMBER)), Err(SequencesSpent));
    }
}
