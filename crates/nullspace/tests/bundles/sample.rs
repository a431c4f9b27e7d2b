//! Bundles for tests, and the documents that describe them.

use std::collections::BTreeMap;
use std::fmt::Write;

use archive::Sha256;
use serde_json::{Value, json};
use tar::{EntryType, Header};

/// One entry of the manifest, and of the tar unless a test changes it there.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) path: String,
    pub(crate) kind: &'static str,
    pub(crate) mode: u32,
    pub(crate) content: Vec<u8>,
}

pub(crate) fn file(path: &str, content: &str) -> Entry {
    Entry { path: path.to_owned(), kind: "file", mode: 0o644, content: content.into() }
}

pub(crate) fn dir(path: &str) -> Entry {
    Entry { path: path.to_owned(), kind: "dir", mode: 0o755, content: vec![] }
}

pub(crate) fn link(path: &str, target: &str) -> Entry {
    Entry { path: path.to_owned(), kind: "symlink", mode: 0o777, content: target.into() }
}

pub(crate) fn sample() -> Vec<Entry> {
    vec![dir("src"), file("src/main.py", "print()"), link("src/latest", "main.py")]
}

impl Entry {
    fn size(&self) -> usize {
        if self.kind == "file" { self.content.len() } else { 0 }
    }

    fn digest(&self) -> Option<String> {
        (self.kind != "dir").then(|| Sha256::of(&self.content).hex())
    }

    fn to_json(&self) -> Value {
        let mut entry = json!({
            "path": self.path, "kind": self.kind, "included": true, "reason": "included",
            "size": self.size(), "mode": self.mode,
        });
        if let Some(digest) = self.digest() {
            entry["digest"] = digest.into();
        }
        entry
    }
}

/// The bundle digest by its definition.
pub(crate) fn bundle_digest(entries: &[Entry]) -> String {
    let sorted: BTreeMap<_, _> = entries.iter().map(|entry| (&entry.path, entry)).collect();
    let mut text = "config:c0\n".to_owned();
    for (path, entry) in sorted {
        let (kind, mode, size) = (entry.kind, entry.mode, entry.size());
        let digest = entry.digest().unwrap_or_default();
        let _ = writeln!(text, "{path}\0{kind}\0{mode}\0{size}\0{digest}");
    }
    Sha256::of(text.as_bytes()).hex()
}

/// A version's document, as a client sends it and a registry answers it.
pub(crate) fn version(entries: &[Entry]) -> Value {
    let mut listed: Vec<_> = entries.iter().map(Entry::to_json).collect();
    listed.push(json!({"path": ".git", "kind": "dir", "included": false, "reason": "excluded", "size": 0}));
    json!({
        "id": "v1", "bundle_digest": bundle_digest(entries),
        "bundle_manifest": {"config_digest": "c0", "bundle_digest": bundle_digest(entries), "entries": listed},
    })
}

pub(crate) fn tar(entries: &[Entry]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for entry in entries {
        let mut header = Header::new_ustar();
        let mode = match (entry.mode, entry.kind) {
            (0, "file") => 0o644,
            (0, "dir") => 0o755,
            (0, _) => 0o777,
            (mode, _) => mode & 0o777,
        };
        header.set_mode(mode);
        header.set_size(entry.size() as u64);
        let (path, target) = (&entry.path, String::from_utf8_lossy(&entry.content).into_owned());
        let long =
            |key, value: &str| (value.len() > 100 || !value.is_ascii()).then(|| (key, value.to_owned()));
        let target = if entry.kind == "symlink" { target } else { String::new() };
        let pax: Vec<_> = [long("path", path), long("linkpath", &target)].into_iter().flatten().collect();
        let pax = pax.iter().map(|(key, value)| (*key, value.as_bytes()));
        builder.append_pax_extensions(pax).unwrap();
        let fits = |text: &str| text.len() <= 100 && text.is_ascii();
        let kind = match entry.kind {
            "file" => EntryType::Regular,
            "dir" => EntryType::Directory,
            _ => EntryType::Symlink,
        };
        header.set_entry_type(kind);
        let slash = if entry.kind == "dir" { "/" } else { "" };
        if fits(path) {
            name(&mut header, format!("{path}{slash}").as_bytes());
        } else {
            name(&mut header, b"long");
        }
        if fits(&target) {
            let field = &mut header.as_old_mut().linkname;
            field[..target.len()].copy_from_slice(target.as_bytes());
        }
        header.set_cksum();
        let content = if entry.kind == "file" { &*entry.content } else { &[] };
        builder.append(&header, content).unwrap();
    }
    let mut tar = builder.into_inner().unwrap();
    // Padded as the API's client pads it.
    tar.resize(tar.len().next_multiple_of(10_240), 0);
    tar
}

/// Written without the library, which refuses the names of these tests.
pub(crate) fn name(header: &mut Header, name: &[u8]) {
    header.as_old_mut().name[..name.len()].copy_from_slice(name);
}
