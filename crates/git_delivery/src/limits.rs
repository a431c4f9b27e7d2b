//! What one piece of work on a repository may use, and which limit it reached.
//!
//! Owns the limits ([`GitLimits`]), the names of what exceeds them ([`GitExcess`]), and the account of time and inflated bytes
//! ([`GitAllowance`]). Must not know what the work is. The time is passed in.

use std::cell::Cell;
use std::time::{Duration, Instant};

/// The limits of one fetch, and of one reading of a tree. Those of the archive that comes of it are [`archive::ArchiveLimits`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GitLimits {
    /// The longest that one piece of work takes.
    pub max_time: Duration,
    /// The most bytes of a pack.
    pub max_pack: u64,
    /// The most objects of a pack.
    pub max_objects: u32,
    /// The most bytes of one file.
    pub max_file: u64,
    /// The most bytes of an object that is held in memory: a commit, a tag, a tree, and what a server sends as a difference
    /// from another object. To resolve a difference takes up to three times as much at once: the object, its base, and the
    /// differences between them.
    pub max_held: usize,
    /// The most bytes that are inflated in one piece of work. An object counts whenever it is inflated.
    pub max_inflated: u64,
    /// The most differences that lie between an object and one that is sent whole.
    pub max_delta_depth: u32,
    /// The most folders within each other.
    pub max_tree_depth: usize,
    /// The most bytes of a server's list of references.
    pub max_listing: u64,
}

impl GitLimits {
    /// The room that an object of the most bytes, its base and the differences between them have together.
    pub(crate) fn room_to_resolve(&self) -> usize {
        self.max_held.saturating_mul(3)
    }
}

/// The limit that a repository or its server exceeds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum GitExcess {
    /// Time.
    #[error("it took longer than {} seconds", .0.as_secs())]
    Time(Duration),
    /// Bytes of a pack.
    #[error("the pack has more than {0} bytes")]
    Pack(u64),
    /// Objects of a pack.
    #[error("the pack has more than {0} objects")]
    Objects(u32),
    /// One file.
    #[error("a file has more than {0} bytes")]
    File(u64),
    /// An object that has to be held in memory.
    #[error("an object that has to be held in memory has more than {0} bytes")]
    Held(usize),
    /// Inflated bytes.
    #[error("more than {0} bytes had to be inflated")]
    Inflated(u64),
    /// Differences upon differences.
    #[error("an object is a difference from a difference, more than {0} deep")]
    DeltaDepth(u32),
    /// Folders within folders.
    #[error("folders lie within each other more than {0} deep")]
    TreeDepth(usize),
    /// The list of references.
    #[error("the list of references has more than {0} bytes")]
    Listing(u64),
}

/// What one piece of work may use: its limits, and what is left of time and inflated bytes.
pub struct GitAllowance<'a> {
    limits: GitLimits,
    now: &'a dyn Fn() -> Instant,
    until: Instant,
    inflated: Cell<u64>,
}

impl<'a> GitAllowance<'a> {
    /// All that `limits` allow, from `now` on.
    pub fn new(limits: &GitLimits, now: &'a dyn Fn() -> Instant) -> Self {
        Self { limits: *limits, now, until: now() + limits.max_time, inflated: Cell::new(0) }
    }

    pub(crate) fn limits(&self) -> &GitLimits {
        &self.limits
    }

    /// Whether there is time left.
    pub(crate) fn check_time(&self) -> Result<(), GitExcess> {
        if (self.now)() < self.until { Ok(()) } else { Err(GitExcess::Time(self.limits.max_time)) }
    }

    /// Whether an object of so many bytes may be held in memory.
    pub(crate) fn hold(&self, bytes: u64) -> Result<(), GitExcess> {
        if bytes <= self.limits.max_held as u64 { Ok(()) } else { Err(GitExcess::Held(self.limits.max_held)) }
    }

    /// Counts inflated bytes, and looks at the time.
    pub(crate) fn inflate(&self, bytes: u64) -> Result<(), GitExcess> {
        self.inflated.set(self.inflated.get().saturating_add(bytes));
        if self.inflated.get() > self.limits.max_inflated {
            return Err(GitExcess::Inflated(self.limits.max_inflated));
        }
        self.check_time()
    }
}
