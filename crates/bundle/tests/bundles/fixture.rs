//! A small state, and exports of it.
//!
//! Owns what the tests write and how they read it back. Must not know what a test is about.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use archive::{Integrity, Sha256};
use bundle::{
    BundleExport, BundleGap, BundledDocument, BundledFile, BundledFileKind, BundledPin, Coverage,
    ExportError, FinishedBundle, GapSubject, Inspection, ManifestHead, OpenBundle, SigningKey, TrustedKey,
    UtcSecond,
};
use tempfile::TempDir;

/// A folder on a file system that has nothing to wait for, where there is one.
pub(crate) fn home() -> TempDir {
    TempDir::new_in("/dev/shm").or_else(|_| TempDir::new()).unwrap()
}

pub(crate) fn key(home: &Path) -> SigningKey {
    let name = home.join("key");
    if !home.join("key.key").exists() {
        SigningKey::make_files(&name, None).unwrap();
    }
    SigningKey::load(&home.join("key.key"), None).unwrap()
}

pub(crate) fn head(key: &SigningKey) -> ManifestHead {
    ManifestHead {
        origin: "volumes.corp.example".to_owned(),
        key_id: key.id(),
        sequence: 7,
        kind: Coverage::Full,
        base: None,
        created: UtcSecond::new(1_796_000_000).unwrap(),
        expires: None,
    }
}

/// What is exported.
pub(crate) struct State {
    pub(crate) documents: Vec<BundledDocument>,
    pub(crate) files: Vec<BundledFile>,
    pub(crate) pins: Vec<BundledPin>,
    pub(crate) gaps: Vec<BundleGap>,
    pub(crate) blobs: BTreeMap<Sha256, Vec<u8>>,
}

impl State {
    /// Two documents, of which one is empty, two files with one body, a pin and two gaps.
    pub(crate) fn small() -> Self {
        let bodies: [&[u8]; 3] = [b"{\"items\":[]}", b"", &[7; 700]];
        let blobs: BTreeMap<_, _> = bodies.iter().map(|body| (Sha256::of(body), body.to_vec())).collect();
        let document = |route: &str, body: &[u8], etag: Option<&str>| BundledDocument {
            route: route.to_owned(),
            upstream: "public".to_owned(),
            status: 200,
            sha256: Sha256::of(body),
            size: body.len() as u64,
            etag: etag.map(str::to_owned),
            confirmed: UtcSecond::new(1_795_000_000).unwrap(),
        };
        let file = |kind| BundledFile {
            kind,
            volume: "@acme/lamp".parse().unwrap(),
            version: "1.0.0-rc.1".parse().unwrap(),
            integrity: Integrity::new(Sha256::of(b"tree")),
            sha256: Sha256::of(bodies[2]),
            size: 700,
        };
        let gap = |subject| BundleGap { subject, reason: "no version matches".to_owned() };
        Self {
            documents: vec![
                document("/api/v1/index/volumes/lamp", bodies[0], Some("\"a\"")),
                document("/api/v1/volumes/lamp/1.0.0", bodies[1], None),
            ],
            files: vec![file(BundledFileKind::Archive), file(BundledFileKind::TrustArtifact)],
            pins: vec![BundledPin {
                volume: "@acme/lamp".parse().unwrap(),
                version: "1.0.0-rc.1".parse().unwrap(),
                integrity: Integrity::new(Sha256::of(b"tree")),
                first_seen: UtcSecond::new(1_790_000_000).unwrap(),
            }],
            gaps: vec![
                gap(GapSubject::Root("tools-*".to_owned())),
                gap(GapSubject::Release("x@1.0.0".to_owned())),
            ],
            blobs,
        }
    }

    /// Only blobs: `count` documents of `size` bytes each.
    pub(crate) fn of_documents(count: usize, size: usize) -> Self {
        let mut state = Self::small();
        (state.files, state.blobs) = (Vec::new(), BTreeMap::new());
        state.documents = (0..count)
            .map(|number| {
                let mut body = vec![b'x'; size];
                body.splice(..size.min(8), format!("{number:08}").into_bytes());
                let digest = Sha256::of(&body);
                let size = body.len() as u64;
                state.blobs.insert(digest, body);
                BundledDocument {
                    route: format!("/{number:08}"),
                    sha256: digest,
                    size,
                    ..state.documents[0].clone()
                }
            })
            .collect();
        state
    }

    pub(crate) fn export(
        &self,
        target: &Path,
        part_size: Option<u64>,
        head: ManifestHead,
        key: &SigningKey,
    ) -> Result<FinishedBundle, ExportError> {
        let mut export = BundleExport::create(target, part_size)?;
        for (digest, body) in &self.blobs {
            export.blob(digest, body.len() as u64, || Ok(&body[..]))?;
        }
        let mut listing = export.list(head, key)?;
        self.documents.iter().try_for_each(|item| listing.item(item))?;
        self.files.iter().try_for_each(|item| listing.item(item))?;
        self.pins.iter().try_for_each(|item| listing.item(item))?;
        self.gaps.iter().try_for_each(|item| listing.item(item))?;
        listing.finish()
    }
}

/// Both layouts: files, and parts that have room for about one blob.
pub(crate) const LAYOUTS: [Option<u64>; 2] = [None, Some(3000)];

/// A finished bundle of the small state.
pub(crate) fn small_bundle(home: &Path, part_size: Option<u64>) -> (PathBuf, TrustedKey) {
    let key = key(home);
    let target = home.join("bundle");
    State::small().export(&target, part_size, head(&key), &key).unwrap();
    (target, key.public().clone())
}

pub(crate) fn open(path: &Path, trusted: &[TrustedKey]) -> OpenBundle {
    OpenBundle::open(path, trusted, scratch()).unwrap()
}

pub(crate) fn scratch() -> File {
    tempfile::tempfile().unwrap()
}

pub(crate) fn inspect(path: &Path, trusted: &[TrustedKey]) -> Inspection {
    open(path, trusted).inspect().unwrap()
}

/// Every file below a folder, by its path.
pub(crate) fn tree(path: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut files = BTreeMap::new();
    let mut folders = vec![path.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let entry = entry.unwrap().path();
            if entry.is_dir() {
                folders.push(entry);
            } else {
                files.insert(entry.strip_prefix(path).unwrap().to_owned(), fs::read(&entry).unwrap());
            }
        }
    }
    files
}

/// Why a bundle is not taken for good, if it is not: the three checks of whoever reads one.
pub(crate) fn fault(path: &Path, trusted: &[TrustedKey]) -> Option<String> {
    let bundle = match OpenBundle::open(path, trusted, scratch()) {
        Ok(bundle) => bundle,
        Err(error) => return Some(error.to_string()),
    };
    if bundle.signature().as_str() != "trusted" {
        return Some(format!("{:?}", bundle.signature()));
    }
    match bundle.inspect() {
        Err(error) => Some(error.to_string()),
        Ok(inspection) => inspection.problems.first().map(ToString::to_string),
    }
}

/// A source that gives some bytes and then fails.
pub(crate) struct Failing<'a>(pub(crate) &'a [u8]);

impl Read for Failing<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.0.read(buffer)? {
            0 => Err(io::Error::other("the source failed")),
            read => Ok(read),
        }
    }
}
