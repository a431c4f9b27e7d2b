//! Generated catalogues: wherever the registry has a solution, what `resolve` selected has one too.
//!
//! The judge is a solver of this file, which knows nothing but rows, tries everything, and shares no code with the crate.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

mod registry;

use std::collections::BTreeMap;

use archive::{LifecycleState, VolumeName};
use registry::{Registry, missing};
use selection::{CatalogueRow, MissingSubject, RootVersions, SelectionRules, verify};

const CATALOGUES: u64 = 3_000;

type Rows = BTreeMap<VolumeName, Vec<CatalogueRow>>;

/// Whether the open dependencies can all be met, given what is chosen. Tries every available row.
fn is_solvable(
    rows: &Rows,
    chosen: &mut BTreeMap<VolumeName, semver::Version>,
    open: &mut Vec<(VolumeName, semver::VersionReq)>,
) -> bool {
    let Some((name, range)) = open.pop() else { return true };
    let solvable = match chosen.get(&name) {
        Some(version) => range.matches(version) && is_solvable(rows, chosen, open),
        None => rows.get(&name).into_iter().flatten().any(|row| {
            let version = row.version.as_semver();
            row.state == LifecycleState::Available && range.matches(version) && {
                chosen.insert(name.clone(), version.clone());
                let before = open.len();
                open.extend(dependencies(row));
                let solvable = is_solvable(rows, chosen, &mut open.clone());
                open.truncate(before);
                chosen.remove(&name);
                solvable
            }
        }),
    };
    open.push((name, range));
    solvable
}

fn dependencies(row: &CatalogueRow) -> impl Iterator<Item = (VolumeName, semver::VersionReq)> {
    row.dependencies.iter().map(|(name, range)| {
        // The other crate reads a bare version as `^`, and wants commas.
        let range = range.split(' ').collect::<Vec<_>>().join(", ");
        (name.parse().unwrap(), semver::VersionReq::parse(&range).unwrap())
    })
}

fn has_solution(rows: &Rows, name: &VolumeName, row: &CatalogueRow) -> bool {
    let mut chosen = BTreeMap::from([(name.clone(), row.version.as_semver().clone())]);
    is_solvable(rows, &mut chosen, &mut dependencies(row).collect())
}

/// A catalogue of a few volumes with tight ranges, so that highest versions often do not fit together.
fn generate(chance: &mut fastrand::Rng) -> Registry {
    let volumes = chance.usize(3..8);
    let mut registry = Registry::default();
    for at in 0..volumes {
        let count = chance.usize(1..5);
        let rows = (0..count).map(|version| {
            let version = format!("{}.{}.0", version / 2 + 1, version % 2);
            let dependencies = (0..chance.usize(0..4)).map(|_| {
                // One volume more than there are, so that some do not exist.
                let on = if chance.u8(..) == 0 { volumes } else { chance.usize(0..volumes) };
                (format!("v{on}"), range(chance))
            });
            let mut dependencies: Vec<(String, String)> = dependencies.collect();
            dependencies.sort();
            dependencies.dedup_by(|one, other| one.0 == other.0);
            let state = match chance.u8(0..12) {
                0 => LifecycleState::Yanked,
                1 => LifecycleState::Blocked,
                _ => LifecycleState::Available,
            };
            CatalogueRow { version: version.parse().unwrap(), state, integrity: None, dependencies }
        });
        let rows = rows.collect();
        registry.volumes.insert(format!("v{at}").parse().unwrap(), rows);
    }
    registry
}

fn range(chance: &mut fastrand::Rng) -> String {
    let version = format!("{}.{}.0", chance.u8(1..3), chance.u8(0..2));
    match chance.u8(0..7) {
        0 => format!("={version}"),
        1 => format!("^{version}"),
        2 => format!("~{version}"),
        3 => format!("<={version}"),
        4 => format!(">={version}"),
        5 => format!(">=1.0.0 <={version}"),
        _ => ">=1.0.0".to_owned(),
    }
}

#[derive(Default)]
struct Seen {
    solvable: usize,
    unsolvable: usize,
    by_solver: usize,
}

