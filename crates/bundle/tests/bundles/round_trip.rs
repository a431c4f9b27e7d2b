//! What was written is read.
//!
//! Owns the way there and back in both layouts, and that one state has one text. Must not know damage.

use std::fs;
use std::io::Read;

use archive::Sha256;
use bundle::{
    BlobRefusal, Coverage, ExportError, ManifestItem, ManifestReadError, SignatureVerdict, SigningKey,
    UtcSecond,
};

use super::fixture::{LAYOUTS, State, head, home, inspect, key, open, small_bundle, tree};

#[test]
fn what_was_written_is_read_in_both_layouts() {
    for layout in LAYOUTS {
        let home = home();
        let (path, trusted) = small_bundle(home.path(), layout);
        let bundle = open(&path, std::slice::from_ref(&trusted));
        assert_eq!(*bundle.signature(), SignatureVerdict::Trusted(trusted.id()));
        assert_eq!(*bundle.manifest_digest(), Sha256::of(&fs::read(path.join("manifest.json")).unwrap()));
        let state = State::small();
        let (mut documents, mut files, mut pins, mut gaps) = (vec![], vec![], vec![], vec![]);
        let read = bundle.items(|item| {
            match item {
                ManifestItem::Document(item) => documents.push(item.clone()),
                ManifestItem::File(item) => files.push(item.clone()),
                ManifestItem::Pin(item) => pins.push(item.clone()),
                ManifestItem::Gap(item) => gaps.push(item.clone()),
                ManifestItem::Part(_) => assert_ne!(layout, None),
            }
            Ok::<_, ManifestReadError>(())
        });
        assert_eq!(read.unwrap(), head(&key(home.path())));
        assert_eq!((documents, files), (state.documents, state.files));
        assert_eq!((pins, gaps), (state.pins, state.gaps));
        let inspection = bundle.inspect().unwrap();
        assert_eq!(inspection.problems, []);
        assert_eq!((inspection.documents, inspection.files, inspection.bytes), (2, 2, 712));
        assert_eq!(inspection.parts, if layout.is_some() { 2 } else { 0 });
        for (digest, body) in &state.blobs {
            let mut read = Vec::new();
            inspection.blobs.open(digest).unwrap().read_to_end(&mut read).unwrap();
            assert_eq!(read, *body);
        }
        let unlisted = inspection.blobs.open(&Sha256::of(b"other")).err();
        assert_eq!(unlisted, Some(BlobRefusal::Unlisted));
    }
}

#[test]
fn one_state_has_one_text() {
    for layout in LAYOUTS {
        let home = home();
        let key = key(home.path());
        let [one, other] = ["one", "other"].map(|name| {
            State::small().export(&home.path().join(name), layout, head(&key), &key).unwrap();
            tree(&home.path().join(name))
        });
        assert_eq!(one, other);
        assert!(one.contains_key(std::path::Path::new("manifest.json.minisig")));
    }
}

#[test]
fn the_text_of_a_manifest_is_as_promised() {
    let home = home();
    let (path, trusted) = small_bundle(home.path(), Some(3000));
    let text = fs::read_to_string(path.join("manifest.json")).unwrap();
    let json: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(json["format"], "scriptorium-bundle/1");
    assert_eq!(json["key_id"], trusted.id().to_string());
    assert_eq!(json["kind"], "full");
    assert_eq!((&json["base"], &json["expires"]), (&serde_json::Value::Null, &serde_json::Value::Null));
    assert_eq!(json["created"], "2026-11-30T00:53:20Z");
    let document = json["documents"][0].as_object().unwrap();
    let fields = ["confirmed", "etag", "route", "sha256", "size", "status", "upstream"];
    let mut named: Vec<_> = document.keys().collect();
    named.sort();
    assert_eq!(named, fields);
    assert_eq!(json["files"][1]["kind"], "trust-artifact");
    assert_eq!(json["pins"][0]["first_seen"], "2026-09-21T14:13:20Z");
    assert_eq!(json["missing"][0], serde_json::json!({"root": "tools-*", "reason": "no version matches"}));
    assert_eq!(json["missing"][1]["release"], "x@1.0.0");
    assert_eq!(json["parts"][1]["name"], "part-0002.tar");
    assert_eq!(json["parts"][1]["sha256"], Sha256::of(&fs::read(path.join("part-0002.tar")).unwrap()).hex());
}

