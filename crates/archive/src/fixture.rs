//! Archives for tests, written block by block, so that they can have any fault.

use std::io::{self, Write};

use flate2::Compression;
use flate2::write::GzEncoder;
use proptest::prelude::*;
use tar::Header;

use super::paths::accept_path;
use super::profile::{FileRecord, TreeIndex, TreeNode};
use super::{Integrity, Scratch, TreeHasher};

/// A manifest without permissions.
pub(crate) const MANIFEST: &str = "[volume]\nname = \"@acme/review\"\nversion = \"1.2.3\"\n";

/// A temporary file that always has room.
pub(crate) fn scratch() -> io::Result<Box<dyn Scratch>> {
    Ok(Box::new(tempfile::tempfile()?))
}

/// The way a tar spells paths that are long.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Dialect {
    Ustar,
    Pax,
    Gnu,
}

/// A regular file: path, executable, content.
pub(crate) type TestFile = (String, bool, Vec<u8>);

/// A tar being written.
#[derive(Default, Clone)]
pub(crate) struct Tar(Vec<u8>);

impl Tar {
    /// A well-formed ustar file.
    pub(crate) fn file(self, path: &str, content: impl AsRef<[u8]>) -> Self {
        self.entry(b'0', path, content)
    }

    /// A ustar entry of any type whose name fits the header.
    pub(crate) fn entry(self, kind: u8, name: impl AsRef<[u8]>, content: impl AsRef<[u8]>) -> Self {
        self.block(header(Header::new_ustar(), kind, name.as_ref(), content.as_ref().len() as u64), content)
    }

    /// A header with a corrected checksum, and its padded payload.
    pub(crate) fn block(mut self, mut header: Header, content: impl AsRef<[u8]>) -> Self {
        header.set_cksum();
        self.0.extend_from_slice(header.as_bytes());
        self.0.extend_from_slice(content.as_ref());
        self.0.resize(self.0.len().next_multiple_of(512), 0);
        self
    }

    /// A file as a packer of `dialect` writes it.
    pub(crate) fn file_in(self, dialect: Dialect, (path, executable, content): &TestFile) -> Self {
        let size = content.len() as u64;
        let name = path.as_bytes();
        let short = &name[..name.len().min(100)];
        let (tar, mut entry) = match dialect {
            Dialect::Ustar => match split_ustar(path) {
                Some((prefix, name)) => {
                    let mut entry = header(Header::new_ustar(), b'0', name.as_bytes(), size);
                    if let Some(ustar) = entry.as_ustar_mut() {
                        ustar.prefix[..prefix.len()].copy_from_slice(prefix.as_bytes());
                    }
                    (self, entry)
                }
                None => return self.file_in(Dialect::Pax, &(path.clone(), *executable, content.clone())),
            },
            Dialect::Pax => {
                let records =
                    [record("mtime", "1.5"), record("path", path), record("size", &size.to_string())];
                let tar = self.entry(b'x', "PaxHeaders/x", records.concat());
                (tar, header(Header::new_ustar(), b'0', short, size))
            }
            Dialect::Gnu => {
                let long = [name, b"\0"].concat();
                let link = header(Header::new_gnu(), b'L', b"././@LongLink", long.len() as u64);
                let tar = if name.len() > 100 { self.block(link, long) } else { self };
                (tar, header(Header::new_gnu(), b'0', short, size))
            }
        };
        entry.set_mode(if *executable { 0o755 } else { 0o644 });
        tar.block(entry, content)
    }

    /// The bytes so far, without an end.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// The bytes with the two zero blocks that end a tar.
    pub(crate) fn ended(mut self) -> Vec<u8> {
        self.0.resize(self.0.len() + 1024, 0);
        self.0
    }

    /// Ended and compressed.
    pub(crate) fn gz(self) -> Vec<u8> {
        gz(&self.ended())
    }
}

/// A header with all the fields an entry needs.
pub(crate) fn header(mut header: Header, kind: u8, name: &[u8], size: u64) -> Header {
    header.set_mode(0o644);
    header.set_size(size);
    let old = header.as_old_mut();
    old.linkflag = [kind];
    old.name[..name.len()].copy_from_slice(name);
    header
}

/// One pax record.
pub(crate) fn record(key: &str, value: &str) -> Vec<u8> {
    let rest = format!(" {key}={value}\n");
    let mut len = rest.len();
    while len != rest.len() + len.to_string().len() {
        len = rest.len() + len.to_string().len();
    }
    format!("{len}{rest}").into_bytes()
}

/// One gzip member.
pub(crate) fn gz(plain: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(plain).unwrap();
    encoder.finish().unwrap()
}

/// The digest of `files` by the specification.
pub(crate) fn integrity_of(files: &[TestFile]) -> Integrity {
    let mut files: Vec<_> = files.iter().collect();
    files.sort();
    let mut hasher = TreeHasher::new();
    for (path, executable, content) in files {
        hasher.file(path, *executable, content.len() as u64);
        hasher.content(content);
    }
    hasher.finish()
}

/// Any tree: short and long paths, any content and execute bits, in any order, the manifest among them.
pub(crate) fn any_tree() -> impl Strategy<Value = Vec<TestFile>> {
    let segment = prop_oneof![
        6 => "[a-c!.]{0,2}[a-c0]",
        2 => "[\\PC&&[^/\\\\:\\u{2028}\\u{2029}]]{1,8}x",
        1 => "[a-z]{90,180}",
    ];
    let path = proptest::collection::vec(segment, 1..5).prop_map(|segments| segments.join("/"));
    let content = proptest::collection::vec(any::<u8>(), 0..1500);
    proptest::collection::btree_map(path, (any::<bool>(), content), 0..20).prop_flat_map(|mut files| {
        let mut index = TreeIndex::default();
        let node = TreeNode::File(FileRecord { executable: false, offset: 0, len: 0 });
        files.retain(|path, _| accept_path(path.as_bytes()).is_ok() && index.admit(path, node).is_ok());
        files.insert("volume.toml".into(), (false, MANIFEST.into()));
        let files = files.into_iter().map(|(path, (executable, content))| (path, executable, content));
        Just(files.collect::<Vec<_>>()).prop_shuffle()
    })
}

/// The ustar way to spell a path: name up to 100 bytes, prefix up to 155.
fn split_ustar(path: &str) -> Option<(&str, &str)> {
    if path.len() <= 100 {
        return Some(("", path));
    }
    path.match_indices('/')
        .map(|(slash, _)| (&path[..slash], &path[slash + 1..]))
        .find(|(prefix, name)| prefix.len() <= 155 && name.len() <= 100)
}
