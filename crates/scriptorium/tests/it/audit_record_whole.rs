//! The audit record is whole: what takes its file away is noticed, commands that change the store are in it, and a refusal can be
//! found in the log of its request.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::proxy::scriptorium;
use crate::support::{Proxy, Release, Setup, Upstream, eventually};

struct Site {
    folder: TempDir,
    _upstream: Upstream,
    proxy: Proxy,
}

impl Site {
    fn start() -> Self {
        let (folder, upstream) = (TempDir::new().unwrap(), Upstream::start());
        upstream.publish(&lamp());
        let record = folder.path().join("audit.jsonl").display().to_string();
        let rule = "[[policy.rules]]\nid = \"no-saws\"\naction = \"deny\"\nmatch = { volumes = [\"saw\"] }\n";
        upstream.publish(&Release::new("saw", "1.0.0"));
        let proxy = Setup::before(&upstream).set("log.audit", record).policy("enforce", rule).start();
        Self { folder, _upstream: upstream, proxy }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("audit.jsonl")
    }

    fn lines(&self) -> Vec<Value> {
        let text = fs::read_to_string(self.path()).unwrap_or_default();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    fn line(&self, what: &str) -> Value {
        eventually(what, || self.lines().into_iter().find(|line| line["what"] == what))
    }

    fn run(&self, arguments: &[&str]) -> Option<i32> {
        self.command(arguments).output().unwrap().status.code()
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = scriptorium();
        command.args(arguments).arg("--config").arg(self.proxy.config());
        command
    }
}

fn lamp() -> Release {
    Release::new("lamp", "1.0.0")
}

#[test]
fn a_removed_file_is_begun_anew_without_waiting_for_a_line_and_the_log_says_so() {
    let site = Site::start();
    site.proxy.invalidate(&json!({"volume": "lamp"})).ok();
    fs::remove_file(site.path()).unwrap();
    let begun = site.line("continued");
    assert_eq!(begun["because"], "the file before was removed", "{begun}");
    assert_eq!(begun["previous"], begun["after"]);
    site.proxy.invalidate(&json!({"volume": "lamp"})).ok();
    assert_eq!(site.lines().len(), 2);
    eventually("the log", || site.proxy.log().contains("the audit record is begun anew").then_some(()));
    let verified = scriptorium().args(["log", "verify"]).arg(site.path()).output().unwrap();
    assert_eq!(verified.status.code(), Some(0));
}

#[test]
fn commands_that_change_the_store_are_recorded_and_others_are_not() {
    let site = Site::start();
    site.proxy.client().get(&lamp().download()).ok();
    let before = site.lines().len();
    assert_eq!(site.run(&["store", "gc", "--to", "1TiB"]), Some(0));
    assert_eq!(site.run(&["audit"]), Some(0));
    assert_eq!(site.lines().len(), before, "they only looked");
    assert_eq!(site.run(&["store", "gc", "--to", "1TiB", "--apply"]), Some(0));
    let collected = site.line("store-gc");
    assert_eq!(collected["freed"], 0, "{collected}");
    assert_eq!(site.run(&["audit", "--repair"]), Some(0));
    let repaired = site.line("repair");
    assert_eq!((&repaired["wrong"], &repaired["repaired"]), (&json!(0), &json!(0)), "{repaired}");
    assert_eq!(site.run(&["store", "verify", "--repair"]), Some(0));
    let repairs = site.lines().iter().filter(|line| line["what"] == "repair").count();
    assert_eq!(repairs, 2);
    assert!(site.lines()[before..].iter().all(|line| line["who"].as_str().unwrap().starts_with("command:")));
}

#[test]
fn a_refusal_has_the_id_of_its_request() {
    let site = Site::start();
    let saw = Release::new("saw", "1.0.0");
    let refused = site.proxy.client().send("GET", &saw.exact(), &[("x-request-id", "ci-job-7")]);
    refused.problem(403, "authorization-failed");
    let line = site.line("policy-refusal");
    assert_eq!((&line["request_id"], &line["rule"]), (&json!("ci-job-7"), &json!("no-saws")), "{line}");
}
