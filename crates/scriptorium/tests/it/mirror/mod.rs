//! Mirrors as an operator sees them: planned, synced, proved, and served when their registry is gone.

mod beside;
mod damage;
mod failing;
mod fitting;
mod keeping;
mod killed;
pub(crate) mod notices;
mod scale;
mod selecting;

use serde_json::json;

use crate::support::catalogue::Artifact;
use crate::support::mirror::{Desk, asked, depending, missing};
use crate::support::proxy::scriptorium;
use crate::support::{Reply, Setup, Upstream};

/// A registry with a small house: a lamp that needs a wire and a bulb, which needs the wire too.
fn house() -> Upstream {
    let upstream = Upstream::start();
    for release in [
        depending("@acme/lamp", "1.0.0", &[]),
        depending("@acme/lamp", "1.1.0", &[("bulb", "^2.0.0"), ("wire", ">=1.0.0")]),
        depending("bulb", "2.0.0", &[("wire", "^1.0.0")]),
        depending("bulb", "3.0.0", &[]),
        depending("wire", "1.5.0", &[]),
        depending("wire", "2.0.0", &[]),
    ] {
        upstream.publish(&release);
    }
    upstream
}

fn lamps(upstream: &Upstream) -> Setup {
    Setup::before(upstream).mirror("ci", "roots = [\"@acme/lamp\"]\ntrust = false")
}

#[test]
fn a_mirror_outlives_its_registry() {
    let upstream = house();
    let desk = Desk::new(&lamps(&upstream));
    assert_eq!(desk.mirror(&["status"]).0, 1, "it was never synced");
    assert_eq!(desk.mirror(&["verify"]).0, 1);
    let (code, plan) = desk.mirror(&["plan", "ci"]);
    assert_eq!((code, &plan["volumes"], &plan["releases"]), (0, &json!(3), &json!(4)), "{plan}");
    // Three indexes; exact metadata and archive of four releases; the registry's notices.
    assert_eq!((&plan["requests"], &plan["bytes_unknown"]), (&json!(3 + 4 + 4 + 2), &json!(4)), "{plan}");
    assert_eq!(asked(&upstream).2, 0, "a plan reads documents only");

    let (code, sync) = desk.mirror(&["sync"]);
    assert_eq!((code, &sync["complete"], &sync["releases"]), (0, &json!(true), &json!(4)), "{sync}");
    assert_eq!(sync["fetched"]["archives"], 4);
    assert!(missing(&sync).is_empty());
    let (code, status) = desk.mirror(&["status", "ci"]);
    assert_eq!((code, &status["releases"], &status["bytes"]), (0, &json!(4), &sync["bytes"]), "{status}");
    assert!(status["last_success"].as_str().is_some_and(|at| at.ends_with('Z')), "{status}");
    assert_eq!(status["running"], false);

    upstream.down();
    let (code, proof) = desk.mirror(&["verify"]);
    assert_eq!((code, &proof["ok"], &proof["roots"]), (0, &json!(true), &json!(1)), "{proof}");
    let proxy = lamps(&upstream)
        .set("storage.url", format!("file://{}", desk.data().display()))
        .set("cache.offline", true)
        .start();
    for release in [
        depending("@acme/lamp", "1.1.0", &[]),
        depending("bulb", "2.0.0", &[]),
        depending("wire", "1.5.0", &[]),
        depending("wire", "2.0.0", &[]),
    ] {
        assert_eq!(proxy.client().get(&release.download()).ok().body, release.archive());
        let index = proxy.client().get(&release.index()).ok().json();
        let rows = index["items"].as_array().unwrap();
        let row = rows.iter().find(|row| row["version"] == *release.version).unwrap();
        assert_eq!(row["status"]["state"], "available", "{row}");
    }
    let other = proxy.client().get(&depending("bulb", "3.0.0", &[]).index()).ok().text();
    assert!(other.contains("not-held:"), "a resolver is told what is not here: {other}");
}

