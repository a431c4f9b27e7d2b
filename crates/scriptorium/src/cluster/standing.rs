//! How this proxy works now, as everybody may read it.
//!
//! Owns that value. Must not know how it comes about.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use ::cluster::EngineFault;
use parking_lot::Mutex;

/// How this proxy works, as others read it.
#[derive(Debug, Default)]
pub(super) struct NodeStanding {
    together: AtomicBool,
    nodes: AtomicU32,
    /// What the engine did last instead of an answer.
    fault: Mutex<Option<EngineFault>>,
}

impl NodeStanding {
    pub(super) fn is_together(&self) -> bool {
        self.together.load(Ordering::Relaxed)
    }

    /// Works so from now on. Whether it worked together before.
    pub(super) fn be(&self, together: bool) -> bool {
        self.together.swap(together, Ordering::Relaxed)
    }

    /// The engine failed so.
    pub(super) fn fail(&self, fault: EngineFault) {
        *self.fault.lock() = Some(fault);
    }

    /// Why this proxy works alone; nothing if the engine was not asked yet.
    pub(super) fn fault(&self) -> Option<EngineFault> {
        if self.is_together() { None } else { *self.fault.lock() }
    }

    /// So many proxies are alive.
    pub(super) fn see(&self, nodes: u32) {
        self.nodes.store(nodes, Ordering::Relaxed);
    }

    /// Proxies seen alive, this one included; alone none other is seen.
    pub(super) fn nodes(&self) -> u32 {
        if self.is_together() { self.nodes.load(Ordering::Relaxed).max(1) } else { 1 }
    }
}
