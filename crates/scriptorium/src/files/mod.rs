//! Files: archives and trust artifacts, sent only as the documents of their registry permit.
//!
//! ```text
//! read            the way of a healthy file: gate, seal, pieces, read ahead of the client
//! ├─ gate         which document permits the file, and what it says of the file
//! ├─ stored       the files in the store, and their seals in memory
//! ├─ bring        one flight that brings in a file that is not stored
//! │  ├─ elsewhere what other proxies on the bucket bring in, or found
//! │  ├─ slots     how many downloads run at once, for each registry, host and client
//! │  ├─ by_git    the archive of a commit, where Git delivers it
//! │  ├─ hopeless  what would only fail again
//! │  ├─ relocate  where the file is when its address gives it no longer
//! │  └─ ingest    staging, verifying and sealing what a download brings
//! └─ mend         a block that is broken: pieces from the registry, or the whole file again
//! lengths         how long a file is that is not stored, as its registry says
//! carried         a file that did not come from its registry goes the way of one that did
//! ```
//! Files on the left name those below them, never the other way. The room must not know HTTP: ranges and headers
//! are `respond`'s.

mod bring;
mod by_git;
mod carried;
mod damage;
mod elsewhere;
mod expected;
#[cfg(test)]
mod faults;
mod gate;
mod hopeless;
mod ingest;
mod lengths;
mod manifest;
mod mend;
mod read;
mod relocate;
mod sealed_facts;
mod sealed_file;
mod seed;
mod shared_reads;
mod slots;
mod stored;

pub(crate) use carried::{CarriedFiles, NotTaken};
pub(crate) use expected::ExpectedFile;
pub(crate) use gate::Media;
pub(crate) use ingest::{Bounds, verify_arriving};
pub(crate) use read::{FileBytes, PermittedFile, SealedFiles};
pub(crate) use sealed_facts::sealed_facts;
