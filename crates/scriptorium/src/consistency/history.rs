//! The history of each release's trust views: attachments are append-only, so none may vanish or change, and no view may go
//! back to an earlier revision.
//!
//! A history is written before a view is first served, and kept for ever. Each view has its own, since each counts its own
//! revisions and both are settled at the same time. A revision is older if its number is smaller or, if either is not a
//! number, if it was made earlier. Revisions that cannot be compared are not.
//!
//! A damaged history is set aside and begins again with the held view, if that is whole and not contradicted, else empty;
//! what only the damaged history knew is lost. Owns histories and their comparison with a view. Must not know the statuses of
//! attachments, which may change, nor what follows from a difference.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::reconcile::{ClaimSource, Difference, DifferenceKind};
use super::trust::shortened;
use crate::clock::rfc3339;
use crate::domain::check::{Attachment, Revision};
use crate::domain::{DocumentKey, Purl, Registry, Sha256, Trust};
use crate::store::record::{self, RecordError};
use crate::store::{Damage, StorageKey, Store, StoreError};

/// One of a release's two trust views.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TrustView {
    Summary,
    Detail,
}

impl TrustView {
    /// The view that a key of a trust document names.
    pub(crate) fn of(key: &DocumentKey) -> Self {
        match key {
            DocumentKey::TrustDetail(..) => Self::Detail,
            _ => Self::Summary,
        }
    }
}

/// The history of one view: its latest revision, and the digests of attachments by the registry's names for them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Seen {
    release: String,
    attachments: BTreeMap<String, Sha256>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    revision: Option<Revision>,
}

impl Seen {
    /// Parses a stored history.
    ///
    /// # Errors
    /// When it is damaged.
    pub(crate) fn read(stored: &[u8]) -> Result<Self, RecordError> {
        record::decode(stored)
    }

    /// How a view contradicts its history: an attachment vanished or has another digest, or the revision is earlier.
    #[must_use]
    pub(crate) fn difference(&self, trust: &Trust) -> Option<Difference> {
        self.rewritten(&trust.attachments).or_else(|| self.turned_back(trust.revision.as_ref()?))
    }

    fn rewritten(&self, attachments: &[Attachment]) -> Option<Difference> {
        let now: BTreeMap<&str, Sha256> =
            attachments.iter().map(|attachment| (&*attachment.id, attachment.digest)).collect();
        let (id, before, now) = self
            .attachments
            .iter()
            .map(|(id, before)| (id, before, now.get(&**id)))
            .find(|(_, before, now)| *now != Some(*before))?;
        let id = shortened(id);
        let now = now.map_or(format!("no attachment {id}"), |now| format!("attachment {id} is {now}"));
        let before = format!("attachment {id} is {before}");
        Some(Difference::of(
            DifferenceKind::TrustHistory,
            (ClaimSource::Trust, now),
            (ClaimSource::History, before),
        ))
    }

    fn turned_back(&self, now: &Revision) -> Option<Difference> {
        let before = self.revision.as_ref().filter(|before| order(now, before) == Some(Ordering::Less))?;
        let [now, before] = [now, before].map(|revision| {
            let updated = revision.updated_at.as_deref().map(|at| format!(" of {}", shortened(at)));
            format!("revision {}{}", shortened(&revision.revision), updated.unwrap_or_default())
        });
        Some(Difference::of(
            DifferenceKind::TrustHistory,
            (ClaimSource::Trust, now),
            (ClaimSource::History, before),
        ))
    }

    /// Both histories of one view. What was seen first of an attachment stays, and the later revision counts.
    fn beside(self, theirs: Self) -> Self {
        let is_earlier = |ours: &Revision, theirs: &Revision| order(ours, theirs) == Some(Ordering::Less);
        let revision = match (self.revision, theirs.revision) {
            (Some(ours), Some(theirs)) if is_earlier(&ours, &theirs) => Some(theirs),
            (ours, theirs) => ours.or(theirs),
        };
        let attachments = self.attachments.into_iter().chain(theirs.attachments).collect();
        Self { release: self.release, attachments, revision }
    }

    /// The history extended by `trust`. A revision that cannot be compared counts as later.
    fn with(&self, trust: &Trust) -> Self {
        let mut seen = self.clone();
        seen.attachments
            .extend(trust.attachments.iter().map(|attachment| (attachment.id.clone(), attachment.digest)));
        seen.revision = trust.revision.clone().or(seen.revision);
        seen
    }
}

