//! From a reference to an archive: fetched once, verified, the same bytes everywhere, in the form that the operator chose.

use std::io::Read;
use std::thread;

use flate2::read::GzDecoder;
use serde_json::json;

use super::host::GitHost;
use super::lamp;
use crate::support::tarball::Entry;
use crate::support::{Proxy, Release, Reply, Setup, Upstream, noise};

/// The files in an archive, with their contents.
fn files(archive: &[u8]) -> Vec<(String, bool, Vec<u8>)> {
    let mut archive = tar::Archive::new(GzDecoder::new(archive));
    let entries = archive.entries().unwrap().map(|entry| entry.unwrap());
    let mut files: Vec<_> = entries
        .filter(|entry| entry.header().entry_type().is_file())
        .map(|mut entry| {
            let path = entry.path().unwrap().display().to_string();
            let executable = entry.header().mode().unwrap() & 0o111 != 0;
            let mut content = Vec::new();
            entry.read_to_end(&mut content).unwrap();
            (path, executable, content)
        })
        .collect();
    files.sort();
    files
}

fn files_of(release: &Release) -> Vec<(String, bool, Vec<u8>)> {
    let entries = release.entries.iter();
    let mut files: Vec<_> =
        entries.map(|entry| (entry.path.clone(), entry.executable, entry.content.clone())).collect();
    files.sort();
    files
}

#[test]
fn a_release_is_served_as_an_archive_and_shown_as_it_came() {
    let (host, registry) = (GitHost::start(), Upstream::start());
    let release = host.deliver(lamp("1.0.0"));
    registry.publish(&release);
    let proxy = host.before(&registry).start();
    let exact = proxy.client().get(&release.exact()).ok().json();
    assert_eq!(exact["dist"], release.metadata("")["dist"]);
    let archive = proxy.client().get(&release.download()).ok();
    assert_eq!(archive.header("content-type"), Some("application/gzip"));
    assert_eq!(files(&archive.body), files_of(&release));
    assert!(!archive.is_hit());
    let again = proxy.client().get(&release.download()).ok();
    assert!(again.is_hit() && again.body == archive.body);
    assert_eq!(host.fetches(), 1);
    let metrics = proxy.admin().get("/metrics").ok().text();
    let counted = metrics.lines().filter(|line| line.contains("resource=\"git\""));
    let counted: Vec<&str> = counted.collect();
    assert!(counted.len() == 1 && counted[0].contains("status=\"200\""), "{counted:?}");
}

#[test]
fn every_proxy_makes_the_same_bytes_whatever_the_pack() {
    let (host, registry) = (GitHost::start(), Upstream::start());
    let release = host.deliver(lamp("1.0.0").adding(Entry::file("big.bin", noise(3, 300_000))));
    registry.publish(&release);
    let answers = ["loose objects", "one pack"].map(|how| {
        if how == "one pack" {
            // Another commit on top, so that objects are packed as differences.
            host.commit(
                "-acme-lamp",
                &lamp("9.9.9").adding(Entry::file("big.bin", noise(3, 300_500))),
                "later",
            );
            host.git("-acme-lamp", &["gc", "--quiet", "--aggressive"]);
        }
        let proxy = host.before(&registry).start();
        proxy.client().get(&release.download()).ok()
    });
    let [one, other] = &answers;
    assert!(one.body == other.body);
    for field in ["etag", "repr-digest"] {
        assert!(one.header(field).is_some() && one.header(field) == other.header(field), "{field}");
    }
}

