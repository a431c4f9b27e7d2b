//! Names: one by one, which of them mean the same everywhere.
//!
//! A path is never changed, only refused. Beyond the specification's list are refused:
//!
//! | refused | because |
//! |---|---|
//! | NUL, other control characters, line and paragraph separators | a line feed ends a record of the tree digest; terminals obey the rest |
//! | characters that turn the direction of writing | `txt.exe` looks like `exe.txt` |
//! | `\` | another separator on Windows |
//! | `:` | a drive (`C:/x`), or a second stream of another file (`a:b`), on Windows |
//! | `?` `*` `<` `>` `\|` `"` | Windows has no such names, and its tar writes them all as `_` |
//! | a dot or space that ends a segment | Windows drops it, and finds another file |
//! | `con`, `nul`, `aux.txt` and their like | devices on Windows, in every folder and with every extension |
//! | `x~1.txt` | the short name that Windows gives another file |
//! | a segment that folds to `.`, `..` or nothing | what normalizes paths makes them so |
//! | `VOLUME.TOML` and every other way to write the manifest's name at the root | one file with it where case does not count |
//! | a name that begins as a compressed file does | libarchive would decompress the tar once more |
//! | `pax_global_header` at the root | readers without pax leave it out |
//! | segments of more than 255 bytes, paths of more than 2048 | no file system takes them below a folder of its own, and node-tar leaves them out |
//!
//! Two paths must differ in their [`fold`] as well, segment by segment: without case and compatibility forms, without
//! characters that do not show. That is coarser than any file system in use, so none of them can merge two.
//! Owns these rules. Must not know tar's encoding, nor which paths are together.

use caseless::Caseless;
use unicode_normalization::UnicodeNormalization;

use super::manifest::MANIFEST;
use super::{Excerpt, Violation};

/// Longest path, in bytes: half of what Linux takes, so that there is room for the folder that it is unpacked in.
pub(super) const MAX_PATH: usize = 2048;
/// Longest segment, in bytes.
const MAX_SEGMENT: usize = 255;

/// The name that Git gives a global header.
pub(super) const GLOBAL: &[u8] = b"pax_global_header";

/// The rule a path breaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PathFault {
    /// No path at all.
    #[error("is empty")]
    Empty,
    /// Longer than 2048 bytes, or a segment longer than 255.
    #[error("is longer than {MAX_PATH} bytes, or has a segment of more than {MAX_SEGMENT}")]
    TooLong,
    /// Not UTF-8.
    #[error("is not UTF-8")]
    NotUtf8,
    /// Has a character that does not print, or that turns the direction of writing.
    #[error("has a control or bidirectional character")]
    Control,
    /// Starts at the root.
    #[error("is absolute; expected one relative to the volume's root")]
    Absolute,
    /// Has a `.` or `..` segment.
    #[error("has a `.` or `..` segment; pack the volume's files by their names, not as `./name`")]
    DotSegment,
    /// Has an empty segment.
    #[error("has an empty segment")]
    EmptySegment,
    /// Has a backslash.
    #[error("has a backslash, which separates segments on Windows")]
    Backslash,
    /// Has a colon.
    #[error("has a colon, which names a drive or another file's stream on Windows")]
    Colon,
    /// Has a character that no name on Windows has.
    #[error("has one of `?*<>|\"`, which no name on Windows has and its tar writes as `_`")]
    Replaced,
    /// A segment ends in a dot or space.
    #[error("has a segment that ends in a dot or space, which Windows drops")]
    Trailing,
    /// A segment is the name of a device.
    #[error("has a segment that is a device on Windows")]
    Device,
    /// A segment looks like the short name of another file.
    #[error("has a segment that Windows gives another file as its short name")]
    ShortName,
    /// The manifest's name written otherwise.
    #[error("begins with `volume.toml` where case does not count; write it in small letters")]
    Manifest,
    /// The name of a global pax header.
    #[error("is kept for global pax headers, which readers leave out")]
    GlobalHeader,
    /// The beginning of a compressed file.
    #[error("begins as a compressed file does")]
    Magic,
}

/// Accepts a path as the profile wants it.
pub(super) fn accept_path(raw: &[u8]) -> Result<&str, Violation> {
    well_formed(raw).map_err(|fault| Violation::Path { path: Excerpt::new(raw), fault })
}

