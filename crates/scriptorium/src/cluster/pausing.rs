//! Telling and hearing pauses: what one proxy learned of a registry, the others obey within a second.
//!
//! Each pause is a value in the engine that ends by itself. Those of this proxy are told at once, those of the others read twice
//! a second. While the engine is away each proxy keeps to its own. Owns that task. Must not know why a pause is made.

use super::ClusterNode;
use super::pauses::{PauseTelling, SharedPause};

impl ClusterNode {
    /// Tells and reads pauses for ever.
    pub(super) async fn keep_pauses(&self) {
        loop {
            self.pauses.woken().await;
            let pauses = self.pauses.all();
            if !self.is_together() || pauses.is_empty() {
                continue;
            }
            for pause in &pauses {
                self.tell_pause(pause).await;
            }
            let keys: Vec<String> = pauses.iter().map(|pause| pause.key.clone()).collect();
            let Ok(values) = self.engine().shared(&keys).await else { continue };
            for (pause, value) in pauses.iter().zip(&values) {
                pause.heard(value.as_ref());
            }
        }
    }

    async fn tell_pause(&self, pause: &SharedPause) {
        let (telling, left) = pause.take_telling();
        let told = match telling {
            PauseTelling::Nothing => return,
            PauseTelling::Begun => self.engine().share(&pause.key, self.name(), left).await,
            PauseTelling::Over => self.engine().unshare(&pause.key).await,
        };
        if told.is_err() {
            pause.tell_again(telling);
        }
    }
}
