//! What consistency costs: an index of 5,000 rows held against exact metadata and pins of all its releases,
//! beside reading that index as this proxy and as plain JSON. Medians of 41 rounds, in one process.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout, missing_docs)]

use std::hint::black_box;
use std::time::{Duration, Instant};

use bytes::Bytes;
use scriptorium::consistency::{Exact, reconcile};
use scriptorium::domain::check::check;
use scriptorium::domain::{DocumentKey, Facts, Integrity, Release, Rows, Sha256, Version, VolumeName};
use serde_json::{Value, json};

const ROWS: u32 = 5_000;
const ROUNDS: usize = 41;

fn integrity(number: u32) -> Integrity {
    Integrity::new(Sha256::of(&number.to_le_bytes()))
}

fn index(name: &VolumeName) -> Bytes {
    let rows = (0..ROWS).map(|number| {
        json!({
            "version": format!("1.{number}.0"),
            "status": {"state": "available"},
            "release": {"url": format!("https://registry.example/api/v1/volumes/{name}/1.{number}.0")},
            "integrity": integrity(number),
            "dependencies": {"@acme/base": "^1.0.0", "tools": ">=2.1.0, <3.0.0"},
        })
    });
    json!({"items": rows.collect::<Vec<_>>()}).to_string().into()
}

fn release(name: &VolumeName, version: &Version, number: u32) -> Release {
    let body = json!({
        "name": name, "version": version, "purl": format!("pkg:volume/%40acme/x@{version}"),
        "integrity": integrity(number), "status": {"state": "available"},
        "dist": {"source": "cdn", "mediaType": "application/gzip", "url": "/x.tar.gz"},
    });
    let key = DocumentKey::Release(name.clone(), version.clone());
    match check(&key, &body.to_string().into(), "").unwrap().facts {
        Facts::Release(release) => release,
        facts => panic!("expected a release, got {facts:?}"),
    }
}

fn rows(name: &VolumeName, body: &Bytes) -> Rows {
    match check(&DocumentKey::Index(name.clone()), body, "https://registry.example").unwrap().facts {
        Facts::Index(rows) => rows,
        facts => panic!("expected rows, got {facts:?}"),
    }
}

fn median<T>(mut work: impl FnMut() -> T) -> Duration {
    let mut rounds: Vec<_> = (0..ROUNDS)
        .map(|_| {
            let started = Instant::now();
            black_box(work());
            started.elapsed()
        })
        .collect();
    rounds.sort_unstable();
    rounds[ROUNDS / 2]
}

fn main() {
    let name: VolumeName = "@acme/x".parse().unwrap();
    let body = index(&name);
    let held = rows(&name, &body);
    let releases: Vec<_> = (0..ROWS)
        .map(|number| {
            let version: Version = format!("1.{number}.0").parse().unwrap();
            let release = release(&name, &version, number);
            (version, release, integrity(number))
        })
        .collect();
    let differences = || {
        let differs = |(version, release, pin): &&(Version, Release, Integrity)| {
            let exact = Some(Exact::Found(release));
            reconcile((&name, version), Some(held.of(version)), exact, Some(*pin)).is_some()
        };
        releases.iter().filter(differs).count()
    };
    assert_eq!(differences(), 0, "what agrees was taken for a difference");
    let json = median(|| serde_json::from_slice::<Value>(&body).unwrap());
    let read = median(|| rows(&name, &body));
    let reconciled = median(differences);
    println!("index of {ROWS} rows, {} KiB", body.len() / 1024);
    println!("  as plain JSON         {json:>12.2?}");
    println!("  read by this proxy    {read:>12.2?}  {:.2} of plain JSON", ratio(read, json));
    println!("  reconciled, each row  {reconciled:>12.2?}  {:.2} of plain JSON", ratio(reconciled, json));
}

fn ratio(one: Duration, other: Duration) -> f64 {
    one.as_secs_f64() / other.as_secs_f64()
}
