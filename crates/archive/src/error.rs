//! Why an archive was not accepted.
//!
//! Owns the difference between an invalid archive, a failed transfer and a failed disk. The texts are for clients: the error
//! of the operating system is only in the source. Must not know HTTP.

use std::io;

use super::paths::MANIFEST;
use super::{Excerpt, FramingDeparture, Integrity, Purl, Violation};

/// Why [`verify`](super::verify()) did not accept an archive.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// The reader of the arriving bytes failed. Another transfer may succeed.
    #[error("the archive's bytes stopped arriving; try again")]
    Source(#[source] io::Error),
    /// The gzip framing is damaged: bad header or checksum, truncated, or followed by other bytes.
    #[error("the archive is damaged: expected whole gzip members and nothing after them; fetch it again")]
    Gzip(#[source] io::Error),
    /// Temporary storage failed. The archive may be valid.
    #[error("temporary storage failed while the archive was verified; try again later")]
    Scratch(#[source] io::Error),
    /// The archive breaks the archive profile.
    #[error("the archive breaks the archive profile: {0}")]
    Profile(#[from] Violation),
    /// Other readers would unpack another tree, and the archive must be forwarded unchanged.
    #[error(
        "not every reader unpacks the archive alike: {}; pack it with `tar --format={} --sort=name --owner=0 --group=0 \
         --mode=u=rwX,go=rX -cf - * | gzip -n`", .0, .0.cure()
    )]
    Framing(FramingDeparture),
    /// The archive exceeds a limit.
    #[error("the archive is too large: {0}")]
    TooLarge(#[from] Excess),
    /// The tree is not the published one.
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
    /// A component claims more than its volume permits.
    #[error("component `{component}` declares more `{permission}` permission than its volume permits")]
    Escalation {
        /// The component's name, or its position in the manifest if it has none.
        component: Excerpt,
        /// The permission it exceeds.
        permission: Permission,
    },
}

/// The limit that an archive exceeds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Excess {
    /// Decompressed bytes, tar framing included.
    #[error("it unpacks to more than {0} bytes (limits.max_unpacked)")]
    Unpacked(u64),
    /// Files and directories.
    #[error("it has more than {0} entries (limits.max_entries)")]
    Entries(u64),
    /// The paths of all entries together.
    #[error("its paths take more than {0} bytes together")]
    Paths(u64),
}

/// The longest manifest, in bytes.
pub(crate) const MAX_MANIFEST: u64 = 1 << 20;

/// Why a manifest cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ManifestError {
    /// There is no manifest.
    #[error("expected a regular file {MANIFEST} at the root")]
    Missing,
    /// The manifest is too long.
    #[error("{MANIFEST} has {0} bytes, expected at most {MAX_MANIFEST}")]
    TooLong(u64),
    /// The manifest is not TOML, or a key that is read has no valid value.
    #[error("{MANIFEST} is invalid: {0}")]
    Invalid(Excerpt),
}

/// A permission that a component can claim and its volume can grant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Permission {
    /// Files of the host.
    Filesystem,
    /// The network.
    Network,
    /// A browser.
    Browser,
    /// Commands of the host.
    Shell,
}

impl std::fmt::Display for Permission {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Filesystem => "filesystem",
            Self::Network => "network",
            Self::Browser => "browser",
            Self::Shell => "shell",
        })
    }
}
