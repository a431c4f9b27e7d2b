//! The certificate of the public port.
//!
//! Owns reading it, and which protocols are offered by ALPN. Must not know who connects. The server library would panic
//! on a bad file, so the certificate is read here and handed over as a resolver.

use std::path::Path;
use std::sync::Arc;

use pingora_core::listeners::tls::TlsSettings;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::{CertifiedKey, SingleCertAndKey};

use super::ListenError;

/// Reads chain and key, checks that they belong together, and offers HTTP/2 before HTTP/1.1.
pub(super) fn load(chain: &Path, key: &Path) -> Result<TlsSettings, ListenError> {
    let certificates: Vec<_> = CertificateDer::pem_file_iter(chain)
        .and_then(Iterator::collect)
        .map_err(|error| unusable(chain, error))?;
    if certificates.is_empty() {
        return Err(unusable(chain, "no certificate in it"));
    }
    let private = PrivateKeyDer::from_pem_file(key).map_err(|error| unusable(key, error))?;
    let certified = CertifiedKey::from_der(certificates, private, &ring::default_provider())
        .map_err(|error| unusable(key, error))?;

    let mut settings = TlsSettings::intermediate("", "").map_err(|error| unusable(chain, error))?;
    settings.set_cert_resolver(Arc::new(SingleCertAndKey::from(certified)));
    settings.enable_h2();
    Ok(settings)
}

fn unusable(path: &Path, reason: impl ToString) -> ListenError {
    ListenError::Tls { path: path.to_owned(), reason: reason.to_string() }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn message(chain: &Path, key: &Path) -> String {
        load(chain, key).err().expect("it was accepted").to_string()
    }

    #[test]
    fn what_is_wrong_with_a_file_is_said_with_its_name() {
        let folder = tempfile::tempdir().unwrap();
        let (missing, empty) = (folder.path().join("missing.pem"), folder.path().join("empty.pem"));
        fs::write(&empty, "").unwrap();
        assert!(message(&missing, &empty).contains("missing.pem: "));
        assert!(message(&empty, &missing).contains("empty.pem: no certificate in it; "));
    }
}
