//! Sets that the storage cannot hold: said before anything is fetched or evicted for them.

use std::path::Path;

use super::keeping::{KIB, is_stored, sized};
use crate::support::mirror::{Desk, asked, mirror, missing, reason};
use crate::support::{Proxy, Release, Reply, Setup, Upstream};

fn numbered(name: &str, count: usize) -> String {
    let roots: Vec<String> = (0..count).map(|number| format!("{name}{number}")).collect();
    format!("roots = {roots:?}\ntrust = false")
}

#[test]
fn a_set_that_cannot_fit_is_reported_before_anything_is_fetched() {
    let upstream = Upstream::start();
    let releases: Vec<Release> = (0..4).map(|number| sized("m", number, 600 * KIB)).collect();
    releases.iter().for_each(|release| upstream.publish(release));
    let setup = Setup::before(&upstream).mirror("ci", &numbered("m", 4));
    let desk = Desk::new(&setup);
    assert_eq!(desk.mirror(&["sync"]).0, 0);
    upstream.publish(&sized("n", 9, 10 * KIB));
    desk.configure(&setup.clone().set("storage.max_size", "2MiB"));
    asked(&upstream);
    let (code, sync) = desk.mirror(&["sync"]);
    assert_eq!(code, 1);
    assert_eq!(missing(&sync).len(), 4, "{sync}");
    assert!(reason(&sync, "m0").contains("storage.max_size"), "{sync}");
    assert_eq!(asked(&upstream).2, 0, "no archive is asked for");
    assert_eq!(desk.mirror(&["verify"]).0, 0, "and nothing is evicted");
}

/// A proxy whose clients use some archives, before a registry with twenty more of 600 KiB each.
fn used_proxy(upstream: &Upstream) -> (Proxy, Vec<Release>) {
    let used: Vec<Release> = (0..4).map(|number| sized("o", 100 + number, 500 * KIB)).collect();
    used.iter().for_each(|release| upstream.publish(release));
    (0..20).for_each(|number| upstream.publish_ranged(&sized("m", number, 600 * KIB)));
    let setup = Setup::before(upstream).set("storage.max_size", "8MiB");
    let proxy = setup.mirror("ci", &numbered("m", 20)).start();
    for release in &used {
        assert_eq!(proxy.client().get(&release.download()).ok().body, release.archive());
    }
    (proxy, used)
}

#[test]
fn a_cold_set_that_cannot_fit_is_reported_before_anything_is_fetched_or_evicted() {
    let upstream = Upstream::start();
    let (proxy, used) = used_proxy(&upstream);
    upstream.take_seen();
    let (code, sync) = mirror(&proxy.config(), &["sync"]);
    assert_eq!((code, missing(&sync).len()), (1, 20), "{sync}");
    assert!(reason(&sync, "m0").contains("storage.max_size"), "{sync}");
    assert_eq!((&sync["fetched"]["archives"], &sync["releases"]), (&0.into(), &0.into()), "{sync}");
    let seen = upstream.take_seen();
    let archives = seen.iter().filter(|request| request.path().starts_with("/cdn/"));
    let ranges: Vec<_> = archives.map(|request| request.header("range")).collect();
    assert_eq!(ranges, [Some("bytes=0-0"); 20], "one byte of each says how long it is");
    assert!(used.iter().all(|release| is_stored(&proxy, release)));
    assert_eq!(proxy.stored("/evicted/values"), 0);

    // The plan knows the lengths by now, and so does the next sync.
    let (code, plan) = mirror(&proxy.config(), &["plan", "ci"]);
    assert_eq!((code, &plan["bytes_unknown"], &plan["held_bytes"]), (1, &0.into(), &0.into()), "{plan}");
    assert!(plan["bytes"].as_u64().is_some_and(|bytes| bytes > 20 * 600 * KIB as u64), "{plan}");
    assert!(reason(&plan, "m0").contains("storage.max_size"), "{plan}");
    assert_eq!(mirror(&proxy.config(), &["sync"]).0, 1);
    assert_eq!(asked(&upstream).2, 0, "nothing is asked for twice");
}