/// Selects everything of one catalogue and lets the judge look at it.
fn examine(registry: &Registry, seen: &mut Seen) {
    let roots: Vec<String> = registry.volumes.keys().map(ToString::to_string).collect();
    let roots: Vec<&str> = roots.iter().map(String::as_str).collect();
    let rules = SelectionRules { versions: RootVersions::All, ..SelectionRules::default() };
    let selection = registry.select(&roots, rules.clone());
    let mut held: Rows = BTreeMap::new();
    for release in &selection.releases {
        let rows = &registry.volumes[&release.name.volume];
        let row = rows.iter().find(|row| row.version == release.name.version).unwrap();
        held.entry(release.name.volume.clone()).or_default().push(row.clone());
        if matches!(release.because, selection::Because::SolutionOf(_)) {
            seen.by_solver += 1;
        }
    }
    let told = missing(&selection);
    let mut unsolvable = 0;
    for (name, rows) in &registry.volumes {
        for row in rows.iter().filter(|row| row.state == LifecycleState::Available) {
            let in_full = has_solution(&registry.volumes, name, row);
            assert_eq!(
                in_full,
                has_solution(&held, name, row),
                "{name}@{} within the selection",
                row.version
            );
            let report = format!("root {name}: {name}@{} has no solution: ", row.version);
            let reported = told.iter().any(|line| line.starts_with(&report));
            assert_ne!(in_full, reported, "{name}@{}: {told:#?}", row.version);
            if in_full { seen.solvable += 1 } else { unsolvable += 1 }
        }
    }
    seen.unsolvable += unsolvable;
    // Whoever has only the mirror comes to the same roots without a solution.
    let roots = roots.iter().map(|root| root.parse().unwrap()).collect();
    let verified = verify(roots, rules, held, |_| None).unwrap();
    let problems = verified.problems.iter().filter(|problem| problem.reason.contains(" has no solution: "));
    assert_eq!(problems.count(), unsolvable, "{:#?}", verified.problems);
    assert!(verified.problems.iter().all(|held| matches!(held.subject, MissingSubject::Root(_))));
}

/// `SELECTION_SEED` repeats a run that failed. All versions are root releases, so that each release is a case; a second look
/// with the highest ones alone has more for the solver to add.
#[test]
fn a_solution_of_the_registry_is_one_of_the_mirror() {
    let seed = std::env::var("SELECTION_SEED").ok().and_then(|text| text.parse().ok());
    let seed: u64 = seed.unwrap_or_else(|| fastrand::u64(..));
    println!("SELECTION_SEED={seed}");
    let mut chance = fastrand::Rng::with_seed(seed);
    let mut seen = Seen::default();
    let mut added = 0;
    for catalogue in 0..CATALOGUES {
        println!("catalogue {catalogue}");
        let registry = generate(&mut chance);
        examine(&registry, &mut seen);
        added += examine_highest(&registry);
    }
    println!(
        "{} solvable, {} not, {} and {added} releases added",
        seen.solvable, seen.unsolvable, seen.by_solver
    );
    assert!(seen.solvable > 1_000 && seen.unsolvable > 1_000 && added > 100, "the cases are one-sided");
}

/// One root, its highest version: the selection must have a solution where the registry has one. Says how many releases
/// are there for the solution alone.
fn examine_highest(registry: &Registry) -> usize {
    let mut added = 0;
    for (name, rows) in &registry.volumes {
        let highest = rows.iter().rfind(|row| row.state == LifecycleState::Available);
        let Some(highest) = highest else { continue };
        let selection = registry.select(&[name.as_str()], SelectionRules::default());
        let mut held: Rows = BTreeMap::new();
        for release in &selection.releases {
            let row =
                registry.volumes[&release.name.volume].iter().find(|row| row.version == release.name.version);
            held.entry(release.name.volume.clone()).or_default().push(row.unwrap().clone());
            added += usize::from(matches!(release.because, selection::Because::SolutionOf(_)));
        }
        let in_full = has_solution(&registry.volumes, name, highest);
        assert_eq!(in_full, has_solution(&held, name, highest), "{name}@{}", highest.version);
        let reported = missing(&selection).iter().any(|line| line.contains(" has no solution: "));
        assert_ne!(in_full, reported, "{name}@{}", highest.version);
    }
    added
}
