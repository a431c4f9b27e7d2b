//! `policy test`, `policy diff` and `policy baseline`: what rules would do to what a real proxy stored, without a request.

use std::fs;
use std::path::PathBuf;
use std::process::Stdio;

use serde_json::{Value, json};

use crate::support::proxy::scriptorium;
use crate::support::{Proxy, Release, Setup, Upstream};

const RULES: &str = r#"
    [[policy.rules]]
    id = "too-new"
    action = "hold"
    match = { volumes = ["saw", "lamp"], younger_than = "7d" }
    message = "ask platform@corp.example"

    [[policy.rules]]
    id = "old-pens"
    action = "discourage"
    match = { volumes = ["pen"] }

    [[policy.rules]]
    id = "licence"
    action = "deny"
    match = { volumes = ["lamp"], licenses_not_in = ["MIT"] }
"#;

const NAMES: [&str; 3] = ["saw", "lamp", "pen"];

struct Told {
    code: i32,
    out: String,
    errors: String,
}

impl Told {
    #[track_caller]
    fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {}{}", self.out, self.errors))
    }
}

/// Runs `scriptorium policy` with the configuration of a proxy.
fn policy(proxy: &Proxy, arguments: &[&str]) -> Told {
    let mut command = scriptorium();
    command.arg("policy").args(arguments).arg("--config").arg(proxy.config());
    let output = command.stdin(Stdio::null()).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    Told { code: output.status.code().unwrap(), out: text(output.stdout), errors: text(output.stderr) }
}

fn file(proxy: &Proxy, name: &str, text: &str) -> PathBuf {
    let path = proxy.data().parent().unwrap().join(name);
    fs::write(&path, text).unwrap();
    path
}

/// A proxy that served `saw`, `lamp` and `pen` while rules were only counted, and then ended. Its registry is down.
fn in_use(mode: &str, rules: &str) -> (Upstream, Proxy) {
    let upstream = Upstream::start();
    for name in NAMES {
        upstream.publish(&Release::new(name, "1.0.0"));
    }
    let mut proxy = Setup::before(&upstream).policy("audit", RULES).start();
    for name in NAMES {
        proxy.is_let_in(&Release::new(name, "1.0.0"));
    }
    proxy.stop();
    proxy.reconfigure(|setup| setup.policy(mode, rules));
    upstream.down();
    (upstream, proxy)
}

#[test]
fn a_release_is_tested_against_every_rule() {
    let (_upstream, proxy) = in_use("enforce", RULES);
    let told = policy(&proxy, &["test", "saw@1.0.0"]);
    assert_eq!(told.code, 1, "{}", told.errors);
    for says in [
        "saw@1.0.0: refused by the rule `too-new` (hold)",
        "policy:too-new: ask platform@corp.example; until 20",
        "younger_than holds: first seen here at 20",
        "there is no older evidence, and the release itself may be older",
        "old-pens (discourage) does not match",
        "volumes does not hold: the name matches none of `pen`",
    ] {
        assert!(told.out.contains(says), "{says}\n{}", told.out);
    }
    let json = policy(&proxy, &["test", "saw@1.0.0", "--json"]).json();
    assert_eq!((&json["refused"], &json["mode"]), (&json!(true), &json!("enforce")), "{json}");
    assert_eq!((&json["decides"]["rule"], &json["decides"]["action"]), (&json!("too-new"), &json!("hold")));
    assert_eq!(json["integrity"], Release::new("saw", "1.0.0").integrity(), "{json}");
    assert_eq!(json["rules"].as_array().unwrap().len(), 3, "{json}");

    let told = policy(&proxy, &["test", "pen@1.0.0"]);
    assert_eq!(told.code, 0);
    assert!(
        told.out.starts_with("pen@1.0.0: shown as yanked by the rule `old-pens` (discourage)"),
        "{}",
        told.out
    );

    let told = policy(&proxy, &["test", "chair@1.0.0"]);
    assert_eq!(told.code, 0);
    assert!(told.out.starts_with("chair@1.0.0: allowed") && told.out.contains("never here"), "{}", told.out);
}

#[test]
fn what_is_not_known_is_said() {
    let (_upstream, proxy) = in_use("enforce", RULES);
    let told = policy(&proxy, &["test", "lamp@2.0.0", "--json"]);
    let json = told.json();
    assert_eq!(told.code, 1, "a release that was never seen is as young as can be: {json}");
    let unknown = json["unknown"].to_string();
    assert!(unknown.contains("never seen") && unknown.contains("the manifest is not known"), "{json}");
}

#[test]
fn a_test_says_the_same_in_the_mode_audit_and_nothing_without_rules() {
    let (_upstream, proxy) = in_use("audit", RULES);
    let told = policy(&proxy, &["test", "saw@1.0.0"]);
    assert!(told.code == 1 && told.out.contains("audit: answers do not change"), "{}", told.out);
    proxy.reconfigure(|setup| setup.policy("audit", ""));
    let told = policy(&proxy, &["test", "saw@1.0.0"]);
    assert!(told.code == 0 && told.out.contains("the configuration has no rules"), "{}", told.out);
    for bad in [
        &["test", "saw"][..],
        &["test", "Saw@1.0.0"],
        &["test"],
        &["baseline"],
        &["baseline", "--from", "/no/such"],
    ] {
        assert_eq!(policy(&proxy, bad).code, 2, "{bad:?}");
    }
}

