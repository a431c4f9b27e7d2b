//! The oracle finds an answer that does not obey the rule, and one that is laid to it wrongly.

use serde_json::json;

use super::super::ledger::{Exact, STANDINGS, Told};
use super::super::world::Shelf;
use super::*;

const NOW: u64 = 2_000_000;

/// Release 0, published and told a second ago, under a rule.
fn ledger(rule: Rule) -> Ledger {
    let mut ledger = Ledger::default();
    let release = &mut ledger.releases[0];
    release.change(STANDINGS[0]);
    let (rows, exact) = (release.rows(0), release.exact());
    let at = NOW - 1000;
    release.note_told(&release.clone(), &rows, Some(&exact), at);
    release.known.rows = Some(Told { what: rows, epoch: 1, order: 1, at });
    release.known.exact = Some(Told::<Exact> { what: exact, epoch: 1, order: 1, at });
    ledger.rule = Some(RuleInForce { rule, waived_until: midnight(NOW) });
    ledger
}

fn rule(matching: Matching, action: &'static str) -> Rule {
    Rule { matching, action, volume: 0, is_audit: false, waived: None }
}

fn is_right(ledger: &Ledger, route: Route, now: u64, seen: Seen) -> bool {
    let shelf = Shelf::new();
    let case = Case { shelf: &shelf, route, before: ledger, after: ledger, now, offline: false };
    governed(&case, seen).is_ok()
}

fn refused() -> Seen {
    Seen { status: 403, json: json!({"policy": "rule"}), ..Seen::default() }
}

fn served(state: LifecycleState, reason: Option<&str>) -> Seen {
    let json = json!({"status": {"state": state, "reason": reason}});
    Seen { status: 200, json, ..Seen::default() }
}

fn index(state: LifecycleState, reason: Option<&str>) -> Seen {
    let row = json!({"version": name(0).1, "status": {"state": state, "reason": reason}});
    Seen { status: 200, json: json!({"items": [row]}), ..Seen::default() }
}

#[test]
fn an_answer_is_as_strict_as_the_rule_and_no_stricter() {
    use LifecycleState::{Available, Blocked, Yanked};
    let by_rule = Some("policy:rule");
    for matching in MATCHINGS {
        let (denied, weak) = (ledger(rule(matching, "deny")), ledger(rule(matching, "discourage")));
        assert!(is_right(&denied, Route::Archive(0), NOW, refused()), "{matching:?}");
        assert!(!is_right(&denied, Route::Archive(0), NOW, served(Available, None)), "{matching:?}");
        assert!(!is_right(&weak, Route::Archive(0), NOW, refused()), "{matching:?}");
        assert!(is_right(&weak, Route::Exact(0), NOW, served(Yanked, by_rule)), "{matching:?}");
        let is_known = matching != Matching::Unpublished;
        assert_eq!(is_right(&weak, Route::Exact(0), NOW, served(Available, None)), !is_known, "{matching:?}");
        assert!(is_right(&denied, Route::Index(0), NOW, index(Blocked, by_rule)), "{matching:?}");
        assert!(!is_right(&weak, Route::Index(0), NOW, index(Blocked, by_rule)), "{matching:?}");
        let at_once = matches!(matching, Matching::Name | Matching::Young | Matching::Advisory);
        assert_eq!(is_right(&denied, Route::Index(0), NOW, index(Available, None)), !at_once, "{matching:?}");
        // Another volume.
        assert!(!is_right(&denied, Route::Exact(3), NOW, refused()), "{matching:?}");
    }
}

#[test]
fn what_ended_lowers_nothing_any_more() {
    let mut young = ledger(rule(Matching::Young, "hold"));
    let end = NOW - 1000 + YOUNG * 1000;
    for (now, is_held) in [(end - 1, true), (end, false)] {
        assert_eq!(is_right(&young, Route::Exact(0), now, refused()), is_held);
        let free = is_right(&young, Route::Exact(0), now, served(LifecycleState::Available, None));
        assert_eq!(free, !is_held);
    }
    young.rule =
        Some(RuleInForce { rule: Rule { is_audit: true, ..rule(Matching::Name, "deny") }, waived_until: 0 });
    assert!(!is_right(&young, Route::Exact(0), NOW, refused()), "an audit changes nothing");

    let waived = ledger(Rule { waived: Some(0), ..rule(Matching::Name, "deny") });
    let end = midnight(NOW) * 1000;
    for (now, is_waived) in [(end - 1, true), (end, false)] {
        assert_eq!(is_right(&waived, Route::Archive(0), now, refused()), !is_waived);
    }

    let mut advised = ledger(rule(Matching::Advisory, "deny"));
    assert!(is_right(&advised, Route::Archive(0), NOW, refused()), "nobody ever confirmed advisories");
    advised.advisories_confirmed = Some(NOW);
    assert!(!is_right(&advised, Route::Archive(0), NOW, refused()));
    advised.advised.push(0);
    assert!(is_right(&advised, Route::Archive(0), NOW, refused()));
}
