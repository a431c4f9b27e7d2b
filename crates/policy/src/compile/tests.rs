//! Tests of compiling: every error at once, in words that say what to write.

use super::*;
use crate::settings::OnOldAdvisories;

/// 2026-11-30.
const NOW: u64 = 1_796_000_000;

fn compile(text: &str, mode: Option<PolicyMode>) -> Result<(Policy, Vec<PolicyWarning>), Vec<PolicyError>> {
    let document = PolicyDocument::parse("p", text).unwrap();
    Policy::compile(document, PolicySettings { mode, ..PolicySettings::default() }, NOW)
}

fn errors(text: &str) -> Vec<String> {
    let errors = compile(text, Some(PolicyMode::Enforce)).map(|_| Vec::new()).unwrap_or_else(|errors| errors);
    errors.iter().map(ToString::to_string).collect()
}

/// The errors of a rule with this `match`.
fn of_match(matching: &str) -> Vec<String> {
    errors(&format!("[[policy.rules]]\nid = \"r\"\naction = \"deny\"\nmatch = {matching}"))
}

/// The errors of a waiver with these keys.
fn of_waiver(keys: &str) -> Vec<String> {
    errors(&format!("[[policy.waivers]]\n{keys}"))
}

#[test]
fn every_error_is_told_at_once() {
    let text = r#"
[[policy.rules]]
action = "block"
message = "two\nlines"
match = { versions = "1.x", younger_than = "week", advisory = "bad", delivery = "ftp", volumes = ["A*", "x"], components = [] }
[[policy.rules]]
id = "no spaces"
[[policy.rules]]
id = "same"
action = "deny"
match = {}
[[policy.rules]]
id = "same"
action = "deny"
match = { volumes = ["*"] }
[[policy.rules]]
id = "same"
action = "hold"
match = { volumes = ["*"] }
[[policy.waivers]]
"#;
    let found = errors(text);
    assert_eq!(
        found,
        [
            "p:2:1: policy.rules[0].id: missing; expected an id of 1 to 64 letters, digits, `-`, `_` and `.`",
            "p:2:1: policy.rules[0].action: expected `deny`, `hold` or `discourage`, found `block`",
            "p:2:1: policy.rules[0].message: expected 1 to 1024 bytes of text on one line, found `two lines`",
            "p:2:1: policy.rules[0].match.versions: expected whole versions without build metadata, each after one of ^ ~ < <= > >= = or nothing, found `1.x`",
            "p:2:1: policy.rules[0].match.younger_than: expected a span of time such as `7d` or `36h`, found `week`",
            "p:2:1: policy.rules[0].match.advisory: expected `low`, `medium`, `high` or `critical`, found `bad`",
            "p:2:1: policy.rules[0].match.delivery: expected `git` or `cdn`, found `ftp`",
            "p:2:1: policy.rules[0].match.components: expected at least one element; leave the key out if it does not matter",
            "p:2:1: policy.rules[0].match.volumes[0]: expected `*`, a volume name, or the start of one and a `*` (`@scope/*`, `@scope/tools-*`, `tools-*`), found `A*`",
            "p:6:1: policy.rules[1].id: expected an id of 1 to 64 letters, digits, `-`, `_` and `.`, found `no spaces`",
            "p:6:1: policy.rules[1].action: missing; expected `deny`, `hold` or `discourage`",
            "p:6:1: policy.rules[1].match: missing; expected a table of matchers",
            "p:8:1: policy.rules[2].match: expected at least one matcher; write `volumes = [\"*\"]` for a rule on every volume",
            "p:16:1: policy.rules[4].id: expected an id of its own; the rule at p:12:1: policy.rules[3] has the same",
            "p:20:1: policy.waivers[0].rule: missing; expected the id of a rule",
            "p:20:1: policy.waivers[0].release: missing; expected a release, `name@version` or `@scope/name@version`",
            "p:20:1: policy.waivers[0].until: missing; expected the last day of the waiver, as in \"2026-12-31\": every waiver ends",
        ]
    );
}

#[test]
fn each_matcher_has_its_form() {
    for good in [
        r#"{ volumes = ["*"] }"#,
        r#"{ not_volumes = ["@acme/*"] }"#,
        r#"{ versions = ">=1.0.0, <2.0.0-rc.1" }"#,
        r#"{ younger_than = "36h" }"#,
        r#"{ advisory = "low" }"#,
        r#"{ advisories = ["CVE-2026-1"] }"#,
        r#"{ resembles = ["@acme/lamp", "saw"] }"#,
        r#"{ delivery = "git" }"#,
        r#"{ licenses_not_in = ["MIT", "isc", "GPL-2.0", "Apache-2.0 WITH LLVM-exception", "LicenseRef-corp"] }"#,
        r#"{ publishers_not_in = ["acme"] }"#,
        r#"{ components = ["mcp-server"] }"#,
        r#"{ permissions = { shell = "allow", network = "write" } }"#,
        r#"{ trust_missing = ["signature"] }"#,
    ] {
        assert_eq!(of_match(good), [""; 0], "{good}");
    }
    for bad in [
        r#"{ volumes = [] }"#,
        r#"{ versions = "^1 || ^2" }"#,
        r#"{ versions = "" }"#,
        r#"{ younger_than = "0s" }"#,
        r#"{ younger_than = "-7d" }"#,
        r#"{ advisory = "High" }"#,
        r#"{ advisories = [""] }"#,
        r#"{ advisories = ["two words"] }"#,
        r#"{ resembles = ["@acme/*"] }"#,
        r#"{ licenses_not_in = ["MIT OR ISC"] }"#,
        r#"{ licenses_not_in = ["mitt"] }"#,
        r#"{ publishers_not_in = [""] }"#,
        r#"{ permissions = {} }"#,
        r#"{ permissions = { shell = "read" } }"#,
        r#"{ permissions = { network = "allow" } }"#,
        r#"{ trust_missing = ["a\nb"] }"#,
    ] {
        assert_eq!(of_match(bad).len(), 1, "{bad}");
    }
}

