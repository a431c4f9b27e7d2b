//! A published archive is served as if it had been downloaded, and only as the release that it is.
//!
//! Owns the promises: no download for what is held, nothing under a false name, and a store that fails costs a
//! download. Must not know how a body is taken in.

use std::io::Write;
use std::sync::Arc;

use bibliotheca::RangeSupport;
use bytes::Bytes;
use tempfile::TempDir;

use super::desk::{ARCHIVE, Proxy, Registry, Release, places};
use super::pull::staged;
use crate::clock::ManualClock;
use crate::domain::{Integrity, Purl, Sha256};
use crate::intake::Received;
use crate::store::faulty::{Fault, Faulty};
use crate::store::sealed::SealWriter;
use crate::store::{FileStore, ObjectStorage, ValueStore};

/// A store, a registry that published `release`, and how to start a proxy over both.
struct Site {
    root: TempDir,
    store: Arc<Faulty<ObjectStorage>>,
    registry: Arc<Registry>,
}

impl Site {
    fn new(release: &Release) -> Self {
        let root = TempDir::new().unwrap();
        let store = Arc::new(Faulty::over(ObjectStorage::local(root.path(), false).unwrap()));
        Self { root, store, registry: Registry::of(release, RangeSupport::Honoured) }
    }

    fn start(&self) -> Proxy {
        Proxy::over(self.store.clone(), &self.registry, Arc::new(ManualClock::at(1_000_000)))
    }

    /// Pulls the archive, and says how often it was downloaded for that.
    async fn pull(&self, proxy: &Proxy, release: &Release, packed: &Bytes) -> usize {
        let held = proxy.archive(release).await.unwrap();
        assert!(proxy.read_all(&held).await.unwrap() == *packed);
        proxy.idle().await;
        self.registry.asked(ARCHIVE).len()
    }
}

fn release() -> Release {
    Release::new(700_000, Vec::new())
}

#[tokio::test]
async fn a_published_archive_is_served_without_a_download() {
    let release = release();
    let site = Site::new(&release);
    let proxy = site.start();
    proxy.publish(&release, &release.archive).await.unwrap();
    assert_eq!(staged(site.root.path()), 0);
    assert_eq!(site.pull(&proxy, &release, &release.archive).await, 0);
    assert_eq!(site.pull(&site.start(), &release, &release.archive).await, 0, "also after a restart");
}

#[tokio::test]
async fn a_stored_archive_stays_when_its_tree_is_published_packed_otherwise() {
    let release = release();
    let site = Site::new(&release);
    let proxy = site.start();
    assert_eq!(site.pull(&proxy, &release, &release.archive).await, 1);
    for proxy in [proxy, site.start()] {
        proxy.publish(&release, &release.repacked).await.unwrap();
        assert_eq!(site.pull(&proxy, &release, &release.archive).await, 0);
    }
    assert_eq!(staged(site.root.path()), 0);
}

#[tokio::test]
async fn an_archive_sealed_as_something_else_is_not_stored() {
    let release = release();
    let site = Site::new(&release);
    let proxy = site.start();
    let other: Purl = "pkg:volume/y@1.0.0".parse().unwrap();
    let false_tree = Integrity::new(Sha256::of(b"another tree"));
    let [place, _] = places(&release);
    for (identity, known_by) in [(release.purl(), *false_tree.digest()), (other, *release.integrity.digest())]
    {
        let mut writer = SealWriter::new(site.store.stage().unwrap());
        writer.write_all(&release.archive).unwrap();
        let received = Received::new(writer, known_by, &identity.to_string()).await.unwrap();
        proxy.seed(&release.purl(), &release.integrity, received).await;
        assert!(site.store.read(&place).await.unwrap().is_none(), "{identity} {known_by}");
        assert_eq!(staged(site.root.path()), 0);
    }
    assert_eq!(site.pull(&proxy, &release, &release.archive).await, 1);
}

#[tokio::test]
async fn an_archive_that_is_still_read_is_not_stored() {
    let release = release();
    let site = Site::new(&release);
    let mut writer = SealWriter::new(site.store.stage().unwrap());
    writer.write_all(&release.archive).unwrap();
    let purl = release.purl();
    let received = Received::new(writer, *release.integrity.digest(), &purl.to_string()).await.unwrap();
    let reading = received.pieces();
    let proxy = site.start();
    proxy.seed(&purl, &release.integrity, received).await;
    drop(reading);
    assert_eq!(staged(site.root.path()), 0);
    assert_eq!(site.pull(&proxy, &release, &release.archive).await, 1);
}

#[tokio::test]
async fn a_store_that_fails_anywhere_costs_a_download_and_nothing_else() {
    let release = release();
    for fault in [Fault::Full, Fault::Denied, Fault::Io] {
        let (mut nth, mut downloads) = (0, 0);
        loop {
            nth += 1;
            let site = Site::new(&release);
            let proxy = site.start();
            site.store.fail(nth, 1, fault);
            // An upload that cannot be staged is the client's to hear of; one that cannot be kept is nobody's.
            let published = proxy.publish(&release, &release.archive).await;
            let injected = site.store.injected();
            assert!(published.is_ok() || injected > 0, "{fault:?} at {nth}: {published:?}");
            site.store.clear();
            assert_eq!(staged(site.root.path()), 0, "{fault:?} at {nth}: something is left behind");
            downloads += site.pull(&proxy, &release, &release.archive).await;
            if injected == 0 {
                break;
            }
        }
        assert!(nth > 10 && downloads > 10, "{downloads} downloads in {nth} uploads");
    }
}
