//! The list of divergences: over restarts, beside other processes, and of several registries.

use super::*;
use crate::domain::Sha256;
use crate::store::ObjectStorage;

fn public() -> Registry {
    Registry::new("public", "https://one")
}

fn divergence(version: &str, says: &str, at: u64) -> Divergence {
    let testimony = |source, says: &str| Testimony {
        source,
        says: says.to_owned(),
        fetched_at: Some(Timestamp(at)),
        upstream: Some("public".to_owned()),
    };
    Divergence {
        volume: "@acme/x".parse().unwrap(),
        version: version.parse().unwrap(),
        about: About::Release,
        kind: DifferenceKind::State,
        claims: [testimony(ClaimSource::Index, says), testimony(ClaimSource::Exact, "available")],
        since: Timestamp(at),
        checked_at: Timestamp(at),
    }
}

#[tokio::test]
async fn what_is_open_survives_a_restart_and_keeps_its_first_day() {
    let store: Arc<dyn Store> = Arc::new(ObjectStorage::memory().unwrap());
    let divergences = Divergences::new(store.clone());
    let key = divergence("1.0.0", "yanked", 1_000).key();
    assert!(divergences.open(&public(), divergence("1.0.0", "yanked", 1_000)).await.1.unwrap(), "news");
    assert!(!divergences.open(&public(), divergence("1.0.0", "yanked", 2_000)).await.1.unwrap(), "no news");
    assert!(
        divergences.open(&public(), divergence("1.0.0", "blocked", 3_000)).await.1.unwrap(),
        "news again"
    );
    assert!(divergences.open(&public(), divergence("2.0.0", "yanked", 1_000)).await.1.unwrap());

    let restarted = Divergences::new(store.clone());
    restarted.load(|_| ()).await.unwrap();
    assert_eq!(restarted.all(|_, _| true).len(), 2);
    let open = restarted.of(&public(), &key).unwrap();
    assert_eq!((open.since, open.checked_at), (Timestamp(1_000), Timestamp(3_000)));
    assert_eq!(restarted.of_volume(&public(), &"@acme/x".parse().unwrap()).len(), 2);
    assert!(restarted.of_volume(&public(), &"x".parse().unwrap()).is_empty());
    assert!(restarted.close(&public(), &key).await.unwrap());
    assert!(!restarted.close(&public(), &key).await.unwrap());

    let again = Divergences::new(store);
    again.load(|_| ()).await.unwrap();
    assert_eq!((again.count(), again.of(&public(), &key)), (1, None));
}

#[tokio::test]
async fn what_another_process_finds_and_ends_is_taken_over() {
    let store: Arc<dyn Store> = Arc::new(ObjectStorage::memory().unwrap());
    let (one, other) = (Divergences::new(store.clone()), Divergences::new(store));
    let key = divergence("1.0.0", "yanked", 1).key();
    one.open(&public(), divergence("1.0.0", "yanked", 1)).await.1.unwrap();
    other.reread(|_| false, |_| ()).await.unwrap();
    assert!(other.of(&public(), &key).is_some(), "what is new is read");
    one.open(&public(), divergence("1.0.0", "blocked", 2)).await.1.unwrap();
    other.reread(|_| false, |_| ()).await.unwrap();
    assert_eq!(other.of(&public(), &key).unwrap().checked_at, Timestamp(1));
    other.reread(|_| true, |_| ()).await.unwrap();
    assert_eq!(other.of(&public(), &key).unwrap().checked_at, Timestamp(2));
    one.close(&public(), &key).await.unwrap();
    other.reread(|_| false, |_| ()).await.unwrap();
    assert_eq!(other.count(), 0);
}

#[tokio::test]
async fn of_two_processes_the_first_says_since_when() {
    let store: Arc<dyn Store> = Arc::new(ObjectStorage::memory().unwrap());
    let key = divergence("1.0.0", "yanked", 1).key();
    for (at, earliest) in [(5, 5), (7, 5), (3, 3)] {
        let process = Divergences::new(store.clone());
        let (known, _) = process.open(&public(), divergence("1.0.0", "yanked", at)).await;
        let restarted = Divergences::new(store.clone());
        restarted.load(|_| ()).await.unwrap();
        let stored = restarted.of(&public(), &key).unwrap();
        assert_eq!([known.since, stored.since], [Timestamp(earliest); 2], "found at {at}");
    }
    let other = Divergence { kind: DifferenceKind::Integrity, ..divergence("1.0.0", "a", 9) };
    let (another, _) = Divergences::new(store).open(&public(), other).await;
    assert_eq!(another.since, Timestamp(9), "of another kind");
}

#[tokio::test]
async fn what_one_registry_contradicts_itself_in_is_no_others() {
    let divergences = Divergences::new(Arc::new(ObjectStorage::memory().unwrap()));
    let (found, elsewhere) = (divergence("1.0.0", "yanked", 7), Registry::new("public", "https://two"));
    let key = found.key();
    divergences.open(&public(), found.clone()).await.1.unwrap();
    assert_eq!(divergences.of(&elsewhere, &key), None);
    assert!(divergences.of_volume(&elsewhere, &found.volume).is_empty());
    assert!(divergences.all(|registry, _| *registry == elsewhere).is_empty());
    assert!(!divergences.close(&elsewhere, &key).await.unwrap());
    assert_eq!(divergences.count(), 1);
}

#[tokio::test]
async fn a_record_that_cannot_be_read_is_set_aside() {
    let store: Arc<dyn Store> = Arc::new(ObjectStorage::memory().unwrap());
    let place = StorageKey::Divergence(Sha256::of(b"x"));
    store.write(&place, "garbage".into()).await.unwrap();
    let (divergences, told) = (Divergences::new(store.clone()), RwLock::new(Vec::new()));
    divergences.load(|damage| told.write().push(damage.path.clone())).await.unwrap();
    assert_eq!((divergences.count(), store.read(&place).await.unwrap()), (0, None));
    assert_eq!(*told.read(), [place.path()]);
}

#[test]
fn both_sides_are_told_with_time_and_upstream() {
    let told = divergence("1.0.0", "yanked", 1_700_000_000_000).to_string();
    assert_eq!(
        told,
        "the index of public, fetched 2023-11-14T22:13:20Z, says yanked, \
         but exact metadata of public, fetched 2023-11-14T22:13:20Z, says available"
    );
}
