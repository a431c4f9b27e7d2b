//! Noting that a server requested a client certificate where there is none.
//!
//! Before TLS 1.3 a refusal does not say that this is why, and afterwards it may get lost when the server closes. Owns that note.
//! Must not know what follows from it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rustls::SignatureScheme;
use rustls::client::ResolvesClientCert;
use rustls::sign::CertifiedKey;

/// A resolver without a client certificate. Clones are the same note.
#[derive(Debug, Clone, Default)]
pub struct MissingIdentity(Arc<AtomicBool>);

impl MissingIdentity {
    /// Whether a server requested a client certificate.
    pub fn is_missed(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

impl ResolvesClientCert for MissingIdentity {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        self.0.store(true, Ordering::Relaxed);
        None
    }

    fn has_certs(&self) -> bool {
        // Otherwise rustls would not ask this resolver.
        true
    }
}
