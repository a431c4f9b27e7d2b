//! TLS with a registry or an HTTP proxy: which authorities are trusted, and which client certificate is shown.
//!
//! Versions 1.2 and 1.3. Owns the authorities (the machine's, or those that `SSL_CERT_FILE` and `SSL_CERT_DIR` name, and
//! `ca_file`) and the client certificate. Must not know what is sent over it.

use std::io;
use std::sync::Arc;

use connect_failure::MissingIdentity;
use rustls::crypto::ring;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::NoTransport;
use super::connection::Bytestream;
use super::listed_certificates::ListedCertificates;
use crate::config::{Egress, PemFile};

/// How handshakes are made.
#[derive(Debug, Clone)]
pub(super) struct TlsClient {
    config: Arc<ClientConfig>,
    /// A server requested a client certificate, and there is none. Before TLS 1.3 a refusal does not say so.
    missed: MissingIdentity,
}

/// A handshake that failed.
#[derive(Debug, thiserror::Error)]
#[error("{error}")]
pub(super) struct NoHandshake {
    #[source]
    pub(super) error: io::Error,
    /// A client certificate was requested, and there is none.
    pub(super) misses_identity: bool,
}

impl TlsClient {
    /// As `egress` configures. Without any authority no certificate is accepted.
    pub(super) fn new(egress: &Egress) -> Result<Self, NoTransport> {
        let provider = Arc::new(ring::default_provider());
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()?;
        let own = egress.ca_file.as_ref().map_or_else(|| Ok(Vec::new()), certificates)?;
        let roots = Arc::new(authorities(&own)?);
        let builder = if own.is_empty() {
            builder.with_root_certificates(roots)
        } else {
            let listed_certificates = ListedCertificates::new(roots, own, provider)?;
            builder.dangerous().with_custom_certificate_verifier(Arc::new(listed_certificates))
        };
        let identity = egress.client_cert.as_ref().zip(egress.client_key.as_ref());
        let mut config = match identity {
            None => builder.with_no_client_auth(),
            Some((cert, key)) => {
                let chain = certificates(cert)?;
                let key = key.private_key().map_err(|why| unusable(key, why))?;
                builder.with_client_auth_cert(chain, key)?
            }
        };
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        let missed = MissingIdentity::default();
        if identity.is_none() {
            config.client_auth_cert_resolver = Arc::new(missed.clone());
        }
        Ok(Self { config: Arc::new(config), missed })
    }

    /// The same for an HTTP proxy, which is spoken to in HTTP/1.1.
    pub(super) fn with_proxy(&self) -> Self {
        let mut config = ClientConfig::clone(&self.config);
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Self { config: Arc::new(config), missed: self.missed.clone() }
    }

    /// Shakes hands with `host` over `stream`.
    pub(super) async fn shake<S: Bytestream>(
        &self,
        host: &str,
        stream: S,
    ) -> Result<TlsStream<S>, NoHandshake> {
        let failed = |error| NoHandshake { error, misses_identity: self.missed.is_missed() };
        let name = ServerName::try_from(host.to_owned()).map_err(|error| failed(io::Error::other(error)))?;
        TlsConnector::from(Arc::clone(&self.config)).connect(name, stream).await.map_err(failed)
    }
}

/// Whether HTTP/2 was agreed on.
pub(super) fn speaks_h2<S>(stream: &TlsStream<S>) -> bool {
    stream.get_ref().1.alpn_protocol() == Some(b"h2")
}

fn authorities(own: &[CertificateDer<'static>]) -> Result<RootCertStore, NoTransport> {
    let mut store = RootCertStore::empty();
    let found = rustls_native_certs::load_native_certs();
    for error in &found.errors {
        tracing::warn!(%error, "certificate authorities of this machine cannot be read");
    }
    store.add_parsable_certificates(found.certs);
    for certificate in own {
        store.add(certificate.clone())?;
    }
    if store.is_empty() {
        tracing::warn!("no CA certificates on this machine: registries cannot be reached by https");
    }
    Ok(store)
}

fn certificates(file: &PemFile) -> Result<Vec<CertificateDer<'static>>, NoTransport> {
    file.certificates().map_err(|why| unusable(file, why))
}

fn unusable(file: &PemFile, why: String) -> NoTransport {
    NoTransport::File { path: file.path().to_owned(), why }
}
