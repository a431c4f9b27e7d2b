//! A Git repository with one commit, served by version 2 of the smart HTTP protocol: enough for `git clone` and for a proxy.
//!
//! Objects are written by the rules of Git's own documentation (gitformat-pack, gitprotocol-v2) and sent whole, never as differences. The
//! commit has a fixed author and time, so that the same files make the same commit. Owns objects and answers. Must not know releases.

use std::collections::BTreeMap;
use std::io::{self, Write};

use data_encoding::HEXLOWER;
use flate2::Compression;
use flate2::write::ZlibEncoder;
use sha1::{Digest, Sha1};

use crate::archive::TarMember;
use crate::registry::ScriptedRegistry;
use crate::reply::ScriptedReply;
use crate::request::ReceivedRequest;

/// Who commits, and when.
const AUTHOR: &str = "Sample <sample@localhost> 1780300800 +0000";
/// The most bytes of a pack in one line.
const PIECE: usize = 65_000;

/// The name of an object.
type ObjectName = [u8; 20];

/// A repository of which one commit is all.
pub(crate) struct SampleRepository {
    objects: BTreeMap<ObjectName, (u8, Vec<u8>)>,
    commit: ObjectName,
    tag: String,
}

/// What is in a folder.
#[derive(Default)]
struct Folder<'a> {
    folders: BTreeMap<&'a str, Folder<'a>>,
    files: BTreeMap<&'a str, &'a TarMember>,
}

impl SampleRepository {
    /// The files of `members` in a commit that `tag` names.
    pub(crate) fn of(members: &[TarMember], tag: &str) -> Self {
        let mut root = Folder::default();
        for member in members {
            let (mut folder, mut path) = (&mut root, member.path.as_str());
            while let Some((name, rest)) = path.split_once('/') {
                (folder, path) = (folder.folders.entry(name).or_default(), rest);
            }
            folder.files.insert(path, member);
        }
        let mut repository = Self { objects: BTreeMap::new(), commit: [0; 20], tag: tag.to_owned() };
        let tree = HEXLOWER.encode(&repository.tree(&root));
        let commit = format!("tree {tree}\nauthor {AUTHOR}\ncommitter {AUTHOR}\n\n{tag}\n");
        repository.commit = repository.object(1, "commit", commit.into_bytes());
        repository
    }

    /// The name of its commit.
    pub(crate) fn commit(&self) -> String {
        HEXLOWER.encode(&self.commit)
    }

    /// Answers below `path` on `registry`.
    pub(crate) fn serve(self, registry: &ScriptedRegistry, path: &str) {
        let advertisement = lines(&["version 2\n", "ls-refs\n", "fetch\n", "object-format=sha1\n"]);
        let kind = "application/x-git-upload-pack-advertisement";
        let asked = format!("{path}/info/refs");
        registry.reply(&asked, ScriptedReply::new(200, kind, advertisement));
        let command = format!("{path}/git-upload-pack");
        registry.compute("POST", &command, move |request| self.answer(request));
    }

    fn answer(&self, request: &ReceivedRequest) -> ScriptedReply {
        let asks = |command: &[u8]| request.body.windows(command.len()).any(|bytes| bytes == command);
        let body = if asks(b"command=ls-refs") { Ok(self.references()) } else { self.packed() };
        match body {
            Ok(body) => ScriptedReply::new(200, "application/x-git-upload-pack-result", body),
            Err(_) => ScriptedReply::failure(500),
        }
    }

    fn references(&self) -> Vec<u8> {
        let (commit, tag) = (self.commit(), &self.tag);
        let head = format!("{commit} HEAD symref-target:refs/heads/main\n");
        lines(&[&head, &format!("{commit} refs/heads/main\n"), &format!("{commit} refs/tags/{tag}\n")])
    }

    /// All objects, in the lines of an answer.
    fn packed(&self) -> io::Result<Vec<u8>> {
        let number = u32::try_from(self.objects.len()).map_err(io::Error::other)?;
        let mut pack = [&b"PACK\0\0\0\x02"[..], &number.to_be_bytes()].concat();
        for (kind, content) in self.objects.values() {
            let (mut rest, mut byte) = (content.len() >> 4, (content.len() & 15) as u8 | kind << 4);
            while rest > 0 {
                pack.push(byte | 0x80);
                (byte, rest) = ((rest & 0x7f) as u8, rest >> 7);
            }
            pack.push(byte);
            let mut zlib = ZlibEncoder::new(pack, Compression::best());
            zlib.write_all(content)?;
            pack = zlib.finish()?;
        }
        let checksum = Sha1::digest(&pack);
        pack.extend_from_slice(&checksum);
        let mut answer = line(b"packfile\n");
        // Band 1 carries the pack.
        pack.chunks(PIECE).for_each(|piece| answer.extend(line(&[b"\x01", piece].concat())));
        answer.extend_from_slice(b"0000");
        Ok(answer)
    }

    fn tree(&mut self, folder: &Folder<'_>) -> ObjectName {
        // Git orders a folder as if its name ended with a slash.
        let mut entries: Vec<(String, &str, &str, ObjectName)> = Vec::new();
        for (name, below) in &folder.folders {
            let tree = self.tree(below);
            entries.push((format!("{name}/"), "40000", name, tree));
        }
        for (name, file) in &folder.files {
            let blob = self.object(3, "blob", file.content.clone());
            let mode = if file.executable { "100755" } else { "100644" };
            entries.push(((*name).to_owned(), mode, name, blob));
        }
        entries.sort();
        let content = entries.iter().flat_map(|(_, mode, name, object)| {
            [mode.as_bytes(), b" ", name.as_bytes(), b"\0", object].concat()
        });
        let content = content.collect();
        self.object(2, "tree", content)
    }

    fn object(&mut self, kind: u8, word: &str, content: Vec<u8>) -> ObjectName {
        let mut hash = Sha1::new();
        hash.update(format!("{word} {}\0", content.len()));
        hash.update(&content);
        let name = hash.finalize().into();
        self.objects.insert(name, (kind, content));
        name
    }
}

/// One line of the protocol: its length in four digits, then its content.
fn line(content: &[u8]) -> Vec<u8> {
    [format!("{:04x}", content.len() + 4).as_bytes(), content].concat()
}

/// Lines and the mark behind them.
fn lines(texts: &[&str]) -> Vec<u8> {
    texts.iter().map(|text| line(text.as_bytes())).chain([b"0000".to_vec()]).flatten().collect()
}
