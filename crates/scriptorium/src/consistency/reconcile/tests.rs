//! Every cell of the table in the module's header, read from that header, and every other comparison.

use super::*;
use crate::domain::check::{Facts, check};
use crate::domain::{DocumentKey, Sha256};

fn name() -> VolumeName {
    "@acme/x".parse().unwrap()
}

fn version() -> Version {
    "1.0.0".parse().unwrap()
}

fn integrity(content: &str) -> Integrity {
    Integrity::new(Sha256::of(content.as_bytes()))
}

/// The rows of an index that lists `rows` as (version, state, integrity, link).
fn rows(rows: &[(&str, &str, Option<Integrity>, &str)]) -> Vec<Row> {
    let items = rows.iter().map(|(version, state, integrity, link)| {
        let mut row = serde_json::json!({
            "version": version, "status": {"state": state}, "release": {"url": link},
        });
        if let Some(integrity) = integrity {
            row["integrity"] = integrity.to_string().into();
        }
        row
    });
    let body = serde_json::json!({"items": items.collect::<Vec<_>>()}).to_string();
    match check(&DocumentKey::Index(name()), &body.into(), "https://up").unwrap().facts {
        Facts::Index(rows) => rows.of(&version()).to_vec(),
        facts => panic!("expected rows, got {facts:?}"),
    }
}

const LINK: &str = "https://up/api/v1/volumes/@acme/x/1.0.0";

fn row(state: &str, integrity: Option<Integrity>) -> Vec<Row> {
    rows(&[("1.0.0", state, integrity, LINK)])
}

fn release(state: &str, integrity: Option<Integrity>) -> Release {
    let body = serde_json::json!({
        "name": "@acme/x", "version": "1.0.0", "purl": "pkg:volume/%40acme/x@1.0.0",
        "integrity": integrity, "status": {"state": state},
        "dist": {"source": "git", "repository": "https://up/x.git", "ref": "abc"},
    });
    match check(&DocumentKey::Release(name(), version()), &body.to_string().into(), "").unwrap().facts {
        Facts::Release(release) => release,
        facts => panic!("expected a release, got {facts:?}"),
    }
}

fn kind(
    rows: Option<&[Row]>,
    exact: Option<ExactAnswer<'_>>,
    pin: Option<Integrity>,
) -> Option<DifferenceKind> {
    reconcile((&name(), &version()), rows, exact, pin).map(|difference| difference.kind)
}

/// The cells of the header's table: row, exact, what follows.
fn table() -> Vec<(String, String, String)> {
    let source = include_str!("../reconcile.rs");
    let lines = source.lines().filter_map(|line| line.strip_prefix("//! |"));
    let mut lines = lines
        .map(|line| line.trim_end_matches('|').split('|').map(|cell| cell.trim().to_owned()))
        .map(Iterator::collect::<Vec<_>>);
    let head = lines.next().unwrap();
    let body = lines.skip(1).flat_map(|cells| {
        let row = cells[0].clone();
        let cells = head[1..].iter().cloned().zip(cells.into_iter().skip(1));
        cells.map(|(exact, follows)| (row.clone(), exact, follows)).collect::<Vec<_>>()
    });
    body.collect()
}

#[test]
fn the_table_is_whole() {
    let mut expected = Vec::new();
    let states = LifecycleState::ALL.map(|state| state.to_string());
    for row in states.iter().map(String::as_str).chain(["none"]) {
        for exact in states.iter().map(String::as_str).chain(["403", "404", "409", "410"]) {
            expected.push((row.to_owned(), exact.to_owned()));
        }
    }
    let mut written: Vec<_> = table().into_iter().map(|(row, exact, _)| (row, exact)).collect();
    written.sort();
    expected.sort();
    assert_eq!(written, expected);
}

#[test]
fn every_cell_of_the_table_holds() {
    for (row_says, exact_says, follows) in table() {
        let found;
        let exact = match exact_says.parse() {
            Ok(status) => ExactAnswer::Refused(status),
            Err(_) => {
                found = release(&exact_says, Some(integrity("a")));
                ExactAnswer::Found(&found)
            }
        };
        let rows = if row_says == "none" { Vec::new() } else { row(&row_says, Some(integrity("a"))) };
        let expected = match &*follows {
            "agree" => None,
            "state" => Some(DifferenceKind::State),
            "presence" => Some(DifferenceKind::Presence),
            other => panic!("the table says {other}"),
        };
        let pin = Some(integrity("a"));
        assert_eq!(kind(Some(&rows), Some(exact), pin), expected, "row {row_says}, exact {exact_says}");
        assert_eq!(kind(None, Some(exact), pin), None, "no index, exact {exact_says}");
        assert_eq!(kind(Some(&rows), None, pin), None, "row {row_says}, exact not held");
    }
}

