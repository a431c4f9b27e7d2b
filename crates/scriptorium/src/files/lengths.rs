//! The length of a file that is not stored, as its registry says it.
//!
//! No document says how long an archive is. So one byte is asked for, at the address of a download and by its way: an
//! address may be signed for GET alone. Owns that question. Must not know what a length is needed for.

use super::expected::FileAddress;
use super::gate::{Permit, permit};
use super::mend::whole;
use super::read::SealedFiles;
use crate::domain::FileKey;
use crate::read::ReadFailure;
use crate::upstream::{CouldNotAsk, FetchContext, PartialDownload};

impl SealedFiles {
    /// How many bytes the registry would send for the file `key`; none where it does not say. An archive that is packed
    /// anew has about as many.
    pub(crate) async fn length(
        &self,
        key: &FileKey,
        context: FetchContext<'_>,
    ) -> Result<Option<u64>, ReadFailure> {
        let (from, fetcher) = (key.gate(), &self.fetcher);
        let gate = self.documents.get(&from, context).await?;
        let Permit { origin, .. } = permit(key, from, &gate)?;
        if fetcher.is_offline() {
            return Err(ReadFailure::Offline);
        }
        let upstream = fetcher.upstream(&origin)?;
        // How long the archive of a commit gets is known once it is made.
        let FileAddress::Url(locator) = &origin.address else { return Ok(None) };
        let _slot = fetcher.slot(&origin, &origin.address, &upstream, context).await?;
        let (payload, from) = (origin.fetch.expected.payload(), origin.from.to_string());
        match upstream.download_range(payload, locator, &from, 0..1, context).await {
            Ok(PartialDownload::Part { of, download }) => {
                // Read to its end, so that the connection can be used again.
                let _ = whole(download).await;
                Ok(of)
            }
            Ok(PartialDownload::Whole(download)) => Ok(download.length),
            Err(CouldNotAsk::Unexpected(_)) => Ok(None),
            // The download looks for another address.
            Err(reason) if reason.is_of_address() => Ok(None),
            Err(failure) => Err(failure.into()),
        }
    }
}
