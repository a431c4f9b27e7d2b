//! Checks one sealed archive: its seal, its blocks, its content as a whole, and its release.
//!
//! Owns these checks and their order. Must not unpack anything: what is sealed was verified before.

use sha2::Digest;

use super::ReadRate;
use super::document;
use super::finding::{Finding, FindingKind, quoted};
use crate::consistency::Pins;
use crate::domain::{DocumentKey, Integrity, Purl, Sha256};
use crate::store::sealed::{self, Seal, steps};
use crate::store::{Damage, StorageKey, Store, StoreError};

/// Checks the archive of `tree`, and with `pins` also its release. An archive that was removed meanwhile is not
/// wrong.
pub(super) async fn judge(
    store: &dyn Store,
    pins: Option<&Pins>,
    tree: Integrity,
    pace: &mut ReadRate,
) -> Result<(), Finding> {
    let key = StorageKey::Archive(tree);
    let path = key.path();
    let wrong = |expected: String, found: String| Finding::new(FindingKind::Archive, &*path, expected, found);
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
    Err(Finding::new(FindingKind::Disagreement, path, known.join(", "), found).of(release))
}

/// Checks the trust artifact whose bytes hash to `digest`. One that was removed meanwhile is not wrong.
pub(super) async fn judge_artifact(
    store: &dyn Store,
    digest: Sha256,
    pace: &mut ReadRate,
) -> Result<(), Finding> {
    let key = StorageKey::TrustArtifact(digest);
    let wrong =
        |expected: String, found: String| Finding::new(FindingKind::Archive, key.path(), expected, found);
    match whole(store, &key, pace).await {
        Ok(seal) if seal.raw == digest && seal.known_by == digest => Ok(()),
        Ok(seal) => Err(wrong(format!("the trust artifact {digest}"), format!("that of {}", seal.raw))),
        Err(StoreError::Missing { .. }) => Ok(()),
        Err(StoreError::Corrupt(damage)) => Err(wrong(damage.expected, damage.found)),
        Err(error) => Err(Finding::unreadable(key.path(), &error)),
    }
}

/// Reads the whole file at `key`. A running proxy may replace it meanwhile, so a file that breaks is opened again.
async fn whole(store: &dyn Store, key: &StorageKey, pace: &mut ReadRate) -> Result<Seal, StoreError> {
    let gone = || StoreError::Missing { path: key.path() };
    let seal = sealed::open(store, key).await?.ok_or_else(gone)?;
    let Err(error) = read(store, key, &seal, pace).await else { return Ok(seal) };
    let now = sealed::open(store, key).await?.ok_or_else(gone)?;
    if now == seal {
        return Err(error);
    }
    read(store, key, &now, pace).await.map(|()| now)
}

/// Reads every block, and compares the digest of the content.
async fn read(
    store: &dyn Store,
    key: &StorageKey,
    seal: &Seal,
    pace: &mut ReadRate,
) -> Result<(), StoreError> {
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

/// The release that a damaged archive was sealed for, if its seal can be read.
async fn release(store: &dyn Store, key: &StorageKey) -> Option<Purl> {
    sealed::open(store, key).await.ok()??.identity.parse().ok()
}

/// The integrities by which the release is known here, of any registry. Damaged documents are reported elsewhere.
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
