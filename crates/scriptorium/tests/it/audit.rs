//! The audit of a real proxy's data, its repair, and the proxy that heals afterwards.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::proxy::scriptorium;
use crate::support::tarball::Entry;
use crate::support::{Proxy, Release, Setup, Upstream, eventually, noise};

fn lamp() -> Release {
    Release::new("@acme/lamp", "1.0.0").adding(Entry::file("data.bin", noise(7, 1 << 20)))
}

/// A proxy that holds index, exact metadata, archive and pin of a release.
fn warmed(upstream: &Upstream, setup: Setup) -> Proxy {
    let release = lamp();
    upstream.publish(&release);
    let proxy = setup.start();
    for target in [release.index(), release.exact(), release.download()] {
        proxy.client().get(&target).ok();
    }
    proxy
}

#[track_caller]
fn audit(code: i32, arguments: &[&str], data: &Path) -> String {
    let output = scriptorium().args(["audit", "--data"]).arg(data).args(arguments).output().unwrap();
    let [out, err] = [output.stdout, output.stderr].map(|text| String::from_utf8(text).unwrap());
    assert_eq!(output.status.code(), Some(code), "{arguments:?}\n{out}\n{err}");
    assert_eq!(err, "", "there is nothing for people on a stream that is no terminal");
    out
}

/// The only stored file below `shelf`; all there are have a line's end somewhere.
fn stored(proxy: &Proxy, shelf: &str) -> PathBuf {
    let files = proxy.files_holding(b"\n").into_iter();
    let files: Vec<_> = files.filter(|file| file.starts_with(proxy.data().join(shelf))).collect();
    assert_eq!(files.len(), 1, "{files:?}");
    files[0].clone()
}

fn flip(file: &Path, at: usize) {
    let mut bytes = fs::read(file).unwrap();
    bytes[at] ^= 1;
    fs::write(file, bytes).unwrap();
}

#[test]
fn a_sound_store_is_told_to_be_sound_beside_the_proxy_that_runs() {
    let upstream = Upstream::start();
    let proxy = warmed(&upstream, Setup::before(&upstream));
    let told = audit(0, &[], &proxy.data());
    let walked = [("documents", "2"), ("archives", "1"), ("pins", "1"), ("releases", "1"), ("wrong", "0")];
    assert_eq!(told.lines().count(), walked.len(), "{told}");
    for (line, (label, count)) in told.lines().zip(walked) {
        assert_eq!(line.split_whitespace().take(2).collect::<Vec<_>>(), [label, count], "{told}");
    }
    let report: Value = serde_json::from_str(&audit(0, &["--json"], &proxy.data())).unwrap();
    assert_eq!((&report["wrong"], &report["walked"]["archives"]["count"]), (&0.into(), &1.into()));
    let by_config = scriptorium().args(["audit", "--config"]).arg(proxy.config()).output().unwrap();
    assert_eq!(String::from_utf8(by_config.stdout).unwrap(), told);
}

#[test]
fn damage_is_found_repaired_and_fetched_anew() {
    let upstream = Upstream::start();
    let mut proxy = warmed(&upstream, Setup::before(&upstream));
    let (archive, release) = (stored(&proxy, "archives"), stored(&proxy, "documents/release"));
    flip(&archive, 1 << 19);
    flip(&release, 100);
    let told = audit(1, &[], &proxy.data());
    for file in [&archive, &release] {
        assert!(told.contains(file.file_name().unwrap().to_str().unwrap()), "{told}");
    }
    for part in ["archive  archives/", "document  documents/release/", "expected", "found", "--repair"] {
        assert!(told.contains(part), "no {part} in {told}");
    }
    assert!(told.trim_end().ends_with("wrong             2"), "{told}");

    let report: Value = serde_json::from_str(&audit(0, &["--repair", "--json"], &proxy.data())).unwrap();
    assert_eq!((&report["wrong"], &report["repaired"]), (&2.into(), &2.into()), "{report}");
    assert!(!archive.exists() && !release.exists() && proxy.data().join("quarantine").is_dir());
    audit(0, &[], &proxy.data());

    let fetched = upstream.requests(&lamp().source());
    proxy.restart();
    assert_eq!(proxy.client().get(&lamp().download()).ok().body, lamp().archive());
    assert_eq!(upstream.requests(&lamp().source()), fetched + 1);
    audit(0, &[], &proxy.data());
    assert!(archive.exists());
}

#[test]
fn a_running_proxy_heals_after_a_repair() {
    let upstream = Upstream::start();
    let proxy = warmed(&upstream, Setup::before(&upstream));
    flip(&stored(&proxy, "archives"), 1 << 19);
    audit(0, &["--repair"], &proxy.data());
    let healed = eventually("the archive, fetched anew", || {
        let answer = proxy.client().get(&lamp().download());
        (answer.status == 200 && answer.whole).then_some(answer.body)
    });
    assert_eq!(healed, lamp().archive());
    audit(0, &[], &proxy.data());
}

#[test]
fn a_damaged_pin_stays_for_a_person() {
    let upstream = Upstream::start();
    let proxy = warmed(&upstream, Setup::before(&upstream));
    let pin = stored(&proxy, "pins");
    fs::write(&pin, "garbage").unwrap();
    let told = audit(1, &["--repair"], &proxy.data());
    assert!(told.starts_with("pin  pins/") && told.contains("pins import"), "{told}");
    assert_eq!(fs::read(&pin).unwrap(), b"garbage");
}

#[test]
fn a_proxy_that_audits_itself_tells_and_counts_what_it_finds() {
    let upstream = Upstream::start();
    let setup = Setup::before(&upstream);
    let mut proxy = warmed(&upstream, setup);
    flip(&stored(&proxy, "archives"), 1 << 19);
    proxy.restart_as(|setup| setup.set("consistency.audit_rate", "1GiB"));
    eventually("the end of a pass", || proxy.log().contains("an audit pass has ended").then_some(()));
    let (log, metrics) = (proxy.log(), proxy.admin().get("/metrics").text());
    assert!(log.contains("the audit found an error") && log.contains("archives/"), "{log}");
    assert!(metrics.contains(r#"integrity_failures_total{stage="audit"} 1"#), "{metrics}");
    assert!(stored(&proxy, "archives").exists(), "the pass changes nothing");
}

#[test]
fn a_slow_audit_is_off_by_default_and_holds_nobody_up() {
    let upstream = Upstream::start();
    let mut proxy = warmed(&upstream, Setup::before(&upstream));
    proxy.restart_as(|setup| setup.set("consistency.audit_rate", "1KiB"));
    proxy.client().get(&lamp().download()).ok();
    let stopping = Instant::now();
    proxy.signal("TERM");
    assert!(proxy.exit().success());
    assert!(stopping.elapsed() < Duration::from_secs(5), "a pass held up the stop");
    assert!(!proxy.log().contains("an audit pass has ended"), "a megabyte takes longer than that");
}
