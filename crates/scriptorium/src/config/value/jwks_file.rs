//! A file with an issuer's public keys, as it was when the configuration was read.
//!
//! A changed file is another value, so that a reload notices. Owns reading the file, and what a set of keys looks like
//! (RFC 7517). Must not know how a signature is verified.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Deserialize;

use super::bounded_file::read_bytes;

/// The longest set of keys that is read, in bytes.
pub(crate) const LONGEST_JWKS: u64 = 1 << 20;

/// The path of a set of keys and its contents.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct JwksFile {
    path: PathBuf,
    contents: Arc<[u8]>,
}

#[derive(Deserialize)]
struct KeysAlone {
    keys: Vec<KindAlone>,
}

#[derive(Deserialize)]
struct KindAlone {
    kty: String,
}

impl JwksFile {
    /// Reads the file at `path`.
    ///
    /// # Errors
    /// Why the file cannot be used.
    pub(crate) fn read(path: PathBuf) -> Result<Self, String> {
        let contents = read(&path)?.into();
        Ok(Self { path, contents })
    }

    /// The path of the file.
    #[must_use]
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The contents of the file.
    pub(crate) fn contents(&self) -> &[u8] {
        &self.contents
    }
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    let bytes = read_bytes(path, LONGEST_JWKS)?;
    let keys: KeysAlone = serde_json::from_slice(&bytes).map_err(|error| error.to_string())?;
    if !keys.keys.iter().any(|key| matches!(&*key.kty, "RSA" | "EC" | "OKP")) {
        return Err("it has no public key (RSA, EC or OKP)".to_owned());
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_content_is_another_value_and_a_set_without_public_keys_is_none() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("jwks.json");
        assert!(JwksFile::read(path.clone()).is_err());
        std::fs::write(&path, r#"{"keys":[{"kty":"EC"}]}"#).unwrap();
        let one = JwksFile::read(path.clone()).unwrap();
        assert_eq!(JwksFile::read(path.clone()).as_ref(), Ok(&one));
        std::fs::write(&path, r#"{"keys":[{"kty":"RSA"}]}"#).unwrap();
        assert_ne!(JwksFile::read(path.clone()), Ok(one));
        for bad in [
            "",
            "[]",
            "{}",
            r#"{"keys":[]}"#,
            r#"{"keys":[{"kty":"oct","k":"c2VjcmV0"}]}"#,
            r#"{"keys":[{}]}"#,
        ] {
            std::fs::write(&path, bad).unwrap();
            assert!(JwksFile::read(path.clone()).is_err(), "{bad}");
        }
    }
}
