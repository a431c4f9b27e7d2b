//! The damaged blocks of a stored file, and a copy of it with good ones in their place.
//!
//! Owns finding and replacing them. Must not know where good blocks come from.

use std::io::Write;
use std::ops::Range;

use bytes::Bytes;
use tokio::runtime::Handle;

use crate::intake::Received;
use crate::store::sealed::{BLOCK, Seal, SealWriter, steps};
use crate::store::{Damage, Staged, StorageKey, Store, StoreError};

/// The whole blocks that are not what was sealed, in order.
pub(super) struct DamagedBlocks {
    pub(super) ranges: Vec<Range<u64>>,
    /// The fault of the first.
    pub(super) first: StoreError,
}

/// Bytes and where they belong.
pub(super) struct GoodBlocks {
    pub(super) start: u64,
    pub(super) bytes: Bytes,
}

/// Compares every block of a stored file with its seal. `None` when all are sound.
pub(super) async fn find(store: &dyn Store, key: &StorageKey, seal: &Seal) -> Option<DamagedBlocks> {
    let mut damaged: Option<DamagedBlocks> = None;
    for range in steps(0..seal.length).flat_map(blocks) {
        let error = match store.read_range(key, range.clone()).await {
            Ok(Some(bytes)) => match seal.verify(range.start / BLOCK, &bytes) {
                Ok(()) => continue,
                Err(wrong) => StoreError::Corrupt(Damage::of(key, wrong.expected, wrong.found)),
            },
            Ok(None) => {
                let first = StoreError::Missing { path: key.path() };
                return Some(DamagedBlocks { ranges: Vec::new(), first });
            }
            Err(error) => error,
        };
        let DamagedBlocks { ranges, .. } =
            damaged.get_or_insert(DamagedBlocks { ranges: Vec::new(), first: error });
        match ranges.last_mut() {
            Some(last) if last.end == range.start => last.end = range.end,
            _ => ranges.push(range),
        }
    }
    damaged
}

/// Cuts a step into its blocks.
fn blocks(step: Range<u64>) -> impl Iterator<Item = Range<u64>> {
    (step.start..step.end).step_by(BLOCK as usize).map(move |start| start..(start + BLOCK).min(step.end))
}

/// Writes the file anew, with the `good` blocks where they belong. Blocks its thread.
pub(super) fn patch(
    store: &dyn Store,
    key: &StorageKey,
    seal: &Seal,
    good: &[GoodBlocks],
) -> Result<Received, StoreError> {
    let runtime = Handle::current();
    let mut writer = SealWriter::new(store.stage()?).with_facts(seal.facts.clone());
    let mut at = 0;
    let copy = |writer: &mut SealWriter<Staged>, sound: Range<u64>| -> Result<(), StoreError> {
        for step in steps(sound) {
            let missing = || StoreError::Missing { path: key.path() };
            let bytes = runtime.block_on(store.read_range(key, step))?.ok_or_else(missing)?;
            writer.write_all(&bytes)?;
        }
        Ok(())
    };
    for GoodBlocks { start, bytes } in good {
        copy(&mut writer, at..*start)?;
        writer.write_all(bytes)?;
        at = start + bytes.len() as u64;
    }
    copy(&mut writer, at..seal.length)?;
    let (staged, seal) = writer.finish(seal.known_by, &seal.identity)?;
    Ok(Received::sealed(staged, seal))
}
