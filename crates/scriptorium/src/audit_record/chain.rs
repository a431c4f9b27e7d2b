//! The chain: each line carries the SHA-256 of the line before it.
//!
//! ```text
//! {"time":…,"who":…,"from":…,"what":…, … ,"previous":"<hex of the line before, without its newline>"}
//! ```
//! The first line of all carries zeros. Owns the form of a line, and how the end of a file is read: its last whole line, and
//! what a crash left after it. Pure. Must not know files.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256 as Hasher};

use super::entry::{Actor, AuditAction, AuditEntry};
use crate::clock::Timestamp;
use crate::domain::Sha256;

/// What the first line of all carries.
pub(super) const ZEROS: &str = "0000000000000000000000000000000000000000000000000000000000000000";

#[derive(Serialize)]
struct WrittenLine<'a> {
    time: &'a str,
    who: &'a str,
    from: &'a str,
    what: &'a str,
    #[serde(flatten)]
    more: &'a Map<String, Value>,
    previous: &'a str,
}

/// A line as far as the chain needs it.
#[derive(Debug, Deserialize)]
pub(super) struct ChainedLine {
    pub(super) what: String,
    pub(super) previous: String,
    /// Of a seal: how many lines before it are broken, their digest, and that of the last whole line.
    #[serde(default)]
    pub(super) lines: Option<u64>,
    #[serde(default)]
    pub(super) sha256: Option<String>,
    #[serde(default)]
    pub(super) after: Option<String>,
    #[serde(rename = "time")]
    _time: String,
    #[serde(rename = "who")]
    _who: String,
    #[serde(rename = "from")]
    _from: String,
}

impl ChainedLine {
    pub(super) fn read(line: &[u8]) -> Option<Self> {
        serde_json::from_slice(line).ok().filter(|read: &Self| read.previous.len() == ZEROS.len())
    }

    pub(super) fn is(&self, action: AuditAction) -> bool {
        self.what == action.as_str()
    }
}

/// The digest of a line without its newline.
pub(super) fn digest(line: &[u8]) -> String {
    Sha256::of(line).hex()
}

/// Lines that no chain goes through: what a crash left, or what somebody else wrote.
#[derive(Debug, Clone, Default)]
pub(super) struct BrokenLines {
    pub(super) count: u64,
    hasher: Hasher,
}

impl BrokenLines {
    pub(super) fn add(&mut self, line: &[u8]) {
        self.count += 1;
        self.hasher.update(line);
        self.hasher.update(b"\n");
    }

    pub(super) fn digest(&self) -> String {
        data_encoding::HEXLOWER.encode(&self.hasher.clone().finalize())
    }
}

/// Lines in the making, each chained to the one before.
pub(super) struct ChainedText {
    pub(super) text: Vec<u8>,
    previous: String,
}

impl ChainedText {
    /// Goes on after the line with the digest `previous`.
    pub(super) fn after(previous: String) -> Self {
        Self { text: Vec::new(), previous }
    }

    /// The digest that the next line will carry.
    pub(super) fn last(self) -> (Vec<u8>, String) {
        (self.text, self.previous)
    }

    pub(super) fn add(&mut self, entry: &AuditEntry, at: Timestamp) {
        let time = at.precisely();
        let line = WrittenLine {
            time: std::str::from_utf8(&time).unwrap_or_default(),
            who: &entry.who,
            from: &entry.from,
            what: entry.what,
            more: &entry.more,
            previous: &self.previous,
        };
        // A map of plain values cannot fail to be written.
        let line = serde_json::to_vec(&line).unwrap_or_default();
        self.previous = digest(&line);
        self.text.extend_from_slice(&line);
        self.text.push(b'\n');
    }
}

/// The end of a file.
#[derive(Debug, Clone)]
pub(super) struct ChainEnd {
    /// The digest of the last line, whole or not.
    pub(super) last: String,
    /// The digest of the last whole line.
    whole: String,
    broken: BrokenLines,
    /// Whether the last line has no newline.
    pub(super) is_open: bool,
    /// Whether what is broken begins like a line that a crash cut.
    is_begun: bool,
}

impl ChainEnd {
    /// The end of an empty file.
    pub(super) fn empty() -> Self {
        Self {
            last: ZEROS.to_owned(),
            whole: ZEROS.to_owned(),
            broken: BrokenLines::default(),
            is_open: false,
            is_begun: true,
        }
    }

    /// The end of a file whose last line is whole and has this digest.
    pub(super) fn after(last: String) -> Self {
        Self { whole: last.clone(), last, ..Self::empty() }
    }

