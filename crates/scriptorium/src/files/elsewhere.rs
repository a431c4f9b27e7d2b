//! A file that another proxy on the bucket downloads, or just downloaded.
//!
//! Of all proxies one downloads a file, and the others find it, or its refusal, in the bucket. What is in no bucket, that it
//! arrived damaged or too long, is told to those who wait for it, as all who wait here share it: they would get the same bytes.
//! That the proxy could not ask is told to nobody. Owns that, and its form. Must not know how a file is downloaded.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::expected::{ExpectedFile, FileFetch};
use super::sealed_file::{BroughtFile, Fill};
use super::stored::StoredFiles;
use crate::cluster::{FlightTrace, SeenNote, SharedFetch};
use crate::read::{Documents, ReadFailure};
use crate::upstream::CouldNotAsk;
use archive::ArchiveError;

/// For how long a failure is told: those who wait look each second.
const AWAITED: Duration = Duration::from_secs(5);

/// One file, which one proxy downloads for all.
pub(super) struct SharedDownload<'a> {
    fetch: &'a FileFetch,
    documents: &'a Documents,
    stored: &'a StoredFiles,
    /// The longest file that is taken here.
    limit: u64,
    key: String,
}

/// A failure of the bytes, or of their host, whoever downloads them.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum ToldDownload {
    /// It is no whole gzip file.
    NotGzip,
    /// It is longer than so many bytes.
    TooLong(u64),
    /// It is not what its document says.
    Inconsistent(String),
    /// The host answered so.
    Host(ToldAnswer),
    /// The Git host of the release did.
    GitHost(ToldAnswer),
    /// The repository gives nothing to make it of.
    Repository { why: String, is_gone: bool },
}

/// A status that says something of the file, whoever asks for it.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum ToldAnswer {
    Unexpected(u16),
    ServerError(u16),
}

impl ToldAnswer {
    fn of(why: &CouldNotAsk) -> Option<Self> {
        match why {
            CouldNotAsk::Unexpected(status) => Some(Self::Unexpected(*status)),
            CouldNotAsk::ServerError(status) => Some(Self::ServerError(*status)),
            // Another way there may hold.
            _ => None,
        }
    }
}

impl From<ToldAnswer> for CouldNotAsk {
    fn from(told: ToldAnswer) -> Self {
        match told {
            ToldAnswer::Unexpected(status) => Self::Unexpected(status),
            ToldAnswer::ServerError(status) => Self::ServerError(status),
        }
    }
}

impl<'a> SharedDownload<'a> {
    pub(super) fn new(
        fetch: &'a FileFetch,
        documents: &'a Documents,
        stored: &'a StoredFiles,
        limit: u64,
    ) -> Self {
        let key = fetch.registry.digest_of(&fetch.expected.storage_key().path()).hex();
        Self { fetch, documents, stored, limit, key }
    }
}

#[async_trait]
impl SharedFetch<Fill> for SharedDownload<'_> {
    fn key(&self) -> &str {
        &self.key
    }

    async fn look(&self) -> Option<Fill> {
        let FileFetch { registry, expected } = self.fetch;
        if let Some(seal) = self.stored.seal(expected).await.ok().flatten() {
            return Some(Ok(BroughtFile::stored(seal)));
        }
        let ExpectedFile::Archive { release, integrity } = expected else { return None };
        let refusal = self.documents.refused_elsewhere(registry, release, integrity).await?;
        Some(Err(ReadFailure::RefusedArchive(refusal)))
    }

    fn read(&self, note: &SeenNote) -> Option<Fill> {
        let told: ToldDownload = serde_json::from_str(&note.text).ok().filter(|_| note.was_awaited)?;
        told.failure(self.limit).map(Err)
    }

    fn leave(&self, filled: &Fill) -> FlightTrace {
        let failure = match filled {
            Ok(brought) if brought.unstored.is_none() => return FlightTrace::Stored,
            Ok(_) => return FlightTrace::Nothing,
            Err(failure) => failure,
        };
        let told = ToldDownload::of(failure).and_then(|told| serde_json::to_string(&told).ok());
        told.map_or(FlightTrace::Nothing, |text| FlightTrace::note(text, AWAITED))
    }
}

impl ToldDownload {
    fn of(failure: &ReadFailure) -> Option<Self> {
        match failure {
            ReadFailure::Archive(error) => matches!(**error, ArchiveError::Gzip(_)).then_some(Self::NotGzip),
            ReadFailure::CouldNotAsk(why) => ToldAnswer::of(why).map(Self::Host),
            ReadFailure::GitHost(why) => ToldAnswer::of(why).map(Self::GitHost),
            ReadFailure::TooLarge { limit } => Some(Self::TooLong(*limit)),
            ReadFailure::Inconsistent(why) => Some(Self::Inconsistent(why.clone())),
            ReadFailure::Repository { why, is_gone } => {
                Some(Self::Repository { why: why.clone(), is_gone: *is_gone })
            }
            _ => None,
        }
    }

    /// The same failure here, where a file may be `limit` bytes long.
    fn failure(self, limit: u64) -> Option<ReadFailure> {
        match self {
            Self::NotGzip => {
                let error = io::Error::new(io::ErrorKind::InvalidData, "another proxy found it damaged");
                Some(ReadFailure::Archive(Arc::new(ArchiveError::Gzip(error))))
            }
            Self::TooLong(told) => (limit <= told).then_some(ReadFailure::TooLarge { limit }),
            Self::Inconsistent(why) => Some(ReadFailure::Inconsistent(why)),
            Self::Host(told) => Some(CouldNotAsk::from(told).into()),
            Self::GitHost(told) => Some(ReadFailure::GitHost(told.into())),
            Self::Repository { why, is_gone } => Some(ReadFailure::Repository { why, is_gone }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn retold(failure: &ReadFailure, limit: u64) -> Option<String> {
        let text = serde_json::to_string(&ToldDownload::of(failure)?).unwrap();
        let told: ToldDownload = serde_json::from_str(&text).unwrap();
        told.failure(limit).map(|failure| failure.to_string())
    }

    #[test]
    fn what_the_bytes_or_their_host_failed_at_is_told_and_nothing_else() {
        let gzip = ArchiveError::Gzip(io::Error::other("bad checksum"));
        for failure in [
            ReadFailure::Archive(Arc::new(gzip)),
            ReadFailure::TooLarge { limit: 7 },
            ReadFailure::Inconsistent("other bytes".into()),
            CouldNotAsk::Unexpected(404).into(),
            CouldNotAsk::ServerError(500).into(),
            ReadFailure::GitHost(CouldNotAsk::Unexpected(404)),
            ReadFailure::Repository { why: "a damaged pack".to_owned(), is_gone: false },
        ] {
            assert_eq!(retold(&failure, 7), Some(failure.to_string()));
        }
        assert_eq!(retold(&ReadFailure::TooLarge { limit: 7 }, 8), None, "this proxy takes more");
        for failure in [CouldNotAsk::TimedOut, CouldNotAsk::BrokenBody, CouldNotAsk::Busy] {
            assert_eq!(retold(&failure.into(), 7), None, "another way there may hold");
        }
        assert_eq!(retold(&ReadFailure::Lost, 7), None);
    }
}
