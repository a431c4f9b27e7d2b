//! Texts of manifests and receipts, right and wrong.
//!
//! Owns what is refused and that whatever is written is read. Must not know files.

use archive::{Integrity, Sha256};
use bundle::{
    BundleGap, BundledDocument, BundledFile, BundledFileKind, Coverage, GapSubject, KeyId, ListedItem,
    ManifestHead, ManifestItem, ManifestReadError, ManifestWriter, Receipt, ReceiptError, UtcSecond,
    read_manifest,
};
use proptest::prelude::*;

use super::fixture::State;

fn text_of(head: &ManifestHead, state: &State) -> String {
    let mut writer = ManifestWriter::new(Vec::new(), head).unwrap();
    state.documents.iter().for_each(|item| writer.item(item).unwrap());
    state.files.iter().for_each(|item| writer.item(item).unwrap());
    state.pins.iter().for_each(|item| writer.item(item).unwrap());
    state.gaps.iter().for_each(|item| writer.item(item).unwrap());
    String::from_utf8(writer.finish().unwrap()).unwrap()
}

fn head() -> ManifestHead {
    ManifestHead {
        origin: "volumes.corp.example".to_owned(),
        key_id: "F123456789ABCDEF".parse::<KeyId>().unwrap(),
        sequence: 7,
        kind: Coverage::Full,
        base: None,
        created: UtcSecond::new(1_796_000_000).unwrap(),
        expires: None,
    }
}

fn read(text: &[u8]) -> Result<ManifestHead, ManifestReadError> {
    read_manifest(|| text, |_| Ok::<_, ManifestReadError>(()))
}

/// The small manifest with one text in place of another, which must be there.
fn with(from: &str, to: &str) -> String {
    let text = text_of(&head(), &State::small());
    assert!(text.contains(from), "{from} is not in {text}");
    text.replacen(from, to, 1)
}

#[test]
fn each_wrong_manifest_is_refused_for_its_reason() {
    let digest = Sha256::of(b"tree");
    for (from, to, told) in [
        ("\"origin\"", "\"color\":\"red\",\"origin\"", "unknown field `color`"),
        ("\"origin\":\"volumes.corp.example\",", "", "missing field `origin`"),
        ("\"base\":null,", "", "missing field `base`"),
        ("\"origin\"", "\"base\":null,\"origin\"", "duplicate field `base`"),
        ("\"origin\"", "\"pins\":[],\"origin\"", "duplicate field `pins`"),
        ("\"origin\"", "\"format\":\"scriptorium-bundle/1\",\"origin\"", "duplicate field `format`"),
        ("\"sequence\":7", "\"sequence\":0", "`sequence` is expected"),
        ("\"sequence\":7", "\"sequence\":9007199254740992", "`sequence` is expected"),
        ("\"sequence\":7", "\"sequence\":7.0", "invalid type"),
        ("\"sequence\":7", "\"sequence\":\"7\"", "invalid type"),
        ("\"full\"", "\"half\"", "unknown variant `half`"),
        ("\"full\"", "\"delta\"", "`base` is expected"),
        ("\"full\"", "\"lifecycle\"", "a lifecycle bundle has no files"),
        ("\"base\":null", &format!("\"base\":\"{digest}\""), "`base` is expected"),
        ("F123456789ABCDEF", "f123456789abcdef", "key identifier"),
        ("T00:53:20Z", "T00:53:20.0Z", "expected a time"),
        ("\"status\":200", "\"status\":20", "`status`"),
        ("\"status\":200", "\"status\":70000", "invalid value"),
        ("\"route\":\"/api", "\"route\":\"api", "`route`"),
        ("\"upstream\":\"public\"", "\"upstream\":\"\"", "`upstream`"),
        ("\"upstream\":\"public\"", "\"upstream\":\"a\\nb\"", "`upstream`"),
        ("\"etag\":null,", "", "missing field `etag`"),
        ("\"etag\":null", "\"etag\":7", "invalid type"),
        ("\"size\":700", "\"size\":9007199254740992", "`size`"),
        ("\"size\":700", "\"size\":-1", "invalid value"),
        ("\"size\":700", "\"size\":700,\"size\":700", "duplicate field `size`"),
        ("\"size\":700", "\"size\":700,\"mode\":1", "unknown field `mode`"),
        ("\"sha256\":\"", "\"sha256\":\"sha256:", "expected a digest"),
        ("\"archive\"", "\"source\"", "unknown variant"),
        ("@acme/lamp", "@acme/../lamp", "expected `name`"),
        ("1.0.0-rc.1", "1.0", "expected a SemVer"),
        ("\"root\":\"tools-*\"", "\"root\":\"a\",\"release\":\"b\"", "expected one of"),
        ("\"root\":\"tools-*\",", "", "expected one of"),
        ("\"root\":\"tools-*\"", "\"root\":\"\"", "`root` or `release`"),
        ("\"reason\":\"no", "\"reason\":\"\\u001b", "`reason`"),
        ("\"parts\":[]", "\"parts\":[{\"name\":\"part-0002.tar\"}]", "missing field"),
        ("\"pins\":[", "\"pins\":[7,", "invalid type"),
        ("\"pins\":[", "\"pins\":[[\"@acme/lamp\",\"1.0.0\",\"x\",\"y\"],", "invalid type"),
        ("{\"format\"", "[{\"format\"", "invalid type"),
        ("]}", "]}{}", "trailing"),
        ("]}", "]", "EOF"),
    ] {
        match read(with(from, to).as_bytes()) {
            Err(ManifestReadError::Malformed(found)) => assert!(found.contains(told), "{to}: {found}"),
            other => panic!("{to}: {other:?}"),
        }
    }
    assert!(read(b"").is_err() && read(b"\xff").is_err());
}

