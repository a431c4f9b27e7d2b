//! Whole stores on a disk, and what an audit says after each way of damaging them.

use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;

use bibliotheca::archive::{TarMember, gzip, tar, tar_gz, tree_digest};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::finding::Finding;
use super::finding::FindingKind;
use super::*;
use crate::clock::Timestamp;
use crate::consistency::{Pin, Pins, Proof};
use crate::domain::{DocumentKey, Integrity, Purl, Registry, Sha256};
use crate::read::envelope::{Envelope, Meta};
use crate::read::keeping::Keeping;
use crate::read::place;
use crate::store::sealed::{BLOCK, SealWriter};
use crate::store::{ObjectStorage, StorageKey, Store};

mod framing;
mod histories;
mod registries;

/// A store that holds all there is to hold of two releases.
struct Shop {
    folder: TempDir,
    store: Arc<dyn Store>,
}

fn release(version: &str) -> Purl {
    Purl::new(&"@acme/x".parse().unwrap(), &version.parse().unwrap())
}

/// The tree of a version: one file that gzip cannot shrink, two blocks long and a bit.
fn tree(version: &str) -> TarMember {
    let seed = version.bytes().fold(7, |seed, byte| seed << 5 ^ u64::from(byte));
    let mut noise = vec![0; 2 * BLOCK as usize + 1000];
    fastrand::Rng::with_seed(seed).fill(&mut noise);
    TarMember::file("data.bin", noise)
}

fn integrity(version: &str) -> Integrity {
    tree_digest(&[tree(version)]).parse().unwrap()
}

fn registry() -> Registry {
    Registry::new("public", "https://up")
}

/// Where the registry's answer lies.
fn place(key: &DocumentKey) -> StorageKey {
    place::place(&registry(), key)
}

fn exact(version: &str) -> DocumentKey {
    DocumentKey::Release(release(version).name, release(version).version)
}

fn index() -> DocumentKey {
    DocumentKey::Index(release("1.0.0").name)
}

fn row(version: &str, state: &str) -> Value {
    let url = format!("/api/v1/volumes/@acme/x/{version}");
    json!({ "version": version, "status": { "state": state }, "release": { "url": url },
            "integrity": integrity(version) })
}

/// The row of `version` with an integrity of its own.
fn row_of(version: &str, integrity: Integrity) -> Value {
    let mut row = row(version, "available");
    row["integrity"] = integrity.to_string().into();
    row
}

fn metadata(version: &str, state: &str, integrity: Integrity) -> Value {
    json!({ "name": "@acme/x", "version": version, "purl": release(version).to_string(),
            "integrity": integrity, "status": { "state": state }, "dist": { "source": "git", "repository": "https://git/x", "ref": "v1" } })
}

fn envelope(key: &DocumentKey, status: u16, body: &Value) -> Envelope {
    let (upstream, origin) = ("public".to_owned(), "https://up".to_owned());
    let (fetched_at, key) = (Timestamp(7), key.to_string());
    let meta = Meta {
        key,
        status,
        fetched_at,
        upstream_age: 0,
        upstream,
        origin,
        etag: None,
        at: None,
        keeping: Keeping::default(),
        turn: None,
    };
    Envelope { meta, body: body.to_string().into() }
}

/// The pin of `version`, saying `integrity`.
fn pin(version: &str, integrity: Integrity) -> Pin {
    Pin::of(&registry(), &release(version), integrity, Timestamp(7))
}

