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
        self.store.write(&place, record::encode(&more)).await
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
mod tests {
    use futures_util::StreamExt;

    use super::*;
    use crate::domain::Integrity;
    use crate::domain::check::Locator;
    use crate::store::{KeyPrefix, ObjectStorage};

    fn attachment(id: &str, content: &str) -> Attachment {
        Attachment {
            category: "provenance".to_owned(),
            id: id.into(),
            digest: Sha256::of(content.as_bytes()),
            size: None,
            media_type: "a/b".into(),
            locator: Locator::Embedded,
            embeds: None,
            is_active: true,
            subject: None,
        }
    }

    fn public() -> Registry {
        Registry::new("public", "https://one")
    }

    fn listing(attachments: &[Attachment]) -> Trust {
        let integrity = Integrity::new(Sha256::of(b"x"));
        Trust { mismatch: None, integrity, revision: None, attachments: attachments.to_vec() }
    }

    fn revised(revision: &str, updated_at: Option<&str>) -> Trust {
        let (revision, updated_at) = (revision.to_owned(), updated_at.map(str::to_owned));
        Trust { revision: Some(Revision { revision, updated_at }), ..listing(&[]) }
    }

    /// What is said of `now` by who saw `before`.
    async fn difference(before: &Trust, now: &Trust) -> Option<Difference> {
        let history = History::new(Arc::new(ObjectStorage::memory().unwrap()));
        let release: Purl = "pkg:volume/x@1.0.0".parse().unwrap();
        let seen = history.of(&public(), &release, TrustView::Detail, true).await.unwrap();
        assert_eq!(seen.difference(before), None);
        history.extend(&public(), &release, TrustView::Detail, &seen, before).await.unwrap();
        let other = history.of(&public(), &release, TrustView::Summary, true).await.unwrap();
        assert_eq!(other, Seen::default(), "each view for itself");
        let elsewhere = Registry::new("public", "https://two");
        let other = history.of(&elsewhere, &release, TrustView::Detail, true).await.unwrap();
        assert_eq!(other, Seen::default(), "each registry for itself");
        history.of(&public(), &release, TrustView::Detail, false).await.unwrap().difference(now)
    }

    #[tokio::test]
    async fn attachments_may_come_but_neither_go_nor_change() {
        let first = listing(&[attachment("a", "1")]);
        let both = listing(&[attachment("b", "2"), attachment("a", "1")]);
        assert_eq!(difference(&first, &both).await, None);
        for (attachments, now) in [
            (vec![attachment("b", "2")], "no attachment a"),
            (vec![attachment("a", "3"), attachment("b", "2")], "attachment a is sha256:"),
            (vec![], "no attachment a"),
        ] {
            let difference = difference(&both, &listing(&attachments)).await.unwrap();
            assert_eq!(difference.kind, DifferenceKind::TrustHistory);
            assert!(difference.claims[0].says.starts_with(now), "{difference:?}");
        }
    }

    #[tokio::test]
    async fn a_revision_does_not_go_back() {
        let (may, june) = (Some("2026-05-01T00:00:00Z"), Some("2026-06-01T00:00:00+02:00"));
        for (before, now, goes_back) in [
            (("9", None), ("10", None), false),
            (("10", None), ("9", None), true),
            (("10", None), ("010", None), false),
            (("0", None), ("00", None), false),
            (("1", None), ("0", None), true),
            (("100000000000000000000000", None), ("99999999999999999999999", None), true),
            (("7", june), ("8", may), false),
            (("8", may), ("7", june), true),
            (("a", june), ("b", may), true),
            (("b", may), ("a", june), false),
            (("a", june), ("7", may), true),
            (("a", june), ("a", june), false),
            (("a", june), ("b", None), false),
            (("a", june), ("b", Some("yesterday")), false),
            (("-1", None), ("-2", None), false),
            (("", june), ("", may), true),
        ] {
            let (before, now) = (revised(before.0, before.1), revised(now.0, now.1));
            let difference = difference(&before, &now).await;
            assert_eq!(difference.is_some(), goes_back, "{before:?} {now:?}");
            assert!(difference.is_none_or(|it| it.kind == DifferenceKind::TrustHistory));
        }
        assert_eq!(difference(&revised("7", None), &listing(&[])).await, None, "one that says nothing");
    }

    #[tokio::test]
    async fn a_damaged_history_is_no_licence_to_believe() {
        let store: Arc<dyn Store> = Arc::new(ObjectStorage::memory().unwrap());
        let release: Purl = "pkg:volume/x@1.0.0".parse().unwrap();
        let history = History::new(store.clone());
        let seen = listing(&[attachment("a", "1")]);
        history.extend(&public(), &release, TrustView::Detail, &Seen::default(), &seen).await.unwrap();
        let place = place(&public(), &release.to_string());
        let stored = store.read(&place).await.unwrap().unwrap();
        for at in 0..stored.len() {
            let mut damaged = stored.to_vec();
            damaged[at] ^= 1;
            store.write(&place, damaged.into()).await.unwrap();
            let read = history.of(&public(), &release, TrustView::Detail, true).await;
            assert!(matches!(read, Err(StoreError::Corrupt(_))), "byte {at}");
        }
    }

    #[tokio::test]
    async fn a_damaged_history_is_set_aside_and_begins_anew_with_what_is_held() {
        let held = listing(&[attachment("a", "1"), attachment("b", "2")]);
        let release: Purl = "pkg:volume/x@1.0.0".parse().unwrap();
        let name = release.to_string();
        for damaged in [place(&public(), &name), earlier(&name)] {
            for held in [Some(&held), None] {
                let store: Arc<dyn Store> = Arc::new(ObjectStorage::memory().unwrap());
                let history = History::new(store.clone());
                store.write(&damaged, "rot".into()).await.unwrap();
                let of = async || history.of(&public(), &release, TrustView::Detail, true).await;
                let Err(StoreError::Corrupt(damage)) = of().await else { panic!("believed") };
                let begun =
                    history.begin_anew(&public(), &release, TrustView::Detail, &damage, held).await.unwrap();
                assert_eq!(
                    store.list(KeyPrefix::Quarantine).count().await,
                    2,
                    "the history and the note about it"
                );
                let seen = of().await.unwrap();
                assert_eq!((&seen.attachments, &seen.revision), (&begun.attachments, &begun.revision));
                assert_eq!(seen.difference(&listing(&[])).is_some(), held.is_some());
            }
        }
    }

    #[tokio::test]
    async fn what_an_earlier_version_saw_goes_on() {
        let store: Arc<dyn Store> = Arc::new(ObjectStorage::memory().unwrap());
        let release: Purl = "pkg:volume/x@1.0.0".parse().unwrap();
        let before = format!(r#"{{"release":"{release}","attachments":{{"a":"{}"}}}}"#, Sha256::of(b"1"));
        store.write(&earlier(&release.to_string()), before.into()).await.unwrap();
        let history = History::new(store);
        let of = async |inherits| history.of(&public(), &release, TrustView::Detail, inherits).await.unwrap();
        assert_eq!(of(false).await, Seen::default());
        let seen = of(true).await;
        assert!(seen.difference(&listing(&[])).is_some());
        let more = listing(&[attachment("a", "1"), attachment("b", "2")]);
        history.extend(&public(), &release, TrustView::Detail, &seen, &more).await.unwrap();
        assert!(of(false).await.difference(&listing(&more.attachments[1..])).is_some());
    }
}
