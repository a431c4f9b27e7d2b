//! Inspection: every blob and every part, read once.
//!
//! Owns what is compared with what, in both layouts. Must not know what is done about a problem. Memory: 64 bytes for each blob,
//! and the problems.

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::sync::Arc;

use archive::Sha256;

use super::OpenBundle;
use super::index::{BlobIndex, BlobPlace, ListedBlob};
use super::part::PartWalk;
use super::problem::{BlobFault, BundleProblem, ProblemSubject};
use super::watch::InspectionWatch;
use crate::hashing::Hashing;
use crate::manifest::{BundlePart, ManifestHead, ManifestItem, ManifestReadError};

/// What there is of a bundle.
pub struct Inspection {
    /// The head of its manifest.
    pub head: ManifestHead,
    /// How many documents it lists.
    pub documents: usize,
    /// How many files it lists.
    pub files: usize,
    /// How many tar files it has.
    pub parts: usize,
    /// The bytes of all blobs.
    pub bytes: u64,
    /// What is wrong with them.
    pub problems: Vec<BundleProblem>,
    /// The blobs that are right.
    pub blobs: BlobIndex,
}

impl Inspection {
    /// Whether everything is there and right.
    #[must_use]
    pub fn is_intact(&self) -> bool {
        self.problems.is_empty()
    }

    pub(super) fn of(bundle: &OpenBundle, tell: &mut dyn FnMut(u64, u64)) -> Result<Self, ManifestReadError> {
        let (mut blobs, mut parts) = (Vec::new(), Vec::new());
        let (mut documents, mut files) = (0, 0);
        let head = bundle.items(|item| {
            let (digest, size) = match item {
                ManifestItem::Document(document) => {
                    documents += 1;
                    (document.sha256, document.size)
                }
                ManifestItem::File(file) => {
                    files += 1;
                    (file.sha256, file.size)
                }
                ManifestItem::Part(part) => {
                    parts.push(part.clone());
                    return Ok(());
                }
                ManifestItem::Pin(_) | ManifestItem::Gap(_) => return Ok::<_, ManifestReadError>(()),
            };
            blobs.push(ListedBlob { digest, size, place: BlobPlace::Nowhere });
            Ok(())
        })?;
        let blobs = distinct(blobs)?;
        let bytes = blobs.iter().map(|blob| blob.size).fold(0, u64::saturating_add);
        let mut problems: Vec<_> = signed_by_another(bundle, &head).into_iter().collect();
        let root = Arc::clone(&bundle.root);
        let index = BlobIndex { blobs, root, folder: None, parts: Vec::new() };
        let count = parts.len();
        let mut watch = InspectionWatch::new(bytes, tell);
        let blobs = match count {
            0 => in_files(index, &mut problems, &mut watch),
            _ => in_parts(index, parts, &mut problems, &mut watch),
        };
        Ok(Self { head, documents, files, parts: count, bytes, problems, blobs })
    }
}

/// Each blob once, by digest.
fn distinct(mut blobs: Vec<ListedBlob>) -> Result<Vec<ListedBlob>, ManifestReadError> {
    blobs.sort_unstable_by_key(|blob| (blob.digest, blob.size));
    blobs.dedup_by_key(|blob| (blob.digest, blob.size));
    let same = blobs.windows(2).find(|pair| pair[0].digest == pair[1].digest);
    match same {
        None => Ok(blobs),
        Some(pair) => {
            let told = format!("the blob {} has two sizes", pair[0].digest.hex());
            Err(ManifestReadError::Malformed(told))
        }
    }
}

fn signed_by_another(bundle: &OpenBundle, head: &ManifestHead) -> Option<BundleProblem> {
    let signed_by = bundle.signature.signed_by().filter(|id| *id != head.key_id)?;
    let fault = BlobFault::OtherKey { signed_by, named: head.key_id };
    Some(BundleProblem { subject: ProblemSubject::Signature, fault })
}

fn in_files(
    mut index: BlobIndex,
    problems: &mut Vec<BundleProblem>,
    watch: &mut InspectionWatch<'_>,
) -> BlobIndex {
    let mut told = |digest: Sha256, fault| {
        problems.push(BundleProblem { subject: ProblemSubject::Blob(digest), fault });
    };
    match BlobIndex::open_folder(&index.root) {
        Ok(folder) => index.folder = folder,
        Err(fault) => {
            index.blobs.iter().for_each(|blob| told(blob.digest, fault.clone()));
            return index;
        }
    }
    let mut buffer = vec![0; 256 * 1024];
    for at in 0..index.blobs.len() {
        let ListedBlob { digest, size, .. } = index.blobs[at];
        match index.file(&digest).and_then(|file| compare(file, &digest, size, &mut buffer, watch)) {
            Ok(()) => index.blobs[at].place = BlobPlace::File,
            Err(fault) => told(digest, fault),
        }
    }
    index
}

fn compare(
    file: File,
    digest: &Sha256,
    size: u64,
    buffer: &mut [u8],
    watch: &mut InspectionWatch<'_>,
) -> Result<(), BlobFault> {
    let found = file.metadata()?.size();
    if found != size {
        return Err(BlobFault::Size { expected: size, found });
    }
    // One byte more, in case it grows.
    let mut source = Hashing::new(file.take(size + 1));
    loop {
        match source.read(buffer)? {
            0 => break,
            read => watch.read(read as u64),
        }
    }
    match source.bytes {
        bytes if bytes != size => Err(BlobFault::Size { expected: size, found: bytes }),
        _ if source.hasher.finish() != *digest => Err(BlobFault::Digest),
        _ => Ok(()),
    }
}

fn in_parts(
    mut index: BlobIndex,
    parts: Vec<BundlePart>,
    problems: &mut Vec<BundleProblem>,
    watch: &mut InspectionWatch<'_>,
) -> BlobIndex {
    for (number, part) in (0..).zip(&parts) {
        let opened = index.root.read(&part.name).map_err(BlobFault::from).and_then(|file| {
            let found = file.metadata()?.size();
            let walked = PartWalk::new(file, number, part).read(&mut index.blobs, watch);
            if found == part.size {
                return walked;
            }
            Err(BlobFault::Size { expected: part.size, found })
        });
        if let Err(fault) = opened {
            problems.push(BundleProblem { subject: ProblemSubject::Part(part.name.clone()), fault });
        }
    }
    index.parts = parts.into_iter().map(|part| part.name).collect();
    let lost = |blob: &ListedBlob| match blob.place {
        BlobPlace::Nowhere => Some((blob.digest, BlobFault::Missing)),
        BlobPlace::Damaged => Some((blob.digest, BlobFault::Digest)),
        BlobPlace::File | BlobPlace::Part { .. } => None,
    };
    let lost = index.blobs.iter().filter_map(lost);
    problems
        .extend(lost.map(|(digest, fault)| BundleProblem { subject: ProblemSubject::Blob(digest), fault }));
    index
}