/// Which of two revisions is later, if they can be compared.
fn order(one: &Revision, other: &Revision) -> Option<Ordering> {
    let both = [&one.revision, &other.revision].map(|revision| number(revision));
    if let [Some(one), Some(other)] = both {
        return Some((one.len(), one).cmp(&(other.len(), other)));
    }
    let made = |revision: &Revision| rfc3339::parse(revision.updated_at.as_deref()?);
    Some(made(one)?.cmp(&made(other)?))
}

/// The digits of a number of any length, without leading zeros; `None` if it is not a number.
fn number(text: &str) -> Option<&str> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.trim_start_matches('0'))
}

#[derive(Debug)]
pub(crate) struct History {
    store: Arc<dyn Store>,
}

impl History {
    #[must_use]
    pub(crate) fn new(store: Arc<dyn Store>) -> Self {
        Self { store }
    }

    /// The history of a view of `registry`'s `release`. If it `inherits`, a history of an earlier version counts too: such a
    /// history names no registry, so it belongs to the registry that the release's pin of that version binds.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] when the history is damaged; another when it cannot be read.
    pub(crate) async fn of(
        &self,
        registry: &Registry,
        release: &Purl,
        view: TrustView,
        inherits: bool,
    ) -> Result<Seen, StoreError> {
        let name = name(release, view);
        match self.at(&place(registry, &name), &name).await? {
            None if inherits => Ok(self.at(&earlier(&name), &name).await?.unwrap_or_default()),
            seen => Ok(seen.unwrap_or_default()),
        }
    }

    async fn at(&self, place: &StorageKey, name: &str) -> Result<Option<Seen>, StoreError> {
        let Some(stored) = self.store.read(place).await? else { return Ok(None) };
        let found = match Seen::read(&stored) {
            Ok(seen) if seen.release == name => return Ok(Some(seen)),
            Ok(other) => format!("that of {}", other.release),
            Err(error) => error.to_string(),
        };
        Err(StoreError::Corrupt(Damage::of(place, format!("the trust seen of {name}"), found)))
    }

    /// Sets a damaged history aside and begins again with the held view `trust`.
    ///
    /// # Errors
    /// When it cannot be moved or written.
    pub(crate) async fn begin_anew(
        &self,
        registry: &Registry,
        release: &Purl,
        view: TrustView,
        damage: &Damage,
        trust: Option<&Trust>,
    ) -> Result<Seen, StoreError> {
        if let Some(place) = StorageKey::at(&damage.path) {
            self.store.set_aside(&place, damage).await?;
        }
        let Some(trust) = trust else { return Ok(Seen::default()) };
        self.extend(registry, release, view, &Seen::default(), trust).await?;
        Ok(Seen::default().with(trust))
    }

    /// Extends the history `seen` by a view that was settled.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(crate) async fn extend(
        &self,
        registry: &Registry,
        release: &Purl,
        view: TrustView,
        seen: &Seen,
        trust: &Trust,
    ) -> Result<(), StoreError> {
        let name = name(release, view);
        let place = place(registry, &name);
        let more = Seen { release: name, ..seen.with(trust) };
        if more.attachments == seen.attachments && more.revision == seen.revision {
            return Ok(());
        }
        // What another process added meanwhile stays.
        let mut join = |stored: Option<Bytes>| {
            let theirs = stored.and_then(|stored| Seen::read(&stored).ok());
            let theirs = theirs.filter(|theirs| theirs.release == more.release);
            Some(record::encode(&theirs.map_or_else(|| more.clone(), |theirs| more.clone().beside(theirs))))
        };
        self.store.update(&place, &mut join).await
    }
}

/// The name of a view inside its record.
fn name(release: &Purl, view: TrustView) -> String {
    match view {
        TrustView::Detail => release.to_string(),
        TrustView::Summary => format!("{release} (summary)"),
    }
}

fn place(registry: &Registry, name: &str) -> StorageKey {
    StorageKey::History(registry.digest_of(name))
}

/// The key of an earlier version.
fn earlier(name: &str) -> StorageKey {
    StorageKey::History(Sha256::of(name.as_bytes()))
}

#[cfg(test)]
mod tests;
