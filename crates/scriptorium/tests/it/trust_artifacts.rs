//! Trust artifacts: the bytes behind a trust detail's locators, gated on the detail, verified against the
//! digest it gives them, and kept like archives.

use std::fs;
use std::time::{Duration, Instant};

use serde_json::json;
use sha2::{Digest, Sha256};

use crate::support::catalogue::Artifact;
use crate::support::{Conversation, Proxy, Release, Reply, Setup, Upstream, eventually, noise};

const SIZE: usize = 700_000;
const MEDIA_TYPE: &str = "application/vnd.cyclonedx+json";

fn lamp() -> Release {
    Release::new("@acme/lamp", "1.0.0")
}

fn artifact() -> Artifact {
    Artifact::new("sbom", MEDIA_TYPE, noise(7, SIZE))
}

/// Offers `lamp()` with `artifact()` attached, described as `change` says.
fn offer(upstream: &Upstream, change: impl FnOnce(&mut serde_json::Value)) {
    let (release, artifact) = (lamp(), artifact());
    upstream.publish(&release);
    let mut attachment = artifact.attachment(&upstream.url());
    change(&mut attachment);
    upstream.reply(&release.trust("detail"), Reply::json(&release.attested(&[attachment])));
    upstream.reply(&artifact.source(), artifact.reply());
}

/// A proxy before `upstream`, which offers `artifact()`, and where the proxy serves it.
fn offered(upstream: &Upstream) -> (Proxy, String) {
    offer(upstream, |_| {});
    (Setup::before(upstream).start(), artifact().download(&lamp()))
}

#[test]
fn a_rewritten_locator_leads_to_the_bytes() {
    for name in ["lamp", "@acme/lamp"] {
        let (upstream, release, artifact) = (Upstream::start(), Release::new(name, "1.0.0"), artifact());
        let attachments = vec![artifact.attachment(&upstream.url())];
        upstream.reply(&release.trust("detail"), Reply::json(&release.attested(&attachments)));
        upstream.reply(&artifact.source(), artifact.reply());
        let proxy = Setup::before(&upstream).start();

        let detail = proxy.client().get(&release.trust("detail")).ok().json();
        let link = detail["attachments"][0]["locator"]["url"].as_str().unwrap();
        let path = link.strip_prefix(&format!("http://{}", proxy.authority())).unwrap();
        assert_eq!(path, artifact.download(&release));
        let answer = proxy.client().get(path).ok();
        assert!(answer.body == artifact.bytes, "other bytes");
        assert_eq!(answer.header("content-type"), Some(MEDIA_TYPE));
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
        assert_eq!(answer.header("content-length"), Some(SIZE.to_string().as_str()));
        assert_eq!(answer.header("etag"), Some(format!("\"{}\"", artifact.hex()).as_str()));
        let digest = data_encoding::BASE64.encode(&Sha256::digest(&artifact.bytes));
        assert_eq!(answer.header("repr-digest"), Some(format!("sha-256=:{digest}:").as_str()));
        assert!(answer.header("age").is_some(), "the gate's age");
        assert!(answer.cache().contains("fwd=uri-miss") && answer.cache().contains("stored"));
        assert!(proxy.client().get(&path.replace('@', "%40")).ok().is_hit());
        assert_eq!(upstream.requests(&artifact.source()), 1);
        let metrics = proxy.admin().get("/metrics").text();
        assert!(metrics.contains("resource=\"trust-artifact\""), "{metrics}");
    }
}

#[test]
fn head_ranges_and_conditions_are_those_of_archives() {
    let upstream = Upstream::start();
    let (proxy, target) = offered(&upstream);
    let bytes = artifact().bytes;
    let head = proxy.client().head(&target);
    assert_eq!(head.status, 200);
    assert_eq!(head.header("content-length"), Some(SIZE.to_string().as_str()));
    let tag = head.header("etag").unwrap();
    let part = proxy.client().get_with(&target, "range", "bytes=262140-262150");
    assert_eq!((part.status, &part.body[..]), (206, &bytes[262_140..=262_150]));
    assert_eq!(part.header("content-range"), Some(format!("bytes 262140-262150/{SIZE}").as_str()));
    let other = [("range", "bytes=0-1"), ("if-range", "\"other\"")];
    assert!(proxy.client().send("GET", &target, &other).ok().body == bytes);
    assert_eq!(proxy.client().get_with(&target, "if-none-match", tag).status, 304);
    proxy.client().get_with(&target, "range", &format!("bytes={SIZE}-")).problem(416, "about:blank");
    assert_eq!(proxy.client().send("POST", &target, &[]).status, 405);
}

