//! Where things are kept: a folder, or a bucket and the folder before it.
//!
//! Owns which parts of a storage are examined. Must not know how a disk is measured, nor how a bucket is asked.

use super::{Diagnosis, disk};
use crate::causes::with_causes;
use crate::config::{Location, Storage};
use crate::store::StorageBucket;

pub(super) async fn examine(storage: &Storage) -> Vec<Diagnosis> {
    let scratch = storage.scratch.iter();
    let scratch = scratch.flat_map(|folder| disk::examine("scratch", folder, storage.max_scratch));
    let mut found = match &storage.url {
        Location::Memory => {
            let found = "storage.url = \"memory:///\" keeps nothing beyond the process";
            vec![
                Diagnosis::doubtful("storage", "", found)
                    .advise("name a folder: file:///var/lib/scriptorium"),
            ]
        }
        Location::File(folder) => disk::examine("storage", folder, storage.max_size),
        Location::S3 { bucket, prefix } => {
            let bucket = StorageBucket { name: bucket.clone(), prefix: prefix.clone() };
            let mut found = vec![examine_bucket(&bucket).await];
            found.extend(disk::examine("tier", &storage.tier, storage.max_size));
            found
        }
    };
    found.extend(scratch);
    found
}

async fn examine_bucket(bucket: &StorageBucket) -> Diagnosis {
    match bucket.prove().await {
        Ok(()) => Diagnosis::good(
            "bucket",
            &*bucket.name,
            "lists, reads and deletes objects, and lets one of two writers win",
        ),
        Err(error) => Diagnosis::bad("bucket", &*bucket.name, with_causes(&error)),
    }
}
