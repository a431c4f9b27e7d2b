//! Tests of files of rules: their shape, and where an error is.

use proptest::prelude::*;

use super::*;
use crate::policy::Policy;
use crate::settings::PolicySettings;

fn errors(text: &str) -> Vec<String> {
    let errors =
        PolicyDocument::parse("policy.toml", text).map(|_| Vec::new()).unwrap_or_else(|errors| errors);
    errors.iter().map(ToString::to_string).collect()
}

const GOOD: &str = r#"
[[policy.rules]]
id = "too-new"
action = "hold"
match = { volumes = ["*"], younger_than = "7d", permissions = { shell = "allow" } }

[[policy.waivers]]
rule = "too-new"
release = "@acme/x@1.2.3"
until = "2026-12-31"
why = "incident 42"
"#;

#[test]
fn a_file_has_rules_and_waivers_with_their_places() {
    let document = PolicyDocument::parse("policy.toml", GOOD).unwrap();
    assert_eq!(document.rules[0].id.as_deref(), Some("too-new"));
    assert_eq!(document.rules[0].place.to_string(), "policy.toml:2:1: policy.rules[0]");
    assert_eq!(document.waivers[0].why.as_deref(), Some("incident 42"));
    assert_eq!(document.waivers[0].place.to_string(), "policy.toml:7:1: policy.waivers[0]");
    assert_eq!(PolicyDocument::parse("", "").unwrap(), PolicyDocument::default());
    let unquoted = GOOD.replace("\"2026-12-31\"", "2026-12-31");
    assert_eq!(PolicyDocument::parse("policy.toml", &unquoted).unwrap(), document);
}

#[test]
fn every_key_of_another_shape_is_told() {
    let text = r#"
[[policy.rules]]
id = "a"
action = "deny"
match = { volume = ["*"], versions = 1, permissions = { shell = 1, disk = "x" } }
why = "x"

[[policy.rules]]
id = 7

[[policy.waivers]]
rule = "a"
until = 7

[policy.more]
[other]
"#;
    let found = errors(text);
    let begins = [
        "policy.toml:5:11: policy.rules[0].match.volume: unknown field `volume`, expected one of `volumes`, `not_volumes`, ",
        "policy.toml:5:27: policy.rules[0].match.versions: invalid type: integer `1`, expected a string",
        "policy.toml:5:57: policy.rules[0].match.permissions.shell: invalid type: integer `1`, expected a string",
        "policy.toml:5:68: policy.rules[0].match.permissions.disk: unknown field `disk`, expected one of ",
        "policy.toml:6:1: policy.rules[0].why: unknown field `why`, expected one of ",
        "policy.toml:9:1: policy.rules[1].id: invalid type: integer `7`, expected a string",
        "policy.toml:13:1: policy.waivers[0].until: invalid type: ",
        "policy.toml:15:9: policy.more: unknown key; expected only `rules` and `waivers` in a file of rules",
        "policy.toml:16:2: other: unknown key; expected only [[policy.rules]] and [[policy.waivers]]",
    ];
    for begin in begins {
        assert!(found.iter().any(|error| error.starts_with(begin)), "{begin}\n{found:#?}");
    }
    assert_eq!(found.len(), begins.len(), "{found:#?}");
}

#[test]
fn a_file_that_is_no_toml_is_told_with_its_line() {
    for (text, begin) in [
        ("\n\n[[policy.rules]", "policy.toml:3:"),
        ("policy = 1", "policy.toml:1:1: policy: expected [[policy.rules]] and [[policy.waivers]]"),
        (
            "[policy]\nrules = {}",
            "policy.toml:2:1: policy.rules: expected tables, each under [[policy.rules]]",
        ),
        ("[policy]\nrules = [1]", "policy.toml:2:10: policy.rules[0]: expected a table"),
    ] {
        let found = errors(text);
        assert!(found.len() == 1 && found[0].starts_with(begin), "{begin}\n{found:#?}");
    }
}

#[test]
fn the_lists_of_a_configuration_read_as_those_of_a_file() {
    let values: toml::Table = GOOD.parse().unwrap();
    let read = |document: &toml::Table| {
        PolicyDocument::from_values(
            "main.toml",
            document["policy"].get("rules"),
            document["policy"].get("waivers"),
        )
    };
    let (mut document, errors) = read(&values);
    assert_eq!(errors, []);
    assert_eq!(document.rules[0].place.to_string(), "main.toml: policy.rules[0]");
    document.extend(PolicyDocument::parse("policy.toml", GOOD).unwrap());
    assert_eq!((document.rules.len(), document.waivers.len()), (2, 2));

    let bad: toml::Table = "policy = { rules = [1, { id = 1 }], waivers = 7 }".parse().unwrap();
    let (document, found) = read(&bad);
    let found: Vec<String> = found.iter().map(ToString::to_string).collect();
    assert_eq!(document.rules.len(), 1, "what else the second one says is judged too");
    assert_eq!(found[0], "main.toml: policy.rules[0]: expected a table");
    assert!(found[1].starts_with("main.toml: policy.rules[1].id: invalid type: integer `1`"), "{found:?}");
    assert_eq!(found[2], "main.toml: policy.waivers: expected tables, each under [[policy.waivers]]");
}

proptest! {
    #[test]
    fn no_file_panics(at in 0..GOOD.len(), length in 0..40_usize, put in "\\PC{0,9}|\\[\\[policy|= \\{|\"|until = [0-9-]{0,12}|sha256:[0-9a-f]{0,70}") {
        let end = (at + length).min(GOOD.len());
        let text = format!("{}{put}{}", &GOOD[..at], &GOOD[end..]);
        if let Ok(document) = PolicyDocument::parse("p", &text) {
            let _ = Policy::compile(document, PolicySettings::default(), 0);
        }
        let _ = PolicyDocument::parse("p", &put);
    }
}

/// The document without places.
fn unplaced(mut document: PolicyDocument) -> PolicyDocument {
    document.rules.iter_mut().for_each(|rule| rule.place = Place::default());
    document.waivers.iter_mut().for_each(|waiver| waiver.place = Place::default());
    document
}

#[test]
fn what_is_printed_reads_back() {
    let strange = r#"
[[policy.waivers]]
rule = "too-new"
release = "@acme/x@1.2.3+b"
until = "2026-12-31"
why = "a \"quoted\" text, and a \\ backslash"
"#;
    for text in [GOOD, strange, ""] {
        let document = unplaced(PolicyDocument::parse("p", text).unwrap());
        let printed = document.to_toml();
        assert_eq!(unplaced(PolicyDocument::parse("p", &printed).unwrap()), document, "{printed}");
    }
    assert!(
        PolicyDocument::parse("p", strange)
            .unwrap()
            .to_toml()
            .starts_with("[[policy.waivers]]\nrule = \"too-new\"\n")
    );
}
