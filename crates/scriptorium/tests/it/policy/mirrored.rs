//! What the policy refuses is not something that a mirror serves: `mirror verify` and `mirror status` say so, and a sync under the
//! same rules agrees.

use std::thread;

use serde_json::json;

use crate::support::mirror::{Desk, list, mirror, missing, reason};
use crate::support::proxy::scriptorium;
use crate::support::{Release, Reply, Setup, Upstream, eventually};

fn denying(versions: &str) -> String {
    format!(
        "[[policy.rules]]\nid = \"no-lamps\"\naction = \"deny\"\nmatch = {{ volumes = [\"lamp\"], versions = \"{versions}\" }}\n"
    )
}

/// A mirror of `root` that was synced without rules.
fn synced(root: &str) -> (Upstream, Setup, Desk) {
    let upstream = Upstream::start();
    for version in ["1.0.0", "1.1.0"] {
        upstream.publish(&Release::new("lamp", version));
    }
    let setup = Setup::before(&upstream).mirror("ci", &format!("roots = [\"{root}\"]\nversions = \"all\""));
    let desk = Desk::new(&setup);
    assert_eq!(desk.mirror(&["sync", "ci"]).0, 0);
    for command in ["status", "verify"] {
        assert_eq!(desk.mirror(&[command, "ci"]).0, 0);
    }
    (upstream, setup, desk)
}

#[test]
fn a_release_that_a_rule_refuses_is_missing_with_the_rule_until_a_sync_selects_otherwise() {
    let (_upstream, setup, desk) = synced("lamp");
    desk.configure(&setup.clone().policy("enforce", &denying(">=1.1.0")));
    for command in ["status", "verify"] {
        let (code, said) = desk.mirror(&[command, "ci"]);
        assert_eq!((code, missing(&said)), (1, vec!["lamp@1.1.0".to_owned()]), "{command}: {said}");
        assert!(reason(&said, "lamp@1.1.0").contains("policy:no-lamps"), "{command}: {said}");
    }
    let (code, said) = desk.mirror(&["sync", "ci"]);
    assert_eq!((code, &said["releases"]), (0, &json!(1)), "{said}");
    for command in ["status", "verify"] {
        assert_eq!(desk.mirror(&[command, "ci"]).0, 0, "{command} agrees with the sync");
    }
}

#[test]
fn a_root_that_a_rule_refuses_is_missing_for_a_sync_too() {
    let (_upstream, setup, desk) = synced("lamp@1.1.0");
    desk.configure(&setup.clone().policy("enforce", &denying(">=1.1.0")));
    let (code, said) = desk.mirror(&["verify", "ci"]);
    assert_eq!(code, 1);
    assert!(missing(&said).contains(&"lamp@1.1.0".to_owned()), "{said}");
    for problem in said["problems"].as_array().unwrap() {
        assert!(problem["reason"].as_str().unwrap().contains("policy:no-lamps"), "{problem}");
    }
    for command in ["sync", "status", "verify"] {
        let (code, said) = desk.mirror(&[command, "ci"]);
        assert_eq!(code, 1, "{command}: {said}");
        assert!(missing(&said).contains(&"lamp@1.1.0".to_owned()), "{command}: {said}");
    }
}

#[test]
fn a_root_of_which_everything_is_refused_is_told_with_the_rule_and_not_with_its_index() {
    let (_upstream, setup, desk) = synced("lamp");
    desk.configure(&setup.clone().policy("enforce", &denying(">=1.0.0")));
    let (code, said) = desk.mirror(&["verify", "ci"]);
    assert_eq!(
        (code, missing(&said)),
        (1, vec!["lamp".into(), "lamp@1.0.0".into(), "lamp@1.1.0".into()]),
        "{said}"
    );
    let why = reason(&said, "lamp");
    assert!(why.contains("`lamp` 1.1.0: the policy does not allow it: policy:no-lamps"), "{why}");
    assert!(!why.contains("index"), "{why}");
}