#[test]
fn a_diff_says_which_stored_releases_change_and_when_they_were_used() {
    let (_upstream, proxy) = in_use("enforce", RULES);
    let same = policy(&proxy, &["diff", file(&proxy, "none.toml", "").to_str().unwrap()]);
    assert_eq!((same.code, same.out.as_str()), (0, "0 of 3 releases change\n"), "{}", same.errors);

    let new = r#"
        [[policy.rules]]
        id = "no-pens"
        action = "deny"
        match = { volumes = ["pen"] }
        [[policy.waivers]]
        rule = "too-new"
        release = "saw@1.0.0"
        until = "2099-12-31"
    "#;
    let new = file(&proxy, "new.toml", new);
    let told = policy(&proxy, &["diff", new.to_str().unwrap()]);
    assert_eq!(told.code, 0, "{}", told.errors);
    let pen = "pen@1.0.0: discouraged by old-pens (discourage) -> refused by no-pens (deny); last used 20";
    assert!(told.out.contains(pen), "{}", told.out);
    assert!(
        told.out.contains("saw@1.0.0: refused by too-new (hold) -> allowed; last used 20"),
        "{}",
        told.out
    );
    assert!(told.out.ends_with("2 of 3 releases change\n"), "{}", told.out);
    let json = policy(&proxy, &["diff", new.to_str().unwrap(), "--json"]).json();
    assert_eq!((&json["judged"], json["releases"].as_array().unwrap().len()), (&json!(3), 2), "{json}");
    assert_eq!(json["releases"][0]["to"], json!({"outcome": "refused", "rule": "no-pens", "action": "deny"}));

    let bad = file(&proxy, "bad.toml", "[[policy.rules]]\nid = \"x\"\naction = \"forbid\"\nmatch = {}\n");
    let told = policy(&proxy, &["diff", bad.to_str().unwrap()]);
    assert_eq!(told.code, 2);
    for says in
        [":3:1: policy.rules[0].action: expected `deny`", ":4:1: policy.rules[0].match: expected at least"]
    {
        assert!(told.errors.contains(&format!("bad.toml{says}")), "{says}\n{}", told.errors);
    }
}

#[test]
fn a_baseline_of_the_store_lets_everything_in_that_is_in_use() {
    let (upstream, mut proxy) = in_use("enforce", RULES);
    let told = policy(&proxy, &["baseline", "--from", "store"]);
    assert_eq!((told.code, told.errors.as_str()), (0, ""));
    let waivers: toml::Table = told.out.parse().unwrap();
    let waivers = waivers["policy"]["waivers"].as_array().unwrap();
    let mut waived: Vec<_> = waivers
        .iter()
        .map(|waiver| (waiver["rule"].as_str().unwrap(), waiver["release"].as_str().unwrap()))
        .collect();
    waived.sort_unstable();
    let expected = [
        ("licence", "lamp@1.0.0"),
        ("old-pens", "pen@1.0.0"),
        ("too-new", "lamp@1.0.0"),
        ("too-new", "saw@1.0.0"),
    ];
    assert_eq!(waived, expected);
    let list = file(&proxy, "list.txt", "saw@1.0.0\npen@1.0.0\n");
    let both = policy(&proxy, &["baseline", "--from", "store", "--from", list.to_str().unwrap()]);
    assert_eq!((both.code, &both.out), (0, &told.out), "a release that two name is waived once");
    let saw = waivers.iter().find(|waiver| waiver["release"].as_str() == Some("saw@1.0.0")).unwrap();
    assert_eq!(saw["integrity"].as_str(), Some(&*Release::new("saw", "1.0.0").integrity()));

    let path = file(&proxy, "policy.toml", &told.out);
    upstream.up();
    proxy.revive();
    proxy.restart_as(|setup| setup.policy("enforce", RULES).set("policy.file", path.display().to_string()));
    for name in NAMES {
        proxy.is_let_in(&Release::new(name, "1.0.0"));
    }
    let again = policy(&proxy, &["baseline", "--from", "store"]);
    assert_eq!((again.code, again.out.as_str()), (0, ""), "everything is waived already");
}

#[test]
fn a_baseline_of_a_list_waives_what_was_never_seen_and_refuses_bad_lines() {
    let (_upstream, proxy) = in_use("enforce", RULES);
    let list = file(&proxy, "list.txt", "# in use\nsaw@2.0.0   # the new one\n\nlamp@2.0.0\nchair@1.0.0\n");
    let told = policy(&proxy, &["baseline", "--from", list.to_str().unwrap()]);
    assert_eq!(told.code, 0, "{}", told.errors);
    for waived in ["saw@2.0.0", "lamp@2.0.0"] {
        assert!(told.out.contains(&format!("release = \"{waived}\"")), "{}", told.out);
    }
    assert!(!told.out.contains("chair") && !told.out.contains("integrity"), "{}", told.out);
    assert!(
        told.errors.contains("no waiver of `licence` for ")
            && told.errors.contains("@2.0.0, of which too little is known"),
        "{}",
        told.errors
    );
    let bad = file(&proxy, "bad.txt", "saw\nsaw@1.0.0\nlamp@^1.0.0\n");
    let told = policy(&proxy, &["baseline", "--from", bad.to_str().unwrap()]);
    assert_eq!((told.code, told.out.as_str()), (2, ""));
    assert!(
        told.errors.contains("bad.txt:1: expected a release") && told.errors.contains("bad.txt:3:"),
        "{}",
        told.errors
    );
}
