//! One sealed archive: does every byte still hold, and is it the content its release is known by?
//!
//! Owns that judgement and its order: the seal, the blocks, the whole, the release. Must not unpack anything: what
//! is sealed was verified before.

use sha2::Digest;

use super::Pace;
use super::document;
use super::finding::{Finding, Kind, quoted};
use crate::consistency::Pins;
use crate::domain::{DocumentKey, Integrity, Purl, Sha256};
use crate::store::sealed::{self, Seal, steps};
use crate::store::{Damage, StorageKey, Store, StoreError};

/// Looks at the archive of `tree`, and with `pins` at what else its release is known by; one that went away meanwhile is not wrong.
///
/// # Errors
/// What is wrong with it.
pub(super) async fn judge(
    store: &dyn Store,
    pins: Option<&Pins>,
    tree: Integrity,
    pace: &mut Pace,
) -> Result<(), Finding> {
    let key = StorageKey::Archive(tree);
    let path = key.path();
    let wrong = |expected: String, found: String| Finding::new(Kind::Archive, &*path, expected, found);
    let seal = match whole(store, &key, pace).await {
        Ok(seal) => seal,
        Err(StoreError::Missing { .. }) => return Ok(()),
        Err(StoreError::Corrupt(damage)) => {
            let finding = wrong(damage.expected, damage.found);
            return Err(match release(store, &key).await {
                Some(release) => finding.of(release),
                None => finding,
            });
        }
        Err(error) => return Err(Finding::unreadable(path, &error)),
    };
    if seal.known_by != *tree.digest() {
        let (expected, found) = (format!("the archive of tree {tree}"), format!("that of {}", seal.known_by));
        return Err(wrong(expected, found).of(quoted(&seal.identity)));
    }
    let release = seal.identity.parse::<Purl>();
    let release =
        release.map_err(|error| wrong(error.to_string(), format!("`{}`", quoted(&seal.identity))))?;
    let Some(pins) = pins else { return Ok(()) };
    let known = known(store, pins, &release).await;
    if known.is_empty() || known.iter().any(|(_, integrity)| *integrity == tree) {
        return Ok(());
    }
    let known: Vec<_> = known.iter().map(|(who, integrity)| format!("{integrity} ({who})")).collect();
    let found = format!("an archive of {tree}");
    Err(Finding::new(Kind::Disagreement, path, known.join(", "), found).of(release))
}

/// Looks at the trust artifact whose bytes hash to `digest`; one that went away meanwhile is not wrong.
///
/// # Errors
/// What is wrong with it.
pub(super) async fn judge_artifact(
    store: &dyn Store,
    digest: Sha256,
    pace: &mut Pace,
) -> Result<(), Finding> {
    let key = StorageKey::TrustArtifact(digest);
    let wrong = |expected: String, found: String| Finding::new(Kind::Archive, key.path(), expected, found);
    match whole(store, &key, pace).await {
        Ok(seal) if seal.raw == digest && seal.known_by == digest => Ok(()),
        Ok(seal) => Err(wrong(format!("the trust artifact {digest}"), format!("that of {}", seal.raw))),
        Err(StoreError::Missing { .. }) => Ok(()),
        Err(StoreError::Corrupt(damage)) => Err(wrong(damage.expected, damage.found)),
        Err(error) => Err(Finding::unreadable(key.path(), &error)),
    }
}

/// Reads the file at `key` to its end. A running proxy may put another whole file there meanwhile, whose blocks
/// are others; so one that breaks is opened again.
async fn whole(store: &dyn Store, key: &StorageKey, pace: &mut Pace) -> Result<Seal, StoreError> {
    let gone = || StoreError::Missing { path: key.path() };
    let seal = sealed::open(store, key).await?.ok_or_else(gone)?;
    let Err(error) = read(store, key, &seal, pace).await else { return Ok(seal) };
    let now = sealed::open(store, key).await?.ok_or_else(gone)?;
    if now == seal {
        return Err(error);
    }
    read(store, key, &now, pace).await.map(|()| now)
}

/// Reads all of it, block by block, and as a whole.
async fn read(store: &dyn Store, key: &StorageKey, seal: &Seal, pace: &mut Pace) -> Result<(), StoreError> {
    let mut digest = sha2::Sha256::new();
    for step in steps(0..seal.length) {
        let bytes = seal.read(store, key, step).await?;
        digest.update(&bytes);
        pace.after(bytes.len() as u64).await;
    }
    let digest = Sha256::new(digest.finalize().into());
    if digest == seal.raw {
        return Ok(());
    }
    Err(StoreError::Corrupt(Damage::of(
        key,
        format!("content with the digest {}", seal.raw),
        digest.to_string(),
    )))
}

/// The release that a damaged archive was sealed for, if that much is still to be read.
async fn release(store: &dyn Store, key: &StorageKey) -> Option<Purl> {
    sealed::open(store, key).await.ok()??.identity.parse().ok()
}

/// Which contents the release is known by here, at whichever registry. What is damaged is told where it is met itself.
async fn known(store: &dyn Store, pins: &Pins, release: &Purl) -> Vec<(&'static str, Integrity)> {
    let pinned = pins.of_volume(&release.name).await.unwrap_or_default().pins;
    let exact_key = DocumentKey::Release(release.name.clone(), release.version.clone());
    let mut known = Vec::new();
    for (_, pin) in pinned.into_iter().filter(|(_, pin)| pin.release() == *release) {
        known.push(("the pin", pin.integrity));
        let Some(registry) = pin.registry() else { continue };
        let exact = document::held(store, &registry, &exact_key).await;
        let integrity = exact.and_then(|exact| exact.content.release()?.integrity);
        known.extend(integrity.map(|integrity| ("exact metadata", integrity)));
    }
    known
}
