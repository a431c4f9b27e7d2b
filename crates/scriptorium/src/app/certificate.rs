//! Telling how the certificate of the public port stands, at the start and at each reload.
//!
//! Owns who is told. Must not know how a certificate is read.

use tracing::warn;

use super::registries::RegistryFactory;
use crate::listen::{CertificateStanding, Certificates};

/// Tells until when the certificate of the public port holds, and warns if that is no good.
pub(super) fn tell(certificates: &Certificates, registries: &RegistryFactory) {
    let standing = certificates.standing(registries.clock.now());
    if let Some(ends) = standing.ends() {
        registries.metrics.connections.certificate("public", ends);
    }
    match standing {
        CertificateStanding::Holds(_) => {}
        CertificateStanding::EndsSoon(_)
        | CertificateStanding::Expired(_)
        | CertificateStanding::NotYet(_)
        | CertificateStanding::Unreadable => {
            warn!("the certificate of server.tls {standing}; {}", standing.remedy());
        }
    }
}
