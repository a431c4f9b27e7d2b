//! Tests of reports: what is not known, and the words.

use super::*;

#[test]
fn a_report_names_the_facts_that_are_missing() {
    use crate::matcher::MissingFact::{Advisories, Delivery as NoDelivery, FirstSight, Manifest, Trust};
    let lacks = |matching: &str, release: &Release| {
        let policy = compile(&rule("r", "deny", matching), settings());
        release.judge(|facts| policy.explain(facts, NOW)).remove(0).matchers[0].lacks
    };
    let unknown = Release { first_seen: None, confirmed: None, ..Release::new() };
    let known = Release {
        delivery: Some(Delivery::Git),
        trust: Some(Ok(vec![])),
        ..Release::with_manifest(ManifestFacts::default())
    };
    for (matching, fact) in [
        (r#"younger_than = "7d""#, Some(FirstSight)),
        (r#"delivery = "git""#, Some(NoDelivery)),
        (r#"components = ["hook"]"#, Some(Manifest)),
        (r#"licenses_not_in = ["MIT"]"#, Some(Manifest)),
        (r#"trust_missing = ["sbom"]"#, Some(Trust)),
        (r#"advisory = "low""#, Some(Advisories)),
        (r#"versions = "^1.0.0""#, None),
        (r#"volumes = ["*"]"#, None),
    ] {
        assert_eq!(lacks(matching, &unknown), fact, "{matching}");
        assert_eq!(lacks(matching, &known), None, "{matching}");
    }
    let in_vain = Release { trust: Some(Err(())), ..Release::new() };
    assert_eq!(lacks(r#"trust_missing = ["sbom"]"#, &in_vain), Some(Trust));
}

#[test]
fn a_report_says_why_in_sentences() {
    let text = [
        rule("wait", "hold", r#"volumes = ["@acme/*"], younger_than = "7d""#),
        rule("licence", "deny", r#"licenses_not_in = ["MIT"]"#),
        waiver("wait", "@acme/lamp@1.2.3", "2026-12-31"),
        "by = \"platform\"\nwhy = \"incident 42\"\n".to_owned(),
    ]
    .concat();
    let manifest = ManifestFacts { licence: Some("MIT AND ISC".into()), ..ManifestFacts::default() };
    let policy = compile(&text, settings());
    let reports = Release::with_manifest(manifest).judge(|facts| policy.explain(facts, NOW));
    let [wait, licence] = &reports[..] else { panic!("{reports:?}") };
    let why: Vec<_> = wait.matchers.iter().map(|matcher| (matcher.matcher, matcher.why.as_str())).collect();
    assert_eq!(
        why,
        [
            ("volumes", "the name matches `@acme/*`"),
            (
                "younger_than",
                "first seen here at 2026-11-29T00:53:20Z, less than 7d ago; the matcher ends at 2026-12-06T00:53:20Z"
            ),
        ]
    );
    assert_eq!((wait.matches, wait.applies), (true, false));
    let waiver = wait.waiver.as_ref().unwrap();
    assert_eq!(
        (waiver.because.as_str(), waiver.why.as_deref()),
        ("the waiver counts through 2026-12-31", Some("incident 42"))
    );
    assert_eq!((licence.matches, licence.applies), (true, true));
    assert_eq!(
        licence.matchers[0].why,
        "the licence `MIT AND ISC` needs `ISC`, which the list does not have"
    );
}

#[test]
fn a_report_says_which_facts_decide_whether_the_rule_will_apply() {
    use crate::matcher::MissingFact::{self, Manifest, Trust};
    let open = |text: &str, release: &Release, unconfirmed| {
        let policy = compile(text, settings());
        let facts = release.judge(|facts| policy.explain(facts, NOW)).remove(0).open_facts(unconfirmed);
        facts.map(|facts| facts.into_iter().collect::<Vec<MissingFact>>())
    };
    let licence = rule("r", "deny", r#"licenses_not_in = ["MIT"]"#);
    let signed = rule("r", "deny", r#"trust_missing = ["signature"], versions = "^1.0.0""#);
    let both = rule("r", "deny", r#"trust_missing = ["signature"], licenses_not_in = ["MIT"]"#);
    let nothing = Release::new();
    let trusted = Release { trust: Some(Ok(vec!["signature"])), ..Release::new() };
    let other = Release { version: "2.0.0".parse().unwrap(), ..Release::new() };
    for (text, release, unconfirmed, expected) in [
        (&licence, &nothing, None, Some(vec![Manifest])),
        (&signed, &nothing, None, Some(vec![Trust])),
        (&both, &nothing, None, Some(vec![Manifest, Trust])),
        (&both, &trusted, None, None),
        (&signed, &trusted, None, None),
        (&signed, &trusted, Some(Trust), Some(vec![Trust])),
        (&signed, &other, Some(Trust), None),
        (&licence, &Release::with_manifest(ManifestFacts::default()), Some(Trust), Some(vec![])),
    ] {
        assert_eq!(open(text, release, unconfirmed), expected, "{text} {release:?}");
    }
    let waived = licence + &waiver("r", "@acme/lamp@1.2.3", "2026-12-31");
    assert_eq!(open(&waived, &nothing, None), None, "a waiver applies");
}
