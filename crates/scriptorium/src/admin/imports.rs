//! What the admin port says and does about imported bundles.
//!
//! Owns that the proxy takes up what an import beside it wrote, and the words about old imports. Must not know bundles.

use serde_json::{Value, json};
use tracing::warn;

use super::actions::ActionOutcome;
use super::{Admin, READY};
use crate::bundles::{BundleJournal, ImportLine};
use crate::respond::storage_failed;

impl Admin {
    /// What `/readyz` answers: an old import does not keep the proxy from serving, nor does an engine that is away.
    pub(super) fn ready(&self) -> Value {
        let mut ready = json!({"status": READY});
        if let Some(overdue) = self.overdue() {
            ready["bundles"] = overdue.into();
        }
        self.add_cluster(&mut ready);
        ready
    }

    pub(super) fn overdue(&self) -> Option<String> {
        self.imported.overdue(self.documents.now())
    }

    /// Takes up what another process wrote to the storage: documents, divergences, files.
    pub(super) async fn reread(&self) -> ActionOutcome {
        let reread = self.documents.reread().await;
        self.advisories.look_again();
        self.imported.read().await;
        // Before what came counts, so that nothing of it is evicted.
        self.kept.read().await;
        // Files that came count from now on; that takes as long as there are files.
        let store = std::sync::Arc::clone(&self.store);
        tokio::spawn(async move { store.recount().await });
        let about = self.last_import().await;
        match reread {
            Ok(()) => ActionOutcome::ok(about, json!({"reread": true}), "What was imported is taken up."),
            Err(error) => ActionOutcome::refused(about, storage_failed(&error)),
        }
    }

    /// The last import, for the log.
    async fn last_import(&self) -> String {
        self.last_imports(1).await.first().map_or_else(|| "no import".to_owned(), ToString::to_string)
    }

    /// The last imports, the latest first.
    pub(super) async fn last_imports(&self, most: usize) -> Vec<ImportLine> {
        let journal = BundleJournal::read(&*self.store).await;
        let journal = journal.inspect_err(|error| warn!(%error, "the last imports are not known"));
        journal.unwrap_or_default().imports().take(most).cloned().collect()
    }
}
