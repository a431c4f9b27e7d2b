//! What a mirror is promised to take, sentence by sentence.

mod registry;

use registry::{Registry, missing, name, names};
use selection::{Because, Closure, RootVersions, SelectionRules};

fn rules(closure: Closure) -> SelectionRules {
    SelectionRules { closure, ..SelectionRules::default() }
}

fn all_versions(closure: Closure) -> SelectionRules {
    SelectionRules { versions: RootVersions::All, ..rules(closure) }
}

#[test]
fn patterns_are_enumerated_by_search() {
    let registry = Registry::of(&[
        ("@acme/a", &["1.0.0"]),
        ("@acme/b", &["1.0.0", "2.0.0"]),
        ("tools-x", &["1.0.0"]),
        ("lint", &["1.0.0"]),
    ]);
    let selection = registry.select(&["@acme/*", "tools-*"], rules(Closure::None));
    assert_eq!(names(&selection), ["@acme/a@1.0.0", "@acme/b@2.0.0", "tools-x@1.0.0"]);
    let yields: Vec<_> =
        selection.patterns.iter().map(|held| (held.pattern.to_string(), held.names)).collect();
    assert_eq!(yields, [("@acme/*".to_owned(), 2), ("tools-*".to_owned(), 1)]);
    assert_eq!(registry.select(&["*"], rules(Closure::None)).releases.len(), 4);
}

#[test]
fn a_named_volume_that_search_does_not_list_is_told() {
    let registry = Registry::of(&[("@acme/a", &["1.0.0"]), ("@acme/b", &["1.0.0"])]).hide("@acme/b");
    let selection = registry.select(&["@acme/*", "@acme/b", "@acme/nothing"], rules(Closure::None));
    assert_eq!(names(&selection), ["@acme/a@1.0.0", "@acme/b@1.0.0"]);
    assert_eq!(selection.unlisted, [name("@acme/b")]);
    assert_eq!(
        missing(&selection),
        ["root @acme/nothing: the index of `@acme/nothing` cannot be read: the registry does not have it"]
    );
}

#[test]
fn versions_selects_the_highest_or_all_available_ones_that_match() {
    let registry = Registry::of(&[("a", &["2.1.0 yanked", "1.0.0", "1.5.0", "2.0.0", "1.9.0 blocked"])]);
    for (root, highest, all) in [
        ("a", vec!["a@2.0.0"], vec!["a@1.0.0", "a@1.5.0", "a@2.0.0"]),
        ("a@^1.0", vec!["a@1.5.0"], vec!["a@1.0.0", "a@1.5.0"]),
        ("a@1", vec!["a@1.5.0"], vec!["a@1.0.0", "a@1.5.0"]),
        ("a@1.0.0", vec!["a@1.0.0"], vec!["a@1.0.0"]),
        ("a@=1.0.0", vec!["a@1.0.0"], vec!["a@1.0.0"]),
    ] {
        assert_eq!(names(&registry.select(&[root], rules(Closure::None))), highest, "{root}");
        assert_eq!(names(&registry.select(&[root], all_versions(Closure::None))), all, "{root}");
    }
}

fn diamond() -> Registry {
    Registry::of(&[
        ("app", &["1.0.0: left ^1.0.0; right ^1.0.0", "0.9.0"]),
        ("left", &["1.0.0", "1.1.0: base ^1.0.0", "2.0.0"]),
        ("right", &["1.0.0: base ^1.0.0", "1.1.0: base ^2.0.0"]),
        ("base", &["1.0.0", "1.1.0", "2.0.0", "2.1.0: app ^1.0.0"]),
    ])
}

#[test]
fn the_closure_none_takes_no_dependencies_and_asks_for_none() {
    let (selection, rounds) = diamond().asked(&["app"], rules(Closure::None)).unwrap();
    assert_eq!(names(&selection), ["app@1.0.0"]);
    assert_eq!(rounds, [["app"]]);
    assert!(selection.missing.is_empty());
}

#[test]
fn the_closure_highest_takes_the_highest_match_of_every_dependency() {
    let (selection, rounds) = diamond().asked(&["app"], rules(Closure::Highest)).unwrap();
    assert_eq!(names(&selection), ["app@1.0.0", "base@1.1.0", "base@2.1.0", "left@1.1.0", "right@1.1.0"]);
    assert_eq!(rounds, [vec!["app"], vec!["left", "right"], vec!["base"]]);
}

#[test]
fn the_closure_all_takes_every_available_match() {
    let selection = diamond().select(&["app"], rules(Closure::All));
    assert_eq!(
        names(&selection),
        [
            "app@1.0.0",
            "base@1.0.0",
            "base@1.1.0",
            "base@2.0.0",
            "base@2.1.0",
            "left@1.0.0",
            "left@1.1.0",
            "right@1.0.0",
            "right@1.1.0"
        ]
    );
}

