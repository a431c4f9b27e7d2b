//! How large bundles are. `benches/bundles.py` measures the same for as many volumes as the promises are about.

use std::fs;
use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::Value;

use crate::support::crossing::{Luggage, contents, export, mirror, receiver, see, seen};
use crate::support::tarball::Entry;
use crate::support::{Release, Upstream, noise};

/// As many as take a moment.
const VOLUMES: usize = 100;

fn volumes() -> Vec<Release> {
    let release = |number: usize| {
        let release = Release::new(&format!("@scope/volume-{number}"), "1.0.0");
        release.adding(Entry::file("big", noise(number as u64 + 1, 10_000)))
    };
    (0..VOLUMES).map(release).collect()
}

#[test]
fn a_delta_of_a_change_of_one_in_a_hundred_is_little_more_than_what_is_new() {
    let (luggage, upstream, volumes) = (Luggage::new(), Upstream::start(), volumes());
    let far = receiver(&upstream, &luggage.key("corp")).start();
    let all: Vec<&Release> = volumes.iter().collect();
    let near = seen(&upstream, &all);
    export(&near, &luggage, "full", &[]);
    mirror(&far, &["import", &luggage.at("full")]).exits(0);
    let new = Release::new(&volumes[0].name, "1.0.1").adding(Entry::file("big", noise(0, 400_000)));
    upstream.publish(&new);
    near.admin().post("/admin/v1/invalidate", r#"{"volume":"@scope/volume-0"}"#).ok();
    see(&near, &upstream, &[&all[..], &[&new]].concat());
    fs::write(luggage.path("receipt.json"), mirror(&far, &["receipt"]).exits(0).out).unwrap();
    export(&near, &luggage, "delta", &["--for", &luggage.at("receipt.json")]);
    let delta: usize = contents(&luggage.path("delta")).values().map(Vec::len).sum();
    let fresh = new.archive().len();
    // The promise has a megabyte; here it has as much less as there are fewer volumes than 2,500.
    assert!(
        delta * 10 <= fresh * 11 + 10 * (1_000_000 * VOLUMES / 2_500),
        "{delta} bytes for {fresh} new ones"
    );
    let manifest: Value =
        serde_json::from_slice(&fs::read(luggage.path("delta/manifest.json")).unwrap()).unwrap();
    assert_eq!(manifest["files"].as_array().unwrap().len(), 1);
    assert_eq!(manifest["documents"].as_array().unwrap().len(), 2, "an index and exact metadata: {manifest}");
    mirror(&far, &["import", &luggage.at("delta")]).exits(0);
    assert!(far.client().get(&new.download()).ok().body == new.archive());
}

#[test]
fn a_lifecycle_bundle_takes_less_than_a_kilobyte_a_volume() {
    let (luggage, upstream, volumes) = (Luggage::new(), Upstream::start(), volumes());
    luggage.key("corp");
    let near = seen(&upstream, &volumes.iter().collect::<Vec<_>>());
    export(&near, &luggage, "blocks", &["--lifecycle-only"]);
    let files = contents(&luggage.path("blocks"));
    assert!(files.len() >= 2 * VOLUMES, "an index and exact metadata each: {}", files.len());
    let mut packed = GzEncoder::new(Vec::new(), Compression::default());
    for bytes in files.values() {
        packed.write_all(bytes).unwrap();
    }
    let packed = packed.finish().unwrap().len();
    // 10,000 volumes in ten megabytes.
    assert!(packed < 1_000 * VOLUMES, "{packed} bytes");
}