#[test]
fn a_cold_artifact_is_fetched_once_for_everybody() {
    let upstream = Upstream::start();
    let (proxy, target) = offered(&upstream);
    proxy.client().get(&lamp().trust("detail")).ok();
    let hold = upstream.hold(&artifact().source());
    let mut crowd: Vec<_> = (0..30).map(|_| Conversation::open(proxy.client().0).unwrap()).collect();
    for client in &mut crowd {
        client.ask("GET", &target, &[]).unwrap();
    }
    eventually("the one request", || (upstream.requests(&artifact().source()) > 0).then_some(()));
    hold.release();
    for mut client in crowd {
        assert!(client.answer().unwrap().ok().body == artifact().bytes, "other bytes");
    }
    assert_eq!(upstream.requests(&artifact().source()), 1);
    assert_eq!(upstream.requests(&lamp().trust("detail")), 1);
}

#[test]
fn other_bytes_or_another_size_are_refused_and_not_kept() {
    let wrong = noise(8, SIZE);
    let replies = [
        ("other bytes", Reply::new(200, MEDIA_TYPE, wrong.clone())),
        ("other bytes in chunks", Reply::new(200, MEDIA_TYPE, wrong.clone()).chunked()),
        ("too few", Reply::new(200, MEDIA_TYPE, &artifact().bytes[..SIZE - 1])),
        ("too many", Reply::new(200, MEDIA_TYPE, [&artifact().bytes[..], b"!"].concat())),
        ("none", Reply::new(200, MEDIA_TYPE, "")),
    ];
    for (what, reply) in replies {
        let upstream = Upstream::start();
        let (mut proxy, target) = offered(&upstream);
        upstream.reply(&artifact().source(), reply);
        let refused = proxy.client().get(&target);
        let problem = refused.problem(409, "inconsistent-registry-state");
        assert!(problem["detail"].as_str().unwrap().contains("trust detail"), "{what}: {problem}");
        for seed in [7, 8] {
            assert!(proxy.files_holding(&noise(seed, 64)).is_empty(), "{what}: something was kept");
        }
        let metrics = proxy.admin().get("/metrics").text();
        let count = "scriptorium_integrity_failures_total{stage=\"trust-artifact\"} 1";
        assert!(metrics.contains(count), "{what}: {metrics}");

        upstream.reply(&artifact().source(), artifact().reply());
        assert!(proxy.client().get(&target).ok().body == artifact().bytes, "{what}: not mended");
        let log = proxy.whole_log();
        assert_eq!(log.matches("\"stage\":\"trust-artifact\"").count(), 1, "{what}: {log}");
    }
}

#[test]
fn a_size_that_the_bytes_do_not_have_is_refused() {
    for size in [SIZE - 1, SIZE + 1] {
        let upstream = Upstream::start();
        offer(&upstream, |attachment| attachment["artifactSize"] = size.into());
        let proxy = Setup::before(&upstream).start();
        let target = artifact().download(&lamp());
        proxy.client().get(&target).problem(409, "inconsistent-registry-state");
        assert!(proxy.files_holding(&noise(7, 64)).is_empty(), "{size}: something was kept");
    }
}

#[test]
fn a_size_need_not_be_given_and_is_bounded_all_the_same() {
    let upstream = Upstream::start();
    offer(&upstream, |attachment| drop(attachment.as_object_mut().unwrap().remove("artifactSize")));
    let target = artifact().download(&lamp());
    let proxy = Setup::before(&upstream).start();
    assert!(proxy.client().get(&target).ok().body == artifact().bytes);
    for reply in [artifact().reply(), artifact().reply().chunked()] {
        upstream.reply(&artifact().source(), reply);
        let proxy = Setup::before(&upstream).set("limits.max_archive", "64KiB").start();
        proxy.client().get(&target).problem(409, "inconsistent-registry-state");
        assert!(proxy.files_holding(&noise(7, 64)).is_empty(), "something was kept");
    }
}