impl Shop {
    async fn stocked() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store: Arc<dyn Store> = Arc::new(ObjectStorage::local(folder.path(), false).unwrap());
        let shop = Self { folder, store };
        let rows = ["1.0.0", "2.0.0"].map(|version| row(version, "available"));
        shop.put(&index(), 200, &json!({ "items": rows })).await;
        for version in ["1.0.0", "2.0.0"] {
            shop.put(&exact(version), 200, &metadata(version, "available", integrity(version))).await;
            shop.seal(version, version).await;
            Pins::new(shop.store.clone())
                .admit(pin(version, integrity(version)), Proof::Proved)
                .await
                .unwrap();
        }
        shop
    }

    async fn put(&self, key: &DocumentKey, status: u16, body: &Value) {
        let stored = envelope(key, status, body).encode();
        self.store.write(&place(key), stored).await.unwrap();
    }

    /// An archive of the tree that `content` has, sealed for `version`.
    async fn seal(&self, version: &str, content: &str) {
        self.seal_as(version, integrity(content), &tar_gz(&[tree(content)])).await;
    }

    async fn seal_as(&self, version: &str, tree: Integrity, archive: &[u8]) {
        let mut writer = SealWriter::new(Vec::new());
        writer.write_all(archive).unwrap();
        let (bytes, _) = writer.finish(*tree.digest(), &release(version).to_string()).unwrap();
        self.store.write(&StorageKey::Archive(tree), bytes.into()).await.unwrap();
    }

    fn file(&self, key: &StorageKey) -> PathBuf {
        self.folder.path().join(key.path())
    }

    /// Changes a file as no store would.
    fn damage(&self, key: &StorageKey, change: impl FnOnce(&mut Vec<u8>)) {
        let mut bytes = fs::read(self.file(key)).unwrap();
        change(&mut bytes);
        fs::write(self.file(key), bytes).unwrap();
    }

    fn swap(&self, one: &StorageKey, other: &StorageKey) {
        let [first, second] = [one, other].map(|key| fs::read(self.file(key)).unwrap());
        fs::write(self.file(one), second).unwrap();
        fs::write(self.file(other), first).unwrap();
    }

    async fn audit(&self, repair: bool) -> AuditReport {
        self.walk(repair, true).await
    }

    /// Looks at each value for itself.
    async fn verify(&self) -> AuditReport {
        self.walk(false, false).await
    }

    async fn walk(&self, repair: bool, compare: bool) -> AuditReport {
        walk(&self.store, AuditOptions { repair, compare, pace: ReadRate::unlimited(), progress: &|_| {} })
            .await
    }

    /// The only finding, which must be of `kind` and about `key`.
    #[track_caller]
    fn only(report: &AuditReport, kind: FindingKind, key: &StorageKey) -> Finding {
        let [finding] = &*report.findings else { panic!("{:#?}", report.findings) };
        assert_eq!((finding.kind, &finding.path), (kind, &key.path()), "{finding:#?}");
        finding.clone()
    }
}

fn archive(version: &str) -> StorageKey {
    StorageKey::Archive(integrity(version))
}

fn pin_place(version: &str) -> StorageKey {
    let (volume, release) = (Sha256::of(b"@acme/x"), registry().digest_of(&release(version).to_string()));
    StorageKey::Pin { volume, release }
}

#[tokio::test]
async fn what_is_whole_is_counted_and_nothing_is_said_of_it() {
    let shop = Shop::stocked().await;
    fs::write(shop.folder.path().join("documents/notes.txt"), "no key, no business").unwrap();
    let report = shop.audit(true).await;
    assert_eq!((&*report.findings, report.wrong), (&[][..], 0));
    let walked = report.walked;
    let counts = [walked.documents, walked.archives, walked.pins].map(|counted| counted.count);
    assert_eq!((counts, walked.releases), ([3, 2, 2], 2));
    let bytes: u64 =
        [walked.documents, walked.archives, walked.pins].map(|counted| counted.bytes).iter().sum();
    assert_eq!(walk::size(&*shop.store).await.unwrap(), bytes);
    assert!(walked.archives.bytes > 4 * BLOCK);
}

#[tokio::test]
async fn a_flipped_bit_anywhere_in_an_archive_is_found_and_repaired() {
    let length = fs::metadata(Shop::stocked().await.file(&archive("1.0.0"))).unwrap().len() as usize;
    for at in [0, BLOCK as usize, 2 * BLOCK as usize + 5, length - 100, length - 1] {
        let shop = Shop::stocked().await;
        shop.damage(&archive("1.0.0"), |bytes| bytes[at] ^= 0x10);
        let finding = Shop::only(&shop.audit(false).await, FindingKind::Archive, &archive("1.0.0"));
        assert!(!finding.repaired && !finding.found.contains("archives/"), "{finding:?}");
        let sealed = at < length - 100;
        assert_eq!(finding.release, sealed.then(|| release("1.0.0").to_string()));
        assert!(shop.file(&archive("1.0.0")).exists(), "an audit without --repair changes nothing");
        let repaired = shop.audit(true).await;
        assert!((repaired.wrong, repaired.remaining()) == (1, 0) && repaired.findings[0].repaired);
        assert!(!shop.file(&archive("1.0.0")).exists());
        assert_eq!(shop.audit(false).await.wrong, 0);
    }
}

