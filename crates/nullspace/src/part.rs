//! The expected size and digest of one part of a resumable upload.
//!
//! Owns the checks of a part, and the API's refusals of it. Must not know the hash of the whole.

use archive::{Excerpt, Sha256};
use http::HeaderMap;

use super::headers::declared_part;
use super::{NullspaceRefusal, UploadFacts, UploadFault, UploadPath};

/// What a part must be.
#[derive(Debug, Clone)]
pub struct PartDescription {
    upload: String,
    number: u32,
    /// Its length, if the upload is recorded.
    length: Option<u64>,
    /// Its digest, if its sender declares one.
    declared: Option<Sha256>,
    /// The most bytes of any part.
    limit: u64,
}

impl PartDescription {
    /// Part `number` of `upload`, as `headers` declare it, with at most `limit` bytes. `facts` are given if the upload is
    /// recorded.
    ///
    /// # Errors
    /// [`NullspaceRefusal::Upload`] if there is no such part, or its digest cannot be read.
    pub fn new(
        upload: UploadPath<'_>,
        number: u32,
        facts: Option<&UploadFacts>,
        headers: &HeaderMap,
        limit: u64,
    ) -> Result<Self, NullspaceRefusal> {
        let upload = upload.id.to_owned();
        let mut part = Self { upload, number, length: None, declared: None, limit };
        if let Some(facts) = facts {
            let no_such_part = UploadFault::PartNumber { count: facts.part_count };
            part.length = Some(facts.length_of(number).ok_or_else(|| part.refused(no_such_part))?);
        }
        part.declared = declared_part(headers).map_err(|fault| part.refused(fault))?;
        Ok(part)
    }

    /// The most bytes that the part may have.
    #[must_use]
    pub fn limit(&self) -> u64 {
        self.length.unwrap_or(u64::MAX).min(self.limit)
    }

    /// Checks the length that its sender announces, before any byte has come.
    ///
    /// # Errors
    /// [`UploadFault::PartSize`] if it differs.
    pub fn check_announced(&self, announced: Option<u64>) -> Result<(), NullspaceRefusal> {
        match (self.length, announced) {
            (Some(expected), Some(found)) if expected != found => Err(self.wrong_size(expected, found)),
            _ => Ok(()),
        }
    }

    /// Checks the whole part.
    ///
    /// # Errors
    /// [`NullspaceRefusal::Upload`] if its length or its digest differs.
    pub fn check(&self, sha256: &Sha256, length: u64) -> Result<(), NullspaceRefusal> {
        self.check_announced(Some(length))?;
        match &self.declared {
            Some(declared) if declared != sha256 => {
                let difference = format!("declared {}, found {}", declared.hex(), sha256.hex());
                Err(self.refused(UploadFault::PartChecksum(difference)))
            }
            _ => Ok(()),
        }
    }

    /// The refusal of a part with more than `limit` bytes.
    #[must_use]
    pub fn too_large(&self, limit: u64) -> NullspaceRefusal {
        match self.length {
            Some(expected) if limit >= expected => self.wrong_size(expected, "more"),
            _ => self.refused(UploadFault::TooLarge { limit }),
        }
    }

    /// The refusal of a part for which there is no space.
    #[must_use]
    pub fn no_room(&self) -> NullspaceRefusal {
        self.refused(UploadFault::NoRoom)
    }

    fn wrong_size(&self, expected: u64, found: impl ToString) -> NullspaceRefusal {
        self.refused(UploadFault::PartSize { expected, found: found.to_string() })
    }

    fn refused(&self, fault: UploadFault) -> NullspaceRefusal {
        NullspaceRefusal::Upload {
            fault,
            upload: Excerpt::from(&*self.upload).to_string(),
            part: Some(self.number),
        }
    }
}