#[test]
fn a_part_is_within_its_size_or_has_one_blob() {
    let (home, state) = (home(), State::of_documents(40, 1000));
    let key = key(home.path());
    for (size, parts) in [(1, 40), (2560, 40), (4096, 20), (1 << 20, 1)] {
        let path = home.path().join(size.to_string());
        let finished = state.export(&path, Some(size), head(&key), &key).unwrap();
        assert_eq!(finished.parts, parts, "{size}");
        for file in tree(&path).iter().filter(|(name, _)| name.to_string_lossy().starts_with("part-")) {
            assert!(parts == 40 || file.1.len() as u64 <= size);
        }
        assert!(inspect(&path, &[key.public().clone()]).is_intact());
    }
}

#[test]
fn a_bundle_of_nothing_is_a_bundle() {
    for layout in LAYOUTS {
        let (home, state) = (home(), State::of_documents(0, 0));
        let key = key(home.path());
        let finished = state.export(&home.path().join("b"), layout, head(&key), &key).unwrap();
        assert_eq!((finished.blobs, finished.parts), (0, 0));
        assert!(inspect(&home.path().join("b"), &[key.public().clone()]).is_intact());
    }
}

#[test]
fn the_writer_refuses_what_a_reader_would() {
    let home = home();
    let key = key(home.path());
    let export = |state: &State, head| state.export(&home.path().join("b"), None, head, &key);
    let mut state = State::small();
    state.documents.swap(0, 1);
    assert!(matches!(export(&state, head(&key)), Err(ExportError::Item(_))));
    let mut state = State::small();
    state.documents.push(state.documents[1].clone());
    assert!(matches!(export(&state, head(&key)), Err(ExportError::Item(_))));
    let mut state = State::small();
    state.documents[0].size += 1;
    assert!(matches!(export(&state, head(&key)), Err(ExportError::NoBlob(_))));
    let mut state = State::small();
    state.files.clear();
    assert!(matches!(export(&state, head(&key)), Err(ExportError::Unlisted(_))));
    let lifecycle = bundle::ManifestHead { kind: Coverage::Lifecycle, ..head(&key) };
    assert!(matches!(export(&State::small(), lifecycle), Err(ExportError::LifecycleFile)));
    for wrong in [
        bundle::ManifestHead { sequence: 0, ..head(&key) },
        bundle::ManifestHead { sequence: 1 << 53, ..head(&key) },
        bundle::ManifestHead { kind: Coverage::Delta, ..head(&key) },
        bundle::ManifestHead { base: Some(Sha256::of(b"")), ..head(&key) },
        bundle::ManifestHead { origin: "a\nb".to_owned(), ..head(&key) },
    ] {
        assert!(matches!(export(&State::small(), wrong), Err(ExportError::Head(_))));
    }
    SigningKey::make_files(&home.path().join("other"), None).unwrap();
    let other = SigningKey::load(&home.path().join("other.key"), None).unwrap();
    assert!(matches!(export(&State::small(), head(&other)), Err(ExportError::OtherKey(_))));
    assert!(!home.path().join("b/manifest.json.minisig").exists());
}

#[test]
fn an_export_goes_on_without_a_blob_that_cannot_be_had() {
    for layout in [None, Some(1 << 20)] {
        let (home, mut state) = (home(), State::of_documents(3, 900));
        let key = key(home.path());
        let path = home.path().join("b");
        let mut export = bundle::BundleExport::create(&path, layout).unwrap();
        let digests: Vec<_> = state.blobs.keys().copied().collect();
        let body = state.blobs[&digests[0]].clone();
        export.blob(&digests[0], 900, || Ok(&body[..])).unwrap();
        for short in [&body[..], &body[..20], &[body.clone(), vec![0]].concat()] {
            let refused = export.blob(&digests[1], 900, || Ok(short));
            assert!(matches!(refused, Err(ExportError::Differs { .. })));
        }
        let failed = export.blob(&digests[1], 900, || Ok(super::fixture::Failing(&body[..500])));
        assert!(matches!(failed, Err(ExportError::Source { .. })));
        let body = state.blobs[&digests[2]].clone();
        export.blob(&digests[2], 900, || Ok(&body[..])).unwrap();
        let again = export.blob(&digests[2], 900, || Ok(&body[..]));
        assert!(matches!(again, Err(ExportError::BlobOrder(_))));
        state.documents.retain(|document| document.sha256 != digests[1]);
        let mut listing = export.list(head(&key), &key).unwrap();
        state.documents.iter().for_each(|item| listing.item(item).unwrap());
        listing.finish().unwrap();
        let inspection = inspect(&path, &[key.public().clone()]);
        assert_eq!((inspection.problems, inspection.documents), (vec![], 2));
    }
}

#[test]
fn an_expired_head_says_so() {
    let (home, at) = (home(), |seconds| UtcSecond::new(seconds).unwrap());
    let head = bundle::ManifestHead { expires: Some(at(100)), ..head(&key(home.path())) };
    assert_eq!([99, 100, 101].map(|now| head.is_expired(at(now))), [false, true, true]);
}
