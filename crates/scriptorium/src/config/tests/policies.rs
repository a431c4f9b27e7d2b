//! The section `[policy]`: its rules and those of its file, and the places of what is wrong.

use super::*;
use crate::config::sections::PolicyKeys;
use crate::config::value::{PolicyFile, PolicyTables};

/// A section that gives every key.
pub(super) fn policy() -> PolicyKeys {
    let tables = |text: &str| PolicyTables(vec![Value::Table(text.parse().unwrap())]);
    PolicyKeys {
        mode: Some(policy::PolicyMode::Enforce),
        file: Some(PolicyFile::read(testdata("policy.toml")).unwrap()),
        rules: tables(
            "id = \"too-new\"\naction = \"hold\"\nmatch = { volumes = [\"*\"], younger_than = \"7d\" }",
        ),
        waivers: tables("rule = \"too-new\"\nrelease = \"x@1.0.0\"\nuntil = \"2099-12-31\""),
        osv: vec![PathBuf::from("/var/lib/advisories")],
        ..PolicyKeys::default()
    }
}

#[test]
fn what_is_wrong_with_rules_is_told_at_its_place() {
    let site = Site::new(&format!(
        r#"{UPSTREAM}
[policy]
file = "more.toml"
[[policy.rules]]
id = "a"
action = "forbid"
match = {{ volumes = ["*"] }}
[[policy.rules]]
id = "b"
unknown = 1
"#
    ));
    let more = "[[policy.rules]]\nid = \"a\"\naction = \"deny\"\nmatch = {}\n[[policy.waivers]]\nrule = 7\n";
    std::fs::write(site.folder.path().join("more.toml"), more).unwrap();
    let told = site.load(&[]).unwrap_err().to_string();
    for says in [
        "scriptorium.toml:9:1: policy.rules[0].action: expected `deny`, `hold` or `discourage`, found `forbid`",
        "scriptorium.toml:13:1: policy.rules[1].unknown: unknown field `unknown`",
        "scriptorium.toml:11:1: policy.rules[1].match: missing",
        "more.toml:4:1: policy.rules[0].match: expected at least one matcher",
        "more.toml:6:1: policy.waivers[0].rule: invalid type: integer `7`",
        "policy.waivers[0].release: missing",
        "scriptorium.toml:5:2: policy.mode: missing; expected `enforce` or `audit`",
    ] {
        assert!(told.contains(says), "{says}\n{told}");
    }
    assert!(!told.contains("policy.waivers[0].rule: missing"), "{told}");
}

#[test]
fn doubts_are_notes() {
    let rule = "[policy]\nmode = \"audit\"\n[[policy.rules]]\nid = \"a\"\naction = \"deny\"\nmatch = { versions = \">2.0.0, <1.0.0\" }\n";
    let notes = load(&format!("{UPSTREAM}{rule}")).notes.join("\n");
    assert!(notes.contains("the rule `a` matches nothing: no version is in the range"), "{notes}");
}