#[test]
fn damage_on_the_way_is_tried_again_and_then_said() {
    let upstream = Upstream::start();
    offer(&upstream, |_| {});
    upstream.reply(&artifact().source(), artifact().reply().cut_after(SIZE / 2));
    let proxy = Setup::before(&upstream).set("upstream.retries", 1).start();
    let target = artifact().download(&lamp());
    proxy.client().get(&target).problem(502, "about:blank");
    assert_eq!(upstream.requests(&artifact().source()), 2);
    assert!(proxy.files_holding(&noise(7, 64)).is_empty(), "a part was kept");
    upstream.reply(&artifact().source(), Reply::failure(500));
    proxy.client().get(&target).could_not_ask();
    upstream.reply(&artifact().source(), Reply::not_found());
    proxy.client().get(&target).problem(502, "about:blank");
}

#[test]
fn a_locator_to_a_forbidden_host_is_not_dialled() {
    let (upstream, trap) = (Upstream::start(), Upstream::start());
    let port = trap.port();
    for url in [
        format!("http://127.0.0.1:{port}/secret"),
        format!("http://localhost:{port}/secret"),
        format!("http://user:pass@127.0.0.1:{port}/secret"),
        format!("//127.0.0.1:{port}/secret"),
        "http://169.254.169.254/latest/meta-data/".to_owned(),
        "file:///etc/passwd".to_owned(),
        upstream.url() + "/moved",
    ] {
        offer(&upstream, |attachment| attachment["locator"]["url"] = url.as_str().into());
        upstream.reply("/moved", Reply::redirect(&(trap.url() + "/secret")));
        let proxy = Setup::before(&upstream).set("upstream.connect_timeout", "30s").start();
        let started = Instant::now();
        proxy.client().get(&artifact().download(&lamp())).problem(502, "about:blank");
        assert!(started.elapsed() < Duration::from_secs(5), "{url}: took {:?}", started.elapsed());
    }
    assert_eq!(trap.connections(), 0, "{:?}", trap.seen());
}

#[test]
fn a_relative_locator_begins_at_the_detail() {
    let upstream = Upstream::start();
    offer(&upstream, |attachment| attachment["locator"]["url"] = "../files/sbom".into());
    upstream.reply(&format!("{}/files/sbom", lamp().exact()), artifact().reply());
    let proxy = Setup::before(&upstream).start();
    assert!(proxy.client().get(&artifact().download(&lamp())).ok().body == artifact().bytes);
}

#[test]
fn what_the_detail_does_not_list_is_not_fetched() {
    let upstream = Upstream::start();
    let embedded = Artifact::new("sbom", MEDIA_TYPE, "{}");
    offer(&upstream, |attachment| {
        *attachment = embedded.attachment("");
        attachment["locator"] = json!({ "embedded": "{}" });
    });
    let proxy = Setup::before(&upstream).start();
    let seen = proxy.client().get(&embedded.download(&lamp()));
    let problem = seen.problem(404, "not-found");
    assert!(problem["detail"].as_str().unwrap().contains(&embedded.hex()), "{problem}");
    let other = Artifact::new("other", MEDIA_TYPE, "other");
    proxy.client().get(&other.download(&lamp())).problem(404, "not-found");
    assert_eq!(upstream.requests(&artifact().source()), 0);
    assert!(upstream.seen().iter().all(|seen| seen.target.starts_with("/api/v1/")), "{:?}", upstream.seen());

    let absent = Release::new("nobody", "1.0.0");
    proxy.client().get(&artifact().download(&absent)).problem(404, "not-found");
    let seen = upstream.seen().len();
    let malformed = format!("/trust-artifacts/lamp/1.0.0/{}", "x".repeat(64));
    proxy.client().get(&malformed).problem(404, "not-found");
    assert_eq!(upstream.seen().len(), seen, "a malformed digest is not asked for: {:?}", upstream.seen());
}

#[test]
fn of_attachments_with_one_digest_the_one_at_a_url_will_do() {
    let (upstream, release) = (Upstream::start(), lamp());
    let artifact = Artifact::new("sbom", MEDIA_TYPE, "{}");
    let listed = artifact.attachment(&upstream.url());
    let mut embedded = listed.clone();
    embedded["id"] = "first".into();
    embedded["locator"] = json!({ "embedded": "{}" });
    upstream.reply(&release.trust("detail"), Reply::json(&release.attested(&[embedded, listed])));
    upstream.reply(&artifact.source(), artifact.reply());
    let proxy = Setup::before(&upstream).start();
    assert!(proxy.client().get(&artifact.download(&release)).ok().body == artifact.bytes);
}

