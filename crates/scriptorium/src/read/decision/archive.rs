//! Which archive a client gets, once its release may be served.
//!
//! | release     | archive held | archive not held |
//! |-------------|--------------|------------------|
//! | withdrawn   | withdrawn    | withdrawn        |
//! | no archive  | malformed    | malformed        |
//! | archive     | send         | bring            |
//!
//! `withdrawn`: the release's lifecycle state gives no bytes, however warm the archive. `bring`: the archive is fetched
//! from its address, or made of the commit that Git delivers; it is refused where the registry may not be asked ([`bring`]). Owns these rules. Must not know how a
//! file is looked for, fetched or read.

use super::{Reach, RefusalReason};
use crate::domain::{Dist, Integrity, Release};

/// What a release says of its archive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ArchiveOffer<'a> {
    /// Its lifecycle state gives no bytes.
    Withdrawn,
    /// It names no archive that could be fetched.
    Malformed,
    /// An archive, which is at a URL or is made of a commit.
    Archive { integrity: Integrity, dist: &'a Dist },
}

/// What `release` offers.
pub(crate) fn offer(release: &Release) -> ArchiveOffer<'_> {
    match (&release.dist, release.integrity) {
        _ if !release.serves_bytes() => ArchiveOffer::Withdrawn,
        (Some(dist), Some(integrity)) => ArchiveOffer::Archive { integrity, dist },
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
