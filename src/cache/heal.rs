//! Healing: a stored file that is damaged while it is sent is mended from its registry, and the response goes on.
//!
//! What is still sound is read from the store, what is not is asked for as ranges where the registry offers them, and
//! the whole must hash to what was sealed before a byte of it is believed: a block's checksum finds accidents, not
//! lies. A registry without ranges sends all of it, which is verified like any archive; so it does for one that was
//! packed anew here, which comes out the same. Owns that. Must not know who
//! is sent what.

use std::io::Write;
use std::ops::Range;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use futures_util::TryStreamExt;
use tokio::runtime::Handle;
use tracing::{info, warn};

use super::failure::Failure;
use super::ingest::{Brought, ingest, keep};
use super::sealed_file::{Origin, SealedFile};
use super::sealed_files::{Fill, LITTLE, SealedFiles};
use super::turns::Turn;
use super::wanted::Wanted;
use crate::clock::pace::Pace;
use crate::intake::Received;
use crate::store::sealed::{self, BLOCK, Seal, SealWriter, steps};
use crate::store::{Damage, Staged, StorageKey, Store, StoreError};
use crate::upstream::{CouldNotAsk, Download, Errand, Partial};

/// Most pieces that are asked for one by one; a file with more is fetched as a whole.
const MOST_PIECES: usize = 8;
/// Most bytes of them, which are held in memory.
const MOST_BYTES: u64 = 8 * 1024 * 1024;

/// What of a stored file is not what was sealed: whole blocks, in order, and what was wrong first.
struct Broken {
    ranges: Vec<Range<u64>>,
    first: StoreError,
}

/// What the registry gave for broken blocks.
enum Mended {
    /// They fit, and this is the file again.
    Patched(Received),
    /// It does not send pieces; this is all of it, and the turn that it comes in.
    Whole(Download, Turn),
    /// No pieces that fit.
    Unpatched,
}

impl SealedFiles {
    /// Bytes of a sealed file, verified as they are read. What is damaged is mended first, where the registry can
    /// be asked.
    ///
    /// # Errors
    /// [`Failure::Storage`] when they cannot be read, or are not what was sealed, and cannot be had anew;
    /// [`Failure::Replaced`] when the same content in other bytes took their place.
    pub async fn read(
        self: &Arc<Self>,
        file: &Arc<SealedFile>,
        range: Range<u64>,
        errand: Errand<'_>,
    ) -> Result<Bytes, Failure> {
        let piece = || {
            self.pieces.get(file.seal.raw, range.clone(), || {
                let (store, file, range) = (Arc::clone(&self.store), Arc::clone(file), range.clone());
                async move {
                    let is_little = range.end - range.start <= LITTLE;
                    let bytes = file.read(&*store, range).await.map_err(Arc::new)?;
                    // A part of a block holds all of it.
                    Ok(if is_little { Bytes::copy_from_slice(&bytes) } else { bytes })
                }
            })
        };
        match piece().await {
            Ok(bytes) => Ok(bytes),
            Err(error) => {
                self.heal(file, error, errand).await?;
                piece().await.map_err(Failure::Storage)
            }
        }
    }

    /// Joins the one healing of a file, or starts it.
    async fn heal(
        self: &Arc<Self>,
        file: &SealedFile,
        error: Arc<StoreError>,
        errand: Errand<'_>,
    ) -> Result<(), Failure> {
        self.seals.invalidate(&file.place());
        let is_gone = matches!(*error, StoreError::Missing { .. });
        if errand.held_only {
            return Err(if is_gone { Failure::HeldOnly } else { Failure::Storage(error) });
        }
        let joined = self.flights.join_seen(&file.origin.fetch, |waiters| {
            let (files, errand) = (Arc::clone(self), errand.kept());
            let (origin, seal) = (Arc::clone(&file.origin), Arc::clone(&file.seal));
            async move {
                let mend = files.mend(&origin, &seal, errand.lend());
                files.unless_left(&origin.fetch, &waiters, mend).await
            }
        });
        match joined.await {
            Ok((Ok(brought), _)) if file.go_on_with(&brought) => Ok(()),
            Ok((Ok(_), _)) => Err(Failure::Replaced(error)),
            Err(_) => Err(Failure::Storage(error)),
            // What is gone is a miss. Of damage, the client is told that, not why nobody could help.
            Ok((Err(failure), _)) if is_gone => Err(failure),
            Ok((Err(failure), _)) => {
                warn!(%failure, file = %file.origin.fetch.wanted, request_id = errand.id, "a damaged file cannot be mended");
                Err(Failure::Storage(error))
            }
        }
    }

