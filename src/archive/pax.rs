//! pax extended headers (POSIX.1-2017, pax, "pax Extended Header").
//!
//! Owns the record syntax and which records matter here. Must not know where the payload comes from.

use std::collections::BTreeSet;

use super::{Excerpt, Violation};

/// What a pax header says about the entry after it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Pax {
    /// Replaces the path of the header.
    pub(super) path: Option<Vec<u8>>,
    /// Replaces the size of the header.
    pub(super) size: Option<u64>,
    /// The content is a sparse map and not the file's bytes.
    pub(super) sparse: bool,
    /// It says nothing that a reader without pax would miss, and in the one way that all understand.
    pub(super) canonical: bool,
}

impl Default for Pax {
    fn default() -> Self {
        Self { path: None, size: None, sparse: false, canonical: true }
    }
}

impl Pax {
    /// Reads an `x` header's payload.
    pub(super) fn of_entry(payload: &[u8]) -> Result<Self, Violation> {
        let mut pax = Self { canonical: !payload.is_empty(), ..Self::default() };
        for record in Unique::new(payload) {
            let (key, value) = record?;
            pax.canonical &= match key {
                b"mtime" | b"atime" | b"ctime" => is_time(value),
                b"uid" | b"gid" => is_id(value),
                _ => false,
            };
            match key {
                b"path" if value.is_empty() => return Err(refused(key)),
                b"path" => pax.path = Some(value.to_vec()),
                b"size" => pax.size = Some(decimal(value).ok_or(Violation::Pax)?),
                // Names are UTF-8 here, or refused.
                b"hdrcharset" if matches!(value, b"BINARY" | b"ISO-IR 10646 2000 UTF-8") => {}
                _ if is_sparse(key) => pax.sparse = true,
                _ if is_doubtful(key) => return Err(refused(key)),
                _ => {}
            }
        }
        Ok(pax)
    }

    /// Checks a `g` header's payload: it may describe the archive, not rename or resize every entry. Whether it has
    /// nothing but a comment, as Git writes one.
    pub(super) fn check_global(payload: &[u8]) -> Result<bool, Violation> {
        let mut canonical = !payload.is_empty();
        for record in Unique::new(payload) {
            let (key, value) = record?;
            if matches!(key, b"path" | b"linkpath" | b"size") || is_sparse(key) || is_doubtful(key) {
                return Err(Violation::GlobalOverride { key: Excerpt::new(key) });
            }
            canonical &= key == b"comment" && value.iter().all(u8::is_ascii_graphic);
        }
        Ok(canonical)
    }
}

/// Keys that make the content a map of holes: GNU's, star's and Solaris's.
fn is_sparse(key: &[u8]) -> bool {
    key.starts_with(b"GNU.sparse.") || matches!(key, b"SCHILY.realsize" | b"SUN.holesdata")
}

/// Keys that change how names are read, or that say this is a part of something.
fn is_doubtful(key: &[u8]) -> bool {
    key.starts_with(b"GNU.") || key == b"hdrcharset"
}

fn refused(key: &[u8]) -> Violation {
    Violation::PaxKey { key: Excerpt::new(key) }
}

/// Seconds that every reader can hold.
fn is_time(value: &[u8]) -> bool {
    let mut parts = value.splitn(2, |byte| *byte == b'.');
    let (seconds, fraction) = (parts.next().unwrap_or_default(), parts.next());
    let digits =
        |digits: &[u8], most| (1..=most).contains(&digits.len()) && digits.iter().all(u8::is_ascii_digit);
    digits(seconds, 11) && fraction.is_none_or(|fraction| digits(fraction, 18))
}

/// An owner that every system can hold.
fn is_id(value: &[u8]) -> bool {
    value.len() <= 10 && decimal(value).is_some_and(|id| id <= i32::MAX as u64)
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

/// The same, each key once: of two, readers take the first or the last.
struct Unique<'a> {
    records: Records<'a>,
    seen: BTreeSet<&'a [u8]>,
}

impl<'a> Unique<'a> {
    fn new(payload: &'a [u8]) -> Self {
        Self { records: Records(payload), seen: BTreeSet::new() }
    }
}

impl<'a> Iterator for Unique<'a> {
    type Item = Result<(&'a [u8], &'a [u8]), Violation>;

    fn next(&mut self) -> Option<Self::Item> {
        let record = self.records.next()?;
        Some(record.and_then(|(key, value)| {
            let doubtful = key.is_empty() || !self.seen.insert(key);
            if doubtful { Err(refused(key)) } else { Ok((key, value)) }
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixture::record;
    use super::*;

    #[test]
    fn reads_path_and_size_and_passes_over_the_rest() {
        let long = "long".repeat(30);
        let records =
            [("xattr", "\n9 path=x\n"), ("size", "42"), ("path", long.as_str()), ("hdrcharset", "BINARY")];
        let payload = records.map(|(key, value)| record(key, value)).concat();
        let pax = Pax { path: Some(long.into_bytes()), size: Some(42), sparse: false, canonical: false };
        assert_eq!(Pax::of_entry(&payload), Ok(pax));
        for key in ["GNU.sparse.major", "SCHILY.realsize", "SUN.holesdata"] {
            assert!(Pax::of_entry(&record(key, "1")).unwrap().sparse, "{key}");
        }
        assert_eq!(Pax::of_entry(b""), Ok(Pax { canonical: false, ..Pax::default() }));
    }

    #[test]
    fn only_times_and_owners_are_canonical() {
        for (key, value, canonical) in [
            ("mtime", "1700000000", true),
            ("atime", "1700000000.123456789", true),
            ("ctime", "0", true),
            ("uid", "1000650000", true),
            ("mtime", "-1", false),
            ("mtime", "1.", false),
            ("mtime", "1e9", false),
            ("mtime", "", false),
            ("mtime", "999999999999", false),
            ("gid", "4294967295", false),
            ("gid", "+1", false),
            ("uname", "me", false),
            ("comment", "x", false),
            ("path", "a", false),
            ("size", "1", false),
        ] {
            assert_eq!(Pax::of_entry(&record(key, value)).unwrap().canonical, canonical, "{key}={value}");
        }
    }

    #[test]
    fn refuses_keys_that_readers_disagree_about() {
        let refused = |key: &str| Err(Violation::PaxKey { key: key.into() });
        for (key, value) in [("path", ""), ("", "x"), ("hdrcharset", "LATIN1"), ("GNU.volume.size", "1")] {
            assert_eq!(Pax::of_entry(&record(key, value)), refused(key));
        }
        for key in ["path", "size", "mtime", "comment"] {
            assert_eq!(Pax::of_entry(&[record(key, "1"), record(key, "1")].concat()), refused(key));
        }
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
        assert_eq!(Pax::check_global(&record("comment", "x")), Ok(true));
        assert_eq!(Pax::check_global(&record("comment", "x\ny")), Ok(false));
        assert_eq!(Pax::check_global(&record("mtime", "1")), Ok(false));
        assert_eq!(Pax::check_global(b""), Ok(false));
        assert_eq!(Pax::check_global(b"9 comment=x\n"), Err(Violation::Pax));
        for key in ["path", "size", "linkpath", "GNU.sparse.major", "SCHILY.realsize", "hdrcharset"] {
            let refused = Pax::check_global(&record(key, "1"));
            assert_eq!(refused, Err(Violation::GlobalOverride { key: key.into() }));
        }
    }
}
