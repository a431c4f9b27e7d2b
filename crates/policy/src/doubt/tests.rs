//! Tests of doubts: what is told, and what is not.

use crate::document::PolicyDocument;
use crate::policy::Policy;
use crate::settings::{PolicyMode, PolicySettings};

fn doubts(text: &str) -> Vec<String> {
    let settings = PolicySettings { mode: Some(PolicyMode::Enforce), ..PolicySettings::default() };
    let document = PolicyDocument::parse("p", text).unwrap();
    let (_, warnings) = Policy::compile(document, settings, 1_796_000_000).unwrap();
    warnings.iter().map(|warning| warning.doubt.to_string()).collect()
}

fn rules(rules: &[(&str, &str, &str)]) -> String {
    let rule = |(id, action, matching): &(&str, &str, &str)| {
        format!("[[policy.rules]]\nid = \"{id}\"\naction = \"{action}\"\nmatch = {{ {matching} }}\n")
    };
    rules.iter().map(rule).collect()
}

fn waiver(rule: &str, release: &str) -> String {
    format!("[[policy.waivers]]\nrule = \"{rule}\"\nrelease = \"{release}\"\nuntil = \"2026-12-31\"\n")
}

#[test]
fn a_rule_that_matches_nothing_is_told() {
    for (matching, doubt) in [
        (
            r#"versions = ">=2.0.0, <1.0.0""#,
            "the rule `r` matches nothing: no version is in the range `>=2.0.0, <1.0.0`",
        ),
        (
            r#"volumes = ["@acme/*", "lamp"], not_volumes = ["@acme/*", "la*"]"#,
            "the rule `r` matches nothing: no name that `volumes` takes is left by `not_volumes`",
        ),
        (
            r#"not_volumes = ["*"]"#,
            "the rule `r` matches nothing: no name that `volumes` takes is left by `not_volumes`",
        ),
        (
            r#"volumes = ["lamp"], resembles = ["lamp", "saw"]"#,
            "the rule `r` matches nothing: no name that `volumes` takes is left by `resembles`",
        ),
        (
            r#"permissions = { shell = "deny" }"#,
            "the rule `r` asks for no permission beyond `deny`, which every manifest declares",
        ),
        (
            r#"components = ["mcp"]"#,
            "the rule `r` is about components of type `mcp`, which the specification does not have",
        ),
    ] {
        assert_eq!(doubts(&rules(&[("r", "deny", matching)])), [doubt], "{matching}");
    }
    for fine in [
        r#"volumes = ["@acme/*"], not_volumes = ["@acme/x"]"#,
        r#"volumes = ["lump", "lamp"], resembles = ["lamp"]"#,
        r#"versions = ">=1.0.0, <1.0.1", components = ["hook"], permissions = { shell = "allow" }"#,
    ] {
        assert_eq!(doubts(&rules(&[("r", "deny", fine)])), [""; 0], "{fine}");
    }
}

#[test]
fn a_rule_that_never_decides_is_told() {
    let two = |one: (&str, &str), other: (&str, &str)| {
        doubts(&rules(&[("one", one.0, one.1), ("other", other.0, other.1)]))
    };
    assert_eq!(
        two(("hold", r#"volumes = ["@acme/*"]"#), ("deny", r#"volumes = ["@acme/*"]"#)),
        ["the rules `one` and `other` match the same releases: `deny` decides, so `one` never does"]
    );
    assert_eq!(
        two(("hold", r#"younger_than = "7d""#), ("hold", r#"younger_than = "3d", volumes = ["lamp"]"#)),
        ["the rule `other` never decides: `one` (hold) matches every release that it matches"]
    );
    assert_eq!(
        two(("discourage", r#"advisory = "critical""#), ("deny", r#"advisory = "low""#)),
        ["the rule `one` never decides: `other` (deny) matches every release that it matches"]
    );
    for (one, other) in [
        (("hold", r#"younger_than = "7d""#), ("deny", r#"younger_than = "3d""#)),
        (("deny", r#"volumes = ["lamp"]"#), ("hold", r#"volumes = ["la*"]"#)),
        (("deny", r#"delivery = "git""#), ("deny", r#"delivery = "cdn""#)),
        (("deny", r#"licenses_not_in = ["MIT", "ISC"]"#), ("hold", r#"licenses_not_in = ["MIT"]"#)),
        (("deny", r#"trust_missing = ["a", "b"]"#), ("hold", r#"trust_missing = ["a"]"#)),
        (("deny", r#"volumes = ["*"], not_volumes = ["lamp"]"#), ("deny", r#"volumes = ["*"]"#)),
    ] {
        assert_eq!(two(one, other), [""; 0], "{one:?} {other:?}");
    }
}

#[test]
fn a_waiver_for_nothing_is_told() {
    let rule = rules(&[("r", "deny", r#"volumes = ["@acme/*"], versions = "<2.0.0""#)]);
    for (waivers, doubts_of) in [
        (waiver("r", "@acme/x@1.0.0"), vec![]),
        (
            waiver("r", "@acme/x@2.0.0"),
            vec!["the waiver is for nothing: the rule `r` cannot match `@acme/x@2.0.0`"],
        ),
        (
            waiver("r", "lamp@1.0.0"),
            vec!["the waiver is for nothing: the rule `r` cannot match `lamp@1.0.0`"],
        ),
        (
            [waiver("s", "lamp@1.0.0"), waiver("s", "saw@1.0.0")].concat(),
            vec!["the waiver is for the rule `s`, and no rule has that id"],
        ),
        (
            [waiver("r", "@acme/x@1.0.0"), waiver("r", "@acme/x@1.0.0")].concat(),
            vec!["the waiver is for the same rule, release and bytes as the one at p:5:1: policy.waivers[0]"],
        ),
    ] {
        assert_eq!(doubts(&format!("{rule}{waivers}")), doubts_of);
    }
}
