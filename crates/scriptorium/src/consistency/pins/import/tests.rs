//! Lines as teams write them, and stores that already know better.

use std::sync::Arc;

use super::*;
use crate::consistency::{PinError, Proof};
use crate::domain::Sha256;
use crate::store::{ObjectStorage, Store};

const NOW: Timestamp = Timestamp(9);

fn integrity(content: &str) -> Integrity {
    Integrity::new(Sha256::of(content.as_bytes()))
}

fn pin(version: &str, content: &str) -> Pin {
    Pin {
        volume: "@acme/x".parse().unwrap(),
        version: version.parse().unwrap(),
        integrity: integrity(content),
        since: NOW,
        upstream: ANYBODY.into(),
        origin: None,
        commit: None,
    }
}

/// A line without what only a proxy knows.
fn by_hand(version: &str, content: &str) -> String {
    format!(r#"{{"volume":"@acme/x","version":"{version}","integrity":"{}"}}"#, integrity(content))
}

fn read(text: &[u8]) -> Vec<Result<Line, String>> {
    lines(text, NOW).map(|line| line.map_err(|error| error.to_string())).collect()
}

fn registry() -> Registry {
    Registry::new("public", "https://one")
}

fn pins() -> Pins {
    Pins::new(Arc::new(ObjectStorage::memory().unwrap()))
}

async fn merge(pins: &Pins, text: &str) -> (Merged, Vec<String>) {
    let (mut proposals, mut told) = (Proposals::default(), Vec::new());
    lines(text.as_bytes(), NOW).for_each(|line| proposals.add(line.unwrap()));
    let merged = proposals.merge(pins, [], |conflict| told.push(conflict.to_string())).await.unwrap();
    (merged, told)
}

fn merged(imported: u64, present: u64, conflicts: u64) -> Merged {
    Merged { imported, present, conflicts }
}

#[test]
fn a_line_is_an_exported_pin_or_one_written_by_hand() {
    let commit = Some(Box::new(PinnedCommit::of("c0".repeat(20), "ee".repeat(20))));
    let exported = Pin { since: Timestamp(7), upstream: "public".into(), commit, ..pin("1.0.0", "a") };
    let mut text = exported.line();
    text.extend_from_slice(b"\n  \r\n");
    text.extend_from_slice(by_hand("2.0.0", "b").as_bytes());
    let expected = [(1, exported), (4, pin("2.0.0", "b"))].map(|(number, pin)| Ok(Line { number, pin }));
    assert_eq!(read(&text), expected);
    assert_eq!(read(b""), []);
}

#[test]
fn every_bad_line_is_told_with_its_number_and_what_was_expected() {
    let good = by_hand("1.0.0", "a");
    let long = format!("{good}{}", " ".repeat(LONGEST));
    let bad = [
        "garbage",
        "{}",
        "[]",
        &good[..good.len() - 1],
        &format!("{good} {good}"),
        &good.replace("@acme/x", "@Acme/x"),
        &good.replace("1.0.0", "1.0"),
        &good.replace("sha256:", "md5:"),
        &good.replace('}', r#","colour":"red"}"#),
        &good.replace('}', r#","since":"yesterday"}"#),
        &long,
    ];
    let read = read(format!("{good}\n{}\n{good}", bad.join("\n")).as_bytes());
    assert_eq!(read.len(), bad.len() + 2);
    for (at, line) in read.into_iter().enumerate() {
        match line {
            Ok(line) => assert!(line.number == 1 || line.number == bad.len() as u64 + 2, "{line:?}"),
            Err(told) => {
                assert!(told.starts_with(&format!("line {}: expected ", at + 1)), "{told}");
                assert!(told.contains("; column ") || told.ends_with("more than 4096 bytes"), "{told}");
                assert!(!told.contains("at line 1"), "{told}");
            }
        }
    }
}

#[test]
fn bytes_that_are_no_text_are_a_bad_line_and_not_the_end() {
    let read = read(b"\xff\xfe\x00\n\"\x1b[2J\"\n{}");
    assert_eq!(read.len(), 3);
    assert!(read.iter().all(|line| line.as_ref().is_err_and(|told| !told.contains('\x1b'))), "{read:?}");
}

#[tokio::test]
async fn what_nothing_contradicts_comes_into_force_once() {
    let pins = pins();
    let text = format!("{}\n{}\n{}\n", by_hand("1.0.0", "a"), by_hand("2.0.0", "b"), by_hand("1.0.0", "a"));
    assert_eq!(merge(&pins, &text).await, (merged(2, 1, 0), vec![]));
    assert_eq!(pins.of(&registry(), &pin("1.0.0", "a").release()).await.unwrap(), Some(pin("1.0.0", "a")));
    assert_eq!(merge(&pins, &text).await, (merged(0, 3, 0), vec![]));
}

#[tokio::test]
async fn a_contradicted_pin_stays_and_the_others_are_imported() {
    let pins = pins();
    let first = Pin::of(&registry(), &pin("1.0.0", "a").release(), integrity("a"), Timestamp(1));
    pins.admit(first.clone(), Proof::Proved).await.unwrap();
    let text = format!("{}\n{}\n{}", by_hand("1.0.0", "b"), by_hand("1.0.0", "a"), by_hand("2.0.0", "c"));
    let (counts, told) = merge(&pins, &text).await;
    assert_eq!(counts, merged(2, 0, 1), "what binds everybody is more than was in force");
    assert!(told.len() == 1 && told[0].starts_with("line 1: "), "{told:?}");
    for value in [integrity("a"), integrity("b")] {
        assert!(told[0].contains(&value.to_string()), "{told:?}");
    }
    assert_eq!(pins.of(&registry(), &first.release()).await.unwrap(), Some(first));
}

#[tokio::test]
async fn of_lines_that_contradict_each_other_none_is_imported() {
    let pins = pins();
    let text = ["a", "a", "b"].map(|content| by_hand("1.0.0", content)).join("\n");
    let (counts, told) = merge(&pins, &text).await;
    assert_eq!(counts, merged(0, 0, 3));
    for (at, told) in told.iter().enumerate() {
        assert!(told.starts_with(&format!("line {}: ", at + 1)), "{told}");
        assert!(told.contains(&integrity("a").to_string()) && told.contains(&integrity("b").to_string()));
    }
    assert_eq!(pins.of(&registry(), &pin("1.0.0", "a").release()).await.unwrap(), None);
}

#[tokio::test]
async fn a_line_decides_what_is_damaged() {
    let store: Arc<dyn Store> = Arc::new(ObjectStorage::memory().unwrap());
    let pins = Pins::new(store.clone());
    let release = pin("1.0.0", "a").release();
    for place in super::super::form::places(&registry(), &release) {
        store.write(&place, "garbage".into()).await.unwrap();
        let mut proposals = Proposals::default();
        lines(by_hand("1.0.0", "a").as_bytes(), NOW).for_each(|line| proposals.add(line.unwrap()));
        let told = |conflict: Conflict| panic!("{conflict}");
        assert_eq!(proposals.merge(&pins, [registry()], told).await.unwrap(), merged(1, 0, 0));
        assert_eq!(pins.of(&registry(), &release).await.unwrap(), Some(pin("1.0.0", "a")));
        let all = store.list(crate::store::KeyPrefix::Quarantine).count().await;
        assert!(all >= 2, "it is kept for a person to look at, with a note");
        store.remove(&super::super::form::of_release(&release)).await.unwrap();
    }
}

#[tokio::test]
async fn what_was_given_up_is_decided_for_whom_the_line_binds() {
    let pins = pins();
    let release = pin("1.0.0", "a").release();
    let internal = Registry::new("internal", "https://two");
    for registry in [registry(), internal.clone()] {
        let place = super::super::form::of_registry(&registry, &release);
        let damage = crate::store::Damage::of(&place, "a", "b");
        pins.lose(&registry, &release, &damage, NOW).await.unwrap();
        assert!(matches!(pins.of(&registry, &release).await, Err(PinError::Lost(_))));
    }
    let line = Pin::of(&registry(), &release, integrity("a"), NOW);
    assert_eq!(merge(&pins, std::str::from_utf8(&line.line()).unwrap()).await, (merged(1, 0, 0), vec![]));
    assert_eq!(pins.of(&registry(), &release).await.unwrap(), Some(line));
    assert!(
        matches!(pins.of(&internal, &release).await, Err(PinError::Lost(_))),
        "it says nothing of that one"
    );
}

#[tokio::test]
async fn a_line_binds_whom_it_names() {
    let pins = pins();
    let release = pin("1.0.0", "a").release();
    let named = by_hand("1.0.0", "a").replace('}', r#","upstream":"public"}"#);
    let exact = Pin::of(&Registry::new("internal", "https://two"), &release, integrity("b"), NOW);
    let text = format!("{named}\n{}", String::from_utf8(exact.line()).unwrap());
    assert_eq!(merge(&pins, &text).await, (merged(2, 0, 0), vec![]), "two registries' word is no dispute");
    let of = async |name: &str, origin: &str| {
        pins.of(&Registry::new(name, origin), &release).await.unwrap().map(|pin| pin.integrity)
    };
    assert_eq!(of("public", "https://one").await, Some(integrity("a")));
    assert_eq!(of("public", "https://moved").await, Some(integrity("a")));
    assert_eq!(of("internal", "https://two").await, Some(integrity("b")));
    assert_eq!(of("internal", "https://moved").await, None);
    let (counts, told) = merge(&pins, &by_hand("1.0.0", "a")).await;
    assert_eq!(counts, merged(0, 0, 1), "who binds everybody must agree with all");
    assert!(told[0].contains("internal"), "{told:?}");
}
