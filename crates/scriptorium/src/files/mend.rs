//! Mending: a stored file that is found damaged while it is sent is repaired, and the response continues.
//!
//! Sound blocks are read from the store. Damaged blocks are requested as ranges, if the registry sends ranges. The patched
//! file must hash to the sealed digest before any byte of it is sent: a block's checksum finds accidents, not forgeries. A
//! registry without ranges sends the whole file, which is verified like any download. An archive that was packed anew here
//! has other bytes than its registry's, or a repository in place of bytes, so it is fetched as a whole and packed again, which gives the
//! same bytes.
//!
//! Owns that choice. Called only if a block is damaged. Must not know the clients that wait.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use futures_util::TryStreamExt;
use tracing::{info, warn};

use super::bring::FileFetcher;
use super::damage::{self, DamagedBlocks, GoodBlocks};
use super::expected::{ExpectedFile, FileAddress, FileOrigin};
use super::ingest::ingest;
use super::sealed_file::{BroughtFile, Fill, SealedFile};
use super::slots::DownloadSlot;
use crate::intake::Received;
use crate::progress::{Progress, SlowestAverage};
use crate::read::ReadFailure;
use crate::store::StoreError;
use crate::store::sealed::Seal;
use crate::upstream::{CouldNotAsk, Download, FetchContext, PartialDownload};

/// Most ranges that are asked for; a file with more of them is fetched as a whole.
const MOST_RANGES: usize = 8;
/// Most bytes of them, which are held in memory.
const MOST_BYTES: u64 = 8 * 1024 * 1024;

/// The registry's answer to the request for damaged blocks.
enum Remedy {
    /// The blocks fit; the repaired file.
    Patched(Received),
    /// The registry sends no ranges; the whole file, and the slot of its download.
    Whole(Download, DownloadSlot),
    /// No blocks that fit: the file must be fetched as a whole.
    None,
}

/// Repairs `file`, which could not be read because of `error`. One flight repairs it for all of its readers. If other bytes of
/// the same content replace the file, no reader can continue: [`ReadFailure::Replaced`].
pub(super) async fn mend(
    fetcher: &Arc<FileFetcher>,
    file: &SealedFile,
    error: Arc<StoreError>,
    context: FetchContext<'_>,
) -> Result<(), ReadFailure> {
    fetcher.stored.forget(&file.storage_key());
    let is_gone = matches!(*error, StoreError::Missing { .. });
    if context.held_only {
        return Err(if is_gone { ReadFailure::HeldOnly } else { ReadFailure::Storage(error) });
    }
    let joined = fetcher.fly(&file.origin, context, |fetcher, origin, context| {
        let seal = Arc::clone(&file.seal);
        async move {
            Mending { fetcher: &fetcher, origin: &origin, seal: &seal, context: context.borrowed() }
                .run()
                .await
        }
    });
    match joined.await {
        Ok((Ok(brought), _)) if file.continue_from(&brought) => Ok(()),
        Ok((Ok(_), _)) => Err(ReadFailure::Replaced(error)),
        Err(_) => Err(ReadFailure::Storage(error)),
        // A missing file is a cache miss. For a damaged file, the client gets that error, not the failure of the repair.
        Ok((Err(failure), _)) if is_gone => Err(failure),
        Ok((Err(failure), _)) => {
            warn!(%failure, file = %file.origin.fetch.expected, request_id = context.id, "a damaged file cannot be mended");
            Err(ReadFailure::Storage(error))
        }
    }
}

/// The mending of one stored file, which should be what `seal` says.
struct Mending<'a> {
    fetcher: &'a FileFetcher,
    origin: &'a FileOrigin,
    seal: &'a Arc<Seal>,
    context: FetchContext<'a>,
}

