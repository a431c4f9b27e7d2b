//! The manifest's signature: minisign's format, of which one text is right for one manifest and one key.
//!
//! Owns how a signature is written and judged. Must not know where the files lie, nor what a manifest says.
//!
//! What is signed is the BLAKE2b hash of the file. minisign's C tool signs without chance, as we do; the `minisign` crate
//! does not, so that two exports of one state would differ. It checks signatures, though.

use std::io::{self, Read, Seek};

use blake2::{Blake2b512, Digest};
use data_encoding::BASE64;
use minisign::SignatureBox;

use super::keys::{KeyId, SigningKey, TrustedKey};
use super::layout::MANIFEST;
use super::time::UtcSecond;

const UNTRUSTED: &str = "untrusted comment: ";
const TRUSTED: &str = "trusted comment: ";
/// The comments that minisign's tools write where nobody chooses one. Since no signature covers this line, no other is
/// taken: not a byte of a bundle is without meaning.
const COMMENTS: [&str; 2] = ["signature from minisign secret key", "signature from rsign secret key"];
/// How minisign names Ed25519 over BLAKE2b.
const PREHASHED: &[u8] = b"ED";
/// Algorithm, key identifier and signature.
const FIRST: usize = 2 + 8 + 64;

/// What a manifest's signature is worth.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SignatureVerdict {
    /// It holds, and the key is trusted.
    Trusted(KeyId),
    /// It names a key that is not trusted. Whether it holds cannot be known without that key.
    Untrusted(KeyId),
    /// It does not hold, or is no signature.
    Bad(BadSignature),
    /// There is none: the bundle was not finished, or somebody took it away.
    Missing,
}

impl SignatureVerdict {
    /// `trusted`, `untrusted`, `bad` or `missing`.
    #[must_use]
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Trusted(_) => "trusted",
            Self::Untrusted(_) => "untrusted",
            Self::Bad(_) => "bad",
            Self::Missing => "missing",
        }
    }

    /// The key that the signature names, if it could be read.
    #[must_use]
    pub fn signed_by(&self) -> Option<KeyId> {
        match self {
            Self::Trusted(id) | Self::Untrusted(id) | Self::Bad(BadSignature::Differs(id)) => Some(*id),
            Self::Bad(_) | Self::Missing => None,
        }
    }
}

/// Why a signature is bad.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadSignature {
    /// The file is not a signature in minisign's format.
    #[error("the signature is not in minisign's format: {0}")]
    Malformed(&'static str),
    /// The signature is not that of a regular file.
    #[error("the signature is not a regular file")]
    Special,
    /// The key named is trusted, and did not sign this.
    #[error("the signature does not belong to this manifest and the key {0}")]
    Differs(KeyId),
}

/// Hashes a manifest while it is written.
#[derive(Default)]
pub(crate) struct SignatureHasher(Blake2b512);

impl SignatureHasher {
    pub(crate) fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The signature of what was hashed, as the file holds it.
    pub(crate) fn sign(self, key: &SigningKey, created: UtcSecond) -> String {
        let signature = key.sign(&self.0.finalize());
        let comment = format!("timestamp:{}\tfile:{MANIFEST}\thashed", created.seconds());
        let whole = key.sign(&[&signature, comment.as_bytes()].concat());
        let first = BASE64.encode(&[PREHASHED, key.id().file_order(), &signature].concat());
        let whole = BASE64.encode(&whole);
        format!("{UNTRUSTED}{}\n{first}\n{TRUSTED}{comment}\n{whole}\n", COMMENTS[0])
    }
}

/// Judges the signature in `text` over `manifest`, which is read from its beginning for each key of the right identifier.
///
/// # Errors
/// When the manifest cannot be read.
pub(crate) fn judge(
    text: &[u8],
    mut manifest: impl Read + Seek,
    trusted: &[TrustedKey],
) -> io::Result<SignatureVerdict> {
    let (signature, id) = match parse(text) {
        Ok(parsed) => parsed,
        Err(why) => return Ok(SignatureVerdict::Bad(BadSignature::Malformed(why))),
    };
    let mut known = false;
    for key in trusted.iter().filter(|key| key.id() == id) {
        known = true;
        manifest.rewind()?;
        let mut read = Watched { inner: &mut manifest, failed: None };
        let verified = minisign::verify(key.key(), &signature, &mut read, true, false, false);
        if let Some(error) = read.failed {
            return Err(error);
        }
        if verified.is_ok() {
            return Ok(SignatureVerdict::Trusted(id));
        }
    }
    Ok(if known { SignatureVerdict::Bad(BadSignature::Differs(id)) } else { SignatureVerdict::Untrusted(id) })
}

/// Keeps the failure of a source apart from a signature that does not hold.
struct Watched<'a, R> {
    inner: &'a mut R,
    failed: Option<io::Error>,
}

impl<R: Read> Read for Watched<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.inner.read(buffer).map_err(|error| {
            let told = io::Error::from(error.kind());
            self.failed = Some(error);
            told
        })
    }
}

impl<R: Seek> Seek for Watched<'_, R> {
    fn seek(&mut self, to: io::SeekFrom) -> io::Result<u64> {
        self.inner.seek(to)
    }
}

/// Takes the one form that a signature has, since the library behind it takes many and expects lengths to be right.
fn parse(text: &[u8]) -> Result<(SignatureBox, KeyId), &'static str> {
    let text = std::str::from_utf8(text).map_err(|_| "expected UTF-8")?;
    let lines = text.strip_suffix('\n').ok_or("expected four lines, each with its end")?;
    let mut lines = lines.split('\n');
    let (Some(untrusted), Some(first), Some(trusted), Some(whole), None) =
        (lines.next(), lines.next(), lines.next(), lines.next(), lines.next())
    else {
        return Err("expected four lines");
    };
    if !untrusted.strip_prefix(UNTRUSTED).is_some_and(|comment| COMMENTS.contains(&comment)) {
        return Err("expected the untrusted comment that minisign writes by itself");
    }
    let comment = trusted.strip_prefix(TRUSTED).ok_or("expected a trusted comment")?;
    if comment != comment.trim() || comment.chars().any(|char| char.is_control() && char != '\t') {
        return Err("the trusted comment has control characters or blanks at an end");
    }
    let decoded =
        |line: &str, length: usize| BASE64.decode(line.as_bytes()).ok().filter(|bytes| bytes.len() == length);
    let first = decoded(first, FIRST).ok_or("the first signature is not one")?;
    decoded(whole, 64).ok_or("the second signature is not one")?;
    if !first.starts_with(PREHASHED) {
        return Err("expected a signature over the hash of the file, as minisign makes it since 0.10");
    }
    let id = first.get(2..10).and_then(KeyId::from_file_order).ok_or("the first signature is not one")?;
    let signature = SignatureBox::from_string(text).map_err(|_| "minisign does not read it")?;
    Ok((signature, id))
}