#[test]
fn one_artifact_of_two_releases_is_held_once_and_each_detail_is_held_to_its_word() {
    let upstream = Upstream::start();
    let (proxy, target) = offered(&upstream);
    proxy.client().get(&target).ok();
    let next = Release::new("@acme/lamp", "1.1.0");
    let mut attachment = artifact().attachment(&upstream.url());
    upstream.reply(&next.trust("detail"), Reply::json(&next.attested(&[attachment.clone()])));
    let answer = proxy.client().get(&artifact().download(&next)).ok();
    assert!(answer.is_hit() && answer.body == artifact().bytes);

    let liar = Release::new("@acme/lamp", "1.2.0");
    attachment["artifactSize"] = (SIZE - 1).into();
    upstream.reply(&liar.trust("detail"), Reply::json(&liar.attested(&[attachment])));
    proxy.client().get(&artifact().download(&liar)).problem(409, "inconsistent-registry-state");
    assert!(proxy.client().get(&target).ok().is_hit(), "a lie about it cost the artifact");
    assert_eq!(upstream.requests(&artifact().source()), 1);
}

#[test]
fn a_type_that_is_none_becomes_bytes_and_none_is_run() {
    for (declared, sent) in [
        ("text/html", "text/html"),
        ("html", "application/octet-stream"),
        ("a/b\r\nx-evil: 1", "application/octet-stream"),
    ] {
        let upstream = Upstream::start();
        offer(&upstream, |attachment| attachment["format"]["mediaType"] = declared.into());
        let proxy = Setup::before(&upstream).start();
        let answer = proxy.client().get(&artifact().download(&lamp())).ok();
        assert_eq!(answer.header("content-type"), Some(sent));
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
        assert!(answer.header("content-security-policy").unwrap().contains("sandbox"));
        assert_eq!(answer.header("x-evil"), None);
    }
}

#[test]
fn an_artifact_outlives_the_process_and_the_upstream() {
    let upstream = Upstream::start();
    let (mut proxy, target) = offered(&upstream);
    proxy.client().get(&target).ok();
    upstream.down();
    proxy.restart();
    let answer = proxy.client().get(&target).ok();
    assert!(answer.is_hit() && answer.body == artifact().bytes);

    proxy.restart_as(|setup| setup.set("cache.offline", true));
    let answer = proxy.client().get(&target).ok();
    assert!(answer.is_hit() && answer.body == artifact().bytes);
    let absent = artifact().download(&Release::new("lamp", "2.0.0"));
    proxy.client().get(&absent).problem(504, "about:blank");
}

#[test]
fn an_artifact_that_is_not_held_cannot_be_had_offline() {
    let upstream = Upstream::start();
    let (mut proxy, target) = offered(&upstream);
    proxy.client().get(&lamp().trust("detail")).ok();
    proxy.restart_as(|setup| setup.set("cache.offline", true));
    proxy.client().get(&target).problem(504, "about:blank");
    assert_eq!(upstream.requests(&artifact().source()), 0);
}

#[test]
fn a_corrupted_file_is_never_served_and_is_healed() {
    let upstream = Upstream::start();
    let (proxy, target) = offered(&upstream);
    let bytes = artifact().bytes;
    proxy.client().get(&target).ok();
    let files = proxy.files_holding(&bytes[1000..1064]);
    assert_eq!(files.len(), 1, "an artifact is stored once");
    let mut stored = fs::read(&files[0]).unwrap();
    stored[1001] ^= 0x10;
    fs::write(&files[0], stored).unwrap();

    upstream.down();
    proxy.client().get(&target).problem(502, "about:blank");
    upstream.up();
    let healed = eventually("the artifact, fetched anew", || {
        Some(proxy.client().get(&target)).filter(|answer| answer.status == 200)
    });
    assert!(healed.whole && healed.body == bytes, "wrong bytes were sent");
    let metrics = proxy.admin().get("/metrics").text();
    assert!(metrics.contains("stage=\"stored-trust-artifact\""), "{metrics}");
}