#[test]
fn another_version_is_told_by_its_version() {
    let later = with("scriptorium-bundle/1", "scriptorium-bundle/2").replace("\"kind\"", "\"sort\"");
    assert!(
        matches!(read(later.as_bytes()), Err(ManifestReadError::Format(found)) if found == "scriptorium-bundle/2")
    );
    let last = "{\"sort\":[{\"deep\":{}}],\"format\":\"scriptorium-bundle/9\"}";
    assert!(matches!(read(last.as_bytes()), Err(ManifestReadError::Format(_))));
    assert!(matches!(read(b"{\"sort\":1}"), Err(ManifestReadError::Malformed(_))));
    let long = with("scriptorium-bundle/1", &"x".repeat(5000));
    assert!(read(long.as_bytes()).unwrap_err().to_string().len() < 300, "a stranger's text at full length");
}

#[test]
fn other_json_of_the_same_manifest_is_read() {
    let text = text_of(&head(), &State::small());
    let json: serde_json::Value = serde_json::from_str(&text).unwrap();
    for other in [serde_json::to_string_pretty(&json).unwrap(), json.to_string(), format!(" {text}\n\n")] {
        assert_eq!(read(other.as_bytes()).unwrap(), head());
    }
    assert_eq!(read(with(",\n\"parts\":[]", "").as_bytes()).unwrap(), head());
}

#[test]
fn no_item_comes_twice() {
    let mut state = State::small();
    state.files.remove(0);
    let text = text_of(&head(), &state);
    for list in ["documents", "files", "pins", "missing"] {
        let from = text.find(&format!("\"{list}\":[")).unwrap() + list.len() + 4;
        let first = &text[from..][..text[from..].find('}').unwrap() + 1];
        let twice = format!("{}{first},{}", &text[..from], &text[from..]);
        let told = read(twice.as_bytes()).unwrap_err().to_string();
        assert!(told.contains("comes twice"), "{list}: {told}");
    }
}

#[test]
fn strings_have_a_bound() {
    let long = with("volumes.corp.example", &"x".repeat(9000));
    assert!(read(long.as_bytes()).unwrap_err().to_string().contains("a string has more than"));
    let deep = with("\"pins\":[", &format!("\"pins\":[{}", "[".repeat(1 << 20)));
    assert!(read(deep.as_bytes()).is_err());
}

#[test]
fn whoever_reads_can_stop() {
    let text = text_of(&head(), &State::small());
    let mut seen = 0;
    let stopped = read_manifest(
        || text.as_bytes(),
        |_| {
            seen += 1;
            if seen == 2 { Err(ManifestReadError::Malformed("mine".to_owned())) } else { Ok(()) }
        },
    );
    assert_eq!((stopped.unwrap_err().to_string().contains("mine"), seen), (true, 2));
}

#[test]
fn a_receipt_says_what_a_receiver_lacks() {
    let digest = |text: &str| Sha256::of(text.as_bytes());
    let (a, b, c) = (digest("a"), digest("b"), digest("c"));
    let receipt = Receipt::new(vec![b, a, b], vec![c]);
    let mut text = Vec::new();
    let base = receipt.write(&mut text).unwrap();
    assert_eq!(base, Sha256::of(&text));
    assert_eq!(Receipt::read(&text[..]).unwrap(), (receipt.clone(), base));
    let json: serde_json::Value = serde_json::from_slice(&text).unwrap();
    assert_eq!((&json["format"], &json["files"][0]), (&"scriptorium-receipt/1".into(), &c.hex().into()));
    assert!(!receipt.lacks_document(&a) && receipt.lacks_document(&c) && receipt.lacks_file(&a));
    let beyond = Receipt::new(vec![a, c], vec![c, b]).beyond(&receipt);
    assert_eq!((beyond.documents(), beyond.files()), (&[c][..], &[b][..]));
}

