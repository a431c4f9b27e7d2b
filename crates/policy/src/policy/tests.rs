//! Tests of verdicts: every matcher, the order of rules, waivers, and how long a verdict holds.

mod definition;
mod reports;
mod unread;

use std::sync::Arc;

use archive::{AccessLevel, DeclaredPermissions, Integrity, ManifestFacts, ShellAccess, Version};

use super::*;
use crate::advisory::{Advisory, UnreadAdvisory, read_registry_advisory};
use crate::document::PolicyDocument;
use crate::facts::{AdvisoryFacts, Delivery, TrustFacts};
use crate::settings::OnOldAdvisories;

/// 2026-11-30T00:53:20Z.
const NOW: u64 = 1_796_000_000;
const DAY: u64 = 86_400;

pub(super) fn settings() -> PolicySettings {
    PolicySettings { mode: Some(PolicyMode::Enforce), ..PolicySettings::default() }
}

pub(super) fn compile(text: &str, settings: PolicySettings) -> Policy {
    Policy::compile(PolicyDocument::parse("p", text).unwrap(), settings, NOW).unwrap().0
}

fn rule(id: &str, action: &str, matching: &str) -> String {
    format!("[[policy.rules]]\nid = \"{id}\"\naction = \"{action}\"\nmatch = {{ {matching} }}\n")
}

fn waiver(rule: &str, release: &str, until: &str) -> String {
    format!("[[policy.waivers]]\nrule = \"{rule}\"\nrelease = \"{release}\"\nuntil = \"{until}\"\n")
}

/// A release with every fact that a test may want to change.
#[derive(Debug)]
pub(super) struct Release {
    pub(super) name: VolumeName,
    pub(super) version: Version,
    pub(super) integrity: Option<Integrity>,
    pub(super) first_seen: Option<u64>,
    pub(super) delivery: Option<Delivery>,
    pub(super) manifest: Option<ManifestFacts>,
    pub(super) trust: Option<Result<Vec<&'static str>, ()>>,
    pub(super) advisories: Vec<Arc<Advisory>>,
    pub(super) unread: Vec<Arc<UnreadAdvisory>>,
    pub(super) unread_about_any: usize,
    pub(super) confirmed: Option<u64>,
}

impl Release {
    fn new() -> Self {
        Self {
            name: "@acme/lamp".parse().unwrap(),
            version: "1.2.3".parse().unwrap(),
            integrity: None,
            first_seen: Some(NOW - DAY),
            delivery: None,
            manifest: None,
            trust: None,
            advisories: Vec::new(),
            unread: Vec::new(),
            unread_about_any: 0,
            confirmed: Some(NOW),
        }
    }

    fn named(name: &str) -> Self {
        Self { name: name.parse().unwrap(), ..Self::new() }
    }

    fn with_manifest(manifest: ManifestFacts) -> Self {
        Self { manifest: Some(manifest), ..Self::new() }
    }

    pub(super) fn judge<T>(&self, judge: impl FnOnce(&PolicyFacts<'_>) -> T) -> T {
        let trust = match &self.trust {
            None => TrustFacts::NotAsked,
            Some(Err(())) => TrustFacts::CouldNotAsk,
            Some(Ok(active)) => TrustFacts::Known(active),
        };
        judge(&PolicyFacts {
            name: &self.name,
            version: &self.version,
            integrity: self.integrity.as_ref(),
            first_seen: self.first_seen,
            delivery: self.delivery,
            manifest: self.manifest.as_ref(),
            trust,
            advisories: AdvisoryFacts {
                about: &self.advisories,
                unread: &self.unread,
                unread_about_any: self.unread_about_any,
                confirmed: self.confirmed,
            },
        })
    }
}

pub(super) fn advisory(severity: &str, events: &str) -> Arc<Advisory> {
    let document = format!(
        r#"{{"id": {{"local": "BIB-1", "aliases": ["CVE-2026-1"]}}, "severity": "{severity}",
            "affected": {{"volume": "@acme/lamp", "ranges": [{{"events": [{events}]}}]}}}}"#
    );
    Arc::new(read_registry_advisory(document.as_bytes()).unwrap())
}

/// Whether a rule with this `match` lowers the release. The report must say the same.
fn matches(matching: &str, release: &Release) -> bool {
    let policy = compile(&rule("r", "deny", matching), settings());
    let lowered = release.judge(|facts| policy.verdict(facts, NOW)).lowering().is_some();
    let report = release.judge(|facts| policy.explain(facts, NOW)).remove(0);
    assert_eq!(report.applies, lowered, "{report:?}");
    assert!(report.matchers.iter().all(|matcher| !matcher.why.is_empty()), "{report:?}");
    lowered
}

