//! Tests of the record of a mirror.

use serde_json::json;

use super::*;
use crate::mirror::notices::Notice;
use crate::store::ObjectStorage;

fn release(name: &str, archive: Option<u64>) -> MirroredRelease {
    MirroredRelease {
        volume: name.parse().unwrap(),
        version: "1.0.0".parse().unwrap(),
        integrity: Some(Integrity::new(Sha256::of(name.as_bytes()))),
        state: LifecycleState::Available,
        wants_files: true,
        is_passed_over: false,
        registry: 0,
        archive,
        trust: false,
        untrusted: None,
        artifacts: vec![(Sha256::of(b"shared"), 5)],
    }
}

fn record(name: &str) -> MirrorRecord {
    MirrorRecord {
        name: name.to_owned(),
        last_success: Some(Timestamp(7)),
        last_sync: Timestamp(8),
        registries: vec![Registry::new("public", "https://up")],
        selected: vec![release("a", Some(100)), release("b", None)],
        kept: vec![release("c", Some(1000))],
        missing: vec![MirrorLack {
            subject: LackSubject::Release("b@1.0.0".to_owned()),
            reason: "gone".to_owned(),
        }],
        untold: 0,
        open_lengths: vec![(Integrity::new(Sha256::of(b"b")), 70)],
        notices: vec![RegistryNotices {
            capabilities: Notice::Here,
            advisories: Notice::Here,
            listed: 3,
            pages: vec![String::new(), "offset=2".to_owned()],
            ..RegistryNotices::default()
        }],
        remarks: Vec::new(),
    }
}

#[test]
fn a_record_of_an_earlier_version_is_read() {
    let mut stored = serde_json::to_value(record("ci")).unwrap();
    for new in ["open_lengths", "notices", "remarks"] {
        assert!(stored.as_object_mut().unwrap().remove(new).is_some());
    }
    for release in stored["selected"].as_array_mut().unwrap() {
        let release = release.as_object_mut().unwrap();
        release.insert("why".to_owned(), "a root".into());
        // It wrote what there is not, too.
        for (field, nothing) in
            [("archive", json!(null)), ("untrusted", json!(null)), ("trust", json!(false))]
        {
            release.entry(field).or_insert(nothing);
        }
    }
    let read: MirrorRecord = serde_json::from_value(stored).unwrap();
    let earlier = MirrorRecord { open_lengths: Vec::new(), notices: Vec::new(), ..record("ci") };
    assert_eq!(read, earlier);
}

#[test]
fn lengths_are_those_of_what_is_here_and_those_that_registries_said() {
    let lengths = record("ci").lengths().map(|(_, length)| length).collect::<Vec<_>>();
    assert_eq!(lengths, [100, 1000, 70]);
}

#[tokio::test]
async fn a_record_is_read_back_and_a_damaged_one_is_none() {
    let store: Arc<dyn Store> = Arc::new(ObjectStorage::memory().unwrap());
    assert!(load(&*store, "ci").await.unwrap().is_none());
    save(&*store, &record("ci")).await.unwrap();
    assert_eq!(load(&*store, "ci").await.unwrap(), Some(record("ci")));
    let mut stored = store.read(&key("ci")).await.unwrap().unwrap().to_vec();
    stored[60] ^= 1;
    store.write(&key("ci"), stored.into()).await.unwrap();
    assert!(matches!(load(&*store, "ci").await, Err(MirrorRecordError::Damaged(_))));
    let mut damaged = 0;
    assert!(kept_keys(&store, None, |_| damaged += 1).await.is_empty() && damaged == 1);
}

#[tokio::test]
async fn what_belongs_to_a_mirror_is_files_and_documents_of_all_that_it_keeps() {
    let store: Arc<dyn Store> = Arc::new(ObjectStorage::memory().unwrap());
    save(&*store, &record("ci")).await.unwrap();
    let keys = kept_keys(&store, None, |error| panic!("{error}")).await;
    let archive = |name: &str| StorageKey::Archive(Integrity::new(Sha256::of(name.as_bytes())));
    assert!(["a", "b", "c"].iter().all(|name| keys.contains(&archive(name))));
    assert!(keys.contains(&StorageKey::TrustArtifact(Sha256::of(b"shared"))));
    // Three archives and one artifact; an index and exact metadata of each of three releases; the registry's notices.
    assert_eq!(keys.len(), 4 + 6 + 3);
    assert_eq!(record("ci").bytes(), 105, "each file of what is selected once");
    let named = kept_keys(&store, Some(&["other".to_owned()]), |error| panic!("{error}")).await;
    assert!(named.is_empty());
}

#[test]
fn a_lack_says_whom_it_concerns() {
    let lack = &record("ci").missing[0];
    assert_eq!(serde_json::to_string(lack).unwrap(), r#"{"release":"b@1.0.0","reason":"gone"}"#);
}