#[test]
fn each_key_of_a_waiver_has_its_form() {
    let integrity = format!("integrity = \"sha256:{}\"", "0".repeat(64));
    let base = "rule = \"r\"\nrelease = \"@acme/x@1.2.3\"\nuntil = \"2026-12-31\"\n";
    for good in ["", "by = \"platform\"\nwhy = \"incident 42\"", &integrity] {
        assert_eq!(of_waiver(&format!("{base}{good}")), [""; 0], "{good}");
    }
    for bad in ["integrity = \"sha256:0\"", "by = \"\"", "why = \"a\\nb\""] {
        assert_eq!(of_waiver(&format!("{base}{bad}")).len(), 1, "{bad}");
    }
    for release in ["@acme/x", "x@1", "x@^1.0.0", "X@1.0.0", "@1.0.0", "x"] {
        let found = of_waiver(&base.replace("@acme/x@1.2.3", release));
        assert!(found.len() == 1 && found[0].contains("policy.waivers[0].release"), "{release} {found:?}");
    }
}

#[test]
fn a_waiver_that_ended_is_an_error_after_its_last_day() {
    let until = |day: &str| of_waiver(&format!("rule = \"r\"\nrelease = \"x@1.0.0\"\nuntil = \"{day}\""));
    assert_eq!(until("2026-11-30"), [""; 0]);
    assert_eq!(
        until("2026-11-29"),
        ["p:1:1: policy.waivers[0].until: the waiver ended with 2026-11-29; remove it, or write a later day"]
    );
    assert!(until("2026-11-31")[0].contains("found `2026-11-31`"));
}

#[test]
fn a_mode_is_required_as_soon_as_there_is_a_rule() {
    assert!(compile("", None).unwrap().0.is_empty());
    let rule = "[[policy.rules]]\nid = \"r\"\naction = \"deny\"\nmatch = { volumes = [\"*\"] }";
    let found = compile(rule, None).unwrap_err();
    assert_eq!(
        found[0].to_string(),
        "policy.mode: missing; expected `enforce` or `audit`, since there are rules"
    );
    assert_eq!(compile(rule, Some(PolicyMode::Audit)).unwrap().0.mode(), PolicyMode::Audit);
}

#[test]
fn lists_are_bounded() {
    let names = vec!["\"x\""; MOST_ELEMENTS + 1].join(",");
    assert!(
        of_match(&format!("{{ volumes = [{names}] }}"))[0].ends_with("expected at most 10000, found 10001")
    );
    let document =
        PolicyDocument { waivers: vec![Default::default(); MOST_WAIVERS + 1], ..PolicyDocument::default() };
    let found = Policy::compile(document, PolicySettings::default(), NOW).unwrap_err();
    assert_eq!(found[0].to_string(), "policy.waivers: expected at most 200000, found 200001");
}

#[test]
fn a_revision_is_another_after_every_change() {
    let rule = |age: &str| {
        format!("[[policy.rules]]\nid = \"r\"\naction = \"deny\"\nmatch = {{ younger_than = \"{age}\" }}\n")
    };
    let waiver = "[[policy.waivers]]\nrule = \"r\"\nrelease = \"x@1.0.0\"\nuntil = \"2026-12-31\"\n";
    let enforced = PolicySettings { mode: Some(PolicyMode::Enforce), ..PolicySettings::default() };
    let revision = |text: &str, settings: PolicySettings| {
        Policy::compile(PolicyDocument::parse("p", text).unwrap(), settings, NOW).unwrap().0.revision()
    };
    let revisions = [
        revision(&rule("7d"), enforced),
        revision(&rule("8d"), enforced),
        revision(&format!("{}{waiver}", rule("7d")), enforced),
        revision(&rule("7d"), PolicySettings { mode: Some(PolicyMode::Audit), ..enforced }),
        revision(&rule("7d"), PolicySettings { on_old_advisories: OnOldAdvisories::Open, ..enforced }),
        revision(
            &rule("7d"),
            PolicySettings { advisories_max_age: std::time::Duration::from_secs(1), ..enforced },
        ),
    ];
    for (at, one) in revisions.iter().enumerate() {
        assert!(revisions[..at].iter().all(|other| other != one), "{at}");
    }
    assert_eq!(revisions[0], revision(&format!("\n{}", rule("7d")), enforced), "only its place changed");
}
