//! The pages that are printed from the declarations, and the files of the repository that they are printed to.

use super::about::{AppliedBy, KeyAbout, Nested};
use super::*;

#[test]
fn the_sample_file_is_what_config_sample_prints() {
    let renew = "renew it: cargo run --quiet -- config sample > config/scriptorium.toml";
    assert!(EXAMPLE == sample(), "config/scriptorium.toml is not what the declared keys print; {renew}");
}

#[test]
fn the_reference_page_is_what_config_reference_prints() {
    let page = include_str!("../../../../../docs/configure.md");
    let renew = "renew it: cargo run --quiet -- config reference > docs/configure.md";
    assert!(page == reference(), "docs/configure.md is not what the declared keys print; {renew}");
}

#[test]
fn the_example_file_says_the_defaults() {
    let loaded = load(EXAMPLE);
    assert_eq!(loaded.config, example());
    assert_eq!(loaded.notes, [""; 0]);
}

/// Every key with its full name, and who applies it.
fn all(section: &str, keys: &[KeyAbout], outer: Option<AppliedBy>) -> Vec<(String, Option<AppliedBy>)> {
    let below = |key: &KeyAbout| {
        let name = format!("{section}{}", key.name);
        assert!(!key.why.is_empty(), "{name} is not explained");
        let applied_by = key.applied_by.or(outer);
        match &key.nested {
            Nested::Table(keys) | Nested::Tables(keys) => all(&format!("{name}."), keys, applied_by),
            Nested::Nothing => {
                assert!(key.default.is_some() || key.example.is_some(), "{name} has nothing to show");
                vec![(name, applied_by)]
            }
        }
    };
    keys.iter().flat_map(below).collect()
}

#[test]
fn every_key_is_explained_and_is_applied_by_somebody() {
    let keys = all("", &super::section::about::<Config>(), None);
    assert_eq!(keys.len(), 136);
    for (key, applied_by) in keys {
        assert!(applied_by.is_some(), "{key}: say who applies a changed value");
    }
}

#[test]
fn who_applies_a_key_is_found_by_its_name() {
    for (key, applied_by) in [
        ("cache.index_ttl", Some(AppliedBy::Documents)),
        ("cache.memory", Some(AppliedBy::Restart)),
        ("upstreams", Some(AppliedBy::Documents)),
        ("server.tls", Some(AppliedBy::Certificate)),
        ("server.tls.key", Some(AppliedBy::Certificate)),
        ("rate_limits.ci", Some(AppliedBy::ClientRates)),
        ("cache", None),
        ("cache.index_ttlx", None),
        ("cach", None),
        ("server.tls.keys", None),
        ("cache.memory.x", None),
        ("", None),
    ] {
        assert_eq!(Config::applied_by(key), applied_by, "{key}");
    }
}
