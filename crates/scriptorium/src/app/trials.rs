//! Documents under rules that need not be in force, for a command that tries rules out.
//!
//! Owns that no registry is asked and nothing is written: what is held decides. Must not know what is tried.

use std::sync::Arc;

use policy::Policy;

use super::{AppError, documents, parts};
use crate::advisories::AdvisoryKeeper;
use crate::clock::{Clock, SystemClock};
use crate::config::Config;
use crate::files::SealedFiles;
use crate::read::Documents;
use crate::store::{Store, UnwrittenStore};
use crate::telemetry::Metrics;

/// The documents in `store` under the rules of `config`.
///
/// # Errors
/// [`AppError`] if a part cannot be made, or the rules are not valid.
pub(crate) async fn documents_under_policy(
    config: &Config,
    store: Arc<dyn Store>,
) -> Result<Arc<Documents>, AppError> {
    let rules = parts::policy_rules(config, SystemClock::default().now())?;
    documents_under(config, store, rules).await
}

/// The documents in `store` under `rules`, with the advisories that are held and those of files.
///
/// # Errors
/// [`AppError`] if a part cannot be made.
pub(crate) async fn documents_under(
    config: &Config,
    store: Arc<dyn Store>,
    rules: Policy,
) -> Result<Arc<Documents>, AppError> {
    let store: Arc<dyn Store> = Arc::new(UnwrittenStore(store));
    let kept = Arc::clone(&store);
    let documents = Arc::new(documents(config, store)?);
    documents.replace_rules(rules);
    AdvisoryKeeper::new(Arc::clone(&documents), config.policy.osv.clone()).look_at_held().await;
    if documents.policy().rules.needs_of_all().manifest {
        let (documents, metrics) = (Arc::clone(&documents), Arc::new(Metrics::new()?));
        // It asks nobody.
        let bounds = (parts::bounds(config), parts::repositories(config, Vec::new()));
        let files = Arc::new(SealedFiles::new(documents, kept, bounds, metrics));
        files.read_all_manifests().await;
    }
    Ok(documents)
}
