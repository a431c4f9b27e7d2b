//! What changes in the store while a bundle is written.

use std::path::Path;

use bundle::GapSubject;
use serde_json::json;

use super::*;
use crate::bundles::selection::{BundledExtent, BundledRelease};
use crate::clock::Timestamp;
use crate::domain::{DocumentKey, Purl, Registry};
use crate::read::envelope::{Envelope, Meta};
use crate::read::keeping::Keeping;
use crate::read::place::place;
use crate::store::ObjectStorage;

fn registry() -> Registry {
    Registry::new("public", "https://up")
}

/// Stores the answer of the registry to `key`.
async fn put(store: &dyn Store, key: &DocumentKey, body: serde_json::Value) {
    let meta = Meta {
        key: key.to_string(),
        status: 200,
        fetched_at: Timestamp(1000),
        upstream_age: 0,
        upstream: registry().name().to_owned(),
        origin: registry().origin().to_owned(),
        etag: None,
        at: None,
        keeping: Keeping::default(),
        turn: None,
    };
    let envelope = Envelope { meta, body: body.to_string().into() };
    store.write(&place(&registry(), key), envelope.encode()).await.unwrap();
}

fn order(folder: &Path) -> BundleOrder {
    SigningKey::make_files(&folder.join("corp"), None).unwrap();
    BundleOrder {
        folder: folder.join("bundle"),
        part_size: None,
        key: SigningKey::load(&folder.join("corp.key"), None).unwrap(),
        receipt: None,
        lifecycle_only: true,
        created: UtcSecond::saturating(7),
        expires: None,
    }
}

#[tokio::test]
async fn what_is_replaced_while_a_bundle_is_written_is_missing_in_it() {
    let folder = tempfile::tempdir().unwrap();
    let store: Arc<dyn Store> = Arc::new(ObjectStorage::memory().unwrap());
    let release = Purl::new(&"lamp".parse().unwrap(), &"1.0.0".parse().unwrap());
    let index = DocumentKey::Index(release.name.clone());
    let exact = DocumentKey::Release(release.name.clone(), release.version.clone());
    let advisories = DocumentKey::Advisories(Default::default());
    put(&*store, &index, json!({ "items": [] })).await;
    put(&*store, &advisories, json!({ "items": [] })).await;
    let capabilities = json!({
        "schemaVersion": "1", "specVersion": "0.1.0-rc.1", "apiVersion": "v1", "deliveryModes": ["cdn"],
        "scopePolicy": { "scopesSupported": true, "scopelessSupported": true, "scopesRequired": false },
        "apis": {
            "trustMetadata": true, "versionIndex": true, "releaseUploads": false, "trustUploads": false,
            "advisories": true,
        },
    });
    put(&*store, &DocumentKey::Capabilities, capabilities).await;
    let metadata = json!({
        "name": "lamp", "version": "1.0.0", "purl": release.to_string(), "status": { "state": "tombstoned" },
    });
    put(&*store, &exact, metadata).await;
    let selection = BundledSelection {
        releases: vec![BundledRelease {
            registry: registry(),
            release: release.clone(),
            extent: BundledExtent::Whole,
            wants_files: true,
        }],
        ..BundledSelection::default()
    };
    let gathered = gather(Arc::clone(&store), selection, true).await.unwrap();
    assert_eq!((gathered.documents.len(), gathered.missing.len()), (4, 0));

    // A sync beside the export.
    put(&*store, &index, json!({ "items": [], "more": 1 })).await;
    put(&*store, &advisories, json!({ "items": [], "more": 1 })).await;
    store.remove(&place(&registry(), &exact)).await.unwrap();
    let order = order(folder.path());
    let head = ManifestHead {
        origin: registry().origin().to_owned(),
        key_id: order.key.id(),
        sequence: 1,
        kind: Coverage::Lifecycle,
        base: None,
        created: order.created,
        expires: None,
    };
    let source = BlobSource::new(store);
    let written = tokio::task::spawn_blocking(move || order.write(head, gathered, &source));
    let made = written.await.unwrap().unwrap();
    assert_eq!(made.documents, 1, "the capabilities");
    let mut reasons = Vec::new();
    for gap in &made.missing {
        assert_eq!(gap.subject, GapSubject::Release("lamp@1.0.0".to_owned()));
        reasons
            .push(gap.reason.strip_suffix(" was removed or replaced while the bundle was written").unwrap());
    }
    reasons.sort_unstable();
    let expected = ["/api/v1/advisories", "/api/v1/index/volumes/lamp", "/api/v1/volumes/lamp/1.0.0"];
    assert_eq!(reasons, expected);
}
