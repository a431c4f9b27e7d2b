//! The digest of a bundle's manifest, and the comparison of a tar with it.

use std::collections::BTreeMap;
use std::io::Read;

use serde_json::Value;
use sha2::{Digest, Sha256};
use tar::EntryType;

use crate::support::hex_digest;

fn included(manifest: &Value) -> Vec<&Value> {
    let entries = manifest["entries"].as_array().map(Vec::as_slice).unwrap_or_default();
    let mut included: Vec<_> = entries.iter().filter(|entry| entry["included"] == true).collect();
    included.sort_by_key(|entry| entry["path"].as_str());
    included
}

/// The digest of the bundle that a manifest describes.
pub(crate) fn digest(manifest: &Value) -> String {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let number = |value: &Value| value.as_u64().unwrap_or(0);
    let mut hash = Sha256::new();
    hash.update(format!("config:{}\n", text(&manifest["config_digest"])));
    for entry in included(manifest) {
        let (path, kind, digest) = (text(&entry["path"]), text(&entry["kind"]), text(&entry["digest"]));
        let (mode, size) = (number(&entry["mode"]), number(&entry["size"]));
        hash.update(format!("{path}\0{kind}\0{mode}\0{size}\0{digest}\n"));
    }
    data_encoding::HEXLOWER.encode(&hash.finalize())
}

/// Compares the entries of a tar with those of the manifest. The error is the first difference.
pub(super) fn compare(manifest: &Value, bytes: &[u8]) -> Result<(), String> {
    let mut wanted: BTreeMap<_, _> = included(manifest)
        .into_iter()
        .map(|entry| (entry["path"].as_str().unwrap_or_default(), entry))
        .collect();
    let mut archive = tar::Archive::new(bytes);
    for entry in archive.entries().map_err(|error| error.to_string())? {
        let mut entry = entry.map_err(|error| error.to_string())?;
        let name = String::from_utf8_lossy(&entry.path_bytes()).trim_end_matches('/').to_owned();
        let Some(listed) = wanted.remove(name.as_str()) else { return Err(format!("{name} is not listed")) };
        let header = entry.header();
        let (kind, mode) = (header.entry_type(), header.mode().map_err(|error| error.to_string())?);
        let target = entry.link_name_bytes().map(|target| target.into_owned()).unwrap_or_default();
        let mut content = Vec::new();
        entry.read_to_end(&mut content).map_err(|error| error.to_string())?;
        let (kind, digest) = match kind {
            EntryType::Directory => ("dir", None),
            EntryType::Symlink => ("symlink", Some(hex_digest(&target))),
            EntryType::Regular => ("file", Some(hex_digest(&content))),
            other => return Err(format!("{name} is a {other:?}")),
        };
        let size = listed["size"].as_u64().unwrap_or(0);
        // The client's tar has only the permission bits, and a default mode where the manifest has none.
        let listed_mode = listed["mode"].as_u64().unwrap_or(0);
        let modes_differ = listed_mode != 0 && u64::from(mode) != listed_mode & 0o777;
        if listed["kind"] != kind
            || size != content.len() as u64
            || listed["digest"].as_str() != digest.as_deref()
            || modes_differ
        {
            return Err(format!("{name} is not as it is listed"));
        }
    }
    match wanted.keys().next() {
        Some(missing) => Err(format!("{missing} is missing")),
        None => Ok(()),
    }
}
