//! Catalogues that nobody should write: all of them have a defined outcome, and every bound names itself.

mod registry;

use registry::{Registry, missing, name, names, row};
use selection::{
    BoundExceeded, Closure, NextStep, RootVersions, SelectionBounds, SelectionRules, Selector, verify,
};

fn bounded(bounds: SelectionBounds) -> SelectionRules {
    SelectionRules { bounds, ..SelectionRules::default() }
}

#[test]
fn a_release_with_a_dependency_that_cannot_be_read_is_selected_and_part_of_no_solution() {
    for (dependency, reason) in [
        ("b latest", "the range `latest` of its dependency `b`: expected whole versions"),
        ("b ^1", "the range `^1` of its dependency `b`: expected whole versions"),
        ("B ^1.0.0", "its dependency `B` has no valid name: expected"),
        ("b ^1.0.0; b ^2.0.0", "its dependency `b` is listed twice"),
    ] {
        let faulty = format!("1.1.0: {dependency}");
        let registry =
            Registry::of(&[("app", &["1.0.0: a ^1.0.0"]), ("a", &["1.0.0", &faulty]), ("b", &["1.0.0"])]);
        let selection = registry.select(&["app"], SelectionRules::default());
        assert_eq!(names(&selection), ["a@1.0.0", "a@1.1.0", "app@1.0.0"]);
        let missing = missing(&selection);
        assert_eq!(missing.len(), 1, "{missing:?}");
        assert!(missing[0].starts_with(&format!("release a@1.1.0: {reason}")), "{missing:?}");
    }
}

#[test]
fn versions_that_differ_in_build_metadata_are_releases_of_their_own() {
    let registry = Registry::of(&[
        ("a", &["1.0.0+b", "1.0.0+a", "1.0.0"]),
        ("c", &["1.0.0+b yanked", "1.0.0+a"]),
        ("app", &["1.0.0: a =1.0.0; c <=1.0.0"]),
    ]);
    let none = SelectionRules { closure: Closure::None, ..SelectionRules::default() };
    let all = SelectionRules { versions: RootVersions::All, ..none.clone() };
    assert_eq!(names(&registry.select(&["a"], none.clone())), ["a@1.0.0+b"]);
    assert_eq!(names(&registry.select(&["a"], all)), ["a@1.0.0", "a@1.0.0+a", "a@1.0.0+b"]);
    assert_eq!(names(&registry.select(&["a@1.0.0"], none.clone())), ["a@1.0.0"]);
    assert_eq!(names(&registry.select(&["a@1.0.0+a"], none.clone())), ["a@1.0.0+a"]);
    assert_eq!(names(&registry.select(&["c@1.0.0"], none.clone())), ["c@1.0.0+a"]);
    assert_eq!(names(&registry.select(&["c@1.0.0+b"], none)), ["c@1.0.0+b"]);
    let resolved = registry.select(&["app"], SelectionRules::default());
    assert_eq!(names(&resolved), ["a@1.0.0+b", "app@1.0.0", "c@1.0.0+a"]);
    assert!(resolved.missing.is_empty());
}

#[test]
fn of_two_rows_for_one_version_the_more_restrictive_one_counts() {
    let registry = Registry::of(&[("a", &["1.0.0", "1.0.0 blocked", "1.0.0 yanked"])]);
    let selection = registry.select(&["a@1.0.0"], SelectionRules::default());
    assert_eq!(names(&selection), ["a@1.0.0 (documents)"]);
}

#[test]
fn documents_tell_of_what_is_withheld_where_nothing_else_is_there() {
    let registry = Registry::of(&[
        ("@a/gone", &["1.0.0 blocked", "2.0.0 tombstoned", "3.0.0-rc.1 blocked"]),
        ("@a/here", &["1.0.0", "2.0.0 blocked"]),
        ("@a/yanked", &["1.0.0 yanked"]),
    ]);
    let highest = registry.select(&["@a/*"], SelectionRules::default());
    assert_eq!(names(&highest), ["@a/gone@2.0.0 (documents)", "@a/here@1.0.0"]);
    assert!(highest.missing.is_empty(), "{:?}", missing(&highest));
    let all = SelectionRules { versions: RootVersions::All, ..SelectionRules::default() };
    let all = registry.select(&["@a/*"], all);
    let documents = ["@a/gone@1.0.0 (documents)", "@a/gone@2.0.0 (documents)"];
    assert_eq!(names(&all), [&documents[..], &["@a/here@1.0.0"]].concat());
    // A root that asks for them by itself has nothing, and says so.
    let ranged = registry.select(&["@a/gone@<2.0.0"], SelectionRules::default());
    assert_eq!(names(&ranged), ["@a/gone@1.0.0 (documents)"]);
    assert_eq!(ranged.missing.len(), 1);
}