    /// Reads the end off the last bytes of a file, which are all of it if `is_all`. `None` where no whole line is among them:
    /// more bytes are needed, or this is no audit record.
    pub(super) fn read(tail: &[u8], is_all: bool) -> Option<Self> {
        if tail.is_empty() {
            return is_all.then(Self::empty);
        }
        let is_open = !tail.ends_with(b"\n");
        let closed = if is_open { tail } else { &tail[..tail.len() - 1] };
        let lines: Vec<&[u8]> = closed.split(|byte| *byte == b'\n').collect();
        // The first line may have begun before these bytes.
        let first = usize::from(!is_all);
        let whole = lines.iter().skip(first).rposition(|line| ChainedLine::read(line).is_some());
        let (from, whole) = match whole {
            Some(at) => (first + at + 1, digest(lines[first + at])),
            None if is_all => (0, ZEROS.to_owned()),
            None => return None,
        };
        let mut broken = BrokenLines::default();
        lines[from..].iter().for_each(|line| broken.add(line));
        let last = lines.last().map_or_else(|| ZEROS.to_owned(), |line| digest(line));
        let is_begun = lines.get(from).is_none_or(|line| is_begun(line));
        Some(Self { last, whole, broken, is_open, is_begun })
    }

    /// The line that seals what is broken; `None` where nothing is.
    pub(super) fn seal(&self) -> Option<AuditEntry> {
        let entry = AuditEntry::new(AuditAction::Sealed, &Actor::Proxy, None);
        (self.broken.count > 0).then(|| {
            entry
                .with("lines", self.broken.count)
                .with("sha256", self.broken.digest())
                .with("after", &*self.whole)
        })
    }

    /// Whether no line is whole, and no crash of ours left what is there.
    pub(super) fn is_foreign(&self) -> bool {
        self.whole == ZEROS && !self.is_begun
    }
}

/// Whether a broken line is the beginning of one of ours, or zeros that a crash left in its place.
fn is_begun(line: &[u8]) -> bool {
    const BEGINNING: &[u8] = b"{\"time\":\"";
    BEGINNING.iter().zip(line).all(|(expected, found)| expected == found)
        || line.iter().all(|byte| *byte == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry() -> AuditEntry {
        AuditEntry::new(AuditAction::Reload, &Actor::Signal, None).with("about", "x")
    }

    #[test]
    fn a_line_has_its_members_in_order_and_the_digest_of_the_line_before() {
        let mut chain = ChainedText::after(ZEROS.to_owned());
        chain.add(&entry(), Timestamp(0));
        chain.add(&entry(), Timestamp(1));
        let (text, last) = chain.last();
        let text = String::from_utf8(text).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(
            lines[0],
            format!(
                r#"{{"time":"1970-01-01T00:00:00.000Z","who":"signal","from":"local","what":"reload","about":"x","previous":"{ZEROS}"}}"#
            )
        );
        assert!(lines[1].contains(&format!(r#""previous":"{}""#, digest(lines[0].as_bytes()))));
        assert_eq!(last, digest(lines[1].as_bytes()));
    }

    #[test]
    fn the_end_of_a_file_is_its_last_whole_line_and_what_is_broken_after_it() {
        let mut chain = ChainedText::after(ZEROS.to_owned());
        chain.add(&entry(), Timestamp(0));
        let (text, last) = chain.last();
        let whole = ChainEnd::read(&text, true).unwrap();
        assert_eq!((&whole.last, whole.is_open, whole.seal()), (&last, false, None));
        // Only the newline is missing: the line is whole.
        let open = ChainEnd::read(&text[..text.len() - 1], true).unwrap();
        assert_eq!((&open.last, open.is_open, open.seal()), (&last, true, None));
        for cut in 1..text.len() - 1 {
            let torn = [&text[..], &text[..cut]].concat();
            let end = ChainEnd::read(&torn, true).unwrap();
            let seal = end.seal().unwrap();
            assert_eq!((&end.whole, end.is_open, &seal.more["lines"]), (&last, true, &1.into()), "{cut}");
            assert_eq!(end.last, digest(&text[..cut]));
            let alone = ChainEnd::read(&text[..cut], true).unwrap();
            assert_eq!((alone.whole.as_str(), alone.is_foreign()), (ZEROS, false));
        }
        assert!(ChainEnd::read(b"", true).unwrap().seal().is_none());
        assert!(ChainEnd::read(b"root:x:0:0\nbin:x:1:1\n", true).unwrap().is_foreign());
        assert!(ChainEnd::read(b"half a line\nnoise\n", false).is_none());
    }
}
