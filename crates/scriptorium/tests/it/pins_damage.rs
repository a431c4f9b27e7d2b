//! A pin that rots is neither believed nor held against its registry, and removing one is for the operator.

use std::fs;
use std::path::PathBuf;
use std::process::Output;

use serde_json::json;

use crate::support::divergence::replaced;
use crate::support::proxy::scriptorium;
use crate::support::{Proxy, Release, Setup, Upstream, eventually};

fn pinned(upstream: &Upstream, release: &Release, archive: bool) -> (Proxy, PathBuf) {
    upstream.publish(release);
    let proxy = Setup::before(upstream).start();
    proxy.client().get(&release.exact()).ok();
    if archive {
        proxy.client().get(&release.download()).ok();
    }
    let files: Vec<_> = proxy.files("pins").into_iter().filter(|file| file.is_file()).collect();
    assert_eq!(files.len(), 1, "{files:?}");
    let file = files[0].clone();
    (proxy, file)
}

fn pins(arguments: &[&str]) -> (Option<i32>, String, String) {
    let Output { status, stdout, stderr } = scriptorium().arg("pins").args(arguments).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (status.code(), text(stdout), text(stderr))
}

#[test]
fn a_flipped_bit_is_mended_from_the_archive_that_was_verified() {
    let (upstream, release) = (Upstream::start(), Release::new("@acme/lamp", "1.0.0"));
    let (mut proxy, file) = pinned(&upstream, &release, true);
    let whole = fs::read(&file).unwrap();
    // One in the header, in the integrity's digits, and at the end.
    for at in [3, whole.len() / 2, whole.len() - 3] {
        let mut damaged = fs::read(&file).unwrap();
        damaged[at] ^= 1;
        proxy.stop();
        fs::write(&file, damaged).unwrap();
        proxy.revive();
        proxy.client().get(&release.exact()).ok();
        assert_eq!(proxy.client().get(&release.download()).ok().body, release.archive());
        assert_eq!(proxy.divergences().len(), 0, "byte {at}: the registry is not to blame");
        assert!(proxy.metric("scriptorium_integrity_failures_total{stage=\"stored-pin\"}") > 0.0);
        assert!(proxy.files("quarantine").iter().any(|file| file.display().to_string().contains("pins")));
        let told = || proxy.log().contains("restored from the held archive").then_some(());
        eventually("a word about the damage", told);
        // It binds as it did.
        upstream.publish(&replaced(&release));
        proxy.invalidate(&json!({"volume": "@acme/lamp"})).ok();
        proxy.client().get(&release.exact()).problem(409, "inconsistent-registry-state");
        upstream.publish(&release);
        proxy.invalidate(&json!({"volume": "@acme/lamp"})).ok();
        proxy.client().get(&release.exact()).ok();
    }
}

#[test]
fn what_nothing_proves_waits_for_a_decision() {
    let (upstream, release) = (Upstream::start(), Release::new("@acme/lamp", "1.0.0"));
    let line =
        json!({"volume": "@acme/lamp", "version": "1.0.0", "integrity": release.integrity()}).to_string();
    for imports in [true, false] {
        let (mut proxy, file) = pinned(&upstream, &release, false);
        proxy.stop();
        let mut damaged = fs::read(&file).unwrap();
        let middle = damaged.len() / 2;
        damaged[middle] ^= 1;
        fs::write(&file, damaged).unwrap();
        proxy.revive();
        for _ in 0..2 {
            for target in [release.exact(), release.download()] {
                let refused = proxy.client().get(&target).problem(502, "about:blank");
                let detail = refused["detail"].as_str().unwrap();
                assert!(detail.contains("pins import") && detail.contains("pins remove"), "{detail}");
            }
            proxy.restart();
        }
        assert_eq!(proxy.divergences().len(), 0);
        let explained = proxy.explain("@acme/lamp", "1.0.0");
        assert_eq!(explained["verdict"]["exact"]["status"], 502, "{explained}");
        let config = proxy.config().display().to_string();
        match imports {
            true => {
                let lines = proxy.data().with_extension("jsonl");
                fs::write(&lines, &line).unwrap();
                let (code, _, told) = pins(&["import", "--config", &config, lines.to_str().unwrap()]);
                assert_eq!(code, Some(0), "{told}");
            }
            false => {
                let (code, told, _) = pins(&["remove", "@acme/lamp@1.0.0", "--config", &config]);
                assert!(code == Some(0) && told.contains("removed  @acme/lamp 1.0.0"), "{told}");
            }
        }
        proxy.client().get(&release.exact()).ok();
        assert_eq!(proxy.client().get(&release.download()).ok().body, release.archive());
    }
}

#[test]
fn a_pin_is_removed_beside_a_running_proxy_and_its_registry_believed_anew() {
    let (upstream, release) = (Upstream::start(), Release::new("@acme/lamp", "1.0.0"));
    let (proxy, _) = pinned(&upstream, &release, true);
    let other = replaced(&release);
    upstream.publish(&other);
    proxy.invalidate(&json!({"volume": "@acme/lamp"})).ok();
    proxy.client().get(&release.exact()).problem(409, "inconsistent-registry-state");
    let config = proxy.config().display().to_string();
    let (code, _, told) =
        pins(&["remove", "@acme/lamp@1.0.0", "--upstream", "internal", "--config", &config]);
    assert!(code == Some(1) && told.contains("nothing is pinned"), "{told}");
    let (code, told, _) = pins(&["remove", "@acme/lamp", "--config", &config]);
    assert_eq!(code, Some(0));
    assert!(told.contains(&release.integrity()) && told.contains("public at http://"), "{told}");
    proxy.invalidate(&json!({"volume": "@acme/lamp"})).ok();
    proxy.client().get(&other.exact()).ok();
    assert_eq!(proxy.client().get(&other.download()).ok().body, other.archive());
    for bad in ["", "@", "UPPER", "@acme/lamp@latest", "lamp@"] {
        assert_eq!(pins(&["remove", bad, "--config", &config]).0, Some(2), "{bad}");
    }
}
