//! Bundles: what a mirror holds, in a folder that crosses an air gap.
//!
//! Owns the format: keys and signatures ([`SigningKey`], [`SignatureVerdict`]), the manifest ([`ManifestHead`],
//! [`ManifestItem`]), writing ([`BundleExport`]) and reading ([`OpenBundle`], [`Inspection`]), the receipt of what a receiver
//! holds ([`Receipt`]), and the order in which bundles may be taken in ([`OrderVerdict`]). Must not know stores, registries,
//! what a document says, or what time it is.
//!
//! ```text
//! sender    receipt → BundleExport::blob … → list → item … → finish: manifest, then signature
//! receiver  OpenBundle::open → signature → head → OrderVerdict → inspect → items, blobs.open(digest)
//! ```
//!
//! | in the folder | form |
//! |---|---|
//! | `manifest.json` | JSON; lists in strictly ascending order: documents by route and upstream, files by volume, version, kind, integrity and digest, pins by volume and version, gaps roots first, parts by number. Fields that are not listed are refused. A blank more or another order of fields is no fault |
//! | `manifest.json.minisig` | minisign's format over the BLAKE2b hash, with the untrusted comment that minisign writes by itself |
//! | `blobs/sha256/<hex>` | the bytes of everything listed, where there are no parts |
//! | `part-0001.tar` … | otherwise: ustar headers (GNU's for more than 8 GiB) with mode 0644, owner 0, time 0, entries in the order of their digests, two empty blocks at the end and nothing after them |
//!
//! ```
//! use archive::Sha256;
//! use bundle::{BundleExport, BundledDocument, Coverage, ManifestHead, OpenBundle, SigningKey, UtcSecond};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let home = tempfile::tempdir()?;
//! let trusted = SigningKey::make_files(&home.path().join("corp"), None)?;
//! let key = SigningKey::load(&home.path().join("corp.key"), None)?;
//!
//! let (body, now) = (b"{\"items\":[]}", UtcSecond::new(1_796_000_000)?);
//! let document = BundledDocument {
//!     route: "/api/v1/index/volumes/lamp".to_owned(),
//!     upstream: "public".to_owned(),
//!     status: 200,
//!     sha256: Sha256::of(body),
//!     size: body.len() as u64,
//!     etag: None,
//!     confirmed: now,
//! };
//! let head = ManifestHead {
//!     origin: "volumes.corp.example".to_owned(),
//!     key_id: key.id(),
//!     sequence: 1,
//!     kind: Coverage::Full,
//!     base: None,
//!     created: now,
//!     expires: None,
//! };
//! let folder = home.path().join("bundle");
//! let mut export = BundleExport::create(&folder, None)?;
//! export.blob(&document.sha256, document.size, || Ok(&body[..]))?;
//! let mut listing = export.list(head, &key)?;
//! listing.item(&document)?;
//! listing.finish()?;
//!
//! let bundle = OpenBundle::open(&folder, &[trusted], tempfile::tempfile()?)?;
//! assert_eq!(bundle.signature().as_str(), "trusted");
//! let inspection = bundle.inspect()?;
//! assert!(inspection.is_intact());
//! let mut read = Vec::new();
//! std::io::copy(&mut inspection.blobs.open(&document.sha256)?, &mut read)?;
//! assert_eq!(read, body);
//! # Ok(())
//! # }
//! ```

mod folder;
mod hashing;
mod keys;
mod layout;
mod manifest;
mod order;
mod reader;
mod receipt;
mod signature;
mod tar_form;
mod time;
mod writer;

pub use keys::{InvalidKeyId, InvalidPublicKey, KeyFileError, KeyId, SigningKey, TrustedKey};
pub use layout::{MANIFEST, MAX_ITEMS, MAX_MANIFEST, MAX_NUMBER, MAX_PARTS, MAX_STRING, SIGNATURE};
pub use manifest::{
    BundleGap, BundlePart, BundledDocument, BundledFile, BundledFileKind, BundledPin, Coverage, FORMAT,
    GapSubject, InvalidHead, ListedItem, ManifestHead, ManifestItem, ManifestReadError, ManifestSection,
    ManifestWriter, UnorderedItem, read_manifest,
};
pub use order::{OrderVerdict, SequencePoint, SequencesSpent, next_sequence};
pub use reader::{
    BlobFault, BlobIndex, BlobMismatch, BlobReader, BlobRefusal, BundleOpenError, BundleProblem, Inspection,
    OpenBundle, ProblemSubject,
};
pub use receipt::{Receipt, ReceiptError};
pub use signature::{BadSignature, SignatureVerdict};
pub use time::{InvalidTime, UtcSecond};
pub use writer::{BlobOutcome, BundleExport, BundleListing, ExportError, FinishedBundle};
