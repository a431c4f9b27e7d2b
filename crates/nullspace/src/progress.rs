//! The progress of a resumable upload: the parts that the registry accepted, and the hash of the whole.
//!
//! The hash covers parts in order, so an out-of-order part must be held until the parts before it are hashed. Owns the
//! record of the progress and its rules. Must not know where the record is stored, nor where parts are held.

use std::collections::BTreeMap;

use archive::{Excerpt, Sha256};
use data_encoding::HEXLOWER;
use serde::{Deserialize, Serialize};
use sha2::Digest;
use sha2::digest::common::hazmat::{SerializableState, SerializedState};

use super::{NullspaceRefusal, UploadFacts, UploadFault, UploadPath};

/// The state of an upload's parts.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct UploadProgress {
    /// The digests of the parts that the registry accepted.
    accepted: BTreeMap<u32, Sha256>,
    /// The first part that the hash of the whole does not cover, and the state of that hash.
    next: u32,
    state: String,
    /// Whether a hashed part was replaced, so that the hash of the whole is lost.
    spoiled: bool,
}

/// The hash of the whole while a part is added to it.
#[derive(Debug, Clone)]
pub struct PartHasher(sha2::Sha256);

impl PartHasher {
    /// Adds the next bytes of the part.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }
}

impl Default for UploadProgress {
    fn default() -> Self {
        let state = HEXLOWER.encode(&sha2::Sha256::new().serialize());
        Self { accepted: BTreeMap::new(), next: 0, state, spoiled: false }
    }
}

impl UploadProgress {
    /// The digest of the part that the registry accepted, as far as this proxy knows.
    #[must_use]
    pub fn accepted(&self, number: u32) -> Option<&Sha256> {
        self.accepted.get(&number)
    }

    /// Records that the registry has this part.
    pub fn accept(&mut self, number: u32, sha256: Sha256) {
        self.accepted.insert(number, sha256);
    }

    /// Forgets a part that is being replaced, or may have been replaced.
    pub fn forget(&mut self, number: u32) {
        self.accepted.remove(&number);
        self.spoiled |= number < self.next;
    }

    /// The part that the hash of the whole covers next, unless that hash is lost.
    #[must_use]
    pub fn next(&self) -> Option<u32> {
        (!self.spoiled).then_some(self.next)
    }

    /// The hash so far, to which the next part is added. `None` if its recorded state cannot be read.
    #[must_use]
    pub fn hasher(&self) -> Option<PartHasher> {
        let bytes = HEXLOWER.decode(self.state.as_bytes()).ok()?;
        let state = SerializedState::<sha2::Sha256>::try_from(&*bytes).ok()?;
        sha2::Sha256::deserialize(&state).ok().map(PartHasher)
    }

    /// Records the hash after the next part. `None` if the part could not be read: the hash of the whole is then lost.
    pub fn advance(&mut self, hashed: Option<PartHasher>) {
        match hashed {
            Some(PartHasher(hasher)) => {
                self.state = HEXLOWER.encode(&hasher.serialize());
                self.next += 1;
            }
            None => self.spoiled = true,
        }
    }

    /// Compares the hash of the whole with `expected`. `false` if the hash is not known: some parts did not come through
    /// this proxy.
    ///
    /// # Errors
    /// [`UploadFault::WholeChecksum`] if it differs.
    pub fn check_whole(
        &self,
        upload: UploadPath<'_>,
        facts: &UploadFacts,
        expected: &str,
    ) -> Result<bool, NullspaceRefusal> {
        let Some(found) = self.whole(facts.part_count).map(|whole| whole.hex()) else { return Ok(false) };
        if expected.eq_ignore_ascii_case(&found) {
            return Ok(true);
        }
        let fault = UploadFault::WholeChecksum { expected: Excerpt::from(expected).to_string(), found };
        Err(NullspaceRefusal::Upload { fault, upload: Excerpt::from(upload.id).to_string(), part: None })
    }

    /// The SHA-256 of the whole, if all parts came through this proxy.
    #[must_use]
    pub fn whole(&self, part_count: u32) -> Option<Sha256> {
        let covered = !self.spoiled && self.next == part_count;
        let PartHasher(hasher) = self.hasher().filter(|_| covered)?;
        Some(Sha256::new(hasher.finalize().into()))
    }
}
