//! How the ports are configured, and how many connections the system has descriptors for.
//!
//! Owns these settings. Must not know what is served.

use std::sync::Arc;

use tracing::warn;

use super::registries::RegistryFactory;
use super::{certificate, folders, parts};
use crate::admin::{AdminTokens, Door};
use crate::config::{ClientAddress, Config, Server};
use crate::limit::Limiter;
use crate::listen::{Certificates, ListenError, ListenSettings, TrustedProxies};

/// Descriptors that are not for connections of clients: files, connections to registries, the admin port.
const OTHERS: u64 = 2_048;

/// Whom the admin port lets in.
pub(super) fn door(server: &Server, tokens: AdminTokens) -> Door {
    Door::new(tokens, server.admin_listen.ip(), parts::listed(&server.admin_hosts))
}

/// The descriptors that so many connections and everything beside them need.
pub(crate) fn descriptors_for(connections: usize) -> u64 {
    u64::try_from(connections).unwrap_or(u64::MAX).saturating_add(OTHERS)
}

/// The configured number of connections, or fewer if the system has fewer descriptors: without a descriptor
/// no file could be read either.
pub(super) fn within_descriptors(connections: usize) -> usize {
    let limit = match rlimit::increase_nofile_limit(u64::MAX) {
        Ok(limit) => limit,
        Err(error) => {
            warn!(%error, "cannot raise the limit of open files; many connections may be refused");
            return connections;
        }
    };
    let most = usize::try_from(limit - OTHERS.min(limit / 2)).unwrap_or(usize::MAX);
    if most < connections {
        warn!(
            limit,
            max_connections = most,
            "fewer connections than limits.max_connections are accepted: the process may open too few files; \
             raise its hard limit (ulimit -Hn, LimitNOFILE)"
        );
    }
    connections.min(most)
}

/// How both ports are served.
pub(super) fn settings(
    config: &Config,
    upgrade: bool,
    limiter: &Arc<Limiter>,
    registries: &RegistryFactory,
) -> Result<ListenSettings, ListenError> {
    let server = &config.server;
    let tls =
        server.tls.as_ref().map(|tls| Certificates::read(tls.cert.path(), tls.key.path())).transpose()?;
    if let Some(tls) = &tls {
        certificate::tell(tls, registries);
    }
    let limiter = Arc::clone(limiter);
    Ok(ListenSettings {
        listen: server.listen,
        admin_listen: server.admin_listen,
        given_by: ["server.listen", "server.admin_listen"],
        threads: server.threads,
        tls,
        max_connections: config.limits.max_connections,
        max_connections_per_client: config.limits.max_connections_per_client,
        max_connection_memory: usize::try_from(config.limits.max_connection_memory).unwrap_or(usize::MAX),
        trusted: TrustedProxies::new(move |address| limiter.trusts(address)),
        proxy_protocol: server.client_address == ClientAddress::ProxyProtocol,
        header_timeout: config.limits.header_timeout,
        send_timeout: config.limits.send_timeout,
        shutdown_grace: server.shutdown_grace,
        upgrade,
        hand_over: folders::hand_over(config),
    })
}
