//! Paths: which of them mean the same on every system.
//!
//! A path is never changed, only refused. Besides those of the specification, these paths are refused:
//!
//! | refused | because |
//! |---|---|
//! | NUL, other control characters, line and paragraph separators | a line feed ends a record of the tree digest; terminals obey the rest |
//! | characters that turn the direction of writing | `txt.exe` looks like `exe.txt` |
//! | `\` | another separator on Windows |
//! | `:` | a drive (`C:/x`), or a second stream of another file (`a:b`), on Windows |
//! | `?` `*` `<` `>` `\|` `"` | Windows has no such names, and its tar writes them all as `_` |
//! | a dot or space that ends a segment | Windows drops it, and finds another file |
//! | `con`, `nul`, `aux.txt` and their like | Windows opens a device, in every folder and with every extension |
//! | `x~1.txt` | the short name that Windows gives another file |
//! | a segment that folds to `.`, `..` or nothing | tools that normalize paths produce these |
//! | `VOLUME.TOML` and every other spelling of the manifest's name at the root | the same file as the manifest where case does not count |
//! | a name that begins as a compressed file does | libarchive would decompress the tar once more |
//! | `pax_global_header` at the root | readers without pax skip it |
//! | segments of more than 255 bytes, paths of more than 2048 | file systems refuse them below another folder, and node-tar skips them |
//!
//! Two paths must also differ in their [`fold`], segment by segment: without case, compatibility forms and invisible
//! characters. That is coarser than any file system in use, so no file system can merge two paths. Owns these rules. Must
//! not know tar's encoding, nor which paths are in one archive.

use caseless::Caseless;
use unicode_normalization::UnicodeNormalization;

use super::violation::{MAX_PATH, MAX_SEGMENT};
use super::{Excerpt, PathFault, Violation};

/// The path of the manifest.
pub(crate) const MANIFEST: &str = "volume.toml";

/// The name of a global header as Git writes it.
pub(crate) const GLOBAL: &[u8] = b"pax_global_header";

/// Accepts any path or link target in UTF-8, for a tar that is forwarded.
pub(crate) fn any_path(raw: &[u8]) -> Result<&str, Violation> {
    let fault = |fault| Violation::Path { path: Excerpt::new(raw), fault };
    let path = str::from_utf8(raw).map_err(|_| fault(PathFault::NotUtf8))?;
    if path.contains('\0') { Err(fault(PathFault::Control)) } else { Ok(path) }
}

/// Accepts a path that the profile allows.
pub(crate) fn accept_path(raw: &[u8]) -> Result<&str, Violation> {
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

/// Whether Windows opens a device for this name, with any extension.
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

/// Whether this has the form of a short name of Windows: up to eight characters that end in `~` and a number, and an
/// extension of up to three.
fn is_short_name(segment: &str) -> bool {
    let (stem, extension) = segment.split_once('.').unwrap_or((segment, ""));
    let numbered = stem
        .rsplit_once('~')
        .is_some_and(|(_, number)| !number.is_empty() && number.bytes().all(|digit| digit.is_ascii_digit()));
    numbered && stem.chars().count() <= 8 && extension.chars().count() <= 3 && !extension.contains('.')
}

/// Whether a tar that begins with this name looks like a compressed file. Every other magic has bytes that no name has.
pub(crate) fn begins_as_another_format(name: &[u8]) -> bool {
    matches!(name, [b'B', b'Z', b'h', b'1'..=b'9', b'1', b'A', b'Y', b'&', b'S', b'Y', ..])
}

/// A segment without case, compatibility forms and invisible characters.
pub(crate) fn fold(segment: &str) -> String {
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

/// `Default_Ignorable_Code_Point`: characters that file systems ignore when they fold names.
fn is_ignorable(char: char) -> bool {
    matches!(char,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180f}'
        | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{3164}'
        | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fff8}' | '\u{1bca0}'..='\u{1bca3}'
        | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}')
}

#[cfg(test)]
mod tests;