#[tokio::test]
async fn a_truncated_archive_is_found() {
    let shop = Shop::stocked().await;
    shop.damage(&archive("2.0.0"), |bytes| bytes.truncate(bytes.len() / 2));
    Shop::only(&shop.audit(false).await, FindingKind::Archive, &archive("2.0.0"));
}

#[tokio::test]
async fn files_that_changed_places_are_both_found() {
    let shop = Shop::stocked().await;
    shop.swap(&archive("1.0.0"), &archive("2.0.0"));
    shop.swap(&place(&exact("1.0.0")), &place(&exact("2.0.0")));
    let report = shop.audit(true).await;
    let kinds: Vec<_> = report.findings.iter().map(|finding| finding.kind).collect();
    assert_eq!(
        kinds,
        [FindingKind::Document, FindingKind::Document, FindingKind::Archive, FindingKind::Archive]
    );
    assert_eq!(report.remaining(), 0);
}

#[tokio::test]
async fn a_damaged_document_is_found_and_repaired() {
    for key in [index(), exact("1.0.0")] {
        let changes: [fn(&mut Vec<u8>); 3] =
            [|bytes| *bytes.last_mut().unwrap() ^= 1, |bytes| bytes.truncate(40), |bytes| bytes.clear()];
        for change in changes {
            let shop = Shop::stocked().await;
            shop.damage(&place(&key), change);
            let report = shop.audit(true).await;
            assert!(Shop::only(&report, FindingKind::Document, &place(&key)).repaired);
            assert!(!shop.file(&place(&key)).exists());
        }
    }
}

#[tokio::test]
async fn a_document_that_is_no_answer_is_found() {
    let shop = Shop::stocked().await;
    shop.put(&exact("1.0.0"), 200, &json!({ "name": "@acme/x" })).await;
    Shop::only(&shop.audit(false).await, FindingKind::Document, &place(&exact("1.0.0")));
    let other = metadata("2.0.0", "available", integrity("1.0.0"));
    shop.put(&exact("1.0.0"), 200, &other).await;
    let finding = Shop::only(&shop.audit(false).await, FindingKind::Disagreement, &place(&exact("1.0.0")));
    assert!(finding.found.contains("2.0.0"), "{finding:?}");
    let mut foreign = envelope(&exact("1.0.0"), 200, &metadata("1.0.0", "available", integrity("1.0.0")));
    foreign.meta.key = "\u{1b}[2J".into();
    shop.store.write(&place(&exact("1.0.0")), foreign.encode()).await.unwrap();
    let finding = Shop::only(&shop.audit(false).await, FindingKind::Document, &place(&exact("1.0.0")));
    assert!(!finding.found.contains('\u{1b}'), "{finding:?}");
}

#[tokio::test]
async fn a_damaged_pin_is_for_a_person() {
    let shop = Shop::stocked().await;
    shop.damage(&pin_place("1.0.0"), |bytes| bytes[20] ^= 1);
    let report = shop.audit(true).await;
    let finding = Shop::only(&report, FindingKind::Pin, &pin_place("1.0.0"));
    assert!(finding.found.contains("1.0.0"), "a person sees what is there: {finding:?}");
    assert!(!finding.repaired && finding.advice.contains("pins import"), "{finding:?}");
    assert_eq!((report.remaining(), shop.file(&pin_place("1.0.0")).exists()), (1, true));
}

#[tokio::test]
async fn row_exact_metadata_and_pin_must_agree() {
    let other = integrity("other");
    let available = |version| metadata(version, "available", integrity(version));
    for (rows, exact_says, status, said) in [
        (vec![row_of("1.0.0", other)], available("1.0.0"), 200, other.to_string()),
        (vec![row("1.0.0", "blocked")], available("1.0.0"), 200, "blocked".to_owned()),
        (
            vec![row("1.0.0", "available"), row("1.0.0", "yanked")],
            available("1.0.0"),
            200,
            "yanked".to_owned(),
        ),
        (
            vec![row("1.0.0", "available")],
            json!({ "type": "about:blank", "title": "No", "status": 404 }),
            404,
            "404".to_owned(),
        ),
    ] {
        let shop = Shop::stocked().await;
        let rows = rows.into_iter().chain([row("2.0.0", "available")]).collect::<Vec<_>>();
        shop.put(&index(), 200, &json!({ "items": rows })).await;
        shop.put(&exact("1.0.0"), status, &exact_says).await;
        let report = shop.audit(true).await;
        let finding = Shop::only(&report, FindingKind::Disagreement, &place(&exact("1.0.0")));
        assert!(finding.found.contains(&said), "{finding:?}");
        assert_eq!(finding.release, Some(release("1.0.0").to_string()));
        assert_eq!(report.remaining(), 1, "a disagreement is never repaired");
        assert!(shop.file(&place(&exact("1.0.0"))).exists());
    }
}