    /// Makes what is stored what `seal` says again.
    async fn mend(&self, origin: &Origin, seal: &Seal, errand: Errand<'_>) -> Fill {
        let wanted = &origin.fetch.wanted;
        let place = wanted.place();
        let Some(broken) = broken(&*self.store, &place, seal).await else {
            return Ok(Brought { seal: Arc::new(seal.clone()), loose: None });
        };
        if let StoreError::Missing { .. } = broken.first {
            return if self.is_offline() { Err(Failure::Offline) } else { self.fill(origin, errand).await };
        }
        if let Some(other) = self.repacked(wanted, &place, seal).await {
            return Ok(self.brought(wanted, Brought { seal: Arc::new(other), loose: None }));
        }
        let mended = match self.is_offline() {
            true => Err(Failure::Offline),
            false => self.mended(origin, seal, &broken, errand).await,
        };
        // What could not be read may be sound; it stays until something whole takes its place.
        if let StoreError::Corrupt(damage) = &broken.first {
            self.set_aside(wanted.payload(), &place, damage).await;
        }
        let (how, brought) = match mended {
            Ok(Mended::Patched(received)) => {
                ("pieces", keep(&*self.store, wanted, received).await.map_err(Failure::from))
            }
            Ok(Mended::Whole(download, _turn)) => {
                let ingested = ingest(&self.store, download, wanted, &self.bounds.load_full()).await;
                ("whole", ingested.map_err(Failure::from))
            }
            Ok(Mended::Unpatched) => ("whole", self.fill(origin, errand).await),
            // What was damaged may have been a copy; then the original is what is found now.
            Err(failure) => match self.sealed(wanted).await {
                Ok(Some(seal)) => ("original", Ok(Brought { seal, loose: None })),
                Ok(None) | Err(_) => ("failed", Err(failure)),
            },
        };
        let how = if brought.is_ok() { how } else { "failed" };
        self.metrics.store.healed(how);
        let brought = self.brought(wanted, brought?);
        info!(file = %wanted, request_id = errand.id, how, "a damaged file is whole again");
        Ok(brought)
    }

    /// The seal of what lies there, where it is the same content compressed otherwise: that took the place of what
    /// `seal` is of and is not damaged, though whoever began with the one cannot go on with the other.
    async fn repacked(&self, wanted: &Wanted, place: &StorageKey, seal: &Seal) -> Option<Seal> {
        let now = sealed::open(&*self.store, place).await.ok()??;
        let sound = wanted.is_under(&now) && wanted.compare(&now).is_ok();
        (sound && now.raw != seal.raw).then_some(now)
    }

