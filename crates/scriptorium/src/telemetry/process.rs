//! Metrics of the process: memory, descriptors, threads, time.
//!
//! Owns their names: the usual ones without this program's prefix, so that any dashboard knows them.

use prometheus::Registry;

/// The metrics of the process; none where the system has none.
pub(super) fn registry() -> prometheus::Result<Registry> {
    let registry = Registry::new();
    #[cfg(target_os = "linux")]
    registry.register(Box::new(prometheus::process_collector::ProcessCollector::for_self()))?;
    Ok(registry)
}
