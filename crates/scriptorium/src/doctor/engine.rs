//! The engine through which several proxies on one bucket agree.
//!
//! Owns the words for it. Must not know how it is asked.

use super::Diagnosis;
use crate::cluster::ClusterNode;
use crate::config::Cluster;

pub(super) async fn examine(cluster: &Cluster) -> Diagnosis {
    let about = cluster.url.host_str().unwrap_or_default();
    match ClusterNode::prove(cluster).await {
        Ok(()) => Diagnosis::good("engine", about, "answers, and takes scripts and writes"),
        Err(fault) => Diagnosis::bad("engine", about, fault.to_string()).advise(fault.remedy()),
    }
}
