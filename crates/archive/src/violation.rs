//! What in a tar breaks the rules, entry by entry.
//!
//! Owns the names of the faults and their texts, which clients read. Must not know where a rule is checked.

use super::Excerpt;

/// Longest path, in bytes: half of what Linux takes, so that there is room for the folder that it is unpacked in.
pub(crate) const MAX_PATH: usize = 2048;
/// Longest segment, in bytes.
pub(crate) const MAX_SEGMENT: usize = 255;

/// What in an archive breaks the profile.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Violation {
    /// A block that should be a header is none.
    #[error("expected a tar header with a valid checksum and valid numbers")]
    Header,
    /// The tar ends inside an entry.
    #[error("the tar ends in the middle of an entry")]
    Truncated,
    /// Something follows the tar's end.
    #[error("expected only zero bytes after the end of the tar")]
    TrailingData,
    /// An extension header is longer than any honest one.
    #[error("an extension header of {size} bytes, expected at most {limit}")]
    ExtensionSize {
        /// Its size.
        size: u64,
        /// The most there may be.
        limit: u64,
    },
    /// A pax header that cannot be read.
    #[error("expected pax records of the form `<length> <key>=<value>`")]
    Pax,
    /// A global pax header that would rename or resize every entry.
    #[error("a global pax header must not set `{0}`")]
    GlobalOverride(Excerpt),
    /// Readers would disagree about the entry's extension headers.
    #[error("more than one extension header of a kind before one entry, or a global one behind another")]
    Ambiguous,
    /// A pax record that readers read differently.
    #[error("the pax record `{0}` is given twice, is empty, or is read differently from reader to reader")]
    PaxKey(Excerpt),
    /// A pax record in a tar that is forwarded, whose reader may understand it.
    #[error("the pax record `{0}` is not known here")]
    PaxUnknown(Excerpt),
    /// Two sizes.
    #[error("`{0}` has one size in its pax header and another in its own")]
    PaxSize(Excerpt),
    /// A prefix that only some readers see.
    #[error("`{0}` has a path prefix in a header whose format has none")]
    Prefix(Excerpt),
    /// An entry of a kind that this tar may not have.
    #[error("`{path}` is {found}, expected {allowed} only")]
    EntryType {
        /// The entry.
        path: Excerpt,
        /// Its kind.
        found: &'static str,
        /// The kinds that are allowed.
        allowed: &'static str,
    },
    /// A directory or a link with bytes of its own.
    #[error("`{0}` has content, which only a file may have")]
    UnexpectedContent(Excerpt),
    /// A path outside the rules.
    #[error("the path `{path}` {fault}")]
    Path {
        /// The path.
        path: Excerpt,
        /// The rule it breaks.
        fault: PathFault,
    },
    /// Two entries with one path.
    #[error("`{0}` occurs more than once")]
    Duplicate(Excerpt),
    /// Two paths that are one for some file systems.
    #[error("`{path}` and `{other}` are one name where neither case nor Unicode form counts")]
    Alias {
        /// The path.
        path: Excerpt,
        /// The one that was there before.
        other: Excerpt,
    },
    /// A file that another entry needs as its directory.
    #[error("`{0}` is a file, yet other entries lie below it")]
    FileAsParent(Excerpt),
}

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
