//! Tests of affected versions: what each event means, and agreement with the evaluation that OSV publishes.

use proptest::prelude::*;

use super::*;

fn event(kind: &str, version: &str) -> RangeEvent {
    serde_json::from_value(serde_json::json!({ kind: version })).unwrap()
}

fn contains(events: &[(&str, &str)], version: &str) -> bool {
    let events: Vec<RangeEvent> = events.iter().map(|(kind, version)| event(kind, version)).collect();
    AffectedRange::new(&events).contains(&version.parse().unwrap())
}

#[test]
fn each_event_means_what_the_table_says() {
    let two =
        [("introduced", "1.0.0"), ("fixed", "1.2.0"), ("introduced", "2.0.0"), ("lastAffected", "2.1.0")];
    for (events, inside, outside) in [
        (&[("introduced", "0")][..], &["0.0.0-0", "0.0.0", "9.9.9"][..], &[][..]),
        (&[("introduced", "1.0.0")], &["1.0.0", "1.0.0+b", "2.0.0-rc.1"], &["0.9.9", "1.0.0-rc.1"]),
        (
            &[("introduced", "0"), ("fixed", "1.2.0")],
            &["0.0.0-0", "1.1.9", "1.2.0-rc.1"],
            &["1.2.0", "1.2.0+b", "3.0.0"],
        ),
        (
            &[("introduced", "0"), ("lastAffected", "1.2.0")],
            &["0.1.0", "1.2.0", "1.2.0+b"],
            &["1.2.1-0", "1.2.1"],
        ),
        (&[("introduced", "0"), ("last_affected", "1.2.0")], &["1.2.0"], &["1.2.1"]),
        (&[("introduced", "0"), ("limit", "2.0.0")], &["1.9.9", "2.0.0-rc.1"], &["2.0.0", "2.0.1"]),
        (&[("introduced", "0"), ("limit", "1.0.0"), ("limit", "2.0.0")], &["1.5.0"], &["2.0.0"]),
        (&[("introduced", "1.0.0"), ("lastAffected", "1.0.0")], &["1.0.0"], &["0.9.0", "1.0.1"]),
        (
            &[("introduced", "1.0.0"), ("fixed", "2.0.0"), ("introduced", "2.0.0"), ("fixed", "3.0.0")],
            &["2.0.0"],
            &["3.0.0"],
        ),
        (&two, &["1.0.0", "1.1.0", "2.0.0", "2.1.0"], &["0.9.0", "1.2.0", "1.9.0", "2.1.1", "3.0.0"]),
    ] {
        for version in inside {
            assert!(contains(events, version), "{events:?} {version}");
        }
        for version in outside {
            assert!(!contains(events, version), "{events:?} {version}");
        }
    }
}

#[test]
fn what_cannot_be_read_makes_a_range_larger() {
    for (events, inside) in [
        (&[][..], "1.0.0"),
        (&[("fixed", "2.0.0")], "1.0.0"),
        (&[("introduced", "one"), ("fixed", "2.0.0")], "0.1.0"),
        (&[("introduced", "0"), ("fixed", "two")], "9.0.0"),
        (&[("introduced", "0"), ("lastAffected", "2.0")], "9.0.0"),
        (&[("introduced", "0"), ("limit", "*")], "9.0.0"),
        (&[("introduced", "0"), ("limit", "1.0.0"), ("limit", "x")], "9.0.0"),
    ] {
        assert!(contains(events, inside), "{events:?}");
    }
}

#[test]
fn an_entry_has_ranges_or_versions_or_affects_everything() {
    let range = || AffectedRange::new(&[event("introduced", "1.0.0"), event("fixed", "2.0.0")]);
    let affected = |ranges, listed: &[&str]| {
        let listed: Vec<String> = listed.iter().map(|version| (*version).to_owned()).collect();
        Affected::new("lamp".parse().unwrap(), AdvisorySeverity::Low, ranges, &listed)
    };
    for (affected, version, contains) in [
        (affected(vec![], &[]), "1.0.0", true),
        (affected(vec![], &["1.0.0", "0.5.0"]), "1.0.0", true),
        (affected(vec![], &["1.0.0", "0.5.0"]), "0.5.0+b", true),
        (affected(vec![], &["1.0.0"]), "1.0.1", false),
        (affected(vec![], &["1.0.0", "latest"]), "1.0.1", true),
        (affected(vec![range()], &["3.0.0"]), "1.5.0", true),
        (affected(vec![range()], &["3.0.0"]), "3.0.0", true),
        (affected(vec![range()], &["3.0.0", "latest"]), "4.0.0", false),
        (affected(vec![range()], &[]), "2.0.0", false),
    ] {
        assert_eq!(affected.contains(&version.parse().unwrap()), contains, "{affected:?} {version}");
    }
}

/// The evaluation that the OSV schema publishes, line by line: events in their order, each of which turns a switch.
fn by_the_schema(events: &[(&str, &str)], version: &str) -> bool {
    let parse = |text: &str| (text != "0").then(|| text.parse::<semver::Version>().unwrap());
    let version: semver::Version = version.parse().unwrap();
    let at_least = |event: &Option<semver::Version>| {
        event.as_ref().is_none_or(|event| version.cmp_precedence(event) != Ordering::Less)
    };
    let limits: Vec<_> = events.iter().filter(|(kind, _)| *kind == "limit").collect();
    if !limits.is_empty() && limits.iter().all(|(_, limit)| at_least(&parse(limit))) {
        return false;
    }
    let rank =
        |kind: &str| ["fixed", "introduced", "lastAffected", "limit"].iter().position(|known| *known == kind);
    let mut sorted = events.to_vec();
    sorted.sort_by(|(one_kind, one), (other_kind, other)| {
        begin_order(parse(one).as_ref(), parse(other).as_ref()).then(rank(one_kind).cmp(&rank(other_kind)))
    });
    let mut vulnerable = false;
    for (kind, at) in sorted {
        let event = parse(at);
        match kind {
            "introduced" if at_least(&event) => vulnerable = true,
            "fixed" if at_least(&event) => vulnerable = false,
            "lastAffected"
                if at_least(&event) && event.as_ref().is_none_or(|event| !same(&version, event)) =>
            {
                vulnerable = false;
            }
            _ => {}
        }
    }
    vulnerable
}

fn any_version() -> impl Strategy<Value = String> {
    "[0-2]\\.[0-2]\\.[01](-(rc\\.)?[01])?(\\+b)?"
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_000))]

    #[test]
    fn agrees_with_the_schema(
        first in prop_oneof![Just("0".to_owned()), any_version()],
        events in prop::collection::vec(
            (prop::sample::select(vec!["introduced", "fixed", "lastAffected", "limit"]), any_version()),
            0..6,
        ),
        versions in prop::collection::vec(any_version(), 1..12),
    ) {
        let mut all = vec![("introduced", first.as_str())];
        all.extend(events.iter().map(|(kind, version)| (*kind, version.as_str())));
        for version in &versions {
            prop_assert_eq!(contains(&all, version), by_the_schema(&all, version), "{:?} {}", &all, version);
        }
    }
}
