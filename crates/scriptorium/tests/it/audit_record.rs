//! The audit record: who did what from where, in lines that no one can change unseen, through crashes and rotation.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;

use serde_json::{Value, json};
use tempfile::TempDir;
use toml::Table;

use crate::support::crossing::mirror;
use crate::support::proxy::{ended, scriptorium};
use crate::support::{Proxy, Publisher, Publishing, Release, Setup, Upstream, eventually, hex_digest};

const ZEROS: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// A folder for the record, beside the proxy's data.
struct Record {
    folder: TempDir,
}

impl Record {
    fn new() -> Self {
        Self { folder: TempDir::new().unwrap() }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("audit.jsonl")
    }

    fn of(&self, setup: Setup) -> Setup {
        setup.set("log.audit", self.path().display().to_string())
    }

    fn lines(&self) -> Vec<Value> {
        let text = fs::read_to_string(self.path()).unwrap_or_default();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// Waits for a line about this.
    fn line(&self, what: &str) -> Value {
        eventually(what, || self.lines().into_iter().find(|line| line["what"] == what))
    }
}

fn verify(files: &[&Path]) -> Output {
    scriptorium().args(["log", "verify"]).args(files).output().unwrap()
}

#[track_caller]
fn assert_verified(files: &[&Path]) {
    let verified = verify(files);
    assert_eq!(verified.status.code(), Some(0), "{}", String::from_utf8_lossy(&verified.stderr));
}

fn start(record: &Record) -> (Upstream, Proxy) {
    let upstream = Upstream::start();
    upstream.publish(&Release::new("lamp", "1.0.0"));
    let proxy = record.of(Setup::before(&upstream)).start();
    (upstream, proxy)
}

#[test]
fn writes_actions_and_reloads_are_lines_of_one_chain() {
    let (registry, record) = (Publishing::start(), Record::new());
    let setup = record.of(Setup::before(&registry)).set("upstream.writes", true);
    let proxy = setup.token("publisher", Publishing::TOKEN, Table::new()).start();
    let lamp = Release::new("@acme/lamp", "1.0.0");
    assert_eq!(Publisher::at(proxy.client()).publish(&lamp).status, 201);
    // The line is there before the answer is.
    let lines = record.lines();
    let done: Vec<_> = lines.iter().map(|line| line["what"].as_str().unwrap()).collect();
    assert_eq!(done, ["start", "publish", "upload", "finalize"]);
    for line in &lines[1..] {
        assert_eq!(line["from"], "127.0.0.1", "{line}");
        // Whoever sends the bytes says its credential twice, which is none that this proxy knows.
        let who = if line["what"] == "upload" { "unknown-credential" } else { "token:publisher" };
        assert_eq!(line["who"], who, "{line}");
        assert!(line["status"].as_u64().is_some_and(|status| (200..300).contains(&status)), "{line}");
        assert!(line["request_id"].is_string() && line["time"].as_str().unwrap().ends_with('Z'), "{line}");
    }
    assert_eq!(lines[1]["about"], "@acme/lamp");
    Publisher::at(proxy.client()).with_token("guessed").withdraw(&lamp);
    proxy.client().send("DELETE", &lamp.exact(), &[]);
    let lines = record.lines();
    let refused: Vec<_> =
        lines[4..].iter().map(|line| (&line["who"], &line["status"], &line["about"])).collect();
    let about = json!("@acme/lamp@1.0.0");
    assert_eq!(
        refused,
        [(&json!("unknown-credential"), &json!(401), &about), (&json!("anonymous"), &json!(401), &about)]
    );

    proxy.invalidate(&json!({"volume": "@acme/lamp"})).ok();
    proxy.reload().ok();
    proxy.signal("HUP");
    let by_signal = eventually("the line of the signal", || {
        record.lines().into_iter().find(|line| line["what"] == "reload" && line["who"] == "signal")
    });
    assert_eq!(by_signal["from"], "local");
    let invalidated = record.line("invalidate");
    assert_eq!((&invalidated["who"], &invalidated["about"]), (&json!("admin-port"), &about_of("@acme/lamp")));
    let text = fs::read_to_string(record.path()).unwrap();
    for secret in [Publishing::TOKEN, "guessed"] {
        assert!(!text.contains(secret), "a token stands in the record");
    }
    assert_eq!(record.lines()[0]["previous"], ZEROS);
    assert_verified(&[&record.path()]);
}

fn about_of(text: &str) -> Value {
    json!(text)
}

#[test]
fn a_change_of_any_line_is_found() {
    let record = Record::new();
    let (_upstream, mut proxy) = start(&record);
    (0..4).for_each(|_| drop(proxy.invalidate(&json!({"volume": "lamp"})).ok()));
    proxy.stop();
    assert_verified(&[&record.path()]);
    let text = fs::read_to_string(record.path()).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    let changed = record.folder.path().join("changed.jsonl");
    let found = |lines: &[&str]| {
        fs::write(&changed, lines.join("\n") + "\n").unwrap();
        let verified = verify(&[&changed]);
        assert_eq!(verified.status.code(), Some(1));
        String::from_utf8(verified.stderr).unwrap()
    };
    assert!(found(&lines[1..]).contains("line 1"), "{}", found(&lines[1..]));
    let without_third = [&lines[..2], &lines[3..]].concat();
    assert!(found(&without_third).contains("line 3"));
    let other = lines[1].replace("lamp", "saw");
    let with_other = [&lines[..1], &[&*other], &lines[2..]].concat();
    assert!(found(&with_other).contains("line 3"), "{}", found(&with_other));
    let with_noise = [&lines[..2], &["noise"], &lines[2..]].concat();
    assert!(found(&with_noise).contains("line 3"));
    for usage in [&["log"][..], &["log", "verify"], &["log", "verify", "--nope", "x"]] {
        assert_eq!(scriptorium().args(usage).output().unwrap().status.code(), Some(2), "{usage:?}");
    }
    assert_eq!(verify(&[Path::new("/nowhere/audit.jsonl")]).status.code(), Some(1));
}

#[test]
fn the_chain_goes_on_after_a_restart_and_a_crash_that_cut_a_line() {
    let record = Record::new();
    let (_upstream, mut proxy) = start(&record);
    proxy.invalidate(&json!({"volume": "lamp"})).ok();
    proxy.restart();
    proxy.invalidate(&json!({"volume": "lamp"})).ok();
    proxy.crash();
    assert_verified(&[&record.path()]);
    let mut torn = fs::read(record.path()).unwrap();
    torn.extend_from_slice(br#"{"time":"2026-11-30T12:00:00.000Z","who":"sig"#);
    fs::write(record.path(), &torn).unwrap();
    assert_verified(&[&record.path()]);
    proxy.revive();
    proxy.invalidate(&json!({"volume": "lamp"})).ok();
    assert_verified(&[&record.path()]);
    let text = fs::read_to_string(record.path()).unwrap();
    assert!(
        text.contains(r#""what":"sealed""#) && text.as_bytes().starts_with(&torn),
        "nothing is taken away"
    );
}

#[test]
fn a_renamed_record_goes_on_in_a_new_file_after_a_reload() {
    let record = Record::new();
    let (_upstream, proxy) = start(&record);
    proxy.invalidate(&json!({"volume": "lamp"})).ok();
    let old = record.path().with_extension("1");
    fs::rename(record.path(), &old).unwrap();
    proxy.invalidate(&json!({"volume": "lamp"})).ok();
    assert!(!record.path().exists(), "until a reload the old file is written");
    proxy.signal("HUP");
    let first = record.line("continued");
    proxy.invalidate(&json!({"volume": "lamp"})).ok();
    assert_ne!(first["previous"], ZEROS);
    assert_eq!(first["previous"], first["after"]);
    assert_verified(&[&old, &record.path()]);
    assert_verified(&[&record.path()]);
    assert_eq!(verify(&[&record.path(), &old]).status.code(), Some(1), "the wrong way round");
}

#[test]
fn a_record_is_whole_whoever_wrote_last_before_and_after_it_was_renamed() {
    // Before the file is renamed, after it and before the reload, or both.
    for (before, after) in [(true, false), (false, true), (true, true)] {
        let record = Record::new();
        let (_upstream, proxy) = start(&record);
        let nothing = record.folder.path().display().to_string();
        let by_command = |wanted: bool| {
            if wanted {
                mirror(&proxy, &["import", &nothing]).exits(3);
            }
        };
        by_command(before);
        let old = record.path().with_extension("1");
        fs::rename(record.path(), &old).unwrap();
        proxy.invalidate(&json!({"volume": "lamp"})).ok();
        by_command(after);
        // The old file is still written until the reload.
        proxy.invalidate(&json!({"volume": "lamp"})).ok();
        proxy.reload().ok();
        proxy.invalidate(&json!({"volume": "lamp"})).ok();
        by_command(after);
        proxy.invalidate(&json!({"volume": "lamp"})).ok();
        assert_verified(&[&old]);
        assert_verified(&[&old, &record.path()]);
        let last = fs::read_to_string(&old).unwrap().lines().last().map(|line| hex_digest(line.as_bytes()));
        let goes_on = record.lines().into_iter().find(|line| line["what"] == "continued").unwrap();
        assert_eq!(goes_on["after"].as_str(), last.as_deref(), "the new file names the end of the old one");
        let mut lines: Vec<Value> = Vec::new();
        for file in [&old, &record.path()] {
            let text = fs::read_to_string(file).unwrap();
            lines.extend(text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()));
        }
        let count = |what: &str| lines.iter().filter(|line| line["what"] == what).count();
        let imports = usize::from(before) + 2 * usize::from(after);
        assert_eq!((count("invalidate"), count("import"), count("reload")), (4, imports, 1), "{lines:#?}");
    }
}

#[test]
fn commands_beside_a_running_proxy_write_to_the_same_chain() {
    let record = Record::new();
    let (_upstream, proxy) = start(&record);
    proxy.client().get(&Release::new("lamp", "1.0.0").download()).ok();
    let remove = scriptorium()
        .args(["pins", "remove", "lamp@1.0.0", "--config"])
        .arg(proxy.config())
        .output()
        .unwrap();
    assert_eq!(remove.status.code(), Some(0), "{}", String::from_utf8_lossy(&remove.stderr));
    proxy.invalidate(&json!({"volume": "lamp"})).ok();
    let removed = record.line("pins-remove");
    assert!(removed["who"].as_str().unwrap().starts_with("command:"), "{removed}");
    assert_eq!(removed["about"], "lamp@1.0.0");
    let order: Vec<_> = record.lines().iter().map(|line| line["what"].as_str().unwrap().to_owned()).collect();
    assert_eq!(order, ["start", "pins-remove", "invalidate"]);
    assert_verified(&[&record.path()]);
}

#[test]
fn a_file_that_is_something_else_prevents_the_start_and_refuses_a_reload() {
    let record = Record::new();
    let (_upstream, proxy) = start(&record);
    let other = record.folder.path().join("passwd");
    fs::write(&other, "root:x:0:0\nbin:x:1:1\n").unwrap();
    proxy.reconfigure(|setup| setup.set("log.audit", other.display().to_string()));
    let refused = proxy.reload().problem(400, "validation-failed");
    assert_eq!(refused["errors"][0]["key"], "log.audit");
    assert_eq!(fs::read_to_string(&other).unwrap(), "root:x:0:0\nbin:x:1:1\n");
    let started = ended("serve", scriptorium().args(["serve", "--config"]).arg(proxy.config()));
    assert_eq!(started.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&started.stderr).contains("something else than an audit record"));
    proxy.invalidate(&json!({"volume": "lamp"})).ok();
    assert_verified(&[&record.path()]);
}

#[test]
fn without_a_file_the_log_has_it() {
    let registry = Publishing::start();
    let mut proxy = Setup::before(&registry).set("upstream.writes", true).start();
    Publisher::at(proxy.client()).announce(&Release::new("lamp", "1.0.0"));
    let log = proxy.whole_log();
    let line =
        log.lines().find(|line| line.contains("scriptorium::audit_record") && line.contains("publish"));
    let line: Value = serde_json::from_str(line.unwrap_or_else(|| panic!("{log}"))).unwrap();
    assert_eq!((&line["who"], &line["from"]), (&json!("unknown-credential"), &json!("127.0.0.1")));
}

#[test]
fn an_import_is_recorded_with_its_outcome_also_when_it_is_refused() {
    let record = Record::new();
    let (_upstream, proxy) = start(&record);
    let bundle = TempDir::new().unwrap();
    mirror(&proxy, &["import", &bundle.path().display().to_string()]).exits(3);
    let imported = record.line("import");
    assert_eq!((&imported["outcome"], &imported["releases"]), (&json!("refused"), &json!(0)), "{imported}");
    assert!(imported["who"].as_str().unwrap().starts_with("command:") && imported["reason"].is_string());
    assert_verified(&[&record.path()]);
}
