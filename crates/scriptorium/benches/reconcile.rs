//! The cost of consistency: an index of 5,000 rows, compared with exact metadata and pins of all its releases; and the
//! reading of that index, by this proxy and as plain JSON. Medians of 41 rounds, in one process.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout, missing_docs)]

use std::hint::black_box;
use std::time::{Duration, Instant};

use bytes::Bytes;
use data_encoding::HEXLOWER;
use scriptorium::facade::VolumeAnswers;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

const ROWS: u32 = 5_000;
const ROUNDS: usize = 41;

const NAME: &str = "@acme/x";

fn integrity(number: u32) -> String {
    format!("sha256:{}", HEXLOWER.encode(&Sha256::digest(number.to_le_bytes())))
}

fn index() -> Bytes {
    let rows = (0..ROWS).map(|number| {
        json!({
            "version": format!("1.{number}.0"),
            "status": {"state": "available"},
            "release": {"url": format!("https://registry.example/api/v1/volumes/{NAME}/1.{number}.0")},
            "integrity": integrity(number),
            "dependencies": {"@acme/base": "^1.0.0", "tools": ">=2.1.0, <3.0.0"},
        })
    });
    json!({"items": rows.collect::<Vec<_>>()}).to_string().into()
}

/// A version and its exact metadata.
fn exact(number: u32) -> (String, Bytes) {
    let version = format!("1.{number}.0");
    let body = json!({
        "name": NAME, "version": version, "purl": format!("pkg:volume/%40acme/x@{version}"),
        "integrity": integrity(number), "status": {"state": "available"},
        "dist": {"source": "cdn", "mediaType": "application/gzip", "url": "/x.tar.gz"},
    });
    (version, body.to_string().into())
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
    let body = index();
    let exact: Vec<_> = (0..ROWS).map(exact).collect();
    let answers = VolumeAnswers::read(NAME, &body, &exact).expect("valid answers");
    assert_eq!(answers.differences(), 0, "equal answers were reported as a difference");
    let json = median(|| serde_json::from_slice::<Value>(&body).unwrap());
    let read = median(|| answers.read_index(&body));
    let reconciled = median(|| answers.differences());
    println!("index of {ROWS} rows, {} KiB", body.len() / 1024);
    println!("  as plain JSON         {json:>12.2?}");
    println!("  read by this proxy    {read:>12.2?}  {:.2} of plain JSON", ratio(read, json));
    println!("  reconciled, each row  {reconciled:>12.2?}  {:.2} of plain JSON", ratio(reconciled, json));
}

fn ratio(one: Duration, other: Duration) -> f64 {
    one.as_secs_f64() / other.as_secs_f64()
}
