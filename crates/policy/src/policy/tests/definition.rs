//! Agreement with a plain reading of the definition: every rule is asked, from what is written, and time is tried out.

use proptest::prelude::*;

use super::unread::unread;
use super::*;
use crate::declaration::{MatchDeclaration, RuleDeclaration, WaiverDeclaration};
use crate::instant::{end_of_day, span};

/// Whether everything that is written in `match` is so. A range is written as one comparison.
fn plainly(written: &MatchDeclaration, release: &Release, closed: bool, now: u64) -> bool {
    let pattern = |pattern: &String| match pattern.strip_suffix('*') {
        Some(begin) => release.name.as_str().starts_with(begin),
        None => release.name.as_str() == pattern,
    };
    let manifest = |holds: &dyn Fn(&ManifestFacts) -> bool| release.manifest.as_ref().is_some_and(holds);
    let unknown =
        release.confirmed.is_none_or(|confirmed| confirmed + DAY <= now) || !release.unread.is_empty();
    let affecting =
        || release.advisories.iter().filter_map(|advisory| advisory.affects(&release.name, &release.version));
    let version_below = |range: &String| {
        let below: semver::Version = range.strip_prefix('<').unwrap().parse().unwrap();
        release.version.as_semver().cmp_precedence(&below).is_lt()
    };
    let all = [
        written.volumes.as_ref().is_none_or(|patterns| patterns.iter().any(pattern)),
        written.not_volumes.as_ref().is_none_or(|patterns| !patterns.iter().any(pattern)),
        written.versions.as_ref().is_none_or(version_below),
        written
            .younger_than
            .as_ref()
            .is_none_or(|text| release.first_seen.is_none_or(|seen| now < seen + span(text).unwrap())),
        written.advisory.as_ref().is_none_or(|least| {
            affecting().any(|severity| severity >= least.parse().unwrap()) || (closed && unknown)
        }),
        written
            .delivery
            .as_ref()
            .is_none_or(|way| release.delivery.is_some_and(|known| known.as_str() == way)),
        written.components.as_ref().is_none_or(|types| {
            manifest(&|manifest| manifest.component_types.iter().any(|found| types.contains(found)))
        }),
        written.publishers_not_in.as_ref().is_none_or(|list| {
            manifest(&|manifest| {
                manifest.publisher.as_ref().is_none_or(|publisher| !list.contains(publisher))
            })
        }),
        written.trust_missing.as_ref().is_none_or(|list| match &release.trust {
            None => false,
            Some(Err(())) => true,
            Some(Ok(active)) => !active.iter().any(|category| list.iter().any(|wanted| wanted == category)),
        }),
    ];
    all.into_iter().all(|holds| holds)
}

/// The rule that decides, by asking every one.
fn decider(document: &PolicyDocument, release: &Release, closed: bool, now: u64) -> Option<String> {
    let name = format!("{}@{}", release.name, release.version);
    let waived = |rule: &RuleDeclaration| {
        document.waivers.iter().any(|waiver| {
            waiver.rule == rule.id
                && waiver.release.as_ref() == Some(&name)
                && now < end_of_day(waiver.until.as_deref().unwrap()).unwrap()
        })
    };
    let deciding = ["deny", "hold", "discourage"].iter().find_map(|action| {
        document.rules.iter().find(|rule| {
            rule.action.as_deref() == Some(action)
                && plainly(rule.matching.as_ref().unwrap(), release, closed, now)
                && !waived(rule)
        })
    });
    deciding.and_then(|rule| rule.id.clone())
}

fn some<T: Clone + std::fmt::Debug + 'static>(values: &[T]) -> impl Strategy<Value = Option<T>> + use<T> {
    prop::option::weighted(0.3, prop::sample::select(values.to_vec()))
}

fn list(values: &[&str]) -> impl Strategy<Value = Option<Vec<String>>> + use<> {
    let values: Vec<String> = values.iter().map(|value| (*value).to_owned()).collect();
    prop::option::weighted(0.3, prop::collection::vec(prop::sample::select(values), 1..3))
}

fn words(values: &[&str]) -> impl Strategy<Value = Option<String>> + use<> {
    some(&values.iter().map(|value| (*value).to_owned()).collect::<Vec<_>>())
}

fn any_match() -> impl Strategy<Value = MatchDeclaration> {
    let names = ["*", "@acme/*", "@acme/lamp", "la*", "lamp", "saw"];
    let of_release = (list(&names), list(&names[1..]), words(&["<1.0.0", "<2.0.0"]), words(&["1d", "7d"]));
    let of_others = (words(&["low", "critical"]), words(&["git", "cdn"]));
    let of_manifest = (list(&["hook", "skill"]), list(&["acme", "corp"]), list(&["signature", "sbom"]));
    (of_release, of_others, of_manifest).prop_map(|(of_release, of_others, of_manifest)| {
        let (volumes, not_volumes, versions, younger_than) = of_release;
        let (advisory, delivery) = of_others;
        let (components, publishers_not_in, trust_missing) = of_manifest;
        let written = MatchDeclaration {
            volumes,
            not_volumes,
            versions,
            younger_than,
            advisory,
            delivery,
            components,
            publishers_not_in,
            trust_missing,
            ..MatchDeclaration::default()
        };
        match written == MatchDeclaration::default() {
            true => MatchDeclaration { volumes: Some(vec!["*".to_owned()]), ..written },
            false => written,
        }
    })
}