#[test]
fn rules_that_are_only_counted_withhold_nothing() {
    let (_upstream, setup, desk) = synced("lamp");
    desk.configure(&setup.clone().policy("audit", &denying(">=1.1.0")));
    for command in ["status", "verify", "sync"] {
        assert_eq!(desk.mirror(&[command, "ci"]).0, 0, "{command}");
    }
}

#[test]
fn a_running_proxy_says_so_as_soon_as_the_rule_is_in_force() {
    let upstream = Upstream::start();
    upstream.publish(&Release::new("lamp", "1.0.0"));
    let proxy = Setup::before(&upstream).mirror("ci", "roots = [\"lamp\"]").start();
    let told = |command: &str| mirror(&proxy.config(), &[command, "ci"]);
    assert_eq!(told("sync").0, 0);
    proxy.reconfigure(|setup| setup.policy("enforce", &denying(">=1.0.0")));
    assert_eq!(told("status").0, 0, "the proxy does not know the rule yet");
    proxy.reload().ok();
    let (code, said) = told("status");
    assert_eq!((code, missing(&said)), (1, vec!["lamp@1.0.0".to_owned()]), "{said}");
    assert!(reason(&said, "lamp@1.0.0").contains("policy:no-lamps"), "{said}");
}

#[test]
fn what_is_held_because_advisories_are_old_says_what_brings_new_ones() {
    let upstream = Upstream::start();
    upstream.publish(&Release::new("lamp", "1.0.0"));
    upstream.reply("/api/v1/advisories", Reply::json(&json!({ "items": [] })));
    let setup = Setup::before(&upstream).mirror("ci", "roots = [\"lamp\"]");
    let desk = Desk::new(&setup);
    assert_eq!(desk.mirror(&["sync", "ci"]).0, 0);
    let rule = "[[policy.rules]]\nid = \"vulnerable\"\naction = \"hold\"\nmatch = { advisory = \"high\" }\n";
    desk.configure(&setup.set("policy.advisories_max_age", "1s").policy("enforce", rule));
    for command in ["status", "verify"] {
        let why = eventually("advisories that are too old", || {
            let (code, said) = desk.mirror(&[command, "ci"]);
            (code == 1).then(|| reason(&said, "lamp@1.0.0"))
        });
        assert!(why.contains("which is too old; sync the mirror where its registries"), "{command}: {why}");
    }
}

const NO_FIRST_LAMP: &str =
    "[[policy.rules]]\nid = \"no-lamp\"\naction = \"deny\"\nmatch = { volumes = [\"lamp-one\"] }\n";

/// A mirror of two lamps by a pattern that was synced without rules.
#[test]
fn a_sync_judges_nothing_before_its_rules_know_the_advisories() {
    let upstream = Upstream::start();
    let lamp = Release::new("lamp", "1.0.0");
    upstream.publish(&lamp);
    upstream.reply("/api/v1/advisories", Reply::json(&json!({"items": [], "total": 0})));
    let rule = "[[policy.rules]]\nid = \"severe\"\naction = \"deny\"\nmatch = { advisory = \"high\" }\n";
    let setup = Setup::before(&upstream).mirror("ci", "roots = [\"lamp\"]");
    let desk = Desk::new(&setup.policy("enforce", rule));
    let hold = upstream.hold("/api/v1/advisories");
    thread::scope(|scope| {
        let sync = scope.spawn(|| desk.mirror(&["sync", "ci"]));
        eventually("the question for them", || (upstream.requests("/api/v1/advisories") > 0).then_some(()));
        // A whole command takes long enough for a sync that does not wait to have asked.
        desk.mirror(&["status", "ci"]);
        assert_eq!(upstream.requests(&lamp.index()), 0);
        hold.release();
        let (code, said) = sync.join().unwrap();
        assert_eq!((code, missing(&said).len()), (0, 0), "{said}");
    });
}

