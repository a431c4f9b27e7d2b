//! The names in a bundle's folder, and the bounds of a bundle.
//!
//! Owns every name that is written or read, and every number that a reader holds a stranger's bundle to. Must not know
//! how a file is opened.

use archive::Sha256;

/// The manifest.
pub const MANIFEST: &str = "manifest.json";
/// The manifest's signature; written last, so that a bundle without it is not finished.
pub const SIGNATURE: &str = "manifest.json.minisig";
/// The folders that blobs lie in.
pub(crate) const BLOBS: [&str; 2] = ["blobs", "sha256"];
/// What is being written and has no name yet.
pub(crate) const PARTIAL: &str = ".scriptorium-partial";
/// Marks a folder in which a bundle is being written, or was when the writer was killed.
pub(crate) const UNFINISHED: &str = ".scriptorium-unfinished";

/// Most bytes of a manifest: two million documents of 256 bytes.
pub const MAX_MANIFEST: u64 = 512 << 20;
/// Most bytes of a signature file.
pub(crate) const MAX_SIGNATURE: u64 = 4096;
/// Most items in one list of a manifest or a receipt.
pub const MAX_ITEMS: usize = 1_000_000;
/// Most tar files: the number in their names has four digits.
pub const MAX_PARTS: usize = 9_999;
/// Most bytes of one string, as JSON writes it.
pub const MAX_STRING: usize = 8 * 1024;
/// The largest number that every reader of JSON takes for itself.
pub const MAX_NUMBER: u64 = (1 << 53) - 1;

/// The name of the tar with this number, which counts from 1.
pub(crate) fn part_name(number: usize) -> String {
    format!("part-{number:04}.tar")
}

/// Whether a file of this name is a part, of this bundle or of another.
pub(crate) fn is_part(name: &str) -> bool {
    let digits = name.strip_prefix("part-").and_then(|rest| rest.strip_suffix(".tar"));
    digits.is_some_and(|digits| digits.len() == 4 && digits.bytes().all(|byte| byte.is_ascii_digit()))
}

/// The name of a blob in a tar.
pub(crate) fn blob_path(digest: &Sha256) -> String {
    format!("{}/{}/{}", BLOBS[0], BLOBS[1], digest.hex())
}

/// The start of a stranger's text, for one line of a message.
pub(crate) fn excerpt(text: &str) -> String {
    text.chars().take(160).flat_map(char::escape_debug).collect()
}