#[test]
fn clients_without_git_get_a_link_and_a_reload_takes_it_back() {
    let (host, registry) = (GitHost::start(), Upstream::start());
    let release = host.deliver(lamp("1.0.0"));
    registry.publish(&release);
    let mut proxy = host.before(&registry).set("upstream.git_as", "cdn").start();
    let shown = |proxy: &Proxy| {
        let url = format!("http://{}{}", proxy.authority(), release.download());
        json!({ "source": "cdn", "mediaType": "application/gzip", "url": url })
    };
    let exact = proxy.client().get(&release.exact()).ok();
    assert_eq!(exact.json()["dist"], shown(&proxy));
    assert_eq!(proxy.client().get(&release.exact()).ok().json()["dist"], shown(&proxy));
    assert_eq!(files(&proxy.client().get(&release.download()).ok().body), files_of(&release));
    proxy.restart();
    assert_eq!(proxy.client().get(&release.exact()).ok().json()["dist"], shown(&proxy), "from the store");

    proxy.reconfigure(|setup| setup.set("upstream.git_as", "git"));
    proxy.admin().post("/admin/v1/reload", "").ok();
    let passed = proxy.client().get(&release.exact()).ok();
    assert_eq!(passed.json()["dist"], release.metadata("")["dist"]);
    assert_ne!(passed.header("etag"), exact.header("etag"));
    assert_eq!(registry.requests(&release.exact()), 1, "nobody was asked again for that");
}

#[test]
fn what_only_clients_fetch_stays_with_git() {
    let (host, registry) = (GitHost::start(), Upstream::start());
    let release = host.deliver(lamp("1.0.0"));
    registry.publish(&release);
    let says = r#"{"schemaVersion":"1","apiVersion":"v1","apis":{},"deliveryModes":["git"]}"#;
    registry.reply("/api/v1/capabilities", Reply::new(200, "application/json", says.as_bytes()));
    let mut proxy = Setup::before(&registry).set("upstream.git_as", "cdn").start();
    let shown = |proxy: &Proxy| proxy.client().get(&release.exact()).ok().json()["dist"].clone();
    let passed = release.metadata("")["dist"].clone();
    assert_eq!(shown(&proxy), passed);
    let modes = proxy.client().get("/api/v1/capabilities").ok().json()["deliveryModes"].clone();
    assert_eq!(modes, json!(["git", "cdn"]), "releases of other hosts are archives");
    let archive = proxy.explain("@acme/lamp", "1.0.0")["verdict"]["archive"].clone();
    assert_eq!((&archive["status"], &archive["rule"]), (&json!(502), &json!("delivered elsewhere")));
    assert_eq!(proxy.client().get(&release.download()).status, 502);
    // Who lists the host gets a link, and who takes it out again does not.
    for (hosts, source) in [(vec![host.server.authority()], "cdn"), (Vec::new(), "git")] {
        proxy.reconfigure(|setup| setup.set("upstream.git_hosts", hosts));
        proxy.admin().post("/admin/v1/reload", "").ok();
        assert_eq!(shown(&proxy)["source"], source);
    }
    proxy.restart();
    assert_eq!(shown(&proxy), passed, "from the store");
}

#[test]
fn a_tree_that_is_too_large_is_refused_however_its_bytes_lie() {
    let big = |size: usize| vec![Entry::file("big.bin", noise(5, size))];
    let many = (0..30).map(|at| Entry::file(&format!("{at}.bin"), noise(at, 100_000))).collect();
    for entries in [big(1_100_000), big(3_000_000), many] {
        let (host, registry) = (GitHost::start(), Upstream::start());
        let release = entries.into_iter().fold(lamp("1.0.0"), Release::adding);
        let git = host.deliver(release);
        registry.publish(&git);
        let proxy = host.before(&registry).set("limits.max_unpacked", "1MiB").start();
        let answer = proxy.client().get(&git.download());
        assert_eq!(answer.status, 409, "{}", answer.text());
        assert!(answer.text().contains("max_unpacked"), "{}", answer.text());
    }
}

#[test]
fn a_crowd_costs_one_fetch() {
    let (host, registry) = (GitHost::start(), Upstream::start());
    let release = host.deliver(lamp("1.0.0").adding(Entry::file("big.bin", noise(7, 2_000_000))));
    registry.publish(&release);
    let proxy = host.before(&registry).start();
    let bodies: Vec<_> = thread::scope(|scope| {
        let ask = || scope.spawn(|| proxy.client().get(&release.download()).ok().body);
        let asked: Vec<_> = (0..40).map(|_| ask()).collect();
        asked.into_iter().map(|client| client.join().unwrap()).collect()
    });
    assert!(bodies.iter().all(|body| *body == bodies[0]));
    assert_eq!((host.fetches(), host.server.seen().len()), (1, 3), "abilities, references, one pack");
}

