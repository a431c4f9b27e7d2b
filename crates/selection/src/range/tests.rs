//! Tests of ranges: the grammar, what each comparator contains, and agreement with the `semver` crate.

use proptest::prelude::*;

use super::*;

fn version(text: &str) -> Version {
    text.parse().unwrap()
}

fn of_root(text: &str) -> VersionRange {
    VersionRange::of_root(text).unwrap()
}

#[test]
fn a_dependency_has_whole_versions_and_nothing_else() {
    for good in [
        "1.2.3",
        "=1.2.3",
        "^1.2.3",
        "~1.2.3",
        "<1.2.3",
        "<=1.2.3",
        ">1.2.3",
        "1.2.3-rc.1",
        ">=1.5.0, <3.0.0",
        ">=1.5.0 <3.0.0",
        ">=1.5.0 , <3.0.0",
        ">=1.5.0,<3.0.0",
        ">=1.0.0  <2.0.0-0",
    ] {
        let range = VersionRange::of_dependency(good).unwrap();
        assert_eq!(range.to_string(), good);
        assert!(VersionRange::of_root(good).is_ok(), "{good}");
    }
    for bad in [
        "",
        " ",
        "1.x",
        "*",
        "latest",
        "1.0.0 - 2.0.0",
        "^1.0.0 || ^2.0.0",
        "1.2.3+b",
        ",1.0.0",
        "1.0.0,",
        "1.0.0,,2.0.0",
        " 1.0.0",
        "1.0.0 ",
        "> 1.0.0",
        "==1.0.0",
        "!1.0.0",
        "^^1.0.0",
        "v1.0.0",
        "1.2-rc.1",
        "1.",
        ".1",
        "^",
        "01.2",
    ] {
        assert_eq!(VersionRange::of_dependency(bad), Err(InvalidVersionRange::Dependency), "{bad}");
        assert_eq!(VersionRange::of_root(bad), Err(InvalidVersionRange::Root), "{bad}");
    }
    for partial in ["1", "^1.2", "~1", ">=2.0", "<3"] {
        assert_eq!(VersionRange::of_dependency(partial), Err(InvalidVersionRange::Dependency), "{partial}");
        assert!(VersionRange::of_root(partial).is_ok(), "{partial}");
    }
}

#[test]
fn contains_what_the_table_says() {
    for (range, inside, outside) in [
        ("1.2.3", "1.2.3 1.2.3+b", "1.2.4 1.2.2 1.2.3-rc.1 1.2.4-0"),
        ("=1.2.3-rc.1", "1.2.3-rc.1 1.2.3-rc.1+b", "1.2.3 1.2.3-rc.1.0 1.2.3-rc.0"),
        ("^1.2.3", "1.2.3 1.9.0 1.3.0-rc.1", "1.2.2 2.0.0 2.0.0-rc.1 1.2.3-rc.1"),
        ("^0.2.3", "0.2.3 0.2.9", "0.3.0 0.3.0-0 0.2.2 1.0.0"),
        ("^0.0.3", "0.0.3", "0.0.4 0.0.4-0 0.0.2"),
        ("^0.0.0", "0.0.0", "0.0.1 0.0.1-0"),
        ("~1.2.3", "1.2.3 1.2.9 1.2.9-rc.1", "1.3.0 1.3.0-rc.1 1.2.2"),
        ("~0.2.3", "0.2.3 0.2.9", "0.3.0 0.2.2"),
        ("<2.0.0", "1.9.9 2.0.0-rc.1 0.0.0-0", "2.0.0 2.0.0+b"),
        ("<2.0.0-0", "1.9.9", "2.0.0-0 2.0.0-rc.1 2.0.0"),
        ("<=2.0.0", "2.0.0 2.0.0+b 1.0.0", "2.0.1 2.0.1-0"),
        (">2.0.0", "2.0.1 2.0.1-rc.1", "2.0.0 2.0.0+b 2.0.0-rc.1"),
        (">=2.0.0", "2.0.0 3.0.0", "1.9.9 2.0.0-rc.1"),
        (">2.0.0-rc.1", "2.0.0-rc.1.0 2.0.0-rc.2 2.0.0", "2.0.0-rc.1 2.0.0-rc.1+b"),
        (">=1.5.0, <3.0.0", "1.5.0 2.9.9", "1.4.9 3.0.0"),
        (">=3.0.0 <1.0.0", "", "0.9.0 2.0.0 3.0.0"),
        ("1.0.0 2.0.0", "", "1.0.0 2.0.0"),
        (">18446744073709551615.18446744073709551615.18446744073709551615", "", "1.0.0"),
        ("^18446744073709551615.0.0", "18446744073709551615.1.0", "1.0.0"),
        ("2", "2.0.0 2.9.9", "3.0.0 3.0.0-0 1.9.9 2.0.0-rc.1"),
        ("=2.1", "2.1.0 2.1.9", "2.2.0 2.0.9"),
        ("^2.0", "2.0.0 2.9.9", "3.0.0 1.9.9"),
        ("^0", "0.0.0 0.9.0", "1.0.0"),
        ("^0.0", "0.0.0 0.0.9", "0.1.0"),
        ("^0.3", "0.3.0 0.3.9", "0.4.0 0.2.0"),
        ("~1", "1.0.0 1.9.0", "2.0.0"),
        ("~1.2", "1.2.0 1.2.9", "1.3.0"),
        (">2", "3.0.0 3.0.0-rc.1", "2.9.9 2.0.0"),
        (">=2", "2.0.0 3.0.0", "1.9.9 2.0.0-rc.1"),
        ("<2", "1.9.9", "2.0.0 2.0.0-rc.1"),
        ("<=2.1", "2.1.9 1.0.0", "2.2.0 2.2.0-0"),
        (">=1, <3", "1.0.0 2.9.9", "3.0.0 0.9.0"),
    ] {
        let range_of = of_root(range);
        for inside in inside.split_whitespace().map(version) {
            assert!(range_of.contains(&inside), "{range} contains {inside}");
            assert!(range_of.to_set().contains(inside.as_semver()), "{range} contains {inside}");
        }
        for outside in outside.split_whitespace().map(version) {
            assert!(!range_of.contains(&outside), "{range} does not contain {outside}");
            assert!(!range_of.to_set().contains(outside.as_semver()), "{range} does not contain {outside}");
        }
    }
}

