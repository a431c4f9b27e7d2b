//! Evidence outlives the process, begins with the pins, and a damaged record is begun anew.

use super::*;
use crate::consistency::{Pin, Proof};
use crate::domain::{Purl, Sha256};
use crate::store::ObjectStorage;
use policy::Delivery;

fn public() -> Registry {
    Registry::new("public", "https://one")
}

fn lamp() -> VolumeName {
    "lamp".parse().unwrap()
}

fn tree(content: &str) -> Integrity {
    Integrity::new(Sha256::of(content.as_bytes()))
}

fn register(store: &Arc<dyn Store>) -> EvidenceRegister {
    EvidenceRegister::new(Arc::clone(store), Arc::new(Metrics::new().unwrap()), Arc::default())
}

fn seen(version: &str, content: &str, at: u64) -> FoundEvidence {
    (version.parse().unwrap(), tree(content), ReleaseEvidence::seen(Timestamp(at)))
}

async fn first_seen(register: &EvidenceRegister, version: &str, content: &str) -> Option<u64> {
    let known = register.of(&public(), &lamp()).await.unwrap();
    known.of(&version.parse().unwrap(), &tree(content)).map(|evidence| evidence.first_seen.0)
}

#[tokio::test]
async fn the_first_sight_outlives_the_process_and_belongs_to_a_registry() {
    let store: Arc<dyn Store> = Arc::new(ObjectStorage::memory().unwrap());
    let first = register(&store);
    assert_eq!(first_seen(&first, "1.0.0", "a").await, None);
    assert!(first.add(&public(), &lamp(), vec![seen("1.0.0", "a", 7)]).await.unwrap());
    assert!(!first.add(&public(), &lamp(), vec![seen("1.0.0", "a", 9)]).await.unwrap(), "no news");
    let after = register(&store);
    assert_eq!(first_seen(&after, "1.0.0", "a").await, Some(7));
    assert_eq!(first_seen(&after, "1.0.0", "b").await, None, "other bytes are another release");
    let other = after.of(&Registry::new("other", "https://one"), &lamp()).await.unwrap();
    assert_eq!(other.count(), 0);
}

#[tokio::test]
async fn what_two_processes_see_is_joined_and_the_earlier_date_counts() {
    let store: Arc<dyn Store> = Arc::new(ObjectStorage::memory().unwrap());
    let [one, other] = [register(&store), register(&store)];
    for register in [&one, &other] {
        assert_eq!(first_seen(register, "1.0.0", "a").await, None, "both have read the record");
    }
    one.add(&public(), &lamp(), vec![seen("1.0.0", "a", 7), seen("2.0.0", "b", 9)]).await.unwrap();
    let found = ReleaseEvidence { delivery: Some(Delivery::Cdn), ..ReleaseEvidence::seen(Timestamp(8)) };
    let later = ("1.0.0".parse().unwrap(), tree("a"), found);
    other.add(&public(), &lamp(), vec![later, seen("2.0.0", "b", 5), seen("3.0.0", "c", 9)]).await.unwrap();
    for register in [&other, &self::register(&store)] {
        for (version, content, first) in [("1.0.0", "a", 7), ("2.0.0", "b", 5), ("3.0.0", "c", 9)] {
            assert_eq!(first_seen(register, version, content).await, Some(first), "{version}");
        }
        let known = register.of(&public(), &lamp()).await.unwrap();
        let known = known.of(&"1.0.0".parse().unwrap(), &tree("a")).unwrap();
        assert_eq!(known.delivery, Some(Delivery::Cdn));
    }
    store.write(&place(&public(), &lamp()), "damaged".into()).await.unwrap();
    assert!(other.add(&public(), &lamp(), vec![seen("4.0.0", "d", 9)]).await.unwrap());
    assert_eq!(
        first_seen(&self::register(&store), "1.0.0", "a").await,
        Some(7),
        "a damaged record is replaced"
    );
}

#[tokio::test]
async fn a_pin_keeps_its_date_and_an_earlier_one_counts() {
    let store: Arc<dyn Store> = Arc::new(ObjectStorage::memory().unwrap());
    register(&store)
        .add(&public(), &lamp(), vec![seen("1.0.0", "a", 9), seen("2.0.0", "b", 9)])
        .await
        .unwrap();
    let pins = Pins::new(Arc::clone(&store));
    for (version, content, since) in [("1.0.0", "a", 5), ("2.0.0", "b", 11), ("3.0.0", "c", 6)] {
        let release = Purl::new(&lamp(), &version.parse().unwrap());
        let pin = Pin::of(&public(), &release, tree(content), Timestamp(since));
        pins.admit(pin, Proof::Proved).await.unwrap();
    }
    let after = register(&store);
    for (version, content, expected) in [("1.0.0", "a", 5), ("2.0.0", "b", 9), ("3.0.0", "c", 6)] {
        assert_eq!(first_seen(&after, version, content).await, Some(expected), "{version}");
    }
}

#[tokio::test]
async fn a_damaged_record_is_set_aside_and_begun_anew() {
    let store: Arc<dyn Store> = Arc::new(ObjectStorage::memory().unwrap());
    let place = place(&public(), &lamp());
    for damaged in ["garbage", r#"{"volume":"saw","releases":{}}"#] {
        store.write(&place, damaged.to_owned().into()).await.unwrap();
        let register = register(&store);
        assert_eq!(first_seen(&register, "1.0.0", "a").await, None, "{damaged}");
        assert_eq!(store.read(&place).await.unwrap(), None, "{damaged}");
        register.add(&public(), &lamp(), vec![seen("1.0.0", "a", 7)]).await.unwrap();
        assert_eq!(first_seen(&register, "1.0.0", "a").await, Some(7));
    }
}

#[tokio::test]
async fn those_who_add_at_once_lose_nothing() {
    let store: Arc<dyn Store> = Arc::new(ObjectStorage::memory().unwrap());
    let register = register(&store);
    let (registry, name) = (public(), lamp());
    let add = |at: u64| register.add(&registry, &name, vec![seen(&format!("1.0.{at}"), "a", at)]);
    futures_util::future::join_all((1..50).map(add)).await;
    let git = ReleaseEvidence { delivery: Some(Delivery::Git), ..ReleaseEvidence::seen(Timestamp(60)) };
    register.add(&registry, &name, vec![("1.0.7".parse().unwrap(), tree("a"), git)]).await.unwrap();
    register.forget();
    let known = register.of(&registry, &name).await.unwrap();
    assert_eq!(known.count(), 49);
    let seventh = known.of(&"1.0.7".parse().unwrap(), &tree("a")).unwrap();
    assert_eq!((seventh.first_seen, seventh.delivery), (Timestamp(7), Some(Delivery::Git)));
}
