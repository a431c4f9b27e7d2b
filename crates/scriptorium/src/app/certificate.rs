//! Telling how the certificate of the public port stands, at the start and at each reload.
//!
//! Owns who is told. Must not know how a certificate is read.

use tracing::warn;

use super::registries::RegistryFactory;
use crate::listen::Certificates;

/// Tells until when the certificate of the public port holds, and warns if that is no good.
pub(super) fn tell(certificates: &Certificates, registries: &RegistryFactory) {
    let standing = certificates.standing(registries.clock.now());
    if let Some(ends) = standing.ends() {
        registries.metrics.connections.certificate("public", ends);
    }
    if let Some(remedy) = standing.remedy() {
        warn!("the certificate of server.tls {standing}; {remedy}");
    }
}
