//! The header fields of the API that declare an upload.
//!
//! Owns their names and how they are read. Must not know which fields are forwarded.

use archive::Sha256;
use http::{HeaderMap, HeaderName};

use super::{NullspaceRefusal, UploadFault};

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

const BUNDLE_DIGEST: HeaderName = HeaderName::from_static("x-nullspace-bundle-digest");
const PART_SHA256: HeaderName = HeaderName::from_static("x-nullspace-part-sha256");

/// The digest of a bundle, as its sender declares it. The request must also have an idempotency key.
///
/// # Errors
/// [`NullspaceRefusal::Header`] if one of the two is missing.
pub fn declared_bundle(headers: &HeaderMap) -> Result<&str, NullspaceRefusal> {
    required(headers, &IDEMPOTENCY_KEY, "Idempotency-Key")?;
    required(headers, &BUNDLE_DIGEST, "X-Nullspace-Bundle-Digest")
}

/// The text of a field that must be sent exactly once.
fn required<'a>(
    headers: &'a HeaderMap,
    name: &HeaderName,
    called: &'static str,
) -> Result<&'a str, NullspaceRefusal> {
    let mut values = headers.get_all(name).into_iter();
    let value = values.next().and_then(|value| value.to_str().ok()).filter(|value| !value.is_empty());
    value.filter(|_| values.next().is_none()).ok_or(NullspaceRefusal::Header(called))
}

/// The digest of a part, if its sender declares one.
pub(crate) fn declared_part(headers: &HeaderMap) -> Result<Option<Sha256>, UploadFault> {
    let mut values = headers.get_all(PART_SHA256).into_iter();
    let Some(value) = values.next() else { return Ok(None) };
    let digest = value.to_str().ok().and_then(|hex| Sha256::from_hex(hex).ok());
    let digest = digest.filter(|_| values.next().is_none());
    let expected = "expected 64 lowercase hexadecimal digits";
    digest.map(Some).ok_or_else(|| UploadFault::PartChecksum(expected.to_owned()))
}
