//! What the process takes of the machine: memory, handles, threads, time.
//!
//! Owns under which names that is told: the usual ones, without this program's prefix, so that any dashboard knows them.

use prometheus::Registry;

/// What a scrape reads of the process; nothing where the system cannot tell.
pub(super) fn registry() -> prometheus::Result<Registry> {
    let registry = Registry::new();
    #[cfg(target_os = "linux")]
    registry.register(Box::new(prometheus::process_collector::ProcessCollector::for_self()))?;
    Ok(registry)
}