    /// Asks the registry for what is broken, and for no more where that is worth it.
    async fn mended(
        &self,
        origin: &Origin,
        seal: &Seal,
        broken: &Broken,
        errand: Errand<'_>,
    ) -> Result<Mended, Failure> {
        // What was packed anew here has no piece of its registry's bytes in it.
        if seal.recipe != 0 {
            return Ok(Mended::Unpatched);
        }
        let lost: u64 = broken.ranges.iter().map(|range| range.end - range.start).sum();
        if broken.ranges.len() > MOST_PIECES || lost > MOST_BYTES.min(seal.length / 2) {
            return Ok(Mended::Unpatched);
        }
        let upstream = self.upstream(origin)?;
        let (wanted, from) = (&origin.fetch.wanted, origin.from.to_string());
        let turn = self.turn(origin, &origin.locator, &upstream, errand).await?;
        let mut pieces = Vec::with_capacity(broken.ranges.len());
        for range in &broken.ranges {
            let asked =
                upstream.download_range(wanted.payload(), &origin.locator, &from, range.clone(), errand);
            match asked.await {
                Ok(Partial::Part { download, .. }) => match whole(download).await {
                    Ok(piece) => pieces.push((range.start, piece)),
                    // One that breaks off is not worth another question: the whole is asked for with all its retries.
                    Err(_) => return Ok(Mended::Unpatched),
                },
                Ok(Partial::Whole(download)) => return Ok(Mended::Whole(download, turn)),
                Err(CouldNotAsk::Unexpected(_)) => return Ok(Mended::Unpatched),
                // Where it is by now is asked for with the whole.
                Err(reason) if reason.is_of_address() => return Ok(Mended::Unpatched),
                Err(failure) => return Err(failure.into()),
            }
        }
        let (store, place, expected) = (Arc::clone(&self.store), wanted.place(), seal.clone());
        let patched = tokio::task::spawn_blocking(move || patch(&*store, &place, &expected, &pieces));
        match patched.await.map_err(|_| Failure::Lost)? {
            Ok(patched) if *patched.seal == *seal => Ok(Mended::Patched(patched)),
            Ok(_) => {
                warn!(file = %wanted, upstream = upstream.name(), request_id = errand.id, "the registry's pieces do not fit");
                Ok(Mended::Unpatched)
            }
            Err(error) => {
                warn!(%error, file = %wanted, "a damaged file cannot be patched");
                Ok(Mended::Unpatched)
            }
        }
    }
}

/// Holds every block of a stored file against its seal. `None` when all are sound.
async fn broken(store: &dyn Store, place: &StorageKey, seal: &Seal) -> Option<Broken> {
    let mut broken: Option<Broken> = None;
    for range in steps(0..seal.length).flat_map(blocks) {
        let error = match store.read_range(place, range.clone()).await {
            Ok(Some(bytes)) => match seal.verify(range.start / BLOCK, &bytes) {
                Ok(()) => continue,
                Err(wrong) => StoreError::Corrupt(Damage::of(place, wrong.expected, wrong.found)),
            },
            Ok(None) => {
                let first = StoreError::Missing { path: place.path() };
                return Some(Broken { ranges: Vec::new(), first });
            }
            Err(error) => error,
        };
        match &mut broken {
            None => broken = Some(Broken { ranges: vec![range], first: error }),
            Some(Broken { ranges, .. }) => match ranges.last_mut() {
                Some(last) if last.end == range.start => last.end = range.end,
                _ => ranges.push(range),
            },
        }
    }
    broken
}

/// Cuts a step into its blocks.
fn blocks(step: Range<u64>) -> impl Iterator<Item = Range<u64>> {
    (step.start..step.end).step_by(BLOCK as usize).map(move |start| start..(start + BLOCK).min(step.end))
}

/// Writes the file anew, with `pieces` where they belong. Blocks: for threads of a runtime that may.
fn patch(
    store: &dyn Store,
    place: &StorageKey,
    seal: &Seal,
    pieces: &[(u64, Bytes)],
) -> Result<Received, StoreError> {
    let runtime = Handle::current();
    let mut writer = SealWriter::new(store.stage()?);
    let mut at = 0;
    let copy = |writer: &mut SealWriter<Staged>, sound: Range<u64>| -> Result<(), StoreError> {
        for step in steps(sound) {
            let missing = || StoreError::Missing { path: place.path() };
            let bytes = runtime.block_on(store.read_range(place, step))?.ok_or_else(missing)?;
            writer.write_all(&bytes)?;
        }
        Ok(())
    };
    for (start, piece) in pieces {
        copy(&mut writer, at..*start)?;
        writer.write_all(piece)?;
        at = start + piece.len() as u64;
    }
    copy(&mut writer, at..seal.length)?;
    let (staged, seal) = writer.finish(seal.known_by, &seal.identity)?;
    Ok(Received::sealed(staged, seal))
}

/// All of a piece, which is no longer than was asked for, as long as it moves.
async fn whole(piece: Download) -> Result<Bytes, CouldNotAsk> {
    let (mut whole, mut pace) = (BytesMut::new(), Pace::default());
    let mut body = piece.body;
    while let Some(bytes) = pace.waiting(body.try_next()).await? {
        pace.came(bytes.len()).map_err(|_| CouldNotAsk::TimedOut)?;
        whole.extend_from_slice(&bytes);
    }
    Ok(whole.freeze())
}