fn synced_pattern() -> (Upstream, Setup, Desk) {
    let upstream = Upstream::start();
    let names = ["lamp-one", "lamp-two"];
    for name in names {
        upstream.publish(&Release::new(name, "1.0.0"));
    }
    list(&upstream, &names);
    let setup = Setup::before(&upstream);
    let desk = Desk::new(&of_lamps(&setup, ""));
    assert_eq!(desk.mirror(&["sync", "ci"]).0, 0);
    (upstream, setup, desk)
}

fn of_lamps(setup: &Setup, more: &str) -> Setup {
    setup.clone().mirror("ci", &format!("roots = [\"lamp-*\"{more}]\ntrust = false"))
}

#[test]
fn a_volume_of_a_pattern_of_which_everything_is_refused_leaves_the_mirror_complete() {
    let (_upstream, setup, desk) = synced_pattern();
    desk.configure(&of_lamps(&setup, "").policy("enforce", NO_FIRST_LAMP));
    for command in ["sync", "status", "verify", "sync", "status"] {
        let (code, said) = desk.mirror(&[command, "ci"]);
        assert_eq!((code, missing(&said)), (0, vec![]), "{command}: {said}");
    }
    let away = tempfile::tempdir().unwrap();
    let at = |name: &str| away.path().join(name).display().to_string();
    assert!(scriptorium().args(["mirror", "key", "--out", &at("corp")]).output().unwrap().status.success());
    let export =
        desk.command(&["export", "ci", "--json", "--key", &at("corp.key"), "--to", &at("bundle")]).output();
    let made: serde_json::Value = serde_json::from_slice(&export.unwrap().stdout).unwrap();
    assert_eq!((&made["missing"], &made["files"]), (&json!([]), &json!(1)), "as verify says: {made}");
}

#[test]
fn what_a_rule_refuses_stays_with_its_files_until_a_sync_is_complete() {
    let (upstream, setup, desk) = synced_pattern();
    desk.configure(&of_lamps(&setup, ", \"nothing\"").policy("enforce", NO_FIRST_LAMP));
    let (code, said) = desk.mirror(&["sync", "ci"]);
    assert_eq!((code, missing(&said)), (1, vec!["nothing".to_owned()]), "{said}");
    let (_, status) = desk.mirror(&["status", "ci"]);
    assert_eq!(status["releases"], 2, "each once: {status}");
    let collect = |size: &str| {
        let mut command = scriptorium();
        command.args(["store", "gc", "--to", size, "--apply", "--config"]).arg(desk.config());
        let collected = command.output().unwrap();
        (collected.status.success(), String::from_utf8(collected.stderr).unwrap())
    };
    let (_, refused) = collect("1KiB");
    let (_, smallest) = refused.trim().rsplit_once(' ').unwrap();
    let (collected, said) = collect(smallest);
    assert!(collected, "{said}");
    upstream.down();
    desk.configure(&of_lamps(&setup, ""));
    let (code, said) = desk.mirror(&["verify", "ci"]);
    assert_eq!((code, &said["releases"]), (0, &json!(2)), "{said}");
}

#[test]
fn what_another_registry_has_now_is_not_exported() {
    let (_upstream, _, desk) = synced_pattern();
    let other = Upstream::start();
    desk.configure(&of_lamps(&Setup::before(&other), ""));
    let away = tempfile::tempdir().unwrap();
    let at = |name: &str| away.path().join(name).display().to_string();
    assert!(scriptorium().args(["mirror", "key", "--out", &at("corp")]).output().unwrap().status.success());
    let export =
        desk.command(&["export", "ci", "--key", &at("corp.key"), "--to", &at("bundle")]).output().unwrap();
    let why = String::from_utf8_lossy(&export.stderr);
    assert!(export.status.code() == Some(1) && why.contains("routed to now; sync the mirror"), "{why}");
}