#[tokio::test]
async fn a_pin_that_reads_well_and_says_another_content_is_a_disagreement() {
    let shop = Shop::stocked().await;
    let other = pin("1.0.0", integrity("other"));
    shop.store.write(&pin_place("1.0.0"), other.line().into()).await.unwrap();
    let finding = Shop::only(&shop.audit(true).await, FindingKind::Disagreement, &place(&exact("1.0.0")));
    assert!(finding.found.contains(&other.integrity.to_string()), "{finding:?}");

    shop.store.remove(&place(&exact("1.0.0"))).await.unwrap();
    let report = shop.audit(true).await;
    let paths: Vec<_> = report.findings.iter().map(|finding| &finding.path).collect();
    assert_eq!(paths, [&archive("1.0.0").path(), &pin_place("1.0.0").path()]);
}

#[tokio::test]
async fn a_refusal_agrees_with_a_row_that_offers_nothing() {
    let shop = Shop::stocked().await;
    shop.put(&index(), 200, &json!({ "items": [row("1.0.0", "blocked"), row("2.0.0", "available")] })).await;
    shop.put(&exact("1.0.0"), 403, &json!({ "title": "No" })).await;
    assert_eq!(shop.audit(false).await.findings, []);
}

#[tokio::test]
async fn a_pin_is_held_against_the_index_where_exact_metadata_is_not_stored() {
    let shop = Shop::stocked().await;
    let other = row_of("3.0.0", integrity("other"));
    let rows = [row("1.0.0", "available"), row("2.0.0", "available"), other];
    shop.put(&index(), 200, &json!({ "items": rows })).await;
    Pins::new(shop.store.clone()).admit(pin("3.0.0", integrity("3.0.0")), Proof::Proved).await.unwrap();
    let finding = Shop::only(&shop.audit(false).await, FindingKind::Disagreement, &pin_place("3.0.0"));
    assert!(finding.found.contains(&integrity("other").to_string()), "{finding:?}");
}

#[tokio::test]
async fn an_archive_is_of_the_content_its_release_is_known_by() {
    let shop = Shop::stocked().await;
    shop.seal("1.0.0", "other").await;
    let place = StorageKey::Archive(integrity("other"));
    let report = shop.audit(true).await;
    let finding = Shop::only(&report, FindingKind::Disagreement, &place);
    assert!(finding.expected.contains(&integrity("1.0.0").to_string()) && !finding.repaired, "{finding:?}");

    let shop = Shop::stocked().await;
    shop.seal("7.0.0", "7.0.0").await;
    assert_eq!(shop.audit(false).await.findings, [], "nothing is known of that release");
}

#[tokio::test]
async fn without_comparing_only_what_is_damaged_is_found() {
    let shop = Shop::stocked().await;
    shop.put(&index(), 200, &json!({ "items": [row_of("1.0.0", integrity("other"))] })).await;
    shop.seal("1.0.0", "other").await;
    let other = pin("2.0.0", integrity("other"));
    shop.store.write(&pin_place("2.0.0"), other.line().into()).await.unwrap();
    assert!(shop.audit(false).await.wrong >= 3);
    let report = shop.verify().await;
    assert_eq!((&*report.findings, report.walked.releases), (&[][..], 0));
    let keys = [archive("1.0.0"), place(&index()), place(&exact("2.0.0")), pin_place("2.0.0")];
    for (found, key) in (1..).zip(&keys) {
        shop.damage(key, |bytes| bytes[30] ^= 1);
        assert_eq!(shop.verify().await.wrong, found, "{}", key.path());
    }
}
