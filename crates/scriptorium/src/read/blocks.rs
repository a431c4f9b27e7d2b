//! The releases whose exact metadata the registry refuses with 403.
//!
//! The list is built from the refusals that are held: an entry that a restart or an eviction removes comes back when the
//! refusal is read again. Owns this list and its bound. Must not know how a row shows a block.

use parking_lot::RwLock;
use std::collections::{BTreeMap, HashMap};

use super::content::DocumentContent;
use super::document::Document;
use super::envelope::Meta;
use crate::domain::{Version, VolumeName};

/// At most so many blocks are listed. Beyond that a release is still refused, but its index row is not changed.
const MOST: usize = 10_000;

/// Characters of the registry's reason that a row repeats.
const REASON: usize = 200;

/// The registry's own refusal of exact metadata with 403.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Block {
    pub(super) version: Version,
    pub(super) reason: String,
    pub(super) asked: u64,
    /// Who said it, and when.
    pub(super) meta: Meta,
}

#[derive(Debug, Default)]
pub(super) struct Blocks(RwLock<HashMap<VolumeName, BTreeMap<Version, Block>>>);

impl Blocks {
    /// Updates the list from `document`, the answer about a release. True if that changed the list.
    pub(super) fn note(&self, name: &VolumeName, version: &Version, document: &Document) -> bool {
        let mut blocks = self.0.write();
        let Some(block) = block(version, document) else {
            let Some(of_volume) = blocks.get_mut(name) else { return false };
            let gone = of_volume.remove(version).is_some();
            if of_volume.is_empty() {
                blocks.remove(name);
            }
            return gone;
        };
        let known = blocks.get(name).and_then(|of_volume| of_volume.get(version));
        if known.is_none() && blocks.values().map(BTreeMap::len).sum::<usize>() >= MOST {
            return false;
        }
        let news = known.is_none_or(|known| known.reason != block.reason);
        blocks.entry(name.clone()).or_default().insert(version.clone(), block);
        news
    }

    /// Forgets all; what is read again is listed again.
    pub(super) fn forget(&self) {
        self.0.write().clear();
    }

    /// Forgets those of the volumes that `concerned` picks.
    pub(super) fn forget_of(&self, concerned: impl Fn(&VolumeName) -> bool) {
        self.0.write().retain(|name, _| !concerned(name));
    }

    /// The blocks of a volume, by version.
    pub(super) fn of(&self, name: &VolumeName) -> Vec<Block> {
        let blocks = self.0.read();
        blocks.get(name).into_iter().flat_map(BTreeMap::values).cloned().collect()
    }
}

fn block(version: &Version, document: &Document) -> Option<Block> {
    let DocumentContent::Refused { problem, is_own: true, .. } = &*document.content else { return None };
    let said = problem.detail.as_deref().unwrap_or(&problem.title);
    (document.meta.status == 403).then(|| Block {
        version: version.clone(),
        reason: said.chars().filter(|letter| !letter.is_control()).take(REASON).collect(),
        asked: document.reading.asked,
        meta: document.meta.clone(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Timestamp;
    use crate::domain::{DocumentKey, Registry};
    use crate::read::envelope::Envelope;
    use crate::read::keeping::Keeping;

    fn refusal(version: &str, status: u16) -> Document {
        let key = DocumentKey::Release("@acme/x".parse().unwrap(), version.parse().unwrap());
        let meta = Meta {
            key: key.to_string(),
            status,
            fetched_at: Timestamp(7),
            upstream_age: 0,
            upstream: "public".into(),
            origin: "https://up".into(),
            etag: None,
            at: None,
            keeping: Keeping::default(),
            turn: None,
        };
        let body = format!(r#"{{"type":"about:blank","title":"No","status":{status}}}"#).into();
        Document::new(&key, Envelope { meta, body }).unwrap()
    }

    fn note(blocks: &Blocks, version: &str, status: u16) -> bool {
        blocks.note(&"@acme/x".parse().unwrap(), &version.parse().unwrap(), &refusal(version, status))
    }

    #[test]
    fn a_block_is_known_from_its_refusal_until_another_answer() {
        let (blocks, name) = (Blocks::default(), "@acme/x".parse().unwrap());
        assert!(note(&blocks, "1.0.0", 403) && note(&blocks, "0.9.0", 403));
        assert!(!note(&blocks, "1.0.0", 403), "no news");
        let known = blocks.of(&name);
        assert_eq!(
            known.iter().map(|block| block.version.to_string()).collect::<Vec<_>>(),
            ["0.9.0", "1.0.0"]
        );
        assert!(known[0].meta.is_of(&Registry::new("public", "https://up")));
        assert!(!known[0].meta.is_of(&Registry::new("public", "https://other")));
        assert!(note(&blocks, "1.0.0", 404) && note(&blocks, "0.9.0", 409));
        assert!(!note(&blocks, "1.0.0", 404), "nothing was known");
        assert!(blocks.of(&name).is_empty() && blocks.0.read().is_empty());
    }

    #[test]
    fn they_are_bounded() {
        let blocks = Blocks::default();
        for minor in 0..=MOST {
            note(&blocks, &format!("1.{minor}.0"), 403);
        }
        assert_eq!(blocks.of(&"@acme/x".parse().unwrap()).len(), MOST);
        assert!(
            note(&blocks, "1.0.0", 404) && note(&blocks, "2.0.0", 403),
            "room that is given back is taken"
        );
    }
}
