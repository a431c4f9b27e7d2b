//! Every cell of both tables of the header, for everything that can be known.

use super::*;

const HELD: [&str; 8] = [
    "no registry",
    "nothing",
    "fresh",
    "while-revalidate",
    "if-error",
    "expired",
    "fresh absence",
    "old absence",
];
const REACH: [(&str, Reach); 4] = [
    ("online", Reach::Online),
    ("only-if-cached", Reach::OnlyIfCached),
    ("offline", Reach::Offline),
    ("unreachable", Reach::Unreachable),
];

/// The cells of the header's table that begins with the column `first`, without the row of its names.
fn table(first: &str) -> Vec<Vec<&'static str>> {
    let lines = include_str!("../decision.rs").lines().skip_while(|line| {
        line.strip_prefix("//! | ").is_none_or(|line| line.split('|').next().map(str::trim) != Some(first))
    });
    let rows = lines.map_while(|line| line.strip_prefix("//! |")).filter(|line| !line.starts_with('-'));
    rows.map(|line| line.trim_end_matches('|').split('|').map(str::trim).collect()).skip(1).collect()
}

/// What a row of the first table is about.
fn held(row: &str) -> Vec<Option<HeldFacts>> {
    use Freshness::{Expired, Fresh, IfError, WhileRevalidate};
    let (ages, is_absence): (&[Freshness], bool) = match row {
        "no registry" | "nothing" => return vec![None],
        "fresh" => (&[Fresh], false),
        "while-revalidate" => (&[WhileRevalidate], false),
        "if-error" => (&[IfError], false),
        "expired" => (&[Expired], false),
        "fresh absence" => (&[Fresh], true),
        "old absence" => (&[WhileRevalidate, IfError, Expired], true),
        other => panic!("the table says {other}"),
    };
    let of = |(freshness, is_settled)| Some(HeldFacts { freshness, is_settled, is_absence });
    ages.iter().flat_map(|age| [(*age, true), (*age, false)]).map(of).collect()
}

/// What a cell says, of a document that is settled or not; `if_unreachable` is the last cell of its row.
fn decision(cell: &str, is_settled: bool, if_unreachable: &str) -> Decision {
    let serve = |stale| Decision::Serve { stale, settle: !is_settled };
    match cell {
        "serve" => serve(None),
        "serve while-revalidate" => serve(Some(Stale::WhileRevalidate)),
        "serve offline" => serve(Some(Stale::Offline)),
        "serve if-error" => serve(Some(Stale::IfError)),
        "ask" => Decision::Ask { may_serve: if_unreachable.starts_with("serve") },
        "no upstream" => Decision::Refuse(RefusalReason::NoUpstream),
        "not held" => Decision::Refuse(RefusalReason::NotHeld),
        "offline" => Decision::Refuse(RefusalReason::Offline),
        "unreachable" => Decision::Refuse(RefusalReason::Unreachable),
        "divergent" => Decision::Refuse(RefusalReason::Divergent),
        "pin" => Decision::Refuse(RefusalReason::Pin),
        "policy" => Decision::Refuse(RefusalReason::Policy),
        "archive" => Decision::Refuse(RefusalReason::Archive),
        "withdrawn" => Decision::Refuse(RefusalReason::Withdrawn),
        other => panic!("the table says {other}"),
    }
}

/// Whether a row of the second table applies.
fn applies(row: &[&str], known: &KnownFacts, reach: &str, cell: &str) -> bool {
    let [fact, r#where, changes, _] = row else { panic!("{row:?}") };
    let is_known = match *fact {
        "divergence believed" => known.divergence == Some(OpenDivergence::Believed),
        "divergence due" => known.divergence == Some(OpenDivergence::Due),
        "pin unknown" => known.is_pin_unknown,
        "policy refuses" => known.is_policy_refused,
        "archive refused" => known.is_archive_refused,
        "row withdrawn" => known.is_row_withdrawn,
        other => panic!("the table says {other}"),
    };
    let is_there = *r#where == "everywhere" || r#where.split(", ").any(|column| column == reach);
    let is_changed = match *changes {
        "anything" => true,
        "serve" => cell.starts_with("serve"),
        "serve unsettled" => cell.starts_with("serve") && known.held.is_some_and(|held| !held.is_settled),
        "no answer" => ["offline", "unreachable"].contains(&cell),
        other => panic!("the table says {other}"),
    };
    is_known && is_there && is_changed
}

/// Everything that can be known beside what is held.
fn all_known() -> Vec<KnownFacts> {
    let divergences = [None, Some(OpenDivergence::Believed), Some(OpenDivergence::Due)];
    let mut all = Vec::new();
    for divergence in divergences {
        for bits in 0..16 {
            let [is_pin_unknown, is_policy_refused, is_archive_refused, is_row_withdrawn] =
                [1, 2, 4, 8].map(|bit| bits & bit != 0);
            let facts = KnownFacts { is_pin_unknown, is_policy_refused, ..KnownFacts::default() };
            all.push(KnownFacts { divergence, is_archive_refused, is_row_withdrawn, ..facts });
        }
    }
    all
}

#[test]
fn every_cell_of_the_tables_holds() {
    let (cells, changes) = (table("held"), table("known"));
    assert_eq!(cells.iter().map(|row| row[0]).collect::<Vec<_>>(), HELD);
    assert_eq!(changes.len(), 7);
    let mut cases = 0;
    for row in &cells {
        for (column, (name, reach)) in REACH.into_iter().enumerate() {
            for (facts, held) in
                all_known().iter().flat_map(|facts| held(row[0]).into_iter().map(move |held| (facts, held)))
            {
                let known = KnownFacts { held, is_routed: row[0] != "no registry", ..*facts };
                let cell = row[column + 1];
                let change = changes.iter().find(|change| applies(change, &known, name, cell));
                let cell = change.map_or(cell, |change| change[3]);
                let is_settled = held.is_some_and(|held| held.is_settled);
                let expected = decision(cell, is_settled, row[4]);
                assert_eq!(decide(&known, reach), expected, "{row:?}, {name}: {known:?}");
                cases += 1;
            }
        }
    }
    assert_eq!(cases, 4 * 48 * (2 + 5 * 2 + 3 * 2));
}

#[test]
fn a_hit_is_what_is_served_as_it_is_where_nothing_speaks_against_it() {
    for held in HELD.into_iter().flat_map(held).flatten() {
        for reach in [Reach::Online, Reach::OnlyIfCached, Reach::Offline] {
            let known = KnownFacts { held: Some(held), is_routed: true, ..KnownFacts::default() };
            let is_hit = is_hit(held.is_settled, held.freshness, reach == Reach::Offline);
            let as_it_is = Decision::Serve { stale: None, settle: false };
            assert_eq!(is_hit, decide(&known, reach) == as_it_is, "{held:?} {reach:?}");
        }
    }
}
