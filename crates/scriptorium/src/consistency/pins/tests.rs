//! Pins: which are written, which registries they bind, and their fate if the store fails or its bytes are damaged.

use futures_util::TryStreamExt;

use super::form::PLACES;
use super::*;
use crate::domain::Sha256;
use crate::store::ObjectStorage;
use crate::store::faulty::{Fault, Faulty};

fn pin(version: &str, content: &str) -> Pin {
    Pin {
        volume: "@acme/x".parse().unwrap(),
        version: version.parse().unwrap(),
        integrity: Integrity::new(Sha256::of(content.as_bytes())),
        since: Timestamp(7),
        upstream: "public".into(),
        origin: Some("https://one".into()),
        commit: None,
    }
}

fn public() -> Registry {
    Registry::new("public", "https://one")
}

#[tokio::test]
async fn the_first_integrity_stays() {
    let store: Arc<dyn Store> = Arc::new(ObjectStorage::memory().unwrap());
    let pins = Pins::new(store.clone());
    let first = pin("1.0.0", "a");
    assert_eq!(pins.of(&public(), &first.release()).await.unwrap(), None);
    assert_eq!(pins.admit(first.clone(), Proof::Seen).await.unwrap(), first);
    let pins = Pins::new(store);
    assert_eq!(pins.admit(pin("1.0.0", "b"), Proof::Seen).await.unwrap(), first);
    assert_eq!(pins.of(&public(), &first.release()).await.unwrap(), Some(first.clone()));
    assert_eq!(pins.admit(pin("1.0.1", "b"), Proof::Seen).await.unwrap(), pin("1.0.1", "b"));
    let mut all: Vec<_> = pins.all().try_collect().await.unwrap();
    all.sort_by(|one, other| one.version.cmp(&other.version));
    assert_eq!(all, [first, pin("1.0.1", "b")]);
}

#[tokio::test]
async fn an_export_is_sorted_and_tells_what_it_leaves_out() {
    let store: Arc<dyn Store> = Arc::new(ObjectStorage::memory().unwrap());
    let pins = Pins::new(store.clone());
    for version in ["10.0.0", "9.0.0", "9.0.0-rc.1", "1.0.0"] {
        pins.admit(pin(version, "a"), Proof::Seen).await.unwrap();
    }
    let other = Pin { volume: "@aaa/x".parse().unwrap(), ..pin("99.0.0", "a") };
    pins.admit(other.clone(), Proof::Seen).await.unwrap();
    let damaged = form::seen(&public(), &pin("1.0.0", "a").release());
    store.write(&damaged, "garbage".into()).await.unwrap();
    let mut told = Vec::new();
    let sorted = pins.sorted(|error| told.push(error.to_string())).await;
    assert_eq!(sorted, [other, pin("9.0.0-rc.1", "a"), pin("9.0.0", "a"), pin("10.0.0", "a")]);
    assert!(told.len() == 1 && told[0].contains(&damaged.path()), "{told:?}");
}

#[tokio::test]
async fn two_first_sights_at_once_agree_on_one() {
    let pins = Pins::new(Arc::new(ObjectStorage::memory().unwrap()));
    let contents = ["a", "b", "c", "d"];
    let admitted = contents.map(|content| pins.admit(pin("1.0.0", content), Proof::Seen));
    let admitted = futures_util::future::try_join_all(admitted).await.unwrap();
    assert!(admitted.iter().all(|pin| *pin == admitted[0]));
}

#[tokio::test]
async fn what_the_store_does_not_take_binds_until_it_does() {
    let store = Arc::new(Faulty::over(ObjectStorage::memory().unwrap()));
    let pins = Pins::new(store.clone());
    let in_memory = |version, content| Bound::InMemory(pin(version, content));
    // Every place is read, and then it cannot be written.
    let full = || store.fail(1 + PLACES as u64, u64::MAX, Fault::Full);
    full();
    assert!(pins.admit(pin("1.0.0", "a"), Proof::Seen).await.is_err(), "who must know gets no promise");
    for (version, content) in [("1.0.0", "a"), ("2.0.0", "c"), ("3.0.0", "d")] {
        full();
        assert_eq!(pins.bind(pin(version, content), Proof::Seen).await.unwrap(), in_memory(version, content));
    }
    full();
    assert_eq!(pins.clone().bind(pin("1.0.0", "b"), Proof::Seen).await.unwrap(), in_memory("1.0.0", "a"));
    store.fail_from(1, Fault::Full);
    pins.write_down().await;
    assert_eq!(pins.unwritten.all().len(), 3);

    store.clear();
    let another = Pins::new(store.clone());
    another.admit(pin("2.0.0", "of another process"), Proof::Seen).await.unwrap();
    let stored = pins.bind(pin("3.0.0", "e"), Proof::Seen).await.unwrap();
    assert_eq!(stored, Bound::Stored(pin("3.0.0", "d")), "the first sight, not the second");
    pins.write_down().await;
    assert!(pins.unwritten.all().is_empty());
    let stored = [pin("1.0.0", "a"), pin("2.0.0", "of another process"), pin("3.0.0", "d")];
    assert_eq!(another.sorted(|_| ()).await, stored);
    assert_eq!(pins.of(&public(), &stored[1].release()).await.unwrap().as_ref(), Some(&stored[1]));
}