#[test]
fn without_prereleases_one_matches_only_where_an_operand_is_one_of_the_same_release() {
    for (range, candidate, without, with) in [
        (">=1.0.0-rc.1", "1.0.0-rc.2", true, true),
        (">=1.0.0-rc.1", "1.0.0", true, true),
        (">=1.0.0-rc.1", "1.1.0-rc.1", false, true),
        (">=1.0.0-rc.1", "1.0.0-beta", false, false),
        ("^1.0.0", "1.1.0-rc.1", false, true),
        ("<2.0.0", "2.0.0-rc.1", false, true),
        ("=1.0.0-rc.1", "1.0.0-rc.1", true, true),
    ] {
        let parsed = of_root(range);
        assert_eq!(parsed.matches(&version(candidate), false), without, "{range} {candidate}");
        assert_eq!(parsed.matches(&version(candidate), true), with, "{range} {candidate}");
    }
}

fn any_version() -> impl Strategy<Value = String> {
    let pre = prop_oneof![4 => Just(String::new()), 1 => Just("-0".into()), 1 => Just("-rc.1".into()), 1 => Just("-rc.2".into())];
    (0_u64..4, 0_u64..4, 0_u64..4, pre)
        .prop_map(|(major, minor, patch, pre)| format!("{major}.{minor}.{patch}{pre}"))
}

fn any_comparator(operand: impl Strategy<Value = String>) -> impl Strategy<Value = String> {
    ("(=|\\^|~|<|<=|>|>=)", operand).prop_map(|(operator, operand)| format!("{operator}{operand}"))
}

/// Partial operands have no prerelease in either grammar.
fn any_operand() -> impl Strategy<Value = String> {
    prop_oneof![4 => any_version(), 1 => "[0-3]\\.[0-3]", 1 => "[0-3]"]
}

#[test]
fn a_range_includes_what_it_contains_all_of() {
    for (wide, narrow, includes) in [
        ("<2.0.0", "<1.0.0", true),
        ("<2.0.0", "^1.0.0", true),
        (">=1.0.0", "^1.0.0", true),
        ("^1.0.0", ">=1.0.0", false),
        ("^1.2.0", "^1.0.0", false),
        ("1.0.0", ">2.0.0 <1.0.0", true),
    ] {
        assert_eq!(of_root(wide).includes(&of_root(narrow)), includes, "{wide} {narrow}");
    }
    assert!(of_root(">=2.0.0, <1.0.0").is_empty() && !of_root(">=1.0.0, <1.0.1").is_empty());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_000))]

    /// Their grammar reads `1.2.3` as `^1.2.3`, and where an operand is partial it takes no prereleases; apart from that a
    /// range means the same.
    #[test]
    fn agrees_with_the_semver_crate(
        comparators in proptest::collection::vec(any_comparator(any_operand()), 1..4),
        candidates in proptest::collection::vec(any_version(), 1..20),
    ) {
        let text = comparators.join(", ");
        let theirs = semver::VersionReq::parse(&text).unwrap();
        let ours = of_root(&text);
        let is_partial = comparators.iter().any(|comparator| comparator.matches('.').count() < 2);
        let compared = candidates.iter().map(|text| version(text));
        for candidate in compared.filter(|version| !is_partial || version.as_semver().pre.is_empty()) {
            prop_assert_eq!(
                ours.matches(&candidate, false),
                theirs.matches(candidate.as_semver()),
                "{} {}", &text, candidate
            );
        }
    }

    #[test]
    fn what_a_range_includes_it_contains(
        ranges in proptest::array::uniform2(proptest::collection::vec(any_comparator(any_operand()), 1..4)),
        candidates in proptest::collection::vec(any_version(), 1..20),
    ) {
        let [wide, narrow] = ranges.map(|comparators| of_root(&comparators.join(", ")));
        for candidate in candidates.iter().map(|text| version(text)) {
            prop_assert!(!(narrow.is_empty() && narrow.contains(&candidate)), "{} {}", &narrow, candidate);
            if wide.includes(&narrow) && narrow.contains(&candidate) {
                prop_assert!(wide.contains(&candidate), "{} {} {}", &wide, &narrow, candidate);
            }
        }
    }

    #[test]
    fn never_panics(text in "\\PC*") {
        let _ = VersionRange::of_dependency(&text);
        let _ = VersionRange::of_root(&text);
    }
}
