//! With `--json` a command prints one object on standard output, whatever becomes of it.

use std::process::Command;

use serde_json::Value;

use crate::support::crossing::Luggage;
use crate::support::mirror::{Desk, missing, reason};
use crate::support::proxy::scriptorium;
use crate::support::tarball::Entry;
use crate::support::{Release, Setup, Upstream, noise};

/// Runs a command, and gives its exit code and the one object that it printed.
#[track_caller]
fn one_object(mut command: Command) -> (i32, Value) {
    let output = command.arg("--json").output().unwrap();
    let [out, err] = [output.stdout, output.stderr].map(|text| String::from_utf8(text).unwrap());
    let told: Value = serde_json::from_str(&out).unwrap_or_else(|error| panic!("{error}: `{out}`\n{err}"));
    assert!(told.is_object(), "{told}");
    (output.status.code().unwrap(), told)
}

fn with(config: &std::path::Path, line: &str) -> Command {
    let mut command = scriptorium();
    command.args(line.split(' ')).arg("--config").arg(config);
    command
}

fn desk() -> (Upstream, Desk) {
    let upstream = Upstream::start();
    upstream.publish(&Release::new("lamp", "1.0.0"));
    let desk = Desk::new(&Setup::before(&upstream).mirror("ci", "roots = [\"lamp\"]\ntrust = false"));
    (upstream, desk)
}

const COMMANDS: [&str; 16] = [
    "mirror plan ci",
    "mirror sync ci",
    "mirror status ci",
    "mirror verify ci",
    "mirror export ci --to bundle --key corp.key",
    "mirror inspect .",
    "mirror import .",
    "mirror receipt",
    "explain lamp@1.0.0",
    "audit",
    "store stats",
    "store gc",
    "store verify",
    "pins check",
    "policy test lamp@1.0.0",
    "policy diff rules.toml",
];

#[test]
fn an_audit_record_is_verified_or_the_line_is_told() {
    let luggage = Luggage::new();
    let verify = |text: &str| {
        std::fs::write(luggage.path("audit.jsonl"), text).unwrap();
        let mut command = scriptorium();
        command.args(["log", "verify", &luggage.at("audit.jsonl")]);
        one_object(command)
    };
    let (code, told) = verify("");
    assert_eq!((code, &told["lines"], &told["torn"]), (0, &0.into(), &false.into()), "{told}");
    let (code, told) = verify("no record\n");
    assert!(code == 1 && told["error"].as_str().unwrap().contains("audit.jsonl"), "{told}");
}

#[test]
fn a_configuration_that_is_refused_is_told_by_every_command() {
    let luggage = Luggage::new();
    std::fs::write(luggage.path("bad.toml"), "nonsense = 1\n").unwrap();
    for line in COMMANDS {
        let (code, told) = one_object(with(&luggage.path("bad.toml"), line));
        assert_eq!(code, 2, "{line}: {told}");
        assert!(told["error"].as_str().unwrap().contains("nonsense"), "{line}: {told}");
    }
}

#[test]
fn a_line_that_is_not_understood_is_told_by_every_command() {
    let luggage = Luggage::new();
    for line in COMMANDS {
        let (code, told) = one_object(with(&luggage.path("any.toml"), &format!("{line} --nonsense")));
        assert_eq!(code, 2, "{line}: {told}");
        assert!(told["error"].as_str().unwrap().contains("--nonsense"), "{line}: {told}");
    }
}

#[test]
fn a_registry_and_a_storage_that_are_not_there_are_told_by_every_command() {
    for line in COMMANDS {
        let (upstream, desk) = desk();
        upstream.down();
        let (code, told) = one_object(with(&desk.config(), line));
        assert_ne!(code, 0, "{line}: {told}");
    }
}

#[test]
fn what_a_command_cannot_use_is_told() {
    let (_upstream, desk) = desk();
    for (line, why) in [
        ("mirror sync other", "the name of a mirror"),
        ("mirror export ci --to bundle --key nothing.key", "nothing.key"),
        ("mirror inspect nowhere", "the folder of a bundle"),
        ("mirror import nowhere", "the folder of a bundle"),
        ("explain lamp", "expected a release"),
        ("policy test lamp", "expected a release"),
        ("pins check --upstream other", "the name of an upstream"),
    ] {
        let (code, told) = one_object(with(&desk.config(), line));
        assert_eq!(code, 2, "{line}: {told}");
        assert!(told["error"].as_str().unwrap().contains(why), "{line}: {told}");
    }
}

#[test]
fn a_mirror_whose_run_the_proxy_refuses_is_reported_and_the_others_run() {
    let upstream = Upstream::start();
    let [lamp, bulb] = ["lamp", "bulb"].map(|name| Release::new(name, "1.0.0"));
    for release in [&lamp, &bulb] {
        upstream.publish(release);
    }
    let proxy = Setup::before(&upstream)
        .mirror("ci", "roots = [\"lamp\"]\ntrust = false")
        .mirror("other", "roots = [\"bulb\"]\ntrust = false")
        .start();
    let held = upstream.hold(&lamp.source());
    assert_eq!(proxy.admin().send("POST", "/admin/v1/mirrors/ci/sync", &[]).status, 202);
    for action in ["sync ci other", "plan ci"] {
        let (code, told) = one_object(with(&proxy.config(), &format!("mirror {action}")));
        let refused = &told["mirrors"][0];
        assert_eq!((code, missing(refused)), (1, vec!["lamp".to_owned()]), "{told}");
        assert!(reason(refused, "lamp").contains("under way"), "{told}");
        if action.ends_with("other") {
            assert_eq!(told["mirrors"][1]["complete"], true, "{told}");
        }
    }
    held.release();
}

#[test]
fn a_limit_on_the_size_of_files_is_an_error_and_not_the_end() {
    let upstream = Upstream::start();
    upstream.publish(&Release::new("lamp", "1.0.0").adding(Entry::file("big", noise(1, 200_000))));
    let desk = Desk::new(&Setup::before(&upstream).mirror("ci", "roots = [\"lamp\"]\ntrust = false"));
    let sync = desk.command(&["sync", "ci"]);
    let mut limited = Command::new("sh");
    limited.args(["-c", "ulimit -f 100; exec \"$@\"", "sh"]).arg(sync.get_program()).args(sync.get_args());
    let (code, told) = one_object(limited);
    assert_eq!((code, missing(&told["mirrors"][0]).len()), (1, 1), "{told}");
}
