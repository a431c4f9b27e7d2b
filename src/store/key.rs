//! What is kept, and where.
//!
//! Owns every path inside the storage: no other file spells one out. Must not know what lies there.

use crate::domain::{Integrity, Resource, Sha256};

/// One stored value.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum StorageKey {
    /// A document in its envelope.
    Document {
        /// Its kind, which is a directory of its own.
        resource: Resource,
        /// The digest of everything that tells it from others of its kind.
        name: Sha256,
    },
    /// One of a fixed number of places that search results compete for, so that they cannot grow.
    SearchSlot(u16),
    /// The first integrity seen for a release, by the digest of the release's identity.
    Pin(Sha256),
    /// A sealed archive.
    Archive(Integrity),
}

impl StorageKey {
    /// The path inside the storage. Digests are spread over 256 directories.
    #[must_use]
    pub fn path(&self) -> String {
        match self {
            Self::Document { resource, name } => {
                format!("documents/{}/{}.doc", resource.as_str(), sharded(name))
            }
            Self::SearchSlot(slot) => format!("documents/search/{slot:04x}.doc"),
            Self::Pin(release) => format!("pins/{}", sharded(release)),
            Self::Archive(integrity) => format!("archives/{}", sharded(integrity.digest())),
        }
    }
}

fn sharded(digest: &Sha256) -> String {
    let hex = digest.hex();
    format!("{}/{hex}", &hex[..2])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_fixed() {
        let hex = "ab".to_owned() + &"0123456789".repeat(6) + "cd";
        let name = Sha256::from_hex(&hex).unwrap();
        for (key, path) in [
            (
                StorageKey::Document { resource: Resource::Index, name },
                format!("documents/index/ab/{hex}.doc"),
            ),
            (StorageKey::SearchSlot(0x12f), "documents/search/012f.doc".to_owned()),
            (StorageKey::Pin(name), format!("pins/ab/{hex}")),
            (StorageKey::Archive(Integrity::new(name)), format!("archives/ab/{hex}")),
        ] {
            assert_eq!(key.path(), path);
        }
    }
}
