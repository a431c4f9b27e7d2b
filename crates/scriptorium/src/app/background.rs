//! The work of a proxy besides answering.
//!
//! Owns what goes on all the time, and what of it gives way to clients. Must not know how any of it works.

use std::num::NonZeroU64;
use std::sync::Arc;
use std::time::Duration;

use crate::admin::minute;
use crate::advisories::AdvisoryKeeper;
use crate::audit::pace::TimerPause;
use crate::audit::pass;
use crate::listen::{ProcessWork, Work};
use crate::mirror::Mirrors;
use crate::pipeline::Pipeline;
use crate::store::ProxyStore;
use crate::telemetry::Metrics;

/// How late a lookup may be counted in the history of the dashboard.
const NOTED_EVERY: Duration = Duration::from_secs(10);

/// All of that work. It never ends.
pub(super) fn background(
    pipeline: &Pipeline,
    store: Arc<ProxyStore>,
    mirrors: Arc<Mirrors>,
    advisories: Arc<AdvisoryKeeper>,
    metrics: Arc<Metrics>,
    audit_rate: Option<NonZeroU64>,
) -> ProcessWork<impl Work + use<>, impl Work + use<>> {
    let (documents, files) = (Arc::clone(&pipeline.documents), Arc::clone(&pipeline.files));
    let (recollected, may_sync) = tokio::sync::oneshot::channel();
    let (audited, synced) = (Arc::clone(store.objects()), Arc::clone(&mirrors));
    let (noted, counted) = (Arc::clone(&documents), Arc::clone(&metrics));
    let history = async move {
        loop {
            counted.note_history(minute(noted.now()));
            tokio::time::sleep(NOTED_EVERY).await;
        }
    };
    let audit = async move {
        if let Some(rate) = audit_rate {
            pass::for_ever(audited, rate, metrics, Arc::new(TimerPause)).await;
        }
    };
    let steady = async move {
        // Before anything that an earlier process stored may be evicted.
        mirrors.recollect().await;
        let _ = recollected.send(());
        futures_util::join!(store.keep(), documents.write_pins(), audit, advisories.keep(), history);
    };
    let patient = async move {
        if may_sync.await.is_ok() {
            futures_util::join!(synced.keep(), files.read_manifests());
        }
    };
    ProcessWork { steady, patient }
}
