//! Documents under rules that need not be in force, for a command that tries rules out.
//!
//! Owns that no registry is asked and nothing is written: what is held decides. Must not know what is tried.

use std::sync::Arc;

use policy::Policy;

use super::{AppError, documents, parts};
use crate::advisories::AdvisoryKeeper;
use crate::config::Config;
use crate::files::SealedFiles;
use crate::read::Documents;
use crate::store::{Store, UnwrittenStore};
use crate::telemetry::Metrics;

/// The documents in `store` under `rules`, with the advisories that are held and those of files.
///
/// # Errors
/// [`AppError`] if a part cannot be made.
pub(crate) async fn documents_under(
    config: &Config,
    store: Arc<dyn Store>,
    rules: Policy,
) -> Result<Arc<Documents>, AppError> {
    let mut alone = config.clone();
    alone.cache.offline = true;
    let store: Arc<dyn Store> = Arc::new(UnwrittenStore(store));
    let kept = Arc::clone(&store);
    let documents = Arc::new(documents(&alone, store)?);
    documents.replace_rules(rules);
    AdvisoryKeeper::new(Arc::clone(&documents), config.policy.osv.clone()).look_once().await;
    if documents.policy().rules.needs_of_all().manifest {
        let (documents, metrics) = (Arc::clone(&documents), Arc::new(Metrics::new()?));
        let files = Arc::new(SealedFiles::new(documents, kept, parts::bounds(config), metrics));
        files.read_all_manifests().await;
    }
    Ok(documents)
}