#[test]
fn each_wrong_receipt_is_refused() {
    let (one, other) = ("0".repeat(64), "1".repeat(64));
    let text = |documents: &str| {
        format!("{{\"format\":\"scriptorium-receipt/1\",\"documents\":[{documents}],\"files\":[]}}")
    };
    assert!(Receipt::read(text(&format!("\"{one}\",\"{other}\"")).as_bytes()).is_ok());
    for bad in [
        text(&format!("\"{other}\",\"{one}\"")),
        text(&format!("\"{one}\",\"{one}\"")),
        text(&format!("\"sha256:{one}\"")),
        text(&format!("\"{}\"", "A".repeat(64))),
        text("7"),
        text("").replace(",\"files\":[]", ""),
        text("").replace("\"files\"", "\"more\":1,\"files\""),
        text("").replace("\"files\"", "\"documents\":[],\"files\""),
        format!("{}x", text("")),
        "[\"scriptorium-receipt/1\",[],[]]".to_owned(),
        String::new(),
    ] {
        assert!(matches!(Receipt::read(bad.as_bytes()), Err(ReceiptError::Malformed(_))), "{bad}");
    }
    let later = text("").replace("receipt/1", "receipt/2");
    assert!(matches!(Receipt::read(later.as_bytes()), Err(ReceiptError::Format(_))));
}

prop_compose! {
    fn document()(
        route in "/[ -~é]{0,40}", upstream in "[a-z]{1,9}", status in 100_u16..=599, body: u64, size in 0..=bundle::MAX_NUMBER,
        etag in proptest::option::of("\"[!-~]{0,20}\""), confirmed in 0_u64..4_000_000_000,
    ) -> BundledDocument {
        let (sha256, confirmed) = (Sha256::of(&body.to_le_bytes()), UtcSecond::new(confirmed).unwrap());
        BundledDocument { route, upstream, status, sha256, size, etag, confirmed }
    }
}

prop_compose! {
    fn file()(name in "[a-z]{1,9}", major: u32, archive: bool, body: u64, size in 0..=bundle::MAX_NUMBER) -> BundledFile {
        BundledFile {
            kind: if archive { BundledFileKind::Archive } else { BundledFileKind::TrustArtifact },
            volume: name.parse().unwrap(),
            version: format!("{major}.0.0").parse().unwrap(),
            integrity: Integrity::new(Sha256::of(b"tree")),
            sha256: Sha256::of(&body.to_le_bytes()),
            size,
        }
    }
}

fn gap() -> impl Strategy<Value = BundleGap> {
    (any::<bool>(), "[ -~é]{1,30}", "[ -~é]{1,30}").prop_map(|(is_root, subject, reason)| {
        let subject = if is_root { GapSubject::Root(subject) } else { GapSubject::Release(subject) };
        BundleGap { subject, reason }
    })
}

fn in_order<T: ListedItem>(mut items: Vec<T>) -> Vec<T> {
    let order = |one: &T, other: &T| match (one.precedes(other), other.precedes(one)) {
        (true, _) => std::cmp::Ordering::Less,
        (_, true) => std::cmp::Ordering::Greater,
        _ => std::cmp::Ordering::Equal,
    };
    items.sort_by(order);
    items.dedup_by(|one, other| order(one, other).is_eq());
    items
}

proptest! {
    #[test]
    fn whatever_is_written_is_read(
        documents in proptest::collection::vec(document(), 0..6),
        files in proptest::collection::vec(file(), 0..6),
        gaps in proptest::collection::vec(gap(), 0..6),
        sequence in 1..=bundle::MAX_NUMBER,
        expires in proptest::option::of(0_u64..4_000_000_000),
    ) {
        let expires = expires.map(|at| UtcSecond::new(at).unwrap());
        let head = ManifestHead { sequence, expires, ..head() };
        let state = State {
            documents: in_order(documents), files: in_order(files), gaps: in_order(gaps), ..State::small()
        };
        let text = text_of(&head, &state);
        let (mut documents, mut files, mut gaps) = (vec![], vec![], vec![]);
        let read = read_manifest(|| text.as_bytes(), |item| {
            match item {
                ManifestItem::Document(item) => documents.push(item.clone()),
                ManifestItem::File(item) => files.push(item.clone()),
                ManifestItem::Gap(item) => gaps.push(item.clone()),
                ManifestItem::Pin(_) | ManifestItem::Part(_) => {}
            }
            Ok::<_, ManifestReadError>(())
        });
        prop_assert_eq!(read.unwrap(), head);
        prop_assert_eq!((documents, files, gaps), (state.documents, state.files, state.gaps));
    }

    #[test]
    fn no_text_makes_a_reader_panic(
        at in 0_usize..2000, length in 0_usize..40, other in proptest::collection::vec(any::<u8>(), 0..40),
    ) {
        let mut text = text_of(&head(), &State::small()).into_bytes();
        let at = at.min(text.len());
        let end = (at + length).min(text.len());
        text.splice(at..end, other);
        if let Ok(read) = read(&text) {
            prop_assert!(read.check().is_ok());
        }
        let _ = Receipt::read(&text[..]);
    }

    #[test]
    fn a_receipt_is_read_as_it_was_written(documents: Vec<u64>, files: Vec<u64>) {
        let digests = |numbers: Vec<u64>| numbers.iter().map(|n| Sha256::of(&n.to_le_bytes())).collect();
        let receipt = Receipt::new(digests(documents), digests(files));
        let mut text = Vec::new();
        let base = receipt.write(&mut text).unwrap();
        prop_assert_eq!(Receipt::read(&text[..]).unwrap(), (receipt, base));
    }
}