#[test]
fn an_unchanged_mirror_costs_conditional_requests_only() {
    let upstream = house();
    let lamp = depending("@acme/lamp", "1.1.0", &[]);
    let proof = Artifact::new("proof", "application/json", "a statement");
    upstream.reply(&proof.source(), proof.reply().tagged());
    for release in ["bulb@2.0.0", "wire@1.5.0", "wire@2.0.0", "@acme/lamp@1.1.0"] {
        let (name, version) = release.rsplit_once('@').unwrap();
        let release = depending(name, version, &[]);
        let attached =
            if name == "@acme/lamp" { vec![proof.attachment(&upstream.url())] } else { Vec::new() };
        upstream.reply(&release.trust("summary"), Reply::json(&release.trust_summary()));
        upstream.reply(&release.trust("detail"), Reply::json(&release.attested(&attached)));
    }
    let desk = Desk::new(&Setup::before(&upstream).mirror("ci", "roots = [\"@acme/lamp\"]"));
    let (code, first) = desk.mirror(&["sync"]);
    assert_eq!((code, missing(&first).len()), (0, 0), "{first}");
    assert_eq!(upstream.requests(&proof.source()), 1, "artifacts are taken too");
    asked(&upstream);
    let (code, second) = desk.mirror(&["sync"]);
    assert_eq!((code, &second["complete"]), (0, &json!(true)), "{second}");
    // Three indexes, exact metadata and two views of four releases.
    assert_eq!(asked(&upstream), (3 + 4 + 8, 0, 0), "{second}");
    assert_eq!(second["fetched"], json!({ "documents": 0, "archives": 0, "bytes": 0 }));
    assert_eq!(second["bytes"], first["bytes"]);

    upstream.down();
    let proxy = Setup::before(&upstream)
        .set("storage.url", format!("file://{}", desk.data().display()))
        .set("cache.offline", true)
        .start();
    let artifact = proxy.client().get(&proof.download(&lamp)).ok();
    assert_eq!(artifact.body, b"a statement", "trust is served without the registry");
}

#[test]
fn a_trust_view_that_does_not_exist_is_asked_about_by_a_condition_once_that_is_not_fresh() {
    let upstream = house();
    let setup = Setup::before(&upstream).mirror("ci", "roots = [\"@acme/lamp\"]");
    let desk = Desk::new(&setup.clone().set("cache.negative_ttl", "1h"));
    let lamp = depending("@acme/lamp", "1.1.0", &[]);
    assert_eq!(desk.mirror(&["sync"]).0, 0);
    assert_eq!(upstream.requests(&lamp.trust("summary")), 1);
    asked(&upstream);
    let (code, sync) = desk.mirror(&["sync"]);
    assert_eq!((code, asked(&upstream)), (0, (3 + 4, 0, 0)), "{sync}");
    // Once it is not, the registry confirms that there is none, and one that appeared comes in.
    desk.configure(&setup.set("cache.negative_ttl", "1ms"));
    let (code, sync) = desk.mirror(&["sync"]);
    assert_eq!((code, asked(&upstream)), (0, (3 + 4 + 4 + 2, 0, 0)), "{sync}");
    assert_eq!(sync["fetched"], json!({ "documents": 0, "archives": 0, "bytes": 0 }));
    upstream.reply(&lamp.trust("summary"), Reply::json(&lamp.trust_summary()));
    upstream.reply(&lamp.trust("detail"), Reply::json(&lamp.trust_detail()));
    let (code, sync) = desk.mirror(&["sync"]);
    assert_eq!((code, &sync["fetched"]["documents"]), (0, &json!(2)), "{sync}");
    // A registry that keeps to the standard says by a 304 that there is one; the view is then asked for plainly, like the detail.
    assert_eq!(asked(&upstream), (3 + 4 + 4 + 2, 2, 0), "{sync}");
    desk.configure(&Setup::before(&upstream).mirror("ci", "roots = [\"@acme/lamp\"]"));
    asked(&upstream);
    assert_eq!(desk.mirror(&["sync"]).0, 0);
    let seen = upstream.take_seen();
    let views = seen.iter().filter(|request| request.path().contains("/trust/"));
    assert!(views.clone().count() >= 2 && views.clone().all(|view| view.header("if-none-match").is_some()));
}

#[test]
fn every_error_of_a_mirror_is_told_at_once_with_its_key() {
    let upstream = Upstream::start();
    let desk = Desk::new(
        &Setup::before(&upstream)
            .mirror("empty", "versions = \"some\"")
            .mirror("listed", "lists = [\"roots.txt\"]\nschedule = \"1s\"")
            .mirror("CI", "roots = [\"lint@latest\"]"),
    );
    std::fs::write(desk.config().with_file_name("roots.txt"), "lint # ours\n\nAlso bad\n").unwrap();
    let output = scriptorium().args(["config", "check", "--config"]).arg(desk.config()).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    for part in [
        "mirrors[0].versions",
        "mirrors[0].roots",
        "mirrors[1].lists[0]",
        "line 3",
        "mirrors[1].schedule",
        "mirrors[2].name",
        "mirrors[2].roots[0]",
    ] {
        assert!(errors.contains(part), "no {part} in\n{errors}");
    }
}

#[test]
fn an_unknown_mirror_is_bad_usage() {
    let upstream = Upstream::start();
    let desk = Desk::new(&lamps(&upstream));
    for arguments in
        [&["sync", "other"][..], &["plan", "other"], &["status", "ci", "other"], &["verify", "other"]]
    {
        let output = desk.command(arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(String::from_utf8_lossy(&output.stderr).contains("expected the name of a mirror: ci"));
    }
    assert!(upstream.seen().is_empty());
}
