//! Attachments are append-only, revisions go forward, and no damage is a licence to forget.

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

#[tokio::test]
async fn what_two_processes_see_of_a_view_is_joined() {
    let store: Arc<dyn Store> = Arc::new(ObjectStorage::memory().unwrap());
    let (history, release) = (History::new(store), "pkg:volume/x@1.0.0".parse().unwrap());
    let of = async || history.of(&public(), &release, TrustView::Detail, true).await.unwrap();
    let neither = of().await;
    for (id, revision) in [("a", "7"), ("b", "6")] {
        let view = Trust { attachments: vec![attachment(id, "1")], ..revised(revision, None) };
        history.extend(&public(), &release, TrustView::Detail, &neither, &view).await.unwrap();
    }
    let both = of().await;
    assert!(both.difference(&listing(&[attachment("a", "1"), attachment("b", "1")])).is_none());
    for half in ["a", "b"] {
        assert!(both.difference(&listing(&[attachment(half, "1")])).is_some(), "only {half}");
    }
    assert_eq!(both.revision.unwrap().revision, "7", "the later one counts");
    let other = listing(&[attachment("a", "2")]);
    history.extend(&public(), &release, TrustView::Detail, &neither, &other).await.unwrap();
    assert!(of().await.difference(&listing(&[attachment("a", "2"), attachment("b", "1")])).is_some());
}
