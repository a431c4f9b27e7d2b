//! What stands behind an operator in a range: a version, or for roots the beginning of one.
//!
//! Owns the versions at which an operand begins and ends. Every end is the lowest version behind it, `1.3.0-0` rather than
//! 1.3.0, because prereleases of 1.3.0 are no part of 1.2. Must not know operators.

use archive::Version;
use semver::{BuildMetadata, Prerelease};

/// A version, or its beginning.
#[derive(Debug, Clone)]
pub(super) struct Operand {
    major: u64,
    minor: Option<u64>,
    patch: Option<u64>,
    pre: Prerelease,
}

/// The lowest version there is.
pub(super) fn lowest() -> semver::Version {
    before_release(0, 0, 0)
}

/// The lowest version of this major, minor and patch: `-0`.
fn before_release(major: u64, minor: u64, patch: u64) -> semver::Version {
    // `0` is a prerelease; the fallback is never taken.
    let pre = Prerelease::new("0").unwrap_or(Prerelease::EMPTY);
    semver::Version { major, minor, patch, pre, build: BuildMetadata::EMPTY }
}

fn after_major(major: u64) -> Option<semver::Version> {
    Some(before_release(major.checked_add(1)?, 0, 0))
}

fn after_minor(major: u64, minor: u64) -> Option<semver::Version> {
    let Some(minor) = minor.checked_add(1) else { return after_major(major) };
    Some(before_release(major, minor, 0))
}

fn after_patch(major: u64, minor: u64, patch: u64) -> Option<semver::Version> {
    let Some(patch) = patch.checked_add(1) else { return after_minor(major, minor) };
    Some(before_release(major, minor, patch))
}

impl Operand {
    /// A whole version without build metadata.
    pub(super) fn whole(text: &str) -> Option<Self> {
        let version: Version = text.parse().ok()?;
        let semver::Version { major, minor, patch, pre, build } = version.as_semver().clone();
        build.is_empty().then_some(Self { major, minor: Some(minor), patch: Some(patch), pre })
    }

    /// A whole version, `major.minor` or `major`, without build metadata.
    pub(super) fn whole_or_partial(text: &str) -> Option<Self> {
        let missing = match text.bytes().filter(|byte| *byte == b'.').count() {
            0 => 2,
            1 => 1,
            _ => return Self::whole(text),
        };
        // `1.2-rc` would become a prerelease of nothing that was written.
        if !text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.') {
            return None;
        }
        let mut operand = Self::whole(&format!("{text}{}", ".0".repeat(missing)))?;
        operand.patch = None;
        operand.minor = operand.minor.filter(|_| missing == 1);
        Some(operand)
    }

    /// Major, minor and patch when this is a prerelease.
    pub(super) fn prerelease_of(&self) -> Option<(u64, u64, u64)> {
        (!self.pre.is_empty()).then_some((self.major, self.minor?, self.patch?))
    }

    /// The version itself; of a beginning the lowest version that begins so and is no prerelease.
    pub(super) fn first(&self) -> semver::Version {
        semver::Version {
            major: self.major,
            minor: self.minor.unwrap_or(0),
            patch: self.patch.unwrap_or(0),
            pre: self.pre.clone(),
            build: BuildMetadata::EMPTY,
        }
    }

    /// Where "less than this" ends: at the version itself; of a beginning also its prereleases are not less.
    pub(super) fn before(&self) -> semver::Version {
        match self.patch {
            Some(_) => self.first(),
            None => before_release(self.major, self.minor.unwrap_or(0), 0),
        }
    }

    /// The lowest version that follows, build metadata apart; `None` where there is none.
    pub(super) fn after(&self) -> Option<semver::Version> {
        match (self.minor, self.patch) {
            (Some(minor), Some(patch)) if self.pre.is_empty() => after_patch(self.major, minor, patch),
            (Some(_), Some(_)) => {
                let pre = Prerelease::new(&format!("{}.0", self.pre)).ok()?;
                Some(semver::Version { pre, ..self.first() })
            }
            (Some(minor), None) => after_minor(self.major, minor),
            (None, _) => after_major(self.major),
        }
    }

    /// Where `^` ends: behind the leftmost number that is not zero.
    pub(super) fn after_compatible(&self) -> Option<semver::Version> {
        match (self.major, self.minor, self.patch) {
            (0, Some(0), Some(patch)) => after_patch(0, 0, patch),
            (0, Some(minor), _) => after_minor(0, minor),
            (major, _, _) => after_major(major),
        }
    }

    /// Where `~` ends: behind the minor version, or the major version where only that is given.
    pub(super) fn after_similar(&self) -> Option<semver::Version> {
        match self.minor {
            Some(minor) => after_minor(self.major, minor),
            None => after_major(self.major),
        }
    }
}
