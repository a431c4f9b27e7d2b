//! Several proxies on one bucket that agree through a Redis: what one learns all obey, and its absence fails nothing.

mod budget;
mod events;
mod flights;
mod quotas;
mod together;

use crate::support::bucket::Bucket;
use crate::support::redis::Redis;
use crate::support::{Proxy, Setup, Upstream, eventually};

/// Proxies that work together, with everything they need. The registry is dropped last.
pub(crate) struct Cluster {
    pub(crate) proxies: Vec<Proxy>,
    pub(crate) redis: Redis,
    /// Ends with the cluster.
    _bucket: Bucket,
    pub(crate) upstream: Upstream,
}

impl Cluster {
    /// `nodes` proxies that work together; `None` where a server is not installed.
    pub(crate) fn of(nodes: u32) -> Option<Self> {
        Self::with(nodes, |setup| setup)
    }

    /// The same with other settings.
    pub(crate) fn with(nodes: u32, change: impl Fn(Setup) -> Setup) -> Option<Self> {
        let (bucket, redis, upstream) = (Bucket::start()?, Redis::start()?, Upstream::start());
        let setup = || change(redis.joined_by(bucket.below(Setup::before(&upstream)), nodes));
        let proxies = (0..nodes).map(|_| setup().start()).collect();
        let cluster = Self { proxies, redis, _bucket: bucket, upstream };
        cluster.wait_for("together", nodes);
        Some(cluster)
    }

    /// Waits until every proxy says that.
    pub(crate) fn wait_for(&self, state: &str, nodes: u32) {
        for proxy in &self.proxies {
            wait_for(proxy, state, nodes);
        }
    }
}

/// Waits until a proxy says that.
pub(crate) fn wait_for(proxy: &Proxy, state: &str, nodes: u32) {
    let expected = serde_json::json!({"state": state, "nodes": nodes});
    eventually(state, || {
        let status = proxy.admin().get("/admin/v1/status").ok().json();
        (status["cluster"] == expected).then_some(())
    });
}