fn well_formed(raw: &[u8]) -> Result<&str, PathFault> {
    if raw.len() > MAX_PATH {
        return Err(PathFault::TooLong);
    }
    let path = str::from_utf8(raw).map_err(|_| PathFault::NotUtf8)?;
    if path.is_empty() {
        return Err(PathFault::Empty);
    }
    if path.chars().any(is_control) {
        return Err(PathFault::Control);
    }
    if path.starts_with('/') {
        return Err(PathFault::Absolute);
    }
    if begins_as_another_format(raw) {
        return Err(PathFault::Magic);
    }
    path.split('/').try_for_each(well_formed_segment)?;
    let first = path.split('/').next().unwrap_or_default();
    if first.as_bytes() == GLOBAL {
        return Err(PathFault::GlobalHeader);
    }
    if first != MANIFEST && fold(first) == MANIFEST {
        return Err(PathFault::Manifest);
    }
    Ok(path)
}

fn well_formed_segment(segment: &str) -> Result<(), PathFault> {
    match segment {
        "" => return Err(PathFault::EmptySegment),
        "." | ".." => return Err(PathFault::DotSegment),
        _ => {}
    }
    let rules = [
        (segment.len() > MAX_SEGMENT, PathFault::TooLong),
        (segment.contains('\\'), PathFault::Backslash),
        (segment.contains(':'), PathFault::Colon),
        (segment.contains(['?', '*', '<', '>', '|', '"']), PathFault::Replaced),
        (segment.ends_with(['.', ' ']), PathFault::Trailing),
        (is_device(segment), PathFault::Device),
        (is_short_name(segment), PathFault::ShortName),
        (!segment.is_ascii() && matches!(&*fold(segment), "" | "." | ".."), PathFault::DotSegment),
    ];
    rules.into_iter().find_map(|(broken, fault)| broken.then_some(fault)).map_or(Ok(()), Err)
}

fn is_control(char: char) -> bool {
    const SEPARATORS: [char; 2] = ['\u{2028}', '\u{2029}'];
    char.is_control() || SEPARATORS.contains(&char) || turns(char)
}

/// Whether a character turns the direction of writing (`Bidi_Control`).
fn turns(char: char) -> bool {
    matches!(char, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Whether Windows opens a device for this, whatever its extension.
fn is_device(segment: &str) -> bool {
    let stem = segment.split('.').next().unwrap_or_default().trim_end_matches(' ');
    let is = |name: &&str| stem.eq_ignore_ascii_case(name);
    let numbered = |port: &str| {
        let number = stem.get(..3).filter(|start| start.eq_ignore_ascii_case(port)).map(|_| &stem[3..]);
        number.is_some_and(|number| {
            matches!(number, "0" | "1" | "2" | "3" | "4" | "5" | "6" | "7" | "8" | "9" | "¹" | "²" | "³")
        })
    };
    ["con", "prn", "aux", "nul", "conin$", "conout$", "clock$"].iter().any(is)
        || numbered("com")
        || numbered("lpt")
}

/// Whether this looks as Windows shortens names: up to eight characters that end in `~` and a number, and three more.
fn is_short_name(segment: &str) -> bool {
    let (stem, extension) = segment.split_once('.').unwrap_or((segment, ""));
    let numbered = stem
        .rsplit_once('~')
        .is_some_and(|(_, number)| !number.is_empty() && number.bytes().all(|digit| digit.is_ascii_digit()));
    numbered && stem.chars().count() <= 8 && extension.chars().count() <= 3 && !extension.contains('.')
}

/// Whether a tar that begins with this name would be taken for something compressed. Every other magic has bytes that
/// no name has.
pub(super) fn begins_as_another_format(name: &[u8]) -> bool {
    matches!(name, [b'B', b'Z', b'h', b'1'..=b'9', b'1', b'A', b'Y', b'&', b'S', b'Y', ..])
}

/// What a segment is where neither case nor form counts, and what does not show is not there.
pub(super) fn fold(segment: &str) -> String {
    if segment.is_ascii() {
        return segment.to_ascii_lowercase();
    }
    let shown = segment.chars().filter(|char| !is_ignorable(*char));
    shown
        .nfd()
        .default_case_fold()
        .nfkd()
        .default_case_fold()
        .nfkd()
        .filter(|char| !is_ignorable(*char))
        .collect()
}

/// `Default_Ignorable_Code_Point`: what file systems that fold names leave out.
fn is_ignorable(char: char) -> bool {
    matches!(char,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180f}'
        | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{3164}'
        | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fff8}' | '\u{1bca0}'..='\u{1bca3}'
        | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}')
}

#[cfg(test)]
mod tests;
