//! The second pass over a pack: the objects that are stored as differences get their names.
//!
//! Owns the order, in which each object follows the one that it differs from. So neither a loop nor a base that is not there can
//! keep the pass going: what is reached by no way is left over. The library resolves one object at a time, within the limit of what is
//! held, and finds its base in a cache of the same size. Must not know how a pack arrives.

use std::collections::BTreeMap;
use std::path::Path;

use gix_hash::{ObjectId, oid};
use gix_pack::cache::lru::MemoryCappedHashmap;
use gix_pack::data;
use gix_pack::data::decode::entry::ResolvedBase;

use super::{PackedObject, StoredForm};
use crate::{FetchError, GitAllowance, GitExcess, GitLimits, PackFault};

/// Names the objects of the pack at `path` that have no name yet.
pub(super) fn resolve(
    objects: &mut [PackedObject],
    path: &Path,
    allowance: &GitAllowance<'_>,
) -> Result<(), FetchError> {
    let mut waiting = Waiting::of(objects);
    if waiting.is_empty() {
        return Ok(());
    }
    let mut pack = Differences::open(path, allowance.limits())?;
    let mut open = Vec::new();
    for place in 0..objects.len() {
        if let (StoredForm::Whole, Some(id)) = (objects[place].form, objects[place].id) {
            open.push((place, id, 0));
        }
        while let Some((place, id, depth)) = open.pop() {
            let (same_place, same_name) = waiting.take(place, id);
            if !same_name.is_empty() {
                pack.bases.insert(id, objects[place].offset);
            }
            for child in same_place.into_iter().chain(same_name) {
                if depth == allowance.limits().max_delta_depth {
                    return Err(GitExcess::DeltaDepth(depth).into());
                }
                let id = pack.name(objects[child as usize].offset, allowance)?;
                objects[child as usize].id = Some(id);
                open.push((child as usize, id, depth + 1));
            }
        }
    }
    match waiting.is_empty() {
        true => Ok(()),
        false => Err(PackFault::Incomplete.into()),
    }
}

/// The objects that wait for the one that they differ from.
struct Waiting {
    by_place: BTreeMap<usize, Vec<u32>>,
    by_id: BTreeMap<ObjectId, Vec<u32>>,
}

impl Waiting {
    fn of(objects: &[PackedObject]) -> Self {
        let (mut by_place, mut by_id) = (BTreeMap::<_, Vec<u32>>::new(), BTreeMap::<_, Vec<u32>>::new());
        for (place, object) in (0..).zip(objects) {
            match object.form {
                StoredForm::Whole => {}
                StoredForm::DeltaOf(base) => by_place.entry(base as usize).or_default().push(place),
                StoredForm::DeltaOfId(base) => by_id.entry(base).or_default().push(place),
            }
        }
        Self { by_place, by_id }
    }

    fn is_empty(&self) -> bool {
        self.by_place.is_empty() && self.by_id.is_empty()
    }

    /// Those that wait for this object, by its place and by its name.
    fn take(&mut self, place: usize, id: ObjectId) -> (Vec<u32>, Vec<u32>) {
        (self.by_place.remove(&place).unwrap_or_default(), self.by_id.remove(&id).unwrap_or_default())
    }
}

/// A pack whose differences are being applied.
struct Differences {
    pack: data::File,
    /// Where those objects lie that others refer to by name.
    bases: BTreeMap<ObjectId, u64>,
    cache: MemoryCappedHashmap,
    inflate: gix_zlib::Inflate,
    content: Vec<u8>,
}

impl Differences {
    fn open(path: &Path, limits: &GitLimits) -> Result<Self, FetchError> {
        let pack = data::File::at(path, gix_hash::Kind::Sha1);
        let pack = pack.map_err(|error| FetchError::Storage(std::io::Error::other(error)))?;
        Ok(Self {
            pack: pack.with_alloc_limit_bytes(Some(limits.room_to_resolve())),
            bases: BTreeMap::new(),
            cache: MemoryCappedHashmap::new(limits.max_held.max(1)),
            inflate: gix_zlib::Inflate::default(),
            content: Vec::new(),
        })
    }

    /// The name of the object whose entry begins at `offset`.
    fn name(&mut self, offset: u64, allowance: &GitAllowance<'_>) -> Result<ObjectId, FetchError> {
        let failed = |exhausted: bool| match exhausted {
            true => FetchError::Exceeded(GitExcess::Held(allowance.limits().max_held)),
            false => PackFault::Delta.into(),
        };
        let entry = self.pack.entry(offset).map_err(|error| failed(error.is_resource_exhausted()))?;
        let base = |id: &oid, _: &mut Vec<u8>| {
            let entry = self.bases.get(id).map(|offset| self.pack.entry(*offset)).transpose()?;
            Ok(entry.map(ResolvedBase::InPack))
        };
        self.content.clear();
        let outcome =
            self.pack.decode_entry(entry, &mut self.content, &mut self.inflate, &base, &mut self.cache);
        let outcome = outcome.map_err(|error| failed(error.is_resource_exhausted()))?;
        allowance.hold(self.content.len() as u64)?;
        allowance.inflate(outcome.object_size.saturating_mul(u64::from(outcome.num_deltas)))?;
        let id = gix_object::compute_hash(gix_hash::Kind::Sha1, outcome.kind, &self.content);
        Ok(id.map_err(|_| PackFault::Collision)?)
    }
}