#[test]
fn circles_and_dependencies_on_oneself_end() {
    let registry = Registry::of(&[
        ("a", &["1.0.0: b ^1.0.0; a ^1.0.0"]),
        ("b", &["1.0.0: c ^1.0.0"]),
        ("c", &["1.0.0: a ^1.0.0; c =1.0.0"]),
        ("elsewhere", &["1.0.0", "2.0.0: elsewhere ^1.0.0"]),
    ]);
    for closure in [Closure::Highest, Closure::All, Closure::Resolve] {
        let rules = SelectionRules { closure, ..SelectionRules::default() };
        let selection = registry.select(&["a"], rules);
        assert_eq!(names(&selection), ["a@1.0.0", "b@1.0.0", "c@1.0.0"]);
        assert!(selection.missing.is_empty(), "{:?}", missing(&selection));
    }
    // One volume cannot be there twice.
    let selection = registry.select(&["elsewhere"], SelectionRules::default());
    assert_eq!(names(&selection), ["elsewhere@1.0.0", "elsewhere@2.0.0"]);
    assert_eq!(
        missing(&selection),
        [
            "root elsewhere: elsewhere@2.0.0 has no solution: elsewhere 2.0.0 cannot be used: it depends on its own \
          volume in ^1.0.0"
        ]
    );
}

/// 10,000 versions of `core`, each of which pins the version of `peer` with the same number.
#[test]
fn a_volume_with_ten_thousand_rows() {
    let rows = |text: &dyn Fn(u32) -> String| (0..10_000).map(|at| row(&text(at))).collect::<Vec<_>>();
    let mut registry = Registry::of(&[("app", &["1.0.0: core >=1.0.0; peer <=1.0.5"])]);
    registry.volumes.insert(name("core"), rows(&|at| format!("1.0.{at}: peer =1.0.{at}")));
    registry.volumes.insert(name("peer"), rows(&|at| format!("1.0.{at}")));
    let selection = registry.select(&["app"], SelectionRules::default());
    assert_eq!(
        names(&selection),
        ["app@1.0.0", "core@1.0.5", "core@1.0.9999", "peer@1.0.5", "peer@1.0.9999"]
    );
    assert!(selection.missing.is_empty());
}

/// Each release tried costs more than the last, so that steps count more than releases.
#[test]
fn a_root_is_given_up_that_would_cost_too_much_and_costs_the_others_nothing() {
    let mut registry = Registry::of(&[
        ("app", &["1.0.0: core >=1.0.0; peer =2.0.0"]),
        ("peer", &["1.0.0", "2.0.0"]),
        ("lone", &["1.0.0"]),
    ]);
    let rows = (0..5_000).map(|at| row(&format!("1.0.{at}: peer =1.0.{at}"))).collect();
    registry.volumes.insert(name("core"), rows);
    let bounds = SelectionBounds { steps_per_root: 20_000, ..SelectionBounds::default() };
    let selection = registry.select(&["app", "lone"], bounded(bounds));
    let missing: Vec<_> = missing(&selection).into_iter().filter(|line| line.starts_with("root ")).collect();
    assert_eq!(missing, ["root app: app@1.0.0 has no solution that the solver finds within 20000 steps"]);
    assert!(names(&selection).contains(&"lone@1.0.0".to_owned()));
}

/// The solver meets each volume of the chain only after the one before it is known.
#[test]
fn a_chain_that_only_the_solver_meets_is_read_link_by_link_and_solved_a_few_times() {
    const LINKS: usize = 300;
    let mut registry = Registry::of(&[
        ("app", &["1.0.0: a ^1.0.0; b =1.0.0"]),
        ("a", &["1.0.0: link-0 ^1.0.0", "1.1.0: b =1.1.0"]),
        ("b", &["1.0.0", "1.1.0"]),
    ]);
    for at in 0..LINKS {
        let next = format!("1.0.0: link-{} ^1.0.0", at + 1);
        let aside = format!("0.9.0: side-{at} ^1.0.0");
        registry.volumes.insert(name(&format!("link-{at}")), vec![row(&aside), row(&next)]);
    }
    registry.volumes.insert(name(&format!("link-{LINKS}")), vec![row("1.0.0")]);
    // Every run of the solver takes a step for each link that is known, so runs for each link would need 45,000 steps.
    let bounds = SelectionBounds { steps: 5_000, ..SelectionBounds::default() };
    let (selection, rounds) = registry.asked(&["app"], bounded(bounds)).unwrap();
    assert_eq!(selection.releases.len(), 6 + LINKS);
    assert!(selection.missing.is_empty(), "{:?}", missing(&selection));
    // Only versions that no range contains depend on these.
    assert!(rounds.iter().flatten().all(|volume| !volume.starts_with("side-")));
}