fn any_document() -> impl Strategy<Value = PolicyDocument> {
    let action = prop::sample::select(vec!["deny", "hold", "discourage"]);
    let rules = prop::collection::vec((action, any_match()), 1..6);
    let release = prop::sample::select(vec!["@acme/lamp@1.2.3", "lamp@0.1.0", "saw@1.2.3"]);
    let until = prop::sample::select(vec!["2026-11-30", "2026-12-01", "2026-12-31"]);
    let waivers = prop::collection::vec((0..6_usize, release, until), 0..6);
    (rules, waivers).prop_map(|(rules, waivers)| PolicyDocument {
        rules: rules
            .into_iter()
            .enumerate()
            .map(|(at, (action, matching))| RuleDeclaration {
                id: Some(format!("r{at}")),
                action: Some(action.to_owned()),
                matching: Some(matching),
                place: crate::place::Place::new("p", format!("policy.rules[{at}]")),
                ..RuleDeclaration::default()
            })
            .collect(),
        waivers: waivers
            .into_iter()
            .map(|(rule, release, until)| WaiverDeclaration {
                rule: Some(format!("r{rule}")),
                release: Some(release.to_owned()),
                until: Some(until.to_owned()),
                ..WaiverDeclaration::default()
            })
            .collect(),
    })
}

fn any_release() -> impl Strategy<Value = Release> {
    let name = prop::sample::select(vec!["@acme/lamp", "@acme/saw", "lamp", "saw"]);
    let version = prop::sample::select(vec!["0.1.0", "1.2.3", "2.0.0-rc.1", "2.0.0"]);
    let instants = [NOW, NOW - DAY / 2, NOW - DAY, NOW - 3 * DAY, NOW - 30 * DAY];
    let manifest = some(&["", "acme", "other"]).prop_map(|publisher| {
        publisher.map(|publisher| ManifestFacts {
            publisher: Some(publisher.to_owned()).filter(|publisher| !publisher.is_empty()),
            component_types: vec!["hook".to_owned()],
            ..ManifestFacts::default()
        })
    });
    let trust = some(&[Err(()), Ok(vec![]), Ok(vec!["sbom"]), Ok(vec!["signature", "sbom"])]);
    let advisories = some(&["low", "critical"]);
    (
        name,
        version,
        some(&instants),
        some(&[Delivery::Git, Delivery::Cdn]),
        manifest,
        trust,
        advisories,
        some(&instants),
        prop::bool::weighted(0.2),
    )
        .prop_map(
            |(name, version, first_seen, delivery, manifest, trust, severity, confirmed, is_unread)| {
                Release {
                    version: version.parse().unwrap(),
                    first_seen,
                    delivery,
                    manifest,
                    trust,
                    advisories: severity
                        .map(|severity| advisory(severity, r#"{"introduced": "1.0.0"}, {"fixed": "2.0.0"}"#))
                        .into_iter()
                        .collect(),
                    confirmed,
                    unread: if is_unread { unread() } else { Vec::new() },
                    ..Release::named(name)
                }
            },
        )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3_000))]

    #[test]
    fn a_verdict_is_what_the_definition_says_for_as_long_as_it_says(
        document in any_document(),
        release in any_release(),
        closed in any::<bool>(),
    ) {
        let on_old_advisories = if closed { OnOldAdvisories::Closed } else { OnOldAdvisories::Open };
        let settings = PolicySettings { on_old_advisories, ..settings() };
        let (policy, _) = Policy::compile(document.clone(), settings, NOW).unwrap();
        let decides = |now: u64| {
            let verdict = release.judge(|facts| policy.verdict(facts, now));
            verdict.lowering().map(|lowering| lowering.rule.to_string())
        };
        let verdict = release.judge(|facts| policy.verdict(facts, NOW));
        let decider_now = decider(&document, &release, closed, NOW);
        prop_assert_eq!(&decides(NOW), &decider_now);

        // Until then the definition says the same at every instant at which anything could change.
        let until = verdict.until.unwrap_or(u64::MAX);
        let mut instants: Vec<u64> = [1, 7].iter().filter_map(|days| Some(release.first_seen? + days * DAY)).collect();
        instants.extend(release.confirmed.map(|confirmed| confirmed + DAY));
        instants.extend(["2026-11-30", "2026-12-01", "2026-12-31"].iter().filter_map(|day| end_of_day(day)));
        for at in instants.into_iter().flat_map(|at| [at - 1, at]).filter(|at| *at > NOW) {
            prop_assert_eq!(&decides(at), &decider(&document, &release, closed, at));
            if at < until {
                prop_assert_eq!(&decides(at), &decider_now);
            }
        }

        // The report names the same rule.
        let reports = release.judge(|facts| policy.explain(facts, NOW));
        let strongest = reports.iter().filter(|report| report.applies).min_by_key(|report| report.action);
        prop_assert_eq!(strongest.map(|report| report.rule.clone()), decider_now);
    }
}
