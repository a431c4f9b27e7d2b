//! Which archive a client gets, once its release may be served.
//!
//! | release     | archive held | archive not held |
//! |-------------|--------------|------------------|
//! | withdrawn   | withdrawn    | withdrawn        |
//! | by Git      | by Git       | by Git           |
//! | no archive  | malformed    | malformed        |
//! | archive     | send         | bring            |
//!
//! `withdrawn`: the release's lifecycle state gives no bytes, however warm the archive. `bring`: the archive is fetched
//! from the registry; it is refused where the registry may not be asked ([`bring`]). Owns these rules. Must not know how a
//! file is looked for, fetched or read.

use super::{Reach, RefusalReason};
use crate::domain::{Dist, Integrity, Release};

/// What a release says of its archive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ArchiveOffer<'a> {
    /// Its lifecycle state gives no bytes.
    Withdrawn,
    ByGit,
    /// It names no archive that could be fetched.
    Malformed,
    Archive {
        integrity: Integrity,
        locator: &'a str,
    },
}

/// What `release` offers.
pub(crate) fn offer(release: &Release) -> ArchiveOffer<'_> {
    match (&release.dist, release.integrity) {
        _ if !release.serves_bytes() => ArchiveOffer::Withdrawn,
        (Some(Dist::Git), _) => ArchiveOffer::ByGit,
        (Some(Dist::Cdn { url }), Some(integrity)) => ArchiveOffer::Archive { integrity, locator: url },
        _ => ArchiveOffer::Malformed,
    }
}

/// Why a file that is not held cannot be fetched.
pub(crate) fn bring(reach: Reach) -> Result<(), RefusalReason> {
    match reach {
        Reach::Online => Ok(()),
        Reach::OnlyIfCached => Err(RefusalReason::NotHeld),
        Reach::Offline => Err(RefusalReason::Offline),
        Reach::Unreachable => Err(RefusalReason::Unreachable),
    }
}
