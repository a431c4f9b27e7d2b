//! The tree that a reader unpacked: the digest of its files, its folders, and unexpected entries.
//!
//! Owns a second implementation of the specification's tree digest: the crate's own must not check itself.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use data_encoding::HEXLOWER;
use sha2::{Digest, Sha256};

/// The longest file in an archive of these tests.
const MOST: u64 = 8 << 20;

/// A file, as the digest covers it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Leaf {
    pub(crate) executable: bool,
    pub(crate) content: Vec<u8>,
}

/// An unpacked tree.
#[derive(Default, Clone, PartialEq, Eq)]
pub(crate) struct Tree {
    pub(crate) files: BTreeMap<Vec<u8>, Leaf>,
    pub(crate) folders: BTreeSet<Vec<u8>>,
    /// Links, devices, files with set-id bits, and files that their owner cannot read.
    pub(crate) strange: Vec<String>,
}

impl Tree {
    /// Everything below `folder`.
    pub(crate) fn read(folder: &Path) -> Self {
        let mut tree = Self::default();
        tree.walk(folder, &[]);
        tree
    }

    fn walk(&mut self, folder: &Path, above: &[u8]) {
        let entries = match fs::read_dir(folder) {
            Ok(entries) => entries,
            Err(error) => return self.strange.push(format!("{}: {error}", folder.display())),
        };
        for entry in entries {
            let entry = entry.unwrap();
            let path = [above, entry.file_name().as_bytes()].concat();
            let shown = String::from_utf8_lossy(&path).into_owned();
            let about = entry.metadata().unwrap();
            let mode = about.permissions().mode();
            let kind = about.file_type();
            if kind.is_dir() {
                if mode & 0o700 != 0o700 {
                    self.strange.push(format!("{shown}: a folder closed to its owner"));
                }
                self.walk(&entry.path(), &[&path, &b"/"[..]].concat());
                self.folders.insert(path);
            } else if kind.is_file() && about.len() <= MOST {
                if mode & 0o7000 != 0 {
                    self.strange.push(format!("{shown}: mode {mode:o}"));
                }
                if mode & 0o400 == 0 || (mode & 0o111 != 0) != (mode & 0o100 != 0) {
                    self.strange.push(format!("{shown}: mode {mode:o} means one thing to its owner only"));
                }
                match fs::read(entry.path()) {
                    Ok(content) => {
                        self.files.insert(path, Leaf { executable: mode & 0o111 != 0, content });
                    }
                    // A path that fits a system call only by itself, not with the folder's.
                    Err(error) => self.strange.push(format!("{shown}: {error}")),
                }
            } else {
                self.strange.push(format!("{shown}: {kind:?} of {} bytes", about.len()));
            }
        }
    }

    /// The digest of its files.
    pub(crate) fn digest(&self) -> String {
        let mut hash = Sha256::new();
        for (path, Leaf { executable, content }) in &self.files {
            hash.update(b"file ");
            hash.update(path);
            hash.update(format!(" {} {}\n", u8::from(*executable), content.len()));
            hash.update(content);
        }
        HEXLOWER.encode(&hash.finalize())
    }

    /// A line for each file and folder, for people.
    pub(crate) fn listing(&self) -> String {
        let files = self.files.iter().map(|(path, leaf)| {
            let x = if leaf.executable { " x" } else { "" };
            let start = &leaf.content[..leaf.content.len().min(24)];
            format!("{}{x} {} {}", path.escape_ascii(), leaf.content.len(), start.escape_ascii())
        });
        let folders = self.folders.iter().map(|path| format!("{}/", path.escape_ascii()));
        let strange = self.strange.iter().map(|line| format!("! {line}"));
        files.chain(folders).chain(strange).map(|line| format!("      {line}\n")).collect()
    }
}
