//! Which framing is sent unchanged, which is packed anew, and which is refused.
//!
//! A tar can be framed so that two extractors unpack two trees. Clients must unpack the tree that was hashed, so a framing is
//! sent unchanged only if every common extractor unpacks the same tree: Python's tarfile, GNU tar, bsdtar, node-tar, Go, the
//! `tar` crate, busybox. That is **canonical** framing. **Readable** framing has one tree by the standard, but some extractors
//! unpack another: that tree is packed anew ([`pack`](super::pack())). **Refused** is framing that leaves a path, a size, an
//! execute bit or the end of an entry in doubt, and every kind of entry except files and directories.
//!
//! | part | canonical | readable | refused |
//! |---|---|---|---|
//! | gzip | one member, no header field but a name of up to 255 bytes | more members, other header fields, zeros behind one; bytes that are a tar header as well | anything else behind |
//! | magic | `ustar\0` `00`, `ustar  \0` (GNU) | v7 and others | |
//! | name, prefix | UTF-8, zeros behind it; a prefix with `ustar\0` `00` only | something behind the first NUL, times of star, node-tar, GNU tar and Go among it; a first name that is a file's magic | a prefix with another magic; NULs, no name |
//! | numbers | octal digits, then spaces or NULs; owners and times may be missing, an owner up to 2^31 and a size from 8 GiB binary | leading spaces, no terminator, binary; of owners, times, devices: anything | a size, mode or checksum that is none of these, signs, signed checksums |
//! | mode | a file's within 0777, the owner reading, executing where anybody does; a directory's owner with all rights | any other | |
//! | owner's and group's names | printable, zeros behind | any other | |
//! | device numbers | none, zero | any | |
//! | link name, `K` | none | any: no link is allowed | more than one `K` |
//! | type | `0`, `5` | NUL, `7`; NUL with a closing slash and no content is a directory | every other; `0` with a closing slash; a directory with content |
//! | padding | zeros | any other | |
//! | `L` | `././@LongLink` in GNU's magic, one closing NUL, GNU's magic behind | other names, no NUL; a short form behind it that is empty or ends in a slash | NULs within, two, together with a pax path |
//! | `x` | times and owners as plain decimals, one at least | `path`; `size` as in the header, or from 8 GiB; keys that say nothing of the tree | one key twice, an empty key, path or size, another size, another charset, `GNU.*` and all that is sparse, `x` twice |
//! | `g` | the first block, `comment` only, as `git archive` writes it | later, other keys that say nothing of the tree | between an extension and its entry, keys that rename, resize or recode |
//! | several extensions | none | each of them once | |
//! | end | two zero blocks or more, nothing else | one, none, half a block of zeros | anything behind a zero block |
//!
//! Order, owners and times are not framing. Owns this table and the text of a departure from it. The rows are enforced
//! where each part is read (`gzip`, `header`, `pax`, `reader`). The table in `paths` lists the paths that are refused.

use std::fmt;

use super::Excerpt;

/// The framing of an archive that may be served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Framing {
    /// Every extractor unpacks the hashed tree.
    Canonical,
    /// The tree must be packed anew. The value is the first departure from the canonical form.
    Readable(FramingDeparture),
}

/// One way in which an archive's framing is not canonical.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FramingDeparture {
    /// The kind of departure.
    quirk: Quirk,
    /// The entry's name, as its header has it.
    entry: Option<Excerpt>,
}

impl FramingDeparture {
    pub(crate) fn new(quirk: Quirk, entry: Option<&[u8]>) -> Self {
        Self { quirk, entry: entry.map(Excerpt::new) }
    }

    /// The format in which GNU tar packs the same files canonically.
    pub(crate) fn cure(&self) -> &'static str {
        if self.quirk == Quirk::ShortForm { "ustar" } else { "gnu" }
    }
}

impl fmt::Display for FramingDeparture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.entry {
            Some(entry) => write!(f, "the entry `{entry}` has {}", self.quirk),
            None => write!(f, "it has {}", self.quirk),
        }
    }
}

/// A departure from the canonical form that can be read. Each is a row of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Quirk {
    #[error("more than one gzip member")]
    Members,
    #[error("zeros behind its gzip member")]
    Zeros,
    #[error("gzip header fields beside a file name")]
    GzipHeader,
    #[error("compressed bytes that some readers take for a tar header")]
    Disguise,
    #[error("a header that is neither ustar's nor GNU's")]
    Magic,
    #[error("something behind the end of its name or prefix")]
    NameTail,
    #[error("a name that begins as another file format does")]
    Sniffed,
    #[error("a size that is not plain octal")]
    Size,
    #[error("a checksum that is not plain octal")]
    Checksum,
    #[error("a mode that extractors treat differently")]
    Mode,
    #[error("an owner that is not plain octal")]
    Owner,
    #[error("a modification time that is not plain octal")]
    Time,
    #[error("a name of an owner or group that does not print")]
    OwnerName,
    #[error("device numbers")]
    Device,
    #[error("a link name")]
    Link,
    #[error("a type that not all readers take for a file or directory")]
    Type,
    #[error("padding that is not zero")]
    Padding,
    #[error("a long name that is not written as GNU tar does")]
    LongName,
    #[error("a long name whose short form some readers take for a folder's")]
    ShortForm,
    #[error("pax records beside times and owners")]
    Pax,
    #[error("a global pax header beside a comment at the start")]
    Global,
    #[error("several extension headers")]
    Extensions,
    #[error("an end that is not two zero blocks")]
    End,
}

#[cfg(test)]
mod tests;
