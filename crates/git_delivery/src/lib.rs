//! Releases that are delivered by Git: from a reference to the archive that every proxy makes of it.
//!
//! Owns the way there, in two parts. [`RemoteRepository`] asks a server which commit a reference names and brings its objects into a
//! [`RepositoryFolder`]; the server may be hostile, and costs at most what [`GitLimits`] say. [`archive_commit`] writes the tree of a commit
//! as a canonical archive, whose digest is that of the same files on disk. Bytes flow one way, and no file is held whole:
//!
//! ```text
//! transport → lines → pack: receive (entries, names) → resolve (differences) → index → complete → folder
//!                                                           folder → objects → tree → archive::TreePacker
//! ```
//!
//! Must not know HTTP, hosts, credentials, releases or the store. Requests are carried by a [`GitTransport`], and the time is passed in. All
//! calls block: they inflate and hash, and belong on a thread for that.
//!
//! ```no_run
//! use std::time::{Duration, Instant};
//!
//! use archive::ArchiveLimits;
//! use git_delivery::{
//!     GitAllowance, GitLimits, GitReference, GitTransport, RemoteRepository, RepositoryFolder, archive_commit,
//! };
//!
//! # fn bring(transport: &mut dyn GitTransport) -> Result<(), Box<dyn std::error::Error>> {
//! let limits = GitLimits {
//!     max_time: Duration::from_secs(600),
//!     max_pack: 512 << 20,
//!     max_objects: 200_000,
//!     max_file: 512 << 20,
//!     max_held: 32 << 20,
//!     max_inflated: 4 << 30,
//!     max_delta_depth: 250,
//!     max_tree_depth: 128,
//!     max_listing: 4 << 20,
//! };
//! let archive_limits = ArchiveLimits { max_unpacked: 1 << 30, max_entries: 100_000 };
//! let folder = RepositoryFolder::open("/var/cache/x/packs".as_ref(), 1 << 30)?;
//!
//! let now = Instant::now;
//! let allowance = GitAllowance::new(&limits, &now);
//! let mut remote = RemoteRepository::connect(transport, &allowance)?;
//! let reference: GitReference = "v1.2.0".parse()?;
//! let commit = remote.resolve(&[reference])?[0].ok_or("no such reference")?;
//! let mut objects = folder.objects(&limits)?;
//! if !objects.holds(commit) {
//!     objects = remote.fetch(&[commit], &folder, "/var/cache/x/staging".as_ref())?;
//! }
//! let archive = archive_commit(&objects, commit, &archive_limits, &allowance, Vec::new())?;
//! println!("{}", archive.integrity);
//! # Ok(())
//! # }
//! ```

mod commit_id;
mod error;
mod folder;
mod limits;
mod objects;
mod pack;
mod packet_lines;
mod reference;
mod remote;
mod transport;
mod tree;

pub use commit_id::{CommitId, InvalidCommitId, TreeId};
pub use error::{FetchError, PackFault};
pub use folder::RepositoryFolder;
pub use limits::{GitAllowance, GitExcess, GitLimits};
pub use objects::{GitObjects, ObjectError};
pub use reference::{GitReference, InvalidReference, ReferenceName};
pub use remote::{MAX_WANTED, RemoteRepository};
pub use transport::{GitAnswer, GitRequest, GitTransport};
pub use tree::{CommitArchive, TreeError, archive_commit};
