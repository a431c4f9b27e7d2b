//! Bundles: what a mirror holds is written to a folder here, and taken in from one there.
//!
//! ```text
//! sender    receipt → export: gather what the mirror selected → blobs, manifest, signature
//! receiver  import: signature, expiry, order, inventory → journal → pins → files → documents → indexes → journal
//! ```
//! The order of an import is that of what readers rely on: a row that is shown has its release behind it, a release its
//! archive, and both the pin. Owns that, the journal of what was taken in and made, and what of it stays. Must not know the format of a bundle
//! (`crates/bundle`), what makes an archive valid, nor how a document is judged when it is read.

mod age;
mod export;
mod import;
mod journal;
mod keeping;
mod lock;
mod origins;
mod receipt;
mod selection;

pub(crate) use age::ImportAge;
pub(crate) use export::{BundleOrder, MadeBundle};
pub(crate) use import::{BundleImport, ExaminedBundle, ImportOptions, ImportOutcome, ImportReport, examine};
pub(crate) use journal::{BundleJournal, ImportLine, JournalError};
pub(crate) use keeping::{KeptImports, imported_keys};
pub(crate) use lock::import_lock;
pub(crate) use receipt::receipt;
pub(crate) use selection::{BundledExtent, BundledRelease, BundledSelection};
