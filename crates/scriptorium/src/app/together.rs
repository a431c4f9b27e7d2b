//! Starting this proxy as one of several that share a bucket.
//!
//! Owns that nothing of it exists without `[cluster]`. Must not know what proxies agree on.

use std::sync::Arc;

use super::AppError;
use super::registries::RegistryFactory;
use crate::cluster::{ClusterError, ClusterNode};
use crate::config::Config;
use crate::store::ProxyStore;

impl AppError {
    /// Whether only another configuration lets the proxy start.
    pub(crate) fn is_of_configuration(&self) -> bool {
        matches!(self, Self::Cluster(ClusterError::Engine(_)))
    }
}

/// This proxy's part in the cluster of `config`, if there is one, also for what registries may be asked. It does nothing
/// before it joins.
///
/// # Errors
/// [`AppError::Cluster`] when its engine can never be used as it is configured.
pub(super) fn cluster(
    config: &Config,
    registries: &mut RegistryFactory,
    store: &Arc<ProxyStore>,
) -> Result<Option<Arc<ClusterNode>>, AppError> {
    let RegistryFactory { clock, metrics, .. } = registries;
    let start = |cluster| ClusterNode::start(cluster, store.clone(), Arc::clone(clock), Arc::clone(metrics));
    let cluster = config.cluster.as_ref().map(start).transpose()?;
    registries.cluster.clone_from(&cluster);
    Ok(cluster)
}
