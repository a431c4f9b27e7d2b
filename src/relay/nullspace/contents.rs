//! A bundle held against its version's manifest while it arrives.
//!
//! Owns the comparison, entry by entry and as a whole. Must not know where the manifest came from, nor where the
//! bundle goes.

use std::collections::BTreeMap;
use std::io::Read;
use std::sync::Arc;

use sha2::Digest;

use super::Refused;
use super::manifest::{BundleHasher, Entry, Kind, Manifest, excerpt};
use super::tarball::{Fault, Member, Tarball};
use crate::domain::Sha256;
use crate::intake::{Arriving, Received};
use crate::relay::body::BodyError;
use crate::relay::upload::Description;

/// What the bundle of a version must be.
pub(super) struct Bundle {
    /// What it must hold.
    pub(super) manifest: Arc<Manifest>,
    /// Its digest, as its sender says.
    pub(super) declared: String,
    /// Most bytes.
    pub(super) limit: u64,
}

impl Description for Bundle {
    /// The bundle digest.
    type Found = Sha256;

    fn limit(&self) -> u64 {
        self.limit
    }

    fn inspect(&self, content: &mut Arriving<'_>) -> Result<Sha256, crate::relay::Refused> {
        compare(&self.manifest, content).map_err(|fault| match fault {
            Fault::Tar(refused) => refused.into(),
            Fault::Source => BodyError::Broken.into(),
        })
    }

    fn judge(&self, found: &Sha256, _: &Received) -> Result<(), crate::relay::Refused> {
        let found = found.hex();
        if found == self.declared {
            return Ok(());
        }
        let declared = excerpt(&self.declared);
        let said = format!("X-Nullspace-Bundle-Digest is `{declared}`, and what came has the digest {found}");
        Err(Refused::Bundle(said).into())
    }
}

/// Reads a tar to its end and gives its bundle digest, if its members are just those of `manifest`.
pub(super) fn compare(manifest: &Manifest, tar: impl Read) -> Result<Sha256, Fault> {
    let mut tar = Tarball::new(tar);
    let mut digests: BTreeMap<&str, (&Entry, String)> = BTreeMap::new();
    while let Some(member) = tar.next()? {
        let differs = |what: String| mismatch(format!("`{}` {what}", excerpt(&member.path)));
        let Some((path, entry)) = manifest.entries.get_key_value(&member.path) else {
            return Err(differs("is not in it".to_owned()));
        };
        held_against(&member, entry).map_err(differs)?;
        let digest = digest(&member, &mut tar)?;
        if digest != entry.digest {
            let expected = excerpt(&entry.digest);
            return Err(differs(format!("has the digest `{digest}`, expected `{expected}`")));
        }
        if digests.insert(path, (entry, digest)).is_some() {
            return Err(differs("comes twice".to_owned()));
        }
    }
    if let Some(missing) = manifest.entries.keys().find(|path| !digests.contains_key(path.as_str())) {
        return Err(mismatch(format!("`{}` is missing", excerpt(missing))));
    }
    let mut bundle = BundleHasher::new(&manifest.config_digest);
    for (path, (entry, digest)) in digests {
        bundle.add(path, entry.kind, entry.mode(), entry.size, &digest);
    }
    let found = bundle.finish();
    match &manifest.bundle_digest {
        Some(expected) if *expected != found.hex() => {
            let expected = excerpt(expected);
            Err(mismatch(format!("the digest over its entries is {}, expected `{expected}`", found.hex())))
        }
        _ => Ok(found),
    }
}

fn mismatch(what: String) -> Fault {
    Fault::Tar(Refused::Bundle(what))
}

/// What of a member's header is not as its manifest says.
fn held_against(member: &Member, entry: &Entry) -> Result<(), String> {
    if member.kind != entry.kind {
        return Err(format!("is a {}, expected a {}", member.kind.as_str(), entry.kind.as_str()));
    }
    if member.size != entry.size {
        return Err(format!("has {} bytes, expected {}", member.size, entry.size));
    }
    if !entry.may_have(member.mode) {
        return Err(format!("has the mode {:o}, expected {:o}", member.mode, entry.mode()));
    }
    Ok(())
}

/// The digest of a file's bytes or of a link's target; a directory has none.
fn digest<R: Read>(member: &Member, tar: &mut Tarball<R>) -> Result<String, Fault> {
    match (member.kind, &member.target) {
        (Kind::Symlink, Some(target)) => Ok(Sha256::of(target.as_bytes()).hex()),
        (Kind::File, _) => {
            let mut hasher = sha2::Sha256::new();
            while let Some(bytes) = tar.content()? {
                hasher.update(bytes);
            }
            Ok(Sha256::new(hasher.finalize().into()).hex())
        }
        _ => Ok(String::new()),
    }
}
