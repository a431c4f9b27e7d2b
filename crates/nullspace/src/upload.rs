//! The documents of the API about a resumable upload: its creation, its state, the declared digest of the whole.
//!
//! Owns the form of these documents and the upload's sizes. Must not know which parts came through this proxy.

use serde::{Deserialize, Serialize};

/// The most parts of an upload that is checked.
const MOST_PARTS: u32 = 10_000;

/// The facts of an upload that do not change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UploadFacts {
    /// The bytes of all parts.
    pub content_length: u64,
    /// The bytes of each part except the last.
    pub part_size: u64,
    /// The number of parts.
    pub part_count: u32,
    /// The SHA-256 of the whole, if the creation declared it.
    pub declared: Option<String>,
}

impl UploadFacts {
    /// The bytes of a part; `None` if there is no such part.
    #[must_use]
    pub fn length_of(&self, number: u32) -> Option<u64> {
        let before = u64::from(number).saturating_mul(self.part_size);
        let rest = self.content_length.saturating_sub(before);
        (number < self.part_count).then_some(rest.min(self.part_size))
    }

    /// Whether the sizes agree with each other and are within bounds.
    fn add_up(&self) -> bool {
        let parts = match self.part_size {
            0 => return false,
            size => self.content_length.div_ceil(size),
        };
        let count = u64::from(self.part_count);
        self.part_count <= MOST_PARTS && (parts == count || (parts == 0 && count == 1))
    }
}

/// An upload that a registry created.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewUpload {
    /// The registry's id of it.
    pub id: String,
    /// Its sizes.
    pub facts: UploadFacts,
    /// When it expires, as the registry writes it.
    pub expires_at: Option<String>,
}

#[derive(Deserialize)]
struct CreatedDocument {
    session: SessionDocument,
}

#[derive(Deserialize)]
struct SessionDocument {
    upload_id: String,
    content_length: u64,
    part_size: u64,
    part_count: u32,
    whole_checksum_sha256: Option<String>,
    expires_at: Option<String>,
}

impl NewUpload {
    /// Reads a creation and the registry's answer to it.
    ///
    /// # Errors
    /// Why the upload cannot be checked.
    pub fn read(request: &[u8], answer: &[u8]) -> Result<Self, &'static str> {
        let CreatedDocument { session } =
            serde_json::from_slice(answer).map_err(|_| "its session cannot be read")?;
        let facts = UploadFacts {
            content_length: session.content_length,
            part_size: session.part_size,
            part_count: session.part_count,
            declared: session.whole_checksum_sha256.or_else(|| declared_whole(request)),
        };
        if !facts.add_up() {
            return Err("its parts do not add up, or are too many");
        }
        Ok(Self { id: session.upload_id, facts, expires_at: session.expires_at })
    }
}

/// The SHA-256 of the whole, if a creation or a completion declares it.
#[must_use]
pub fn declared_whole(request: &[u8]) -> Option<String> {
    #[derive(Deserialize)]
    struct DeclaredDocument {
        whole_checksum_sha256: Option<String>,
    }
    serde_json::from_slice::<DeclaredDocument>(request).ok()?.whole_checksum_sha256
}

/// Whether an upload's document says that the registry has part `number` and accepts further parts.
#[must_use]
pub fn holds_part(document: &[u8], number: u32) -> bool {
    #[derive(Deserialize)]
    struct StateDocument {
        status: String,
        next_part: Option<u64>,
    }
    serde_json::from_slice::<StateDocument>(document).is_ok_and(|state| {
        let open = matches!(state.status.as_str(), "created" | "uploading" | "staged");
        open && state.next_part != Some(number.into())
    })
}
