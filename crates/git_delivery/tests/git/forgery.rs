//! Answers and packs as only a hostile server makes them.
//!
//! Owns their bytes: whoever builds one says what it claims and what it has.

use std::io::{self, Cursor, Read, Write};

use flate2::Compression;
use flate2::write::ZlibEncoder;
use git_delivery::{CommitId, GitAnswer, GitRequest, GitTransport};
use sha1::{Digest, Sha1};

/// The kinds of entries.
pub(super) const COMMIT: u8 = 1;
pub(super) const TREE: u8 = 2;
pub(super) const BLOB: u8 = 3;
const OFS_DELTA: u8 = 6;
pub(super) const REF_DELTA: u8 = 7;

/// A server that answers each request with the next of its answers.
pub(super) struct Forger(Vec<Box<dyn Read>>);

impl Forger {
    /// A server whose abilities are as they should be, and whose answers to commands are these.
    pub(super) fn new(answers: Vec<Box<dyn Read>>) -> Self {
        Self::with_abilities(Box::new(Cursor::new(abilities())), answers)
    }

    pub(super) fn with_abilities(abilities: Box<dyn Read>, mut answers: Vec<Box<dyn Read>>) -> Self {
        answers.insert(0, abilities);
        answers.reverse();
        Self(answers)
    }

    /// A server that sends this pack.
    pub(super) fn sends(pack: &[u8]) -> Self {
        Self::new(vec![Box::new(Cursor::new(fetched(pack)))])
    }
}

impl GitTransport for Forger {
    fn exchange(&mut self, request: &GitRequest<'_>) -> io::Result<GitAnswer<'_>> {
        let body = self.0.pop().ok_or_else(|| io::Error::other("one request too many"))?;
        Ok(GitAnswer { content_type: request.answer_type().to_owned(), body })
    }
}

/// A line of the protocol.
pub(super) fn line(text: &[u8]) -> Vec<u8> {
    let mut line = format!("{:04x}", text.len() + 4).into_bytes();
    line.extend_from_slice(text);
    line
}

pub(super) const FLUSH: &[u8] = b"0000";

pub(super) fn abilities() -> Vec<u8> {
    let lines = ["version 2\n", "ls-refs\n", "fetch=shallow\n", "object-format=sha1\n"];
    [lines.map(|text| line(text.as_bytes())).concat(), FLUSH.to_vec()].concat()
}

/// Bytes in a band.
pub(super) fn band(band: u8, bytes: &[u8]) -> Vec<u8> {
    bytes.chunks(60_000).flat_map(|bytes| line(&[&[band], bytes].concat())).collect()
}

/// The answer that holds a pack.
pub(super) fn fetched(pack: &[u8]) -> Vec<u8> {
    [line(b"packfile\n"), band(1, pack), FLUSH.to_vec()].concat()
}

pub(super) fn deflated(content: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(content).unwrap();
    encoder.finish().unwrap()
}

/// The name of an object.
pub(super) fn name_of(kind: &str, content: &[u8]) -> [u8; 20] {
    Sha1::new_with_prefix(format!("{kind} {}\0", content.len())).chain_update(content).finalize().into()
}

pub(super) fn hex(name: [u8; 20]) -> String {
    name.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Entries of a pack.
#[derive(Default, Clone)]
pub(super) struct ForgedPack {
    entries: Vec<u8>,
    offsets: Vec<usize>,
}

impl ForgedPack {
    /// An entry with the length and the compressed bytes that are given.
    pub(super) fn raw(mut self, kind: u8, len: u64, base: &[u8], compressed: &[u8]) -> Self {
        self.offsets.push(self.entries.len() + 12);
        let (mut byte, mut rest) = (kind << 4 | (len & 15) as u8, len >> 4);
        while rest > 0 {
            self.entries.push(byte | 0x80);
            (byte, rest) = ((rest & 127) as u8, rest >> 7);
        }
        self.entries.push(byte);
        self.entries.extend_from_slice(base);
        self.entries.extend_from_slice(compressed);
        self
    }

    pub(super) fn whole(self, kind: u8, content: &[u8]) -> Self {
        self.raw(kind, content.len() as u64, &[], &deflated(content))
    }

    /// A difference from the object whose entry begins so many bytes before.
    pub(super) fn at_distance(self, distance: u64, delta: &[u8]) -> Self {
        let (mut base, mut rest) = (vec![(distance & 127) as u8], distance >> 7);
        while rest > 0 {
            rest -= 1;
            base.insert(0, (rest & 127) as u8 | 0x80);
            rest >>= 7;
        }
        self.raw(OFS_DELTA, delta.len() as u64, &base, &deflated(delta))
    }

    /// A difference from the entry before.
    pub(super) fn on_last(self, delta: &[u8]) -> Self {
        let distance = self.entries.len() + 12 - self.offsets.last().unwrap();
        self.at_distance(distance as u64, delta)
    }

    /// A difference from the first entry.
    pub(super) fn on_first(self, delta: &[u8]) -> Self {
        let distance = self.entries.len();
        self.at_distance(distance as u64, delta)
    }

    /// A difference from the object with this name.
    pub(super) fn on_name(self, base: [u8; 20], delta: &[u8]) -> Self {
        self.raw(REF_DELTA, delta.len() as u64, &base, &deflated(delta))
    }

    pub(super) fn claiming(&self, objects: u32) -> Vec<u8> {
        let mut pack = [b"PACK", &2_u32.to_be_bytes()[..], &objects.to_be_bytes(), &self.entries].concat();
        let checksum = Sha1::digest(&pack);
        pack.extend_from_slice(&checksum);
        pack
    }

    pub(super) fn finish(&self) -> Vec<u8> {
        self.claiming(u32::try_from(self.offsets.len()).unwrap())
    }

    /// A commit of one file `a` with this content, whole. Returns the commit.
    pub(super) fn commit_of(self, content: &[u8]) -> (Self, CommitId) {
        self.commit_of_named(name_of("blob", content))
    }

    /// The same without the file itself.
    pub(super) fn commit_of_named(self, file: [u8; 20]) -> (Self, CommitId) {
        self.commit_of_tree(&[b"100644 a\0", &file[..]].concat())
    }

    pub(super) fn commit_of_tree(self, tree: &[u8]) -> (Self, CommitId) {
        let commit = commit_content(name_of("tree", tree));
        let id = hex(name_of("commit", &commit)).parse().unwrap();
        (self.whole(TREE, tree).whole(COMMIT, &commit), id)
    }
}

pub(super) fn commit_content(tree: [u8; 20]) -> Vec<u8> {
    let who = "nobody <nobody@localhost> 1796000000 +0000";
    format!("tree {}\nauthor {who}\ncommitter {who}\n\nx\n", hex(tree)).into_bytes()
}

/// A difference: the lengths that it claims, and its instructions.
pub(super) fn delta(base: u64, result: u64, instructions: &[u8]) -> Vec<u8> {
    let mut delta = Vec::new();
    for mut len in [base, result] {
        while len > 127 {
            delta.push(len as u8 | 0x80);
            len >>= 7;
        }
        delta.push(len as u8);
    }
    delta.extend_from_slice(instructions);
    delta
}

/// The instruction that copies the first `len` bytes of the base.
pub(super) fn copy(len: u32) -> Vec<u8> {
    let [_, high, middle, low] = len.to_be_bytes();
    vec![0x80 | 0x70, low, middle, high]
}
