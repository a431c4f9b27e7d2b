//! What goes out is what was hashed: archives framed so that readers would unpack several trees, archives of ordinary
//! packers, names that mean something else elsewhere, and what the proxy makes of each.

mod causes;
mod names;
mod packers;
mod repacked;
mod stored;
mod uploads;

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::Command;

use flate2::Compression;
use flate2::write::GzEncoder;
use tar::Header;

use crate::support::tarball::{Entry, tree_digest};
use crate::support::{Answer, Proxy, Release, Setup, Upstream};

/// The tree that every archive here is said to have.
fn lamp() -> Release {
    Release::new("lamp", "1.0.0")
}

/// A proxy before a registry that sends `archive` as the bytes of a release.
fn proxy_of(release: &Release, archive: Vec<u8>) -> (Upstream, Proxy) {
    let upstream = Upstream::start();
    upstream.publish_as(release, archive);
    let proxy = Setup::before(&upstream).start();
    (upstream, proxy)
}

/// A tar that is written block by block.
#[derive(Clone, Default)]
struct Blocks(Vec<u8>);

impl Blocks {
    /// A header, its checksum made right, and what follows it, padded.
    fn entry(mut self, mut header: Header, content: &[u8]) -> Self {
        header.set_cksum();
        self.0.extend_from_slice(header.as_bytes());
        self.0.extend_from_slice(content);
        self.0.resize(self.0.len().next_multiple_of(512), 0);
        self
    }

    /// Every file of a release as an ordinary ustar entry.
    fn files(self, release: &Release) -> Self {
        release.entries.iter().fold(self, Self::file)
    }

    fn file(self, entry: &Entry) -> Self {
        self.entry(header(b'0', &entry.path, entry.content.len(), entry.executable), &entry.content)
    }

    fn extension(self, kind: u8, payload: &[u8]) -> Self {
        let name = if kind == b'g' { "pax_global_header" } else { "././@LongLink" };
        let mut header = header(kind, name, payload.len(), false);
        if matches!(kind, b'L' | b'K') {
            header.as_mut_bytes()[257..265].copy_from_slice(b"ustar  \0");
        }
        self.entry(header, payload)
    }

    fn ended(mut self) -> Vec<u8> {
        self.0.resize(self.0.len() + 1024, 0);
        self.0
    }
}

fn header(kind: u8, name: &str, size: usize, executable: bool) -> Header {
    let mut header = Header::new_ustar();
    header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
    header.as_old_mut().linkflag = [kind];
    header.set_mode(if executable { 0o755 } else { 0o644 });
    header.set_size(size as u64);
    header
}

/// One pax record.
fn record(key: &str, value: &str) -> Vec<u8> {
    let rest = format!(" {key}={value}\n");
    let len = (rest.len()..).find(|len| *len == rest.len() + len.to_string().len()).unwrap();
    format!("{len}{rest}").into_bytes()
}

fn gz(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// What Python's tarfile unpacks of an archive, in both of its ways to read: the digests of the two trees.
fn unpacked_by_python(archive: &[u8]) -> [String; 2] {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("a.tar.gz");
    fs::write(&file, archive).unwrap();
    ["r:gz", "r|gz"].map(|mode| {
        let into = folder.path().join(mode.replace([':', '|'], "-"));
        let script = "import sys, tarfile\n\
                      with tarfile.open(sys.argv[1], sys.argv[2]) as archive: archive.extractall(sys.argv[3])";
        let python = Command::new("python3").args(["-W", "ignore", "-c", script]).arg(&file).arg(mode).arg(&into).output();
        let output = python.unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        tree_digest(&files_below(&into))
    })
}

/// The files of a folder, as entries.
fn files_below(folder: &Path) -> Vec<Entry> {
    use std::os::unix::fs::PermissionsExt;
    let (mut entries, mut folders) = (Vec::new(), vec![folder.to_owned()]);
    while let Some(below) = folders.pop() {
        for path in fs::read_dir(below).unwrap().map(|entry| entry.unwrap().path()) {
            let meta = fs::symlink_metadata(&path).unwrap();
            if meta.is_dir() {
                folders.push(path);
                continue;
            }
            let name = path.strip_prefix(folder).unwrap().to_str().unwrap();
            let entry = Entry::file(name, fs::read(&path).unwrap());
            entries.push(Entry { executable: meta.permissions().mode() & 0o111 != 0, ..entry });
        }
    }
    entries
}

/// The answer's body is an archive of exactly this release, and the header fields are about these bytes.
#[track_caller]
fn assert_is_the_tree(answer: &Answer, release: &Release) {
    assert_eq!(unpacked_by_python(&answer.body), [release.integrity(), release.integrity()]);
    let digest = data_encoding::BASE64.encode(&<sha2::Sha256 as sha2::Digest>::digest(&answer.body));
    assert_eq!(answer.header("repr-digest"), Some(&*format!("sha-256=:{digest}:")));
    assert_eq!(answer.header("content-length"), Some(&*answer.body.len().to_string()));
}