/// The solver leaves the highest match at each of the first links, so that what is behind them is met late.
#[test]
fn volumes_behind_lower_versions_are_found_however_late_the_solver_meets_them() {
    const LINKS: usize = 40;
    let mut registry =
        Registry::of(&[("app", &["1.0.0: link-0 ^1.0.0; never =1.0.0"]), ("never", &["1.0.0", "2.0.0"])]);
    for at in 0..LINKS {
        let lower = format!("1.0.0: link-{} ^1.0.0", at + 1);
        let rows = vec![row(&lower), row("1.1.0: never =2.0.0")];
        registry.volumes.insert(name(&format!("link-{at}")), rows);
    }
    registry.volumes.insert(name(&format!("link-{LINKS}")), vec![row("1.0.0")]);
    // A run for each link would need more than 800 steps.
    let bounds = SelectionBounds { steps: 400, ..SelectionBounds::default() };
    let selection = registry.select(&["app"], bounded(bounds));
    let missing: Vec<_> = missing(&selection).into_iter().filter(|line| line.starts_with("root ")).collect();
    assert_eq!(missing, [""; 0]);
    assert!(names(&selection).contains(&format!("link-{LINKS}@1.0.0")));
}

#[test]
fn an_outcome_depends_on_answers_and_not_on_their_order() {
    let registry = Registry::of(&[
        ("a", &["1.0.0: c ^1.0.0; d ^1.0.0"]),
        ("b", &["1.0.0: d ^1.0.0; c ^1.0.0"]),
        ("c", &["1.0.0", "1.1.0: d =1.0.0"]),
        ("d", &["1.0.0", "1.1.0"]),
    ]);
    let straight = registry.select(&["a", "b"], SelectionRules::default());
    let roots = ["a", "b"].map(|root| root.parse().unwrap()).to_vec();
    let mut selector = Selector::new(roots, SelectionRules::default());
    let backwards = loop {
        match selector.advance().unwrap() {
            // One at a time, the last one first; what is left is asked again.
            NextStep::Ask(questions) => {
                let volume = questions.volumes.last().unwrap();
                selector.answer_volume(volume, Ok(registry.volumes[volume].clone())).unwrap();
                // A second answer does not count.
                selector.answer_volume(volume, Err("too late".to_owned())).unwrap();
            }
            NextStep::Done(selection) => break selection,
        }
    };
    assert_eq!(straight, backwards);
    // After the end it says the same again.
    assert_eq!(selector.advance(), Ok(NextStep::Done(straight)));
}

#[test]
fn every_bound_names_itself() {
    let registry = Registry::of(&[
        ("a", &["1.0.0: b ^1.0.0; c ^1.0.0"]),
        ("b", &["1.0.0", "1.1.0: c =1.0.0"]),
        ("c", &["1.0.0", "1.1.0"]),
    ]);
    let defaults = SelectionBounds::default;
    for (bounds, error) in [
        (SelectionBounds { volumes: 2, ..defaults() }, BoundExceeded::Volumes(2)),
        (SelectionBounds { rows: 4, ..defaults() }, BoundExceeded::Rows(4)),
        (SelectionBounds { dependencies: 2, ..defaults() }, BoundExceeded::Dependencies(2)),
        (SelectionBounds { steps: 2, ..defaults() }, BoundExceeded::Steps(2)),
    ] {
        assert_eq!(registry.asked(&["a"], bounded(bounds)).map(|_| ()), Err(error));
    }
    // One less is not enough; as many as there are, is.
    let exact = SelectionBounds { volumes: 3, rows: 5, dependencies: 3, ..defaults() };
    assert!(registry.select(&["a"], bounded(exact)).missing.is_empty());
    let told = SelectionBounds { missing: 1, ..defaults() };
    let selection = registry.select(&["x", "y", "z"], bounded(told));
    assert_eq!((selection.missing.len(), selection.untold), (1, 2));
    let few = SelectionBounds { steps_per_root: 1, ..defaults() };
    let selection = registry.select(&["a", "b@1.0.0"], bounded(few));
    assert_eq!(missing(&selection), ["root a: a@1.0.0 has no solution that the solver finds within 1 steps"]);
    assert!(names(&selection).contains(&"b@1.0.0".to_owned()));
}

