//! What the admin port says about the other proxies.
//!
//! Owns the words for it. A proxy that is alone by configuration says nothing. Must not know what proxies agree on.

use serde_json::{Value, json};

use super::Admin;

impl Admin {
    /// Says in `answer` how this proxy works with the others, and why it does not.
    pub(super) fn add_cluster_with_cause(&self, answer: &mut Value) {
        self.add_cluster(answer);
        if let Some(fault) = self.cluster.as_ref().and_then(|cluster| cluster.fault()) {
            answer["cluster"]["cause"] = json!(fault.advised());
        }
    }

    /// Says in `answer` how this proxy works with the others.
    pub(super) fn add_cluster(&self, answer: &mut Value) {
        if let Some(cluster) = &self.cluster {
            answer["cluster"] = json!({"state": cluster.state(), "nodes": cluster.nodes()});
        }
    }
}