impl Mending<'_> {
    async fn run(self) -> Fill {
        let (stored, expected) = (&self.fetcher.stored, self.expected());
        let Some(damaged) = damage::find(&*stored.store, &expected.storage_key(), self.seal).await else {
            return Ok(BroughtFile::stored(Arc::clone(self.seal)));
        };
        if let StoreError::Missing { .. } = damaged.first {
            return if self.fetcher.is_offline() { Err(ReadFailure::Offline) } else { self.fetch().await };
        }
        if let Some(other) = stored.repacked(expected, self.seal).await {
            return Ok(BroughtFile::stored(other));
        }
        let remedy =
            if self.fetcher.is_offline() { Err(ReadFailure::Offline) } else { self.ask(&damaged).await };
        // A file that could not be read may be sound. It stays until another file replaces it.
        if let StoreError::Corrupt(damage) = &damaged.first {
            stored.set_aside(expected, damage).await;
        }
        let (how, brought) = self.apply(remedy).await;
        stored.metrics.store.healed(if brought.is_ok() { how } else { "failed" });
        let brought = brought?;
        info!(file = %expected, request_id = self.context.id, how, "a damaged file is repaired");
        Ok(brought)
    }

    /// Stores what the registry sent. Answers how the file was mended, for the metric.
    async fn apply(&self, remedy: Result<Remedy, ReadFailure>) -> (&'static str, Fill) {
        let (stored, expected) = (&self.fetcher.stored, self.expected());
        match remedy {
            Ok(Remedy::Patched(received)) => {
                ("pieces", stored.keep(expected, received).await.map_err(ReadFailure::from))
            }
            Ok(Remedy::Whole(download, _slot)) => {
                let bounds = self.fetcher.bounds.load_full();
                ("whole", ingest(stored, download.into(), expected, &bounds).await.map_err(ReadFailure::from))
            }
            Ok(Remedy::None) => ("whole", self.fetch().await),
            // The damaged file may have been a copy in a tier. The original is read now.
            Err(failure) => match stored.seal(expected).await {
                Ok(Some(seal)) => ("original", Ok(BroughtFile::stored(seal))),
                Ok(None) | Err(_) => ("failed", Err(failure)),
            },
        }
    }

    /// Requests the damaged blocks, if they are few.
    async fn ask(&self, damaged: &DamagedBlocks) -> Result<Remedy, ReadFailure> {
        let Self { fetcher, origin, seal, context } = *self;
        let lost: u64 = damaged.ranges.iter().map(|range| range.end - range.start).sum();
        let is_small = damaged.ranges.len() <= MOST_RANGES && lost <= MOST_BYTES.min(seal.length / 2);
        let is_packed_here = seal.recipe != 0;
        // Nor does a repository have an archive of which a part could be asked for.
        let FileAddress::Url(locator) = &origin.address else { return Ok(Remedy::None) };
        if is_packed_here || !is_small {
            return Ok(Remedy::None);
        }
        let upstream = fetcher.upstream(origin)?;
        let (payload, from) = (self.expected().payload(), origin.from.to_string());
        let slot = fetcher.slot(origin, &origin.address, &upstream, context).await?;
        let mut good = Vec::with_capacity(damaged.ranges.len());
        for range in &damaged.ranges {
            let asked = upstream.download_range(payload, locator, &from, range.clone(), context);
            match asked.await {
                Ok(PartialDownload::Part { download, .. }) => match whole(download).await {
                    Ok(bytes) => good.push(GoodBlocks { start: range.start, bytes }),
                    // The whole file is requested instead, with all its retries.
                    Err(_) => return Ok(Remedy::None),
                },
                Ok(PartialDownload::Whole(download)) => return Ok(Remedy::Whole(download, slot)),
                Err(CouldNotAsk::Unexpected(_)) => return Ok(Remedy::None),
                // The request for the whole file looks for a new address.
                Err(reason) if reason.is_of_address() => return Ok(Remedy::None),
                Err(failure) => return Err(failure.into()),
            }
        }
        self.patch(good, upstream.name()).await
    }

    /// Patches the stored file, and checks that it is what was sealed.
    async fn patch(&self, good: Vec<GoodBlocks>, upstream: &str) -> Result<Remedy, ReadFailure> {
        let (expected, request_id) = (self.expected(), self.context.id);
        let (store, key) = (Arc::clone(&self.fetcher.stored.store), expected.storage_key());
        let seal = Arc::clone(self.seal);
        let patched = tokio::task::spawn_blocking(move || damage::patch(&*store, &key, &seal, &good));
        match patched.await.map_err(|_| ReadFailure::Lost)? {
            Ok(patched) if patched.seal == *self.seal => return Ok(Remedy::Patched(patched)),
            Ok(_) => {
                warn!(file = %expected, upstream, request_id, "the ranges that the registry sent do not fit")
            }
            Err(error) => warn!(%error, file = %expected, request_id, "a damaged file cannot be patched"),
        }
        Ok(Remedy::None)
    }

    async fn fetch(&self) -> Fill {
        self.fetcher.download(self.origin, self.context).await
    }

    fn expected(&self) -> &ExpectedFile {
        &self.origin.fetch.expected
    }
}

/// All bytes of a range. The transport bounds their number.
pub(super) async fn whole(range: Download) -> Result<Bytes, CouldNotAsk> {
    let (mut whole, mut progress) = (BytesMut::new(), Progress::at_least(SlowestAverage::USUAL));
    let mut body = range.body;
    while let Some(bytes) = progress.wait(body.try_next()).await?? {
        progress.came(bytes.len())?;
        whole.extend_from_slice(&bytes);
    }
    Ok(whole.freeze())
}