#[test]
fn releases_of_one_repository_share_fetches_and_what_is_kept() {
    let (host, registry) = (GitHost::start(), Upstream::start());
    let releases: Vec<_> = (0..8).map(|minor| host.deliver(lamp(&format!("1.{minor}.0")))).collect();
    releases.iter().for_each(|release| registry.publish(release));
    let proxy = host.before(&registry).start();
    // The first fetch is under way until all others wait.
    let hold = host.server.hold("/-acme-lamp/.git/info/refs?service=git-upload-pack");
    thread::scope(|scope| {
        for release in &releases {
            scope.spawn(|| proxy.client().get(&release.download()).ok());
        }
        crate::support::eventually("all exact metadata", || {
            let asked = releases.iter().all(|release| registry.requests(&release.exact()) > 0);
            (asked && host.server.seen().len() == 1).then_some(())
        });
        hold.release();
    });
    assert!((1..=4).contains(&host.fetches()), "{} fetches for eight releases", host.fetches());

    // A commit that is kept is not fetched for another release that names it.
    let (before, commit) = (host.fetches(), host.git("-acme-lamp", &["rev-parse", "v1.0.0"]));
    let mut proxy = proxy;
    let mut by_commit = releases[0].clone();
    by_commit.dist =
        Some(json!({ "source": "git", "repository": host.repository("-acme-lamp"), "ref": commit }));
    registry.publish(&by_commit);
    let data = proxy.data();
    proxy.admin().post("/admin/v1/invalidate", r#"{"volume":"@acme/lamp"}"#).ok();
    proxy.files("archives").iter().for_each(|file| std::fs::remove_file(file).unwrap());
    let archive = proxy.client().get(&by_commit.download()).ok().body;
    assert_eq!(files(&archive), files_of(&by_commit));
    assert_eq!(host.fetches(), before, "its repository is kept in {}", data.display());
    proxy.stop();
    assert!(std::fs::read_dir(data.join("git")).unwrap().next().is_none(), "it leaves nothing");
}

#[test]
fn what_the_manifest_says_counts_as_for_any_archive() {
    let (host, registry) = (GitHost::start(), Upstream::start());
    let greedy = "[[components]]\ntype = \"hook\"\nname = \"h\"\nentrypoint = \"h\"\npermissions = { shell = \"allow\" }\n";
    let manifest = format!("{}{greedy}", crate::support::catalogue::manifest("@acme/lamp", "1.0.0"));
    for (name, release, status, slug) in [
        ("other", Release::new("@acme/other", "1.0.0"), 409, "identity-mismatch"),
        ("greedy", lamp("1.0.0").manifest(&manifest), 403, "authorization-failed"),
    ] {
        let mut delivered = host.deliver(release);
        (delivered.name, delivered.version) = ("@acme/lamp".to_owned(), "1.0.0".to_owned());
        registry.publish(&delivered);
        let proxy = host.before(&registry).start();
        proxy.client().get(&delivered.download()).problem(status, slug);
        assert!(proxy.files("archives").is_empty(), "{name}");
    }
}

#[test]
fn a_big_file_costs_no_memory() {
    let (host, registry) = (GitHost::start(), Upstream::start());
    let release = host.deliver(lamp("1.0.0").adding(Entry::file("big.bin", noise(5, 100_000_000))));
    registry.publish(&release);
    let proxy = host.before(&registry).start();
    proxy.client().get(&release.exact()).ok();
    assert!(proxy.client().get(&release.download()).ok().body.len() > 90_000_000);
    let used = proxy.peak_memory() - proxy.program();
    assert!(used < 72 << 20, "{} MiB", used >> 20);
}
