//! Tests of advisories that cannot be read.

use super::*;

pub(super) fn unread() -> Vec<Arc<UnreadAdvisory>> {
    vec![Arc::new(UnreadAdvisory::new(r#"{"id":{"local":"BIB-7"}}"#, "items[0]".to_owned(), "x"))]
}

#[test]
fn an_advisory_that_cannot_be_read_holds_its_volume_and_says_so() {
    let open = PolicySettings { on_old_advisories: OnOldAdvisories::Open, ..settings() };
    for matching in [r#"advisory = "critical""#, r#"advisories = ["CVE-2026-10"]"#] {
        let text = rule("r", "hold", matching);
        let release = Release { unread: unread(), ..Release::new() };
        let closed = compile(&text, settings());
        let verdict = release.judge(|facts| closed.verdict(facts, NOW));
        let reason = "policy:r; the advisory `BIB-7` about this volume cannot be read";
        assert_eq!(verdict.lowering().unwrap().reason(), reason);
        assert_eq!(verdict.until, None, "time alone does not make it readable");
        let report = release.judge(|facts| closed.explain(facts, NOW)).remove(0);
        assert_eq!(report.matchers[0].lacks, Some(crate::matcher::MissingFact::Advisories));
        assert!(report.matchers[0].why.contains("meanwhile the matcher holds"), "{report:?}");

        let policy = compile(&text, open);
        assert_eq!(release.judge(|facts| policy.verdict(facts, NOW)).lowering(), None);
        let report = release.judge(|facts| policy.explain(facts, NOW)).remove(0);
        assert!(report.matchers[0].why.contains("`BIB-7` about this volume cannot be read"), "{report:?}");

        // What may be about any volume holds none, and the report says so.
        let release = Release { unread_about_any: 2, ..Release::new() };
        assert_eq!(release.judge(|facts| closed.verdict(facts, NOW)).lowering(), None);
        let report = release.judge(|facts| closed.explain(facts, NOW)).remove(0);
        let why = "2 advisories cannot be read and name no volume";
        assert!(report.matchers[0].why.ends_with(why), "{report:?}");
    }
}
