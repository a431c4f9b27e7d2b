//! Several proxies on one bucket that agree through a Redis: what one learns all obey, and its absence fails nothing.

mod away;
mod bounds;
mod budget;
mod causes;
mod events;
mod faults;
mod flights;
mod outcomes;
mod quotas;
mod restarts;
mod sizing;
mod together;

use std::thread;
use std::time::{Duration, Instant};

use crate::support::bucket::Bucket;
use crate::support::redis::Redis;
use crate::support::{Proxy, Setup, Upstream, eventually};

/// When what one proxy did or learned is obeyed by all that work together.
const TOGETHER: Duration = Duration::from_secs(1);
/// The same while the engine is away, through the bucket.
const ALONE: Duration = Duration::from_secs(6);

/// Proxies that work together, with everything they need. The registry is dropped last.
pub(crate) struct Cluster {
    pub(crate) proxies: Vec<Proxy>,
    pub(crate) redis: Redis,
    pub(crate) bucket: Bucket,
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
        let cluster = Self { proxies, redis, bucket, upstream };
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

/// Fails if a question that was put to one of `proxies` more than `bound` after `since` is not answered as `obeys` wants.
/// Questions are put at once and to all proxies, so that what is promised is what is measured.
fn obeyed_within(
    bound: Duration,
    since: Instant,
    what: &str,
    proxies: &[Proxy],
    obeys: impl Fn(&Proxy) -> bool + Sync,
) {
    thread::scope(|scope| {
        for (index, proxy) in proxies.iter().enumerate() {
            let obeys = &obeys;
            scope.spawn(move || {
                loop {
                    let put = since.elapsed();
                    if obeys(proxy) {
                        break;
                    }
                    assert!(put <= bound, "{what}: not at proxy {index} {put:?} later");
                    thread::sleep(Duration::from_millis(10));
                }
            });
        }
    });
}

/// The value of a metric, with its labels in the name.
fn metric(proxy: &Proxy, name: &str) -> Option<String> {
    let metrics = proxy.admin().get("/metrics").ok().text();
    metrics.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ').map(str::to_owned))
}

/// Waits until a proxy says that.
pub(crate) fn wait_for(proxy: &Proxy, state: &str, nodes: u32) {
    eventually(state, || {
        let status = proxy.admin().get("/admin/v1/status").ok().json();
        let cluster = &status["cluster"];
        (cluster["state"] == state && cluster["nodes"] == nodes).then_some(())
    });
}