#[test]
fn the_closure_resolve_adds_one_complete_solution() {
    let selection = diamond().select(&["app"], rules(Closure::Resolve));
    // `left` 1.1.0 and `right` 1.1.0 want different bases, so one of them has to be lower.
    let names = names(&selection);
    assert!(names.iter().any(|name| name == "left@1.0.0" || name == "right@1.0.0"), "{names:?}");
    assert!(selection.missing.is_empty(), "{:?}", missing(&selection));
    let solution = selection.releases.iter().find(|held| matches!(held.because, Because::SolutionOf(_)));
    let Because::SolutionOf(root) = &solution.unwrap().because else { unreachable!() };
    assert_eq!(root.to_string(), "app@1.0.0");
}

#[test]
fn a_root_without_a_solution_is_reported_and_costs_the_others_nothing() {
    let mut registry = diamond();
    let good = registry.select(&["app"], rules(Closure::Resolve));
    registry.volumes.extend(
        Registry::of(&[
            ("stuck", &["0.1.0", "1.0.0: base ^1.0.0; hook ^1.0.0"]),
            ("hook", &["1.0.0: base ^2.0.0", "1.1.0: base ^2.0.0"]),
        ])
        .volumes,
    );
    let selection = registry.select(&["app", "stuck"], rules(Closure::Resolve));
    for release in &good.releases {
        assert!(selection.releases.iter().any(|held| held.name == release.name), "{}", release.name);
    }
    let missing = missing(&selection);
    assert_eq!(missing.len(), 1, "{missing:?}");
    assert!(missing[0].starts_with("root stuck: stuck@1.0.0 has no solution: "), "{missing:?}");
    for fact in [
        "stuck 1.0.0 depends on base ^1.0.0",
        "stuck 1.0.0 depends on hook ^1.0.0",
        "hook 1.0.0 to 1.1.0 depends on base ^2.0.0",
    ] {
        assert!(missing[0].contains(fact), "{missing:?}");
    }
    // No lower version of the root is tried.
    assert!(!names(&selection).contains(&"stuck@0.1.0".to_owned()));
    assert!(names(&selection).contains(&"stuck@1.0.0".to_owned()));
}

#[test]
fn prereleases_are_left_out_unless_a_root_names_one_exactly() {
    let registry = Registry::of(&[
        ("app", &["1.0.0: lib >=1.0.0-rc.1", "1.1.0-rc.1"]),
        ("lib", &["1.0.0-rc.1", "1.0.0-rc.2"]),
    ]);
    let left_out = registry.select(&["app"], rules(Closure::Highest));
    assert_eq!(names(&left_out), ["app@1.0.0"]);
    assert_eq!(
        missing(&left_out),
        [
            "release app@1.0.0: its dependency `lib` >=1.0.0-rc.1 matches nothing: only prereleases match `lib` \
          >=1.0.0-rc.1, and they are left out: 1.0.0-rc.2, 1.0.0-rc.1"
        ]
    );
    assert_eq!(names(&registry.select(&["app@>=1.1.0-rc.1"], rules(Closure::None))), [""; 0]);

    let named = registry.select(&["app", "lib@1.0.0-rc.1"], rules(Closure::Resolve));
    assert_eq!(names(&named), ["app@1.0.0", "lib@1.0.0-rc.1"]);
    assert!(named.missing.is_empty());

    let with = SelectionRules { prereleases: true, ..rules(Closure::Resolve) };
    assert_eq!(names(&registry.select(&["app"], with.clone())), ["app@1.1.0-rc.1"]);
    assert_eq!(names(&registry.select(&["app@1.0.0"], with)), ["app@1.0.0", "lib@1.0.0-rc.2"]);
}

#[test]
fn a_prerelease_that_a_root_names_is_no_match_for_ranges_and_roots_that_name_none() {
    let registry = Registry::of(&[("app", &["1.0.0: lib <3.0.0"]), ("lib", &["1.9.0", "2.0.0-rc.1"])]);
    let selection = registry.select(&["app", "lib", "lib@2.0.0-rc.1"], rules(Closure::Resolve));
    assert_eq!(names(&selection), ["app@1.0.0", "lib@1.9.0", "lib@2.0.0-rc.1"]);

    // Nor is it one for the solver.
    let registry = Registry::of(&[("app", &["1.0.0: lib >1.9.0 <3.0.0"]), ("lib", &["1.9.0", "2.0.0-rc.1"])]);
    let selection = registry.select(&["app", "lib@2.0.0-rc.1"], rules(Closure::Resolve));
    assert_eq!(
        missing(&selection),
        [
            "root app: app@1.0.0 has no solution: app 1.0.0 depends on lib >1.9.0 <3.0.0; no available release of lib \
             is in >=1.9.1-0, <2.0.0-rc.1 | >=2.0.0-rc.1.0, <3.0.0",
            "release app@1.0.0: its dependency `lib` >1.9.0 <3.0.0 matches nothing: only prereleases match `lib` \
             >1.9.0 <3.0.0, and they are left out: 2.0.0-rc.1",
        ]
    );
}

