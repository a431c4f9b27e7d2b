//! pax extended headers (POSIX.1-2017, pax, "pax Extended Header").
//!
//! Owns the record syntax and which records matter here. Must not know where the payload comes from.

use super::{Excerpt, Violation};

/// What a pax header says about the entry after it.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Pax {
    /// Replaces the path of the header.
    pub(super) path: Option<Vec<u8>>,
    /// Replaces the size of the header.
    pub(super) size: Option<u64>,
    /// The content is a sparse map and not the file's bytes.
    pub(super) sparse: bool,
}

impl Pax {
    /// Reads an `x` header's payload. Of two records with one key the later holds.
    pub(super) fn of_entry(payload: &[u8]) -> Result<Self, Violation> {
        let mut pax = Self::default();
        for record in Records(payload) {
            match record? {
                (b"path", value) => pax.path = Some(value.to_vec()),
                (b"size", value) => pax.size = Some(decimal(value).ok_or(Violation::Pax)?),
                (key, _) => pax.sparse |= is_sparse(key),
            }
        }
        Ok(pax)
    }

    /// Checks a `g` header's payload: it may describe the archive, not rename or resize every entry.
    pub(super) fn check_global(payload: &[u8]) -> Result<(), Violation> {
        for record in Records(payload) {
            let (key, _) = record?;
            if matches!(key, b"path" | b"linkpath" | b"size") || is_sparse(key) {
                return Err(Violation::GlobalOverride { key: Excerpt::new(key) });
            }
        }
        Ok(())
    }
}

fn is_sparse(key: &[u8]) -> bool {
    key.starts_with(b"GNU.sparse.")
}

/// Digits only: `u64::from_str` alone would take a plus sign.
fn decimal(digits: &[u8]) -> Option<u64> {
    let digits = str::from_utf8(digits).ok()?;
    if digits.bytes().all(|digit| digit.is_ascii_digit()) { digits.parse().ok() } else { None }
}

/// Keys and values of `<len> <key>=<value>\n` records. Values may hold line feeds, so only `len` ends one.
struct Records<'a>(&'a [u8]);

impl<'a> Records<'a> {
    fn split_first(&self) -> Option<(&'a [u8], &'a [u8], &'a [u8])> {
        let space = self.0.iter().position(|byte| *byte == b' ')?;
        let len = usize::try_from(decimal(&self.0[..space])?).ok()?;
        let (record, rest) = self.0.split_at_checked(len)?;
        let record = record.get(space + 1..)?.strip_suffix(b"\n")?;
        let equals = record.iter().position(|byte| *byte == b'=')?;
        Some((&record[..equals], &record[equals + 1..], rest))
    }
}

impl<'a> Iterator for Records<'a> {
    type Item = Result<(&'a [u8], &'a [u8]), Violation>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let split = self.split_first();
        self.0 = split.map_or(&[], |(_, _, rest)| rest);
        Some(split.map(|(key, value, _)| (key, value)).ok_or(Violation::Pax))
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixture::record;
    use super::*;

    #[test]
    fn reads_path_and_size_and_passes_over_the_rest() {
        let long = "long".repeat(30);
        let records = [("path", "a/b"), ("xattr", "\n9 path=x\n"), ("size", "42"), ("path", long.as_str())];
        let payload = records.map(|(key, value)| record(key, value)).concat();
        let pax = Pax { path: Some(long.into_bytes()), size: Some(42), sparse: false };
        assert_eq!(Pax::of_entry(&payload), Ok(pax));
        assert_eq!(Pax::of_entry(&record("path", "")).unwrap().path, Some(vec![]));
        assert!(Pax::of_entry(&record("GNU.sparse.major", "1")).unwrap().sparse);
        assert_eq!(Pax::of_entry(b""), Ok(Pax::default()));
    }

    #[test]
    fn refuses_broken_records() {
        assert!(Pax::of_entry(b"9 path=a\n").is_ok());
        for broken in [
            "9",
            "9 path=a",
            "8 path=a\n",
            "11 path=a\n",
            "0 path=a\n",
            "2 \n",
            "9 path a\n",
            "x path=a\n",
            "+9 path=a\n",
            "9 path=a\n\n",
            " path=a\n",
            "99999999999999999999 path=a\n",
        ] {
            assert_eq!(Pax::of_entry(broken.as_bytes()), Err(Violation::Pax), "{broken:?}");
        }
        for size in ["", "+1", "-1", "0x1", "1 ", "18446744073709551616"] {
            assert_eq!(Pax::of_entry(&record("size", size)), Err(Violation::Pax), "{size:?}");
        }
    }

    #[test]
    fn a_global_header_may_only_describe() {
        assert_eq!(Pax::check_global(&record("comment", "x")), Ok(()));
        assert_eq!(Pax::check_global(b"9 comment=x\n"), Err(Violation::Pax));
        for key in ["path", "size", "linkpath", "GNU.sparse.major"] {
            let refused = Pax::check_global(&record(key, "1"));
            assert_eq!(refused, Err(Violation::GlobalOverride { key: key.into() }));
        }
    }
}