#[test]
fn a_set_of_more_files_than_pages_is_refused_without_a_question_about_them() {
    let upstream = Upstream::start();
    (0..300).for_each(|number| upstream.publish(&Release::new(&format!("m{number}"), "1.0.0")));
    let setup = Setup::before(&upstream).set("storage.max_size", "2MiB").mirror("ci", &numbered("m", 300));
    let (code, sync) = Desk::new(&setup).mirror(&["sync"]);
    assert_eq!((code, missing(&sync).len()), (1, 300), "{sync}");
    assert!(reason(&sync, "m0").contains("storage.max_size"), "{sync}");
    assert_eq!(asked(&upstream).2, 0);
}

#[test]
fn a_registry_that_lies_about_lengths_costs_nothing_that_a_mirror_keeps() {
    let upstream = Upstream::start();
    let kept: Vec<Release> = (0..5).map(|number| sized("k", number, 60 * KIB)).collect();
    kept.iter().for_each(|release| upstream.publish(release));
    for number in 0..100 {
        let release = sized("m", number, 60 * KIB);
        upstream.publish(&release);
        let part = Reply::new(206, "application/gzip", [0]).with("content-range", "bytes 0-0/100");
        let whole = Reply::archive(release.archive());
        upstream.compute("GET", &release.source(), move |request| match request.header("range") {
            Some(_) => part.clone(),
            None => whole.clone(),
        });
    }
    let setup = Setup::before(&upstream)
        .set("storage.max_size", "4MiB")
        .set("limits.max_archive", "80KiB")
        .mirror("kept", &numbered("k", 5))
        .mirror("ci", &numbered("m", 100));
    let desk = Desk::new(&setup);
    let (code, proof) = desk.mirror(&["sync", "kept"]);
    assert_eq!(code, 0, "{proof}");
    let (code, sync) = desk.mirror(&["sync", "ci"]);
    assert_eq!((code, &sync["complete"], missing(&sync).len()), (1, &false.into(), 100), "{sync}");
    assert!(reason(&sync, "m0").contains("storage.max_size"), "{sync}");
    assert_eq!(desk.mirror(&["verify", "kept"]).0, 0);
    assert!(kept.iter().all(|release| is_below(&desk.data(), release)));
    let (_, status) = desk.mirror(&["status", "ci"]);
    assert_eq!((&status["releases"], &status["last_success"]), (&0.into(), &().into()), "{status}");
}

fn is_below(data: &Path, release: &Release) -> bool {
    let hex = release.integrity()["sha256:".len()..].to_owned();
    data.join("archives").join(&hex[..2]).join(hex).exists()
}

#[test]
fn a_plan_says_the_bytes_that_are_known() {
    let upstream = Upstream::start();
    (0..3).for_each(|number| upstream.publish(&sized("m", number, 10 * KIB)));
    let desk = Desk::new(&Setup::before(&upstream).mirror("ci", &numbered("m", 3)));
    let (_, plan) = desk.mirror(&["plan", "ci"]);
    assert_eq!((&plan["bytes"], &plan["bytes_unknown"]), (&0.into(), &3.into()), "{plan}");
    let (_, sync) = desk.mirror(&["sync"]);
    let (_, plan) = desk.mirror(&["plan", "ci"]);
    assert_eq!((&plan["bytes"], &plan["bytes_unknown"]), (&sync["bytes"], &0.into()), "{plan}");
    // The length of what is gone is known from the last sync.
    let hex = sized("m", 1, 10 * KIB).integrity()["sha256:".len()..].to_owned();
    std::fs::remove_file(desk.data().join("archives").join(&hex[..2]).join(hex)).unwrap();
    let (_, plan) = desk.mirror(&["plan", "ci"]);
    assert_eq!((&plan["bytes"], &plan["bytes_unknown"]), (&sync["bytes"], &0.into()), "{plan}");
    assert!(plan["held_bytes"].as_u64() < plan["bytes"].as_u64(), "{plan}");
}
