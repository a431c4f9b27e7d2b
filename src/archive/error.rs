//! Why an archive was not accepted.
//!
//! Owns the difference between an archive that is at fault, a transfer that failed and a disk that failed.
//! Texts are fit for clients: what the operating system said stays in the source. Must not know HTTP.

use std::io;

use super::{Departure, Excerpt, ManifestError, Permission, Violation};
use crate::domain::{Integrity, Purl};

/// Why [`verify`](super::verify()) did not accept an archive.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// The reader of the arriving bytes failed: a matter of transport, worth another try.
    #[error("the archive's bytes stopped arriving; try again")]
    Source(#[source] io::Error),
    /// The gzip framing is damaged: bad header or checksum, cut short, or followed by something else.
    #[error("the archive is damaged: expected whole gzip members and nothing after them; fetch it again")]
    Gzip(#[source] io::Error),
    /// Temporary storage failed; the archive may be good.
    #[error("temporary storage failed while the archive was verified; try again later")]
    Scratch(#[source] io::Error),
    /// The archive holds what the archive profile forbids.
    #[error("the archive breaks the archive profile: {0}")]
    Profile(#[from] Violation),
    /// Other readers would unpack another tree, and it must go on as it is.
    #[error(
        "not every reader unpacks the archive alike: {}; pack it with `tar --format={} --sort=name --owner=0 --group=0 \
         --mode=u=rwX,go=rX -cf - * | gzip -n`", .0, .0.cure()
    )]
    Framing(Departure),
    /// The archive goes past a limit.
    #[error("the archive is too large: {0}")]
    TooLarge(#[from] Excess),
    /// The tree is not the one that was published.
    #[error("the archive's file tree has the digest {found}, expected {expected}")]
    Digest {
        /// The integrity of the release.
        expected: Integrity,
        /// The integrity of the tree in the archive.
        found: Integrity,
    },
    /// The manifest is missing or invalid.
    #[error("the archive's manifest is unusable: {0}")]
    Manifest(#[from] ManifestError),
    /// The manifest belongs to another release.
    #[error("the archive's volume.toml names {found}, expected {expected}")]
    Identity {
        /// The release that was asked for.
        expected: Box<Purl>,
        /// The release the manifest names.
        found: Box<Purl>,
    },
    /// A component asks for more than its volume permits.
    #[error("component `{component}` declares more `{permission}` permission than its volume permits")]
    Escalation {
        /// The component's name, or its place in the manifest where it has none.
        component: Excerpt,
        /// The permission it exceeds.
        permission: Permission,
    },
}

/// The limit an archive goes past.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Excess {
    /// Decompressed bytes, tar framing included.
    #[error("it unpacks to more than {limit} bytes (limits.max_unpacked)")]
    Unpacked {
        /// The most there may be.
        limit: u64,
    },
    /// Files and directories.
    #[error("it has more than {limit} entries (limits.max_entries)")]
    Entries {
        /// The most there may be.
        limit: u64,
    },
    /// The paths of all entries together.
    #[error("its paths take more than {limit} bytes together")]
    Paths {
        /// The most there may be.
        limit: u64,
    },
}
