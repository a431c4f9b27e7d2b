//! The section `[storage]`.
//!
//! Owns its keys. Must not know where a value came from, nor what is stored.

use std::path::PathBuf;

use super::super::declare::{choice, section};
use super::super::formats::{choice, folder, location, size};
use super::super::value::Location;
use super::{GIB, MIB};

section! {
    pub(crate) struct Storage {
        /// Where documents and archives are kept: file:///folder, memory:/// (lost when the process ends) or
        /// s3://bucket/prefix, which several proxies may share. The environment gives the endpoint and the
        /// credentials of a bucket: AWS_ENDPOINT_URL, AWS_REGION, AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY,
        /// and AWS_ALLOW_HTTP=true for an http:// endpoint.
        url: Location = Location::File(PathBuf::from("/var/lib/scriptorium")), location(), Restart;
        /// Most bytes in the storage, staged files included. No file may take more than half of it. With
        /// s3:// it bounds `tier` instead; a bucket has rules of its own.
        max_size: u64 = 50 * GIB, size(MIB, "GiB"), StorageCeiling;
        /// What a power cut may take from a folder: with "commit" no pin, no refusal and nothing else that must
        /// be remembered, and of the rest what the last second brought; with "relaxed" all that the system
        /// had not written yet.
        durability: Durability = Durability::Commit, choice(), Restart;
        /// Most bytes of damaged values that are kept below quarantine/ for inspection, but no more than a
        /// tenth of `max_size`. The oldest are deleted first.
        max_quarantine: u64 = GIB, size(MIB, "GiB"), Restart;
        /// Where an archive is verified and sent from if the storage is full or takes no writes; best on
        /// another disk. If it is not given: scratch/ below the storage, else $RUNTIME_DIRECTORY or the
        /// system's temporary folder. The proxy makes a folder there that is closed to other users.
        scratch: Option<PathBuf> = None, folder().optional().example(r#""/var/tmp""#), Restart;
        /// Most bytes in `scratch`.
        max_scratch: u64 = 2 * GIB, size(MIB, "GiB"), Restart;
        /// Most bytes of Git repositories that are kept in `scratch` beside that, so that the next release of a repository need not
        /// be fetched. One that is larger is used and not kept. What is being fetched comes on top, at most two packs for each registry.
        max_git: u64 = 2 * GIB, size(MIB, "GiB"), Files;
        /// Folder for copies of a bucket's files; used with s3:// only. It may be lost at any time. It must
        /// belong to this proxy alone: no other proxy and no other user may write there.
        tier: PathBuf = PathBuf::from("/var/cache/scriptorium"), folder(), Restart;
    }
}

choice! { pub(crate) enum Durability { Commit = "commit", Relaxed = "relaxed" } }
