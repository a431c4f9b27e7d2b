//! pax extended headers (POSIX.1-2017, pax, "pax Extended Header").
//!
//! Owns the record syntax and which records are read. Must not know where the payload comes from.

use std::collections::BTreeSet;

use super::{Excerpt, Violation};

/// The records of a pax header that are about the entry after it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Pax {
    /// Replaces the path of the header.
    pub(crate) path: Option<Vec<u8>>,
    /// Replaces the size of the header.
    pub(crate) size: Option<u64>,
    /// Replaces the link name of the header.
    pub(crate) linkpath: Option<Vec<u8>>,
    /// Whether the content is a sparse map instead of the file's bytes.
    pub(crate) sparse: bool,
    /// Whether a reader without pax unpacks the same entry, and all readers of pax read the records alike.
    pub(crate) canonical: bool,
    /// The key of the first record that is neither a name, an owner nor a time.
    pub(crate) unknown: Option<Excerpt>,
}

impl Default for Pax {
    fn default() -> Self {
        Self { path: None, size: None, linkpath: None, sparse: false, canonical: true, unknown: None }
    }
}

impl Pax {
    /// Reads an `x` header's payload.
    pub(crate) fn of_entry(payload: &[u8]) -> Result<Self, Violation> {
        let mut pax = Self { canonical: !payload.is_empty(), ..Self::default() };
        for record in Records::new(payload) {
            let (key, value) = record?;
            pax.canonical &= match key {
                b"mtime" | b"atime" | b"ctime" => is_time(value),
                b"uid" | b"gid" => is_id(value),
                _ => false,
            };
            if pax.unknown.is_none() && !is_known(key) {
                pax.unknown = Some(Excerpt::new(key));
            }
            match key {
                b"path" if value.is_empty() => return Err(refused(key)),
                b"path" => pax.path = Some(value.to_vec()),
                b"linkpath" => pax.linkpath = Some(value.to_vec()),
                b"size" => pax.size = Some(decimal(value).ok_or(Violation::Pax)?),
                // Names that are not UTF-8 are refused anyway.
                b"hdrcharset" if matches!(value, b"BINARY" | b"ISO-IR 10646 2000 UTF-8") => {}
                _ if is_sparse(key) => pax.sparse = true,
                _ if is_doubtful(key) => return Err(refused(key)),
                _ => {}
            }
        }
        Ok(pax)
    }

    /// Checks a `g` header's payload: it may describe the archive, but not rename or resize every entry. Answers whether the
    /// payload is only a comment, as Git writes it.
    pub(crate) fn check_global(payload: &[u8]) -> Result<bool, Violation> {
        let mut canonical = !payload.is_empty();
        for record in Records::new(payload) {
            let (key, value) = record?;
            if matches!(key, b"path" | b"linkpath" | b"size") || is_sparse(key) || is_doubtful(key) {
                return Err(Violation::GlobalOverride(Excerpt::new(key)));
            }
            canonical &= key == b"comment" && value.iter().all(u8::is_ascii_graphic);
        }
        Ok(canonical)
    }
}

/// Whether a key is for a name, an owner, a time or a comment.
fn is_known(key: &[u8]) -> bool {
    let keys: [&[u8]; 10] =
        [b"path", b"linkpath", b"mtime", b"atime", b"ctime", b"uid", b"gid", b"uname", b"gname", b"comment"];
    keys.contains(&key)
}

/// Whether a key makes the content a sparse map: the keys of GNU tar, star and Solaris.
fn is_sparse(key: &[u8]) -> bool {
    key.starts_with(b"GNU.sparse.") || matches!(key, b"SCHILY.realsize" | b"SUN.holesdata")
}

/// Whether a key changes how names are read, or marks a part of a larger file.
fn is_doubtful(key: &[u8]) -> bool {
    key.starts_with(b"GNU.") || key == b"hdrcharset"
}

fn refused(key: &[u8]) -> Violation {
    Violation::PaxKey(Excerpt::new(key))
}

/// Whether a time is in the range of every reader.
fn is_time(value: &[u8]) -> bool {
    let mut parts = value.splitn(2, |byte| *byte == b'.');
    let (seconds, fraction) = (parts.next().unwrap_or_default(), parts.next());
    let digits =
        |digits: &[u8], most| (1..=most).contains(&digits.len()) && digits.iter().all(u8::is_ascii_digit);
    digits(seconds, 11) && fraction.is_none_or(|fraction| digits(fraction, 18))
}

/// Whether an owner is in the range of every system.
fn is_id(value: &[u8]) -> bool {
    value.len() <= 10 && decimal(value).is_some_and(|id| id <= i32::MAX as u64)
}

/// Digits only: `u64::from_str` alone would accept a plus sign.
fn decimal(digits: &[u8]) -> Option<u64> {
    let digits = str::from_utf8(digits).ok()?;
    if digits.bytes().all(|digit| digit.is_ascii_digit()) { digits.parse().ok() } else { None }
}

/// Keys and values of `<len> <key>=<value>\n` records, each key once: of two, some readers take the first and some the
/// last. Values may contain line feeds, so only `len` ends a record.
struct Records<'a> {
    rest: &'a [u8],
    seen: BTreeSet<&'a [u8]>,
}

impl<'a> Records<'a> {
    fn new(payload: &'a [u8]) -> Self {
        Self { rest: payload, seen: BTreeSet::new() }
    }
}

impl<'a> Iterator for Records<'a> {
    type Item = Result<(&'a [u8], &'a [u8]), Violation>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let split = split_first(self.rest);
        self.rest = split.map_or(&[], |(_, _, rest)| rest);
        let Some((key, value, _)) = split else { return Some(Err(Violation::Pax)) };
        let is_doubtful = key.is_empty() || !self.seen.insert(key);
        Some(if is_doubtful { Err(refused(key)) } else { Ok((key, value)) })
    }
}

/// Key and value of the first record, and the bytes after it.
fn split_first(records: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let space = records.iter().position(|byte| *byte == b' ')?;
    let len = usize::try_from(decimal(&records[..space])?).ok()?;
    let (record, rest) = records.split_at_checked(len)?;
    let record = record.get(space + 1..)?.strip_suffix(b"\n")?;
    let equals = record.iter().position(|byte| *byte == b'=')?;
    Some((&record[..equals], &record[equals + 1..], rest))
}

#[cfg(test)]
mod tests {
    use super::super::fixture::record;
    use super::*;

    #[test]
    fn the_first_unknown_key_is_reported() {
        for key in ["path", "linkpath", "mtime", "uid", "gname", "comment"] {
            assert_eq!(Pax::of_entry(&record(key, "1")).unwrap().unknown, None, "{key}");
        }
        let two = [record("mtime", "1"), record("size", "1"), record("SCHILY.x", "1")].concat();
        assert_eq!(Pax::of_entry(&two).unwrap().unknown, Some("size".into()));
    }

    #[test]
    fn reads_path_and_size_and_skips_other_keys() {
        let long = "long".repeat(30);
        let records =
            [("xattr", "\n9 path=x\n"), ("size", "42"), ("path", long.as_str()), ("hdrcharset", "BINARY")];
        let payload = records.map(|(key, value)| record(key, value)).concat();
        let pax = Pax {
            path: Some(long.into_bytes()),
            size: Some(42),
            canonical: false,
            unknown: Some("xattr".into()),
            ..Pax::default()
        };
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
        let refused = |key: &str| Err(Violation::PaxKey(key.into()));
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
            assert_eq!(refused, Err(Violation::GlobalOverride(key.into())));
        }
    }
}