#[test]
fn a_reason_is_short_whatever_it_has_to_say() {
    let mut registry = Registry::of(&[("app", &["1.0.0: hub ^1.0.0; base =1.0.0"]), ("base", &["1.0.0"])]);
    let rows = (0..200).map(|at| row(&format!("1.{at}.0: spoke-{at} ^1.0.0")));
    registry.volumes.insert(name("hub"), rows.collect());
    for at in 0..200 {
        let spoke = vec![row(&format!("1.0.0: base =2.0.{at}"))];
        registry.volumes.insert(name(&format!("spoke-{at}")), spoke);
    }
    let selection = registry.select(&["app"], SelectionRules::default());
    let reason = missing(&selection).into_iter().find(|line| line.starts_with("root app")).unwrap();
    assert!(reason.len() < 4_000, "{} bytes", reason.len());
    assert!(reason.contains(" more facts"), "{reason}");
}

/// Each link is a fact that the reason rests on, so that the solver's derivation is as deep as the chain is long.
#[test]
fn a_reason_that_rests_on_a_long_chain_is_told() {
    const LINKS: usize = 5_000;
    let mut registry =
        Registry::of(&[("app", &["1.0.0: link-0 ^1.0.0; never =1.0.0"]), ("never", &["1.0.0", "2.0.0"])]);
    for at in 0..LINKS {
        let next = format!("1.0.0: link-{} ^1.0.0", at + 1);
        registry.volumes.insert(name(&format!("link-{at}")), vec![row(&next)]);
    }
    registry.volumes.insert(name(&format!("link-{LINKS}")), vec![row("1.0.0: never =2.0.0")]);
    let selection = registry.select(&["app"], SelectionRules::default());
    let missing = missing(&selection);
    assert_eq!(missing.len(), 1, "{missing:?}");
    assert!(missing[0].starts_with("root app: app@1.0.0 has no solution: "), "{missing:?}");
    assert!(missing[0].contains("more facts"), "{missing:?}");
}

#[test]
fn held_releases_prove_that_roots_resolve() {
    let roots = |roots: &[&str]| roots.iter().map(|root| root.parse().unwrap()).collect::<Vec<_>>();
    let held = || {
        [
            (name("@acme/a"), vec![row("1.0.0: b ^1.0.0")]),
            (name("b"), vec![row("1.0.0"), row("1.1.0: c ^1.0.0")]),
            (name("lone"), vec![row("1.0.0: c ^1.0.0")]),
        ]
    };
    let rules = SelectionRules::default();
    // `b` 1.1.0 lacks its dependency; a resolver takes 1.0.0.
    let proof = verify(roots(&["@acme/*", "b@1.0.0"]), rules.clone(), held(), |_| None).unwrap();
    assert!(proof.is_proof(), "{:?}", proof.problems);
    assert_eq!((proof.roots, proof.releases), (2, 4));
    let lacking =
        verify(roots(&["lone", "b", "gone@^1.0", "zoo-*"]), rules.clone(), held(), |_| None).unwrap();
    let problems: Vec<_> = lacking.problems.iter().map(|problem| problem.reason.as_str()).collect();
    assert_eq!(
        problems,
        [
            "lone@1.0.0 has no solution: lone 1.0.0 depends on c ^1.0.0; no release of `c` is held",
            "b@1.1.0 has no solution: b 1.1.0 depends on c ^1.0.0; no release of `c` is held",
            "no release of `gone` is held",
            "nothing that is held matches it",
        ]
    );
    // What is held and may not be used is said in the words of whoever knows why.
    let withheld = |name: &archive::VolumeName| Some(format!("{name} 1.2.0 is denied"));
    let denied =
        verify(roots(&["gone", "b@1.2.0", "b@^1.2", "lone"]), rules.clone(), held(), withheld).unwrap();
    let problems: Vec<_> = denied.problems.iter().map(|problem| problem.reason.as_str()).collect();
    assert_eq!(
        problems,
        [
            "gone 1.2.0 is denied",
            "`b` 1.2.0 is not held; b 1.2.0 is denied",
            "no release matches `b` ^1.2; the highest available one is 1.1.0; b 1.2.0 is denied",
            "lone@1.0.0 has no solution: lone 1.0.0 depends on c ^1.0.0; c 1.2.0 is denied",
        ]
    );
    let bare = SelectionRules { closure: Closure::None, ..rules };
    assert!(verify(roots(&["lone"]), bare, held(), |_| None).unwrap().is_proof());
}
