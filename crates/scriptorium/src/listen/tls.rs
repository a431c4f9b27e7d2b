//! The certificate of the public port.
//!
//! Owns reading it, replacing it while it is in use, and the protocols that ALPN offers. Must not know who connects.

use std::io;
use std::path::Path;
use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{ServerConfig, version};
use tokio_rustls::TlsAcceptor;

use super::ListenError;

/// The name of HTTP/2 in ALPN.
pub(super) const ALPN_HTTP2: &[u8] = b"h2";

/// The certificate that new connections get, with its key; clones share it.
#[derive(Debug, Clone)]
pub(crate) struct Certificates(Arc<CurrentCertificate>);

#[derive(Debug)]
struct CurrentCertificate(ArcSwap<CertifiedKey>);

impl Certificates {
    /// Reads chain and key, PEM both, and checks that they belong together.
    pub(crate) fn read(chain: &Path, key: &Path) -> Result<Self, ListenError> {
        Ok(Self(Arc::new(CurrentCertificate(ArcSwap::from_pointee(certified(chain, key)?)))))
    }

    /// The certificate that a new connection would get.
    pub(super) fn current(&self) -> Arc<CertifiedKey> {
        self.0.0.load_full()
    }

    /// Gives new connections the certificate of `with`; open ones go on.
    pub(crate) fn replace(&self, with: &Self) {
        self.0.0.store(with.0.0.load_full());
    }

    /// Accepts handshakes, and offers HTTP/2 before HTTP/1.1.
    pub(super) fn acceptor(&self) -> Result<TlsAcceptor, ListenError> {
        let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_protocol_versions(&[&version::TLS13, &version::TLS12])
            .map_err(|error| ListenError::Start(io::Error::other(error)))?
            .with_no_client_auth()
            .with_cert_resolver(self.0.clone());
        config.alpn_protocols = vec![ALPN_HTTP2.to_vec(), b"http/1.1".to_vec()];
        Ok(TlsAcceptor::from(Arc::new(config)))
    }
}

impl ResolvesServerCert for CurrentCertificate {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.load_full())
    }
}

fn certified(chain: &Path, key: &Path) -> Result<CertifiedKey, ListenError> {
    let certificates: Vec<_> = CertificateDer::pem_file_iter(chain)
        .and_then(Iterator::collect)
        .map_err(|error| unusable(chain, error))?;
    if certificates.is_empty() {
        return Err(unusable(chain, "no certificate in it"));
    }
    let private = PrivateKeyDer::from_pem_file(key).map_err(|error| unusable(key, error))?;
    CertifiedKey::from_der(certificates, private, &ring::default_provider())
        .map_err(|error| unusable(key, error))
}

fn unusable(path: &Path, reason: impl ToString) -> ListenError {
    ListenError::Tls { path: path.to_owned(), reason: reason.to_string() }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::PathBuf;

    use super::*;

    fn message(chain: &Path, key: &Path) -> String {
        Certificates::read(chain, key).expect_err("it was accepted").to_string()
    }

    fn testdata(name: &str) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("src/config/testdata").join(name)
    }

    #[test]
    fn what_is_wrong_with_a_file_is_said_with_its_name() {
        let folder = tempfile::tempdir().unwrap();
        let (missing, empty) = (folder.path().join("missing.pem"), folder.path().join("empty.pem"));
        fs::write(&empty, "").unwrap();
        assert!(message(&missing, &empty).contains("missing.pem: "));
        assert!(message(&empty, &missing).contains("empty.pem: no certificate in it; "));
    }

    #[test]
    fn a_certificate_is_replaced_by_another_for_all_who_share_it() {
        let (chain, key) = (testdata("server-cert.pem"), testdata("server-key.pem"));
        let certificates = Certificates::read(&chain, &key).unwrap();
        let (shared, fresh) = (certificates.clone(), Certificates::read(&chain, &key).unwrap());
        certificates.replace(&fresh);
        assert!(Arc::ptr_eq(&shared.0.0.load_full(), &fresh.0.0.load_full()));
    }
}
