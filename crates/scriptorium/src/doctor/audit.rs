//! The file of the audit record: whether the proxy can open or make it.
//!
//! Owns that folders which the proxy makes first are no failure. Must not know how the file is opened.

use std::path::Path;

use super::Diagnosis;
use crate::audit_record::AuditFile;
use crate::config::{Location, Storage};

pub(super) fn examine(file: &Path, storage: &Storage) -> Diagnosis {
    let (check, about) = ("audit record", file.display().to_string());
    if is_made_first(file, storage) {
        return Diagnosis::good(check, about, "its folder is made with the storage");
    }
    match AuditFile::prove(file) {
        Ok(()) => Diagnosis::good(check, about, "can be written"),
        Err(error) => Diagnosis::bad(check, about, error.to_string()),
    }
}

/// Whether the folder of `file` is missing, and is made when the storage is opened.
fn is_made_first(file: &Path, storage: &Storage) -> bool {
    let root = match &storage.url {
        Location::File(root) => root,
        Location::S3 { .. } => &storage.tier,
        Location::Memory => return false,
    };
    let folder = file.parent().filter(|folder| folder.symlink_metadata().is_err());
    folder.is_some_and(|folder| root.starts_with(folder))
}