#[test]
fn what_matches_nothing_is_reported_with_its_reason() {
    let registry = Registry::of(&[
        ("a", &["1.0.0: gone ^1.0.0; b ^9.0.0; shut ^1.0.0; mute ^1.0.0; bare ^1.0.0"]),
        ("b", &["1.0.0"]),
        ("bare", &[]),
        ("shut", &["1.0.0 yanked", "1.1.0 blocked"]),
    ])
    .silence("mute", "timed out");
    let roots = ["a", "b@^2.0", "b@7.0.0", "absent", "bare", "shut", "zoo-*"];
    let selection = registry.select(&roots, rules(Closure::Highest));
    assert_eq!(names(&selection), ["a@1.0.0", "shut@1.1.0 (documents)"]);
    assert_eq!(
        missing(&selection),
        [
            "root b@^2.0: no release matches `b` ^2.0; the highest available one is 1.0.0",
            "root b@7.0.0: the index of `b` does not list 7.0.0",
            "root absent: the index of `absent` cannot be read: the registry does not have it",
            "root bare: the index of `bare` lists no releases",
            "root shut: no available release matches `shut`: 1.1.0 is blocked, 1.0.0 is yanked",
            "root zoo-*: search lists no volume that it matches",
            "release a@1.0.0: its dependency `b` ^9.0.0 matches nothing: no release matches `b` ^9.0.0; \
             the highest available one is 1.0.0",
            "release a@1.0.0: its dependency `bare` ^1.0.0 matches nothing: the index of `bare` lists no releases",
            "release a@1.0.0: its dependency `gone` ^1.0.0 matches nothing: the index of `gone` cannot be read: \
             the registry does not have it",
            "release a@1.0.0: its dependency `mute` ^1.0.0 matches nothing: the index of `mute` cannot be read: \
             timed out",
            "release a@1.0.0: its dependency `shut` ^1.0.0 matches nothing: no available release matches `shut` \
             ^1.0.0: 1.1.0 is blocked, 1.0.0 is yanked",
        ]
    );
}

#[test]
fn a_withheld_version_that_a_root_names_is_documents_only_and_counts_as_missing() {
    for state in ["blocked", "tombstoned", "unavailable"] {
        let row = format!("1.0.0 {state}: b ^1.0.0");
        let registry = Registry::of(&[("a", &[&row, "0.9.0"]), ("b", &["1.0.0"])]);
        let selection = registry.select(&["a@1.0.0"], rules(Closure::Resolve));
        assert_eq!(names(&selection), ["a@1.0.0 (documents)"]);
        assert_eq!(missing(&selection), [format!("root a@1.0.0: a@1.0.0 is {state}: documents only")]);
    }
}

#[test]
fn yanked_versions_are_taken_only_when_a_root_names_them_exactly() {
    let registry = Registry::of(&[
        ("a", &["1.0.0", "1.1.0 yanked: b ^1.0.0"]),
        ("b", &["1.0.0", "1.1.0 yanked: a ^1.0.0"]),
    ]);
    for root in ["a", "a@^1.0", "a@>=1.0.0", "a@1.1"] {
        assert!(
            !names(&registry.select(&[root], all_versions(Closure::All))).contains(&"a@1.1.0".to_owned())
        );
    }
    let selection = registry.select(&["a@1.1.0"], rules(Closure::Resolve));
    assert_eq!(names(&selection), ["a@1.1.0", "b@1.0.0"]);
    assert!(selection.missing.is_empty());
}

#[test]
fn every_release_says_why_it_is_selected() {
    let selection = diamond().select(&["app", "left@1.0.0"], rules(Closure::Highest));
    let why: Vec<String> = selection
        .releases
        .iter()
        .map(|release| match &release.because {
            Because::Root(root) => format!("{}: root {root}", release.name),
            Because::DependencyOf(other) => format!("{}: of {other}", release.name),
            Because::SolutionOf(root) => format!("{}: solution of {root}", release.name),
        })
        .collect();
    assert_eq!(
        why,
        [
            "app@1.0.0: root app",
            "base@1.1.0: of left@1.1.0",
            "base@2.1.0: of right@1.1.0",
            "left@1.0.0: root left@1.0.0",
            "left@1.1.0: of app@1.0.0",
            "right@1.1.0: of app@1.0.0",
        ]
    );
}
