//! The manifest: what a bundle is and what is in it.
//!
//! Owns the fields, their bounds, and the way from text to items and back. A manifest is never held whole. Must not know
//! where it lies, nor whether its signature holds.
//!
//! A manifest with a field that this version does not know is refused: the field could say what must not be done with the
//! bundle. Another version has another `format`, and that is told before anything else.

mod head;
mod item;
mod long_strings;
mod parse;
mod write;

pub use head::{Coverage, FORMAT, InvalidHead, ManifestHead};
pub use item::{
    BundleGap, BundlePart, BundledDocument, BundledFile, BundledFileKind, BundledPin, GapSubject, ListedItem,
    ManifestItem, ManifestSection,
};
pub(crate) use long_strings::BoundedStrings;
pub use parse::{ManifestReadError, read_manifest};
pub(crate) use parse::{describe, object, present};
pub use write::{ManifestWriter, UnorderedItem};
