//! `policy diff` and `policy baseline` over the table, on a store that was filled before there were any rules.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Output, Stdio};

use serde_json::{Value, json};

use super::expected::Action;
use super::ground::{Case, Standing, cases, registry, remember, rules};
use super::matchers::Known;
use super::{Named, tested};
use crate::support::proxy::scriptorium;
use crate::support::{Proxy, Setup, each};

fn policy(proxy: &Proxy, arguments: &[&str]) -> Output {
    let mut command = scriptorium();
    command.arg("policy").args(arguments).arg("--config").arg(proxy.config());
    command.stdin(Stdio::null()).output().unwrap()
}

/// A proxy without rules that served everything of `cases`, and ended. Its registry gave no advisories, for nobody asked.
fn filled(cases: &[Case]) -> Proxy {
    let upstream = registry(cases.iter());
    let mut proxy = Setup::before(&upstream).start();
    proxy.stop();
    remember(&proxy.data(), cases.iter());
    proxy.revive();
    for case in cases {
        let (client, release) = (proxy.client(), &case.release);
        for target in [release.index(), release.exact(), release.trust("detail")] {
            client.get(&target).ok();
        }
        let archive = client.get(&release.download());
        assert_eq!(archive.status, if case.is_by_git() { 502 } else { 200 });
    }
    proxy.stop();
    proxy
}

/// The outcome and the rule of each case that a rule with `action` lowers. Advisories were never confirmed, so that rules on them
/// hold for all that are not waived.
fn lowered(cases: &[Case], action: Action) -> BTreeMap<String, String> {
    let outcome = if action.refuses() { "refused" } else { "discouraged" };
    let is_lowered = |case: &&Case| {
        let is_unadvised = case.matcher.needs_advisories() && case.standing == Standing::HoldsNot;
        is_unadvised || case.done(action, Known::AfterArchive).is_some()
    };
    let lowered = cases.iter().filter(is_lowered);
    lowered.map(|case| (case.named(), format!("{outcome} by {}", case.matcher.id))).collect()
}

fn told(changes: &Value, side: &str) -> BTreeMap<String, String> {
    let changes = changes["releases"].as_array().unwrap().iter();
    let side = |change: &Value| {
        assert!(change["last_used"].is_string(), "{change}");
        let side = &change[side];
        let by = side["rule"].as_str().map(|rule| format!(" by {rule}")).unwrap_or_default();
        (change["release"].as_str().unwrap().to_owned(), format!("{}{by}", side["outcome"].as_str().unwrap()))
    };
    changes.map(side).collect()
}

fn diff(proxy: &Proxy, file: &Path) -> Value {
    let output = policy(proxy, &["diff", file.to_str().unwrap(), "--json"]);
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn rules_are_tried_on_a_store_that_never_had_any() {
    let cases = cases("tried", &Standing::ALL);
    let proxy = filled(&cases);
    let file = proxy.config().with_file_name("tried.toml");
    let under = |file: Option<&Path>| {
        proxy.reconfigure(|setup| {
            let setup = setup.policy("enforce", "");
            file.map_or(setup.clone(), |file| setup.set("policy.file", file.display().to_string()))
        });
    };
    for action in Action::ALL {
        let text = rules(action, cases.iter());
        fs::write(&file, &text).unwrap();
        let expected = lowered(&cases, action);
        // From no rules to these.
        under(None);
        let changes = diff(&proxy, &file);
        assert_eq!(changes["judged"], cases.len(), "{changes}");
        assert_eq!(told(&changes, "to"), expected);
        assert!(told(&changes, "from").values().all(|outcome| outcome == "allowed"), "{changes}");
        // And back.
        under(Some(&file));
        let none = proxy.config().with_file_name("none.toml");
        fs::write(&none, "").unwrap();
        assert_eq!(told(&diff(&proxy, &none), "from"), expected);

        // The baseline waives just what is lowered, as far as somebody can know.
        let made = policy(&proxy, &["baseline", "--from", "store"]);
        assert_eq!(made.status.code(), Some(0));
        let (waivers, notes) =
            (String::from_utf8(made.stdout).unwrap(), String::from_utf8(made.stderr).unwrap());
        let waived: BTreeMap<String, String> = waivers
            .parse::<toml::Table>()
            .unwrap()
            .remove("policy")
            .and_then(|policy| policy.get("waivers").cloned())
            .into_iter()
            .flat_map(|waivers| waivers.as_array().unwrap().clone())
            .map(|waiver| {
                (waiver["release"].as_str().unwrap().to_owned(), waiver["rule"].as_str().unwrap().to_owned())
            })
            .collect();
        let advised = |release: &str| release.starts_with("advised-") || release.starts_with("severe-");
        let known: Vec<&String> = expected.keys().filter(|release| !advised(release)).collect();
        assert_eq!(waived.keys().collect::<Vec<_>>(), known, "{action:?}");
        assert!(
            notes.contains("no waiver of `severe`") && notes.contains("no waiver of `advised`"),
            "{notes}"
        );
        let with_baseline = proxy.config().with_file_name("baseline.toml");
        fs::write(&with_baseline, text + &waivers).unwrap();
        let left = told(&diff(&proxy, &with_baseline), "to");
        assert_eq!(left.keys().collect::<Vec<_>>(), known);
        assert!(left.values().all(|outcome| outcome == "allowed"), "{left:?}");
    }
    under(Some(&file));
    let known = cases.iter().filter(|case| !case.matcher.needs_advisories());
    each(known.map(Named), |Named(case)| {
        tested(&proxy, case, case.done(Action::Discourage, Known::AfterArchive));
    });
    let untold = policy(&proxy, &["test", "severe-n-not-tried@2.0.0", "--json"]);
    let untold: Value = serde_json::from_slice(&untold.stdout).unwrap();
    assert_eq!(untold["decides"]["rule"], json!("severe"));
    assert!(untold["unknown"].to_string().contains("advisories"), "{untold}");
}