#[test]
fn names_and_versions() {
    for (matching, holds) in [
        (r#"volumes = ["*"]"#, true),
        (r#"volumes = ["saw", "@acme/la*"]"#, true),
        (r#"volumes = ["@acme/lamp"]"#, true),
        (r#"volumes = ["lamp", "la*", "@acme/lamp-*"]"#, false),
        (r#"not_volumes = ["saw"]"#, true),
        (r#"volumes = ["@acme/*"], not_volumes = ["@acme/lamp"]"#, false),
        (r#"versions = "^1.0.0""#, true),
        (r#"versions = "<1.2.3""#, false),
        (r#"resembles = ["@acme/lamps"]"#, true),
        (r#"resembles = ["@acme/1amp"]"#, true),
        (r#"resembles = ["@acme/lamp", "@acme/lamps"]"#, false),
        (r#"resembles = ["lamp"]"#, false),
    ] {
        assert_eq!(matches(matching, &Release::new()), holds, "{matching}");
    }
    let prerelease = Release { version: "2.0.0-rc.1".parse().unwrap(), ..Release::new() };
    assert!(
        matches(r#"versions = "<2.0.0""#, &prerelease) && !matches(r#"versions = "<2.0.0-0""#, &prerelease)
    );
}

#[test]
fn age() {
    let seen = |first_seen| Release { first_seen, ..Release::new() };
    for (first_seen, holds) in [
        (None, true),
        (Some(NOW), true),
        (Some(NOW - 7 * DAY + 1), true),
        (Some(NOW - 7 * DAY), false),
        (Some(0), false),
        (Some(NOW + DAY), true),
        (Some(u64::MAX), true),
    ] {
        assert_eq!(matches(r#"younger_than = "7d""#, &seen(first_seen)), holds, "{first_seen:?}");
    }
}

#[test]
fn advisories() {
    let affected = |severity| Release {
        advisories: vec![advisory(severity, r#"{"introduced": "0"}, {"fixed": "1.3.0"}"#)],
        ..Release::new()
    };
    for (matching, severity, holds) in [
        (r#"advisory = "low""#, "low", true),
        (r#"advisory = "high""#, "critical", true),
        (r#"advisory = "high""#, "high", true),
        (r#"advisory = "high""#, "medium", false),
        (r#"advisory = "critical""#, "of an unknown kind", true),
        (r#"advisories = ["CVE-2026-1"]"#, "low", true),
        (r#"advisories = ["X", "bib-1"]"#, "low", true),
        (r#"advisories = ["CVE-2026-10"]"#, "critical", false),
    ] {
        assert_eq!(matches(matching, &affected(severity)), holds, "{matching} {severity}");
    }
    let fixed = Release { version: "1.3.0".parse().unwrap(), ..affected("critical") };
    assert!(!matches(r#"advisory = "low""#, &fixed) && !matches(r#"advisories = ["BIB-1"]"#, &fixed));
}

#[test]
fn old_advisories_hold_unless_the_settings_say_otherwise() {
    let text = [rule("r", "discourage", r#"volumes = ["@acme/*"], advisory = "high""#)].concat();
    let known = || vec![advisory("high", r#"{"introduced": "0"}"#)];
    for (confirmed, advisories, name, closed, open) in [
        (Some(NOW), vec![], "@acme/lamp", false, false),
        (Some(NOW - DAY + 1), vec![], "@acme/lamp", false, false),
        (Some(NOW - DAY), vec![], "@acme/lamp", true, false),
        (None, vec![], "@acme/lamp", true, false),
        (None, vec![], "saw", false, false),
        (None, known(), "@acme/lamp", true, true),
    ] {
        let release = Release { confirmed, advisories, ..Release::named(name) };
        for (on_old_advisories, holds) in [(OnOldAdvisories::Closed, closed), (OnOldAdvisories::Open, open)] {
            let policy = compile(&text, PolicySettings { on_old_advisories, ..settings() });
            let verdict = release.judge(|facts| policy.verdict(facts, NOW));
            assert_eq!(verdict.lowering().is_some(), holds, "{confirmed:?} {name} {on_old_advisories}");
        }
    }
}

#[test]
fn what_a_manifest_says() {
    let manifest = ManifestFacts {
        licence: Some("MIT OR GPL-3.0-only".into()),
        publisher: Some("acme".into()),
        component_types: vec!["hook".into(), "skill".into()],
        permissions: DeclaredPermissions {
            network: AccessLevel::ReadWrite,
            shell: ShellAccess::Allow,
            ..DeclaredPermissions::default()
        },
    };
    let nothing = ManifestFacts::default();
    for (matching, of_manifest, of_nothing) in [
        (r#"licenses_not_in = ["MIT"]"#, false, true),
        (r#"licenses_not_in = ["Apache-2.0"]"#, true, true),
        (r#"publishers_not_in = ["acme", "corp"]"#, false, true),
        (r#"publishers_not_in = ["corp"]"#, true, true),
        (r#"components = ["hook", "mcp-server"]"#, true, false),
        (r#"components = ["mcp-server"]"#, false, false),
        (r#"permissions = { shell = "allow", network = "write" }"#, true, false),
        (r#"permissions = { shell = "allow", filesystem = "read" }"#, false, false),
        (r#"permissions = { shell = "deny" }"#, true, true),
    ] {
        assert_eq!(matches(matching, &Release::with_manifest(manifest.clone())), of_manifest, "{matching}");
        assert_eq!(matches(matching, &Release::with_manifest(nothing.clone())), of_nothing, "{matching}");
        assert!(!matches(matching, &Release::new()), "before an archive was verified: {matching}");
    }
    for licence in ["proprietary", "", "MIT OR"] {
        let unreadable = ManifestFacts { licence: Some(licence.into()), ..ManifestFacts::default() };
        assert!(matches(r#"licenses_not_in = ["MIT"]"#, &Release::with_manifest(unreadable)), "{licence}");
    }
}

#[test]
fn delivery_and_trust() {
    for (known, git) in [(None, false), (Some(Delivery::Cdn), false), (Some(Delivery::Git), true)] {
        assert_eq!(matches(r#"delivery = "git""#, &Release { delivery: known, ..Release::new() }), git);
    }
    for (known, missing) in [
        (None, false),
        (Some(Err(())), true),
        (Some(Ok(vec![])), true),
        (Some(Ok(vec!["sbom"])), true),
        (Some(Ok(vec!["sbom", "provenance"])), false),
    ] {
        let release = Release { trust: known.clone(), ..Release::new() };
        assert_eq!(matches(r#"trust_missing = ["signature", "provenance"]"#, &release), missing, "{known:?}");
    }
}

#[test]
fn all_matchers_that_are_given_must_hold() {
    let manifest = ManifestFacts { component_types: vec!["hook".into()], ..ManifestFacts::default() };
    let release = Release { delivery: Some(Delivery::Git), ..Release::with_manifest(manifest) };
    let both = |name: &str, delivery: &str, component: &str| {
        format!(r#"volumes = ["{name}"], delivery = "{delivery}", components = ["{component}"]"#)
    };
    assert!(matches(&both("*", "git", "hook"), &release));
    for one_does_not in [both("saw", "git", "hook"), both("*", "cdn", "hook"), both("*", "git", "skill")] {
        assert!(!matches(&one_does_not, &release), "{one_does_not}");
    }
}

/// The id of the rule that decides.
fn decides(text: &str, release: &Release) -> Option<String> {
    let policy = compile(text, settings());
    release.judge(|facts| policy.verdict(facts, NOW)).lowering().map(|lowering| lowering.rule.to_string())
}

#[test]
fn the_strongest_action_decides_then_the_first_rule() {
    let all = r#"volumes = ["*"]"#;
    let rules = [
        rule("yank", "discourage", all),
        rule("wait", "hold", r#"volumes = ["@acme/*"]"#),
        rule("wait-too", "hold", all),
        rule("never", "deny", r#"volumes = ["@acme/lamp"]"#),
    ]
    .concat();
    for (name, rule) in [("@acme/lamp", "never"), ("@acme/saw", "wait"), ("saw", "wait-too")] {
        assert_eq!(decides(&rules, &Release::named(name)).as_deref(), Some(rule), "{name}");
    }
    assert_eq!(decides("", &Release::new()), None);
    let policy = compile(&rules, settings());
    let order: Vec<_> = policy.rules().map(|(id, _)| id).collect();
    assert_eq!(order, ["yank", "wait", "wait-too", "never"], "as they are written");
}

#[test]
fn a_waiver_takes_one_rule_away_from_one_release() {
    let rules = [rule("never", "deny", r#"volumes = ["*"]"#), rule("wait", "hold", r#"younger_than = "7d""#)]
        .concat();
    let both = [rules.clone(), waiver("never", "@acme/lamp@1.2.3", "2026-12-31")].concat();
    assert_eq!(decides(&both, &Release::new()).as_deref(), Some("wait"));
    let policy = compile(&both, settings());
    let verdict = Release::new().judge(|facts| policy.verdict(facts, NOW));
    assert_eq!(verdict.waived.len(), 1);
    for (name, version) in [("@acme/lamp", "1.2.4"), ("@acme/lamp", "1.2.3+b"), ("lamp", "1.2.3")] {
        let other = Release { version: version.parse().unwrap(), ..Release::named(name) };
        assert_eq!(decides(&both, &other).as_deref(), Some("never"), "{name}@{version}");
    }
    let all = [both, waiver("wait", "@acme/lamp@1.2.3", "2026-12-31")].concat();
    assert_eq!(decides(&all, &Release::new()), None);
}

#[test]
fn a_waiver_for_bytes_needs_them() {
    let [one, other] = ["1", "2"].map(|digit| format!("sha256:{}", digit.repeat(64)));
    let text = [
        rule("never", "deny", r#"volumes = ["*"]"#),
        waiver("never", "@acme/lamp@1.2.3", "2026-12-31"),
        format!("integrity = \"{one}\"\n"),
    ]
    .concat();
    for (integrity, waived) in [(Some(one), true), (Some(other), false), (None, false)] {
        let integrity = integrity.map(|text| text.parse().unwrap());
        let release = Release { integrity, ..Release::new() };
        assert_eq!(decides(&text, &release).is_none(), waived, "{integrity:?}");
        let policy = compile(&text, settings());
        let report = release.judge(|facts| policy.explain(facts, NOW)).remove(0);
        assert_eq!(report.waiver.map(|waiver| waiver.applies), Some(waived));
    }
}

#[test]
fn a_verdict_says_until_when_it_holds() {
    let hold = rule("wait", "hold", r#"younger_than = "7d""#);
    let seen = Release { first_seen: Some(NOW - DAY), ..Release::new() };
    let verdict = |text: &str, release: &Release, now: u64| {
        let policy = compile(text, settings());
        release.judge(|facts| policy.verdict(facts, now))
    };
    let held = verdict(&hold, &seen, NOW);
    assert_eq!((held.until, held.lowering().unwrap().until), (Some(NOW + 6 * DAY), Some(NOW + 6 * DAY)));
    assert_eq!(verdict(&hold, &seen, NOW + 6 * DAY - 1).lowering().map(|held| &*held.rule), Some("wait"));
    assert_eq!(verdict(&hold, &seen, NOW + 6 * DAY), PolicyVerdict::allowed());

    let waived = [hold, waiver("wait", "@acme/lamp@1.2.3", "2026-12-01")].concat();
    let end_of_waiver = crate::instant::end_of_day("2026-12-01").unwrap();
    let allowed = verdict(&waived, &seen, NOW);
    assert_eq!((allowed.lowering(), allowed.until), (None, Some(end_of_waiver)));
    assert!(verdict(&waived, &seen, end_of_waiver).lowering().is_some());

    let advisory = rule("known", "deny", r#"advisory = "high""#);
    assert_eq!(verdict(&advisory, &seen, NOW).until, Some(NOW + DAY), "advisories grow old");
    assert!(verdict(&advisory, &seen, NOW + DAY).lowering().is_some());
    let young_too = rule("known", "deny", r#"advisory = "high", versions = "^2.0.0""#);
    assert_eq!(verdict(&young_too, &seen, NOW).until, None, "another matcher never holds");
}

#[test]
fn only_facts_that_a_rule_looks_at_are_needed() {
    let text = [
        rule("a", "deny", r#"volumes = ["@acme/*"], licenses_not_in = ["MIT"]"#),
        rule("b", "hold", r#"younger_than = "7d", not_volumes = ["@acme/*"]"#),
        rule("c", "deny", r#"volumes = ["saw"], trust_missing = ["signature"], delivery = "git""#),
        rule("d", "deny", r#"resembles = ["lamp"], advisory = "low""#),
    ]
    .concat();
    let policy = compile(&text, settings());
    let needs = |name: &str| policy.needs(&name.parse().unwrap());
    let nothing = PolicyNeeds::default();
    assert_eq!(needs("@acme/lamp"), PolicyNeeds { manifest: true, ..nothing });
    assert_eq!(needs("lamp"), PolicyNeeds { age: true, ..nothing });
    assert_eq!(needs("lump"), PolicyNeeds { age: true, advisories: true, ..nothing });
    assert_eq!(needs("saw"), PolicyNeeds { age: true, trust: true, delivery: true, ..nothing });
    let all = PolicyNeeds { age: true, advisories: true, delivery: true, manifest: true, trust: true };
    assert_eq!((policy.needs_of_all(), Policy::default().needs_of_all()), (all, nothing));
}
