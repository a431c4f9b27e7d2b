//! SHA-256 digests and the one text form the protocol gives them.
//!
//! Owns the difference between the digest of some bytes ([`Sha256`]) and the digest of a normalized file
//! tree ([`Integrity`]): both are 32 bytes, and mixing them up would be a security bug. Must not know how
//! a tree is hashed; that is `archive::tree`.

use std::fmt;
use std::str::FromStr;

use crate::text_form;
use data_encoding::{BASE64, HEXLOWER};

/// Why a text is no digest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected `sha256:` and 64 lowercase hexadecimal digits")]
pub struct InvalidDigest;

/// The SHA-256 of some bytes, 32 bytes long.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Sha256([u8; 32]);

impl Sha256 {
    /// Wraps 32 bytes that a hash function produced.
    #[must_use]
    pub fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Hashes `bytes`.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        use sha2::Digest;
        Self(sha2::Sha256::digest(bytes).into())
    }

    /// The 32 bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// 64 lowercase hexadecimal digits, without a prefix.
    #[must_use]
    pub fn hex(&self) -> String {
        HEXLOWER.encode(&self.0)
    }

    /// Base64 with padding, as a structured field's byte sequence holds it (RFC 9530, section 2).
    #[must_use]
    pub fn base64(&self) -> String {
        BASE64.encode(&self.0)
    }

    /// Parses 64 lowercase hexadecimal digits without a prefix.
    ///
    /// # Errors
    /// [`InvalidDigest`] on any other length or character.
    pub fn from_hex(hex: &str) -> Result<Self, InvalidDigest> {
        let bytes = HEXLOWER.decode(hex.as_bytes()).map_err(|_| InvalidDigest)?;
        bytes.try_into().map(Self).map_err(|_| InvalidDigest)
    }
}

impl fmt::Display for Sha256 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sha256:{}", self.hex())
    }
}

impl FromStr for Sha256 {
    type Err = InvalidDigest;

    fn from_str(text: &str) -> Result<Self, InvalidDigest> {
        Self::from_hex(text.strip_prefix("sha256:").ok_or(InvalidDigest)?)
    }
}

text_form!(Sha256);

/// A release's immutable content identity: the SHA-256 of its normalized file tree.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Integrity(Sha256);

impl Integrity {
    /// Wraps the digest of a normalized file tree.
    #[must_use]
    pub fn new(tree: Sha256) -> Self {
        Self(tree)
    }

    /// The digest itself.
    #[must_use]
    pub fn digest(&self) -> &Sha256 {
        &self.0
    }
}

impl fmt::Display for Integrity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl FromStr for Integrity {
    type Err = InvalidDigest;

    fn from_str(text: &str) -> Result<Self, InvalidDigest> {
        text.parse().map(Self)
    }
}

text_form!(Integrity);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_form_round_trips_and_is_strict() {
        let text = format!("sha256:{}", "0123456789abcdef".repeat(4));
        assert_eq!(text.parse::<Integrity>().unwrap().to_string(), text);
        for bad in [
            "",
            "sha256:",
            &text[7..],
            &text.to_uppercase(),
            &text.replace('f', "F"),
            &text[..70],
            &format!("{text}0"),
            &text.replace("sha256", "sha512"),
        ] {
            assert_eq!(bad.parse::<Integrity>(), Err(InvalidDigest), "{bad}");
        }
    }

    #[test]
    fn hashes_as_fips_180_4() {
        let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(Sha256::of(b"abc").hex(), abc);
    }
}