#[tokio::test]
async fn what_cannot_be_read_is_what_this_process_knows_or_nothing() {
    let store = Arc::new(Faulty::over(ObjectStorage::memory().unwrap()));
    let pins = Pins::new(store.clone());
    let first = pin("1.0.0", "a");
    pins.admit(first.clone(), Proof::Seen).await.unwrap();
    store.fail_from(1, Fault::Io);
    assert_eq!(pins.known(&public(), &first.release()).await.unwrap(), Some(first.clone()));
    let bound = pins.bind(pin("1.0.0", "b"), Proof::Seen).await.unwrap();
    assert_eq!(bound, Bound::InMemory(first.clone()));
    let unknown = pin("2.0.0", "a");
    assert!(matches!(pins.known(&public(), &unknown.release()).await, Err(PinError::Store(_))));
    assert!(matches!(pins.bind(unknown, Proof::Seen).await, Err(PinError::Store(_))));
    let restarted = Pins::new(store.clone());
    assert!(restarted.known(&public(), &first.release()).await.is_err());
    store.clear();
    assert_eq!(restarted.known(&public(), &first.release()).await.unwrap(), Some(first));
}

#[tokio::test]
async fn every_flipped_bit_of_a_pin_is_damage_and_admits_nothing() {
    let store: Arc<dyn Store> = Arc::new(ObjectStorage::memory().unwrap());
    let pins = Pins::new(store.clone());
    let first = pin("1.0.0", "a");
    pins.admit(first.clone(), Proof::Proved).await.unwrap();
    let place = form::of_registry(&public(), &first.release());
    let whole = store.read(&place).await.unwrap().unwrap();
    for at in 0..whole.len() {
        let mut damaged = whole.to_vec();
        damaged[at] ^= 1 << (at % 8);
        store.write(&place, damaged.into()).await.unwrap();
        let refused = pins.admit(pin("1.0.0", "b"), Proof::Seen).await;
        assert!(matches!(refused, Err(PinError::Damaged(_))), "byte {at}: {refused:?}");
    }
    for other in ["garbage".into(), "{}".into(), stored(&pin("2.0.0", "a"))] {
        store.write(&place, other).await.unwrap();
        assert!(matches!(pins.admit(first.clone(), Proof::Seen).await, Err(PinError::Damaged(_))));
        assert!(pins.all().try_collect::<Vec<_>>().await.is_err());
    }
}

#[tokio::test]
async fn a_pin_binds_the_registry_it_was_made_for() {
    let store: Arc<dyn Store> = Arc::new(ObjectStorage::memory().unwrap());
    let pins = Pins::new(store.clone());
    let first = pin("1.0.0", "a");
    pins.admit(first.clone(), Proof::Seen).await.unwrap();
    for other in [Registry::new("public", "https://two"), Registry::new("internal", "https://one")] {
        assert_eq!(pins.of(&other, &first.release()).await.unwrap(), None, "{other}");
        let theirs = Pin::of(&other, &first.release(), pin("1.0.0", "b").integrity, Timestamp(8));
        assert_eq!(pins.admit(theirs.clone(), Proof::Seen).await.unwrap(), theirs);
    }
    assert_eq!(pins.of(&public(), &first.release()).await.unwrap(), Some(first));
}

#[tokio::test]
async fn a_pin_of_an_earlier_version_binds_the_registry_of_its_name() {
    let store: Arc<dyn Store> = Arc::new(ObjectStorage::memory().unwrap());
    let pins = Pins::new(store.clone());
    let before = Pin { origin: None, ..pin("1.0.0", "a") };
    store.write(&form::of_release(&before.release()), before.line().into()).await.unwrap();
    for registry in [public(), Registry::new("public", "https://moved")] {
        assert_eq!(pins.of(&registry, &before.release()).await.unwrap(), Some(before.clone()));
    }
    let internal = Registry::new("internal", "https://one");
    assert_eq!(pins.of(&internal, &before.release()).await.unwrap(), None);
    let imported = Pin { upstream: ANYBODY.to_owned(), ..before.clone() };
    store.write(&form::of_release(&before.release()), imported.line().into()).await.unwrap();
    assert_eq!(pins.of(&internal, &before.release()).await.unwrap(), Some(imported));
}

#[tokio::test]
async fn what_is_proved_is_kept_apart_from_what_is_only_seen() {
    let store: Arc<dyn Store> = Arc::new(ObjectStorage::memory().unwrap());
    let pins = Pins::new(store.clone());
    let first = pin("1.0.0", "a");
    let (release, other) = (first.release(), pin("1.0.0", "b").integrity);
    let (seen, kept) = (form::seen(&public(), &release), form::of_registry(&public(), &release));
    pins.admit(first.clone(), Proof::Seen).await.unwrap();
    pins.prove(&public(), &release, &other, None).await.unwrap();
    assert!(store.read(&seen).await.unwrap().is_some(), "another content proves nothing");
    pins.prove(&public(), &release, &first.integrity, None).await.unwrap();
    assert!(store.read(&seen).await.unwrap().is_none() && store.read(&kept).await.unwrap().is_some());
    assert_eq!(pins.of(&public(), &release).await.unwrap(), Some(first.clone()));
    assert_eq!(pins.sorted(|_| ()).await, [first]);
}