#[test]
fn integrities_are_compared_wherever_two_are_known() {
    let [a, b] = ["a", "b"].map(|content| Some(integrity(content)));
    for (row_says, exact_says, pin, expected) in [
        (a, a, a, None),
        (a, a, None, None),
        (None, a, a, None),
        (a, b, None, Some(DifferenceKind::Integrity)),
        (b, a, a, Some(DifferenceKind::Integrity)),
        (b, b, a, Some(DifferenceKind::IntegrityChanged)),
        (a, b, a, Some(DifferenceKind::IntegrityChanged)),
        (None, b, a, Some(DifferenceKind::IntegrityChanged)),
    ] {
        let release = release("available", exact_says);
        let rows = row("available", row_says);
        let found = kind(Some(&rows), Some(ExactAnswer::Found(&release)), pin);
        assert_eq!(found, expected, "{row_says:?} {exact_says:?} {pin:?}");
    }
    assert_eq!(kind(Some(&row("available", b)), None, a), Some(DifferenceKind::IntegrityChanged));
    assert_eq!(
        kind(Some(&row("blocked", b)), Some(ExactAnswer::Refused(404)), a),
        Some(DifferenceKind::IntegrityChanged)
    );
    let withheld = release("blocked", None);
    assert_eq!(kind(Some(&row("blocked", a)), Some(ExactAnswer::Found(&withheld)), a), None);
}

#[test]
fn links_and_repeated_rows_are_differences_of_the_index_alone() {
    let a = Some(integrity("a"));
    let found = release("available", a);
    let exact = Some(ExactAnswer::Found(&found));
    let elsewhere = rows(&[("1.0.0", "available", a, "https://up/api/v1/volumes/@acme/x/1.0.1")]);
    assert_eq!(kind(Some(&elsewhere), exact, a), Some(DifferenceKind::Route));
    assert_eq!(kind(Some(&elsewhere), None, None), Some(DifferenceKind::Route));
    let twice = rows(&[("1.0.0", "available", a, LINK), ("1.0.0", "yanked", a, LINK)]);
    let difference = reconcile((&name(), &version()), Some(&twice), None, None).unwrap();
    assert_eq!(difference.kind, DifferenceKind::Presence);
    let [first, second] = difference.claims;
    assert!(first.says.contains("available") && second.says.contains("yanked"), "{first:?} {second:?}");
    let same = rows(&[("1.0.0", "available", a, LINK), ("1.0.0", "available", a, LINK)]);
    assert_eq!(kind(Some(&same), exact, a), Some(DifferenceKind::Presence));
}

#[test]
fn a_403_stands_whatever_the_index_says() {
    let (a, b) = (Some(integrity("a")), Some(integrity("b")));
    let elsewhere = rows(&[("1.0.0", "available", a, "https://up/api/v1/volumes/@acme/x/1.0.1")]);
    let twice = rows(&[("1.0.0", "available", a, LINK), ("1.0.0", "yanked", a, LINK)]);
    for rows in [row("available", b), row("tombstoned", b), elsewhere, twice] {
        assert_eq!(kind(Some(&rows), Some(ExactAnswer::Refused(403)), a), None, "{rows:?}");
    }
}

#[test]
fn who_is_late_is_worth_a_question() {
    let (available, blocked) = (release("available", Some(integrity("a"))), release("blocked", None));
    for (rows, exact, late) in [
        (Vec::new(), ExactAnswer::Found(&available), true),
        (Vec::new(), ExactAnswer::Found(&blocked), false),
        (Vec::new(), ExactAnswer::Refused(403), false),
        (Vec::new(), ExactAnswer::Refused(404), false),
        (row("available", None), ExactAnswer::Found(&available), false),
        (row("available", None), ExactAnswer::Refused(403), true),
        (row("unavailable", None), ExactAnswer::Refused(403), true),
        (row("blocked", None), ExactAnswer::Refused(403), false),
        (row("tombstoned", None), ExactAnswer::Refused(403), false),
    ] {
        assert_eq!(is_late(&rows, exact), late, "{rows:?} {exact:?}");
    }
}

#[test]
fn another_identity_comes_before_all_else() {
    let mut release = release("available", Some(integrity("b")));
    release.mismatch = Some(crate::domain::check::IdentityMismatch {
        field: "purl",
        expected: "pkg:volume/%40acme/x@1.0.0".into(),
        found: "pkg:volume/y@1.0.0".into(),
    });
    let difference =
        reconcile((&name(), &version()), None, Some(ExactAnswer::Found(&release)), Some(integrity("a")))
            .unwrap();
    assert_eq!(difference.kind, DifferenceKind::Identity);
    assert_eq!(difference.claims[0].says, "purl pkg:volume/y@1.0.0");
    assert_eq!(difference.claims[1].says, "purl pkg:volume/%40acme/x@1.0.0");
}
