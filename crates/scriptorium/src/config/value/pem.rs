//! A file of certificates, or of a private key, as it was when the configuration was read.
//!
//! A changed file is another value, so that a reload notices. Owns reading the file, and what must be in it. Must not know who
//! trusts whom, and shows nothing of a key.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::RootCertStore;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::bounded_file::read_bytes;

/// The longest file that is read, in bytes: all authorities of a system are some hundred thousand.
const LONGEST: u64 = 16 << 20;

/// The path of a PEM file and its contents.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct PemFile {
    path: PathBuf,
    contents: Arc<[u8]>,
}

impl PemFile {
    /// Reads the file at `path`.
    ///
    /// # Errors
    /// Why the file cannot be read.
    pub(crate) fn read(path: PathBuf) -> Result<Self, String> {
        let contents = read_bytes(&path, LONGEST)?.into();
        Ok(Self { path, contents })
    }

    /// The path of the file.
    #[must_use]
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The contents of the file.
    #[must_use]
    pub(crate) fn contents(&self) -> &[u8] {
        &self.contents
    }

    /// The certificates in the file, one at least.
    ///
    /// # Errors
    /// Why there are none.
    pub(crate) fn certificates(&self) -> Result<Vec<CertificateDer<'static>>, String> {
        let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&self.contents).collect();
        let certificates = certificates.map_err(|error| error.to_string())?;
        if certificates.is_empty() { Err("no certificate in it".to_owned()) } else { Ok(certificates) }
    }

    /// The private key in the file.
    ///
    /// # Errors
    /// Why there is none.
    pub(crate) fn private_key(&self) -> Result<PrivateKeyDer<'static>, String> {
        let marker = b"ENCRYPTED";
        if self.contents.windows(marker.len()).any(|part| part == marker) {
            return Err(
                "its key is encrypted; store it without a passphrase (`openssl pkey -in FILE`)".to_owned()
            );
        }
        PrivateKeyDer::from_pem_slice(&self.contents).map_err(|error| match error {
            pem::Error::NoItemsFound => "no private key in it".to_owned(),
            error => error.to_string(),
        })
    }

    /// Whether each certificate in the file, one at least, can be an authority.
    ///
    /// # Errors
    /// Why one cannot.
    pub(crate) fn hold_authorities(&self) -> Result<(), String> {
        let (mut store, certificates) = (RootCertStore::empty(), self.certificates()?);
        let added = certificates.into_iter().try_for_each(|certificate| store.add(certificate));
        added.map_err(|error| error.to_string())
    }
}

impl fmt::Debug for PemFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("PemFile").field(&self.path).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_content_is_another_value_and_none_is_shown() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key.pem");
        assert!(PemFile::read(path.clone()).is_err());
        std::fs::write(&path, "secret-key").unwrap();
        let one = PemFile::read(path.clone()).unwrap();
        assert_eq!(PemFile::read(path.clone()).as_ref(), Ok(&one));
        assert!(!format!("{one:?}").contains("secret-key"));
        std::fs::write(&path, "another").unwrap();
        assert_ne!(PemFile::read(path), Ok(one));
    }
    #[test]
    fn a_key_that_is_none_says_what_to_do() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key.pem");
        let told = |text: &str| {
            std::fs::write(&path, text).unwrap();
            PemFile::read(path.clone()).unwrap().private_key().unwrap_err()
        };
        assert!(told("-----BEGIN ENCRYPTED PRIVATE KEY-----\n").contains("openssl pkey"));
        assert!(told("-----BEGIN EC PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n").contains("openssl pkey"));
        assert_eq!(told(""), "no private key in it");
    }
}
