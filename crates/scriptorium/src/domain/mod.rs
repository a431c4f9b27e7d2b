//! What Agent Volumes are, as types that cannot hold a bad value.
//!
//! Owns the documents and their links; names, versions, digests and lifecycle states are the crate `archive`'s. Must not know I/O, time,
//! HTTP servers, storage or configuration: everything here is a pure function of its input.

pub(crate) mod advisories;
pub(crate) mod advisory_pages;
pub(crate) mod change;
pub(crate) mod check;
pub(crate) mod document;
pub(crate) mod fields;
pub(crate) mod file;
pub(crate) mod further;
pub(crate) mod lifecycle;
pub(crate) mod link;
mod members;
pub(crate) mod percent;
pub(crate) mod problem;
pub(crate) mod registry;
pub(crate) mod search;
pub(crate) mod several;

pub(crate) use archive::{Integrity, LifecycleState, Purl, Sha256, Version, VolumeName, VolumePattern};

pub(crate) use advisories::AdvisoryQuery;
pub(crate) use advisory_pages::{AdvisoryPages, MOST_ADVISORY_PAGES};
pub(crate) use change::{Change, UploadId};
pub(crate) use check::{Dist, Facts, Release, Row, Rows, Trust};
pub(crate) use document::{AdvisoryId, DocumentKey, GlobalQuestion, Resource};
pub(crate) use file::FileKey;
pub(crate) use link::Template;
pub(crate) use problem::Problem;
pub(crate) use registry::Registry;
pub(crate) use search::SearchQuery;
