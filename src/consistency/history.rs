//! The trust attachments ever seen of each release: append-only, so none may vanish or become another.
//!
//! Written before a detail is first served, kept for ever. Owns this memory and its comparison with a detail.
//! Must not know attachments' statuses, which may change, nor what follows from a difference.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::reconcile::{Claim, Difference, Kind, Source};
use crate::domain::check::Attachment;
use crate::domain::{Purl, Sha256};
use crate::store::{Damage, StorageKey, Store, StoreError};

/// Attachments by the registry's name for them, with the digests of their bytes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seen {
    release: String,
    attachments: BTreeMap<String, Sha256>,
}

impl Seen {
    /// What a detail's attachments contradict: the first that vanished or has another digest.
    #[must_use]
    pub fn difference(&self, attachments: &[Attachment]) -> Option<Difference> {
        let now: BTreeMap<&str, Sha256> =
            attachments.iter().map(|attachment| (&*attachment.id, attachment.digest)).collect();
        let (id, before, now) = self
            .attachments
            .iter()
            .map(|(id, before)| (id, before, now.get(&**id)))
            .find(|(_, before, now)| *now != Some(*before))?;
        let id = id.escape_debug().take(200).collect::<String>();
        let now = now.map_or(format!("no attachment {id}"), |now| format!("attachment {id} is {now}"));
        let claims = [
            Claim { source: Source::Trust, says: now },
            Claim { source: Source::History, says: format!("attachment {id} is {before}") },
        ];
        Some(Difference { kind: Kind::TrustHistory, claims })
    }
}

/// The histories of one store.
#[derive(Debug)]
pub struct History {
    store: Arc<dyn Store>,
}

impl History {
    /// Histories kept in `store`.
    #[must_use]
    pub fn new(store: Arc<dyn Store>) -> Self {
        Self { store }
    }

    /// What was seen of `release` so far.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] when the history is damaged; another when it cannot be read.
    pub async fn of(&self, release: &Purl) -> Result<Seen, StoreError> {
        let place = place(release);
        let Some(stored) = self.store.read(&place).await? else { return Ok(Seen::default()) };
        let seen = serde_json::from_slice::<Seen>(&stored).ok();
        seen.filter(|seen| seen.release == release.to_string()).ok_or_else(|| {
            StoreError::Corrupt(Damage::of(
                &place,
                format!("the attachments seen of {release}"),
                "something else",
            ))
        })
    }

    /// Adds what a detail that was believed lists to what had been `seen`.
    ///
    /// # Errors
    /// When it cannot be written.
    pub async fn extend(
        &self,
        release: &Purl,
        mut seen: Seen,
        attachments: &[Attachment],
    ) -> Result<(), StoreError> {
        let before = seen.attachments.len();
        seen.attachments
            .extend(attachments.iter().map(|attachment| (attachment.id.clone(), attachment.digest)));
        if seen.attachments.len() == before {
            return Ok(());
        }
        seen.release = release.to_string();
        let stored = serde_json::to_vec(&seen).unwrap_or_default();
        self.store.write(&place(release), stored.into()).await
    }
}

fn place(release: &Purl) -> StorageKey {
    StorageKey::History(Sha256::of(release.to_string().as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::check::Locator;
    use crate::store::ObjectStorage;

    fn attachment(id: &str, content: &str) -> Attachment {
        Attachment {
            id: id.into(),
            digest: Sha256::of(content.as_bytes()),
            size: None,
            media_type: "a/b".into(),
            locator: Locator::Embedded,
        }
    }

    #[tokio::test]
    async fn attachments_may_come_but_neither_go_nor_change() {
        let history = History::new(Arc::new(ObjectStorage::memory().unwrap()));
        let release: Purl = "pkg:volume/x@1.0.0".parse().unwrap();
        let first = [attachment("a", "1")];
        let seen = history.of(&release).await.unwrap();
        assert_eq!(seen.difference(&first), None);
        history.extend(&release, seen, &first).await.unwrap();
        let seen = history.of(&release).await.unwrap();
        let more = [attachment("b", "2"), attachment("a", "1")];
        assert_eq!(seen.difference(&more), None);
        history.extend(&release, seen, &more).await.unwrap();
        let seen = history.of(&release).await.unwrap();
        for (attachments, now) in [
            (vec![attachment("b", "2")], "no attachment a"),
            (vec![attachment("a", "3"), attachment("b", "2")], "attachment a is sha256:"),
            (vec![], "no attachment a"),
        ] {
            let difference = seen.difference(&attachments).unwrap();
            assert_eq!(difference.kind, Kind::TrustHistory);
            assert!(difference.claims[0].says.starts_with(now), "{difference:?}");
        }
        assert_eq!(history.of(&"pkg:volume/x@1.0.1".parse().unwrap()).await.unwrap(), Seen::default());
    }

    #[tokio::test]
    async fn a_damaged_history_is_no_licence_to_believe() {
        let store: Arc<dyn Store> = Arc::new(ObjectStorage::memory().unwrap());
        let release: Purl = "pkg:volume/x@1.0.0".parse().unwrap();
        store.write(&place(&release), "{}".into()).await.unwrap();
        assert!(matches!(History::new(store).of(&release).await, Err(StoreError::Corrupt(_))));
    }
}
