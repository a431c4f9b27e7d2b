//! What is made of a commit is kept like any archive: mended, mirrored, bundled, judged, and offered while no registry is asked.

use std::fs;
use std::thread;

use super::host::GitHost;
use super::lamp;
use crate::cluster::Cluster;
use crate::support::crossing::{Luggage, export, mirror, receiver};
use crate::support::{Upstream, eventually};

#[test]
fn a_damaged_archive_is_made_again_during_the_download() {
    let (host, registry) = (GitHost::start(), Upstream::start());
    let release = host.deliver(lamp("1.0.0"));
    registry.publish(&release);
    let mut proxy = host.before(&registry).start();
    let archive = proxy.client().get(&release.download()).ok().body;
    // Also once nothing of its repository is kept any more.
    for restarts in [false, true] {
        if restarts {
            proxy.restart();
        }
        let [file] = proxy.files("archives").try_into().unwrap();
        let mut bytes = fs::read(&file).unwrap();
        bytes[100] ^= 1;
        fs::write(&file, bytes).unwrap();
        assert!(proxy.client().get(&release.download()).ok().body == archive);
        assert!(!proxy.files("quarantine").is_empty());
    }
    let healed = proxy.admin().get("/metrics").ok().text();
    assert!(healed.contains(r#"how="whole""#), "{healed}");
}

#[test]
fn a_repository_that_rots_is_fetched_once_more() {
    let (host, registry) = (GitHost::start(), Upstream::start());
    let release = host.deliver(lamp("1.0.0"));
    registry.publish(&release);
    let proxy = host.before(&registry).start();
    let archive = proxy.client().get(&release.download()).ok().body;
    let packs: Vec<_> =
        proxy.files("git").into_iter().filter(|file| file.ends_with("objects.pack")).collect();
    let [pack] = &packs[..] else { panic!("{packs:?}") };
    let mut bytes = fs::read(pack).unwrap();
    let (start, end) = (20, bytes.len() - 20);
    bytes[start..end].iter_mut().for_each(|byte| *byte ^= 0x55);
    fs::write(pack, bytes).unwrap();
    let [file] = proxy.files("archives").try_into().unwrap();
    let mut stored = fs::read(&file).unwrap();
    stored[100] ^= 1;
    fs::write(&file, stored).unwrap();
    assert!(proxy.client().get(&release.download()).ok().body == archive);
    assert_eq!(host.fetches(), 2);
}

#[test]
fn a_repository_that_is_larger_than_all_may_be_is_used_and_not_kept() {
    let (host, registry) = (GitHost::start(), Upstream::start());
    let releases = ["1.0.0", "1.1.0"].map(|version| host.deliver(lamp(version)));
    releases.iter().for_each(|release| registry.publish(release));
    let proxy = host.before(&registry).set("storage.max_git", "1KiB").start();
    for (release, fetches) in releases.iter().zip(1..) {
        proxy.client().get(&release.download()).ok();
        assert_eq!(host.fetches(), fetches);
        eventually("the removal", || proxy.files("git").is_empty().then_some(()));
    }
}

#[test]
fn a_mirror_takes_it_and_a_bundle_carries_it() {
    let (host, registry, luggage) = (GitHost::start(), Upstream::start(), Luggage::new());
    let release = host.deliver(lamp("1.0.0"));
    registry.publish(&release);
    let far = receiver(&registry, &luggage.key("corp")).set("upstream.git_as", "cdn");
    let far = far.set("upstream.git_hosts", vec![host.server.authority()]).start();
    let near = host.before(&registry).mirror("ci", "roots = [\"@acme/lamp\"]\ntrust = false").start();
    let synced = mirror(&near, &["sync", "ci", "--json"]).exits(0).json();
    assert_eq!(synced["mirrors"][0]["fetched"]["archives"], 1, "{synced}");
    let archive = near.client().get(&release.download()).ok();
    assert!(archive.is_hit());
    mirror(&near, &["verify", "ci"]).exits(0);
    export(&near, &luggage, "first", &[]);
    mirror(&far, &["import", &luggage.at("first"), "--json"]).exits(0);
    host.server.down();
    let carried = eventually("the import", || {
        let answer = far.client().get(&release.download());
        (answer.status == 200).then_some(answer)
    });
    assert!(carried.body == archive.body);
    assert_eq!(carried.header("etag"), archive.header("etag"));
    let exact = far.client().get(&release.exact()).ok().json();
    assert_eq!(exact["dist"]["source"], "cdn");
    let [file] = near.files("archives").try_into().unwrap();
    fs::remove_file(file).unwrap();
    mirror(&near, &["verify", "ci"]).exits(1);
}

#[test]
fn a_policy_sees_how_a_release_is_delivered_and_not_how_it_is_shown() {
    let (host, registry) = (GitHost::start(), Upstream::start());
    let release = host.deliver(lamp("1.0.0"));
    registry.publish(&release);
    let rule = |action: &str| {
        format!("[[policy.rules]]\nid = \"git\"\naction = \"{action}\"\nmatch = {{ delivery = \"git\" }}\n")
    };
    let setup = host.before(&registry).set("upstream.git_as", "cdn");
    let proxy = setup.clone().policy("enforce", &rule("deny")).start();
    proxy.client().get(&release.index()).ok();
    proxy.client().get(&release.exact()).problem(403, "authorization-failed");
    proxy.client().get(&release.download()).problem(403, "authorization-failed");
    assert_eq!(host.fetches(), 0);
    // What is discouraged is shown as yanked, and as an archive.
    let proxy = setup.policy("enforce", &rule("discourage")).start();
    let exact = proxy.client().get(&release.exact()).ok().json();
    assert_eq!((&exact["status"]["state"], &exact["dist"]["source"]), (&"yanked".into(), &"cdn".into()));
    proxy.client().get(&release.download()).ok();
    assert_eq!(proxy.explain("@acme/lamp", "1.0.0")["exact"]["says"]["delivery"], "git");
}

#[test]
fn while_nobody_is_asked_what_is_not_held_is_not_offered() {
    let (host, registry) = (GitHost::start(), Upstream::start());
    let releases = ["1.0.0", "1.1.0"].map(|version| host.deliver(lamp(version)));
    releases.iter().for_each(|release| registry.publish(release));
    let mut proxy = host.before(&registry).start();
    proxy.client().get(&releases[0].index()).ok();
    proxy.client().get(&releases[0].download()).ok();
    proxy.client().get(&releases[1].exact()).ok();
    proxy.restart_as(|setup| setup.set("cache.offline", true));
    let rows = proxy.client().get(&releases[0].index()).ok().json()["items"].clone();
    let state = |version: &str| {
        let row = rows.as_array().unwrap().iter().find(|row| row["version"] == version).unwrap();
        row["status"]["state"].as_str().unwrap().to_owned()
    };
    assert_eq!((state("1.0.0").as_str(), state("1.1.0").as_str()), ("available", "unavailable"));
    proxy.client().get(&releases[0].download()).ok();
    assert_eq!(proxy.client().get(&releases[1].download()).status, 504);
}

#[test]
fn all_proxies_of_a_cluster_fetch_once() {
    let host = GitHost::start();
    let hosts = vec![host.server.authority()];
    let Some(cluster) = Cluster::with(3, |setup| setup.set("upstream.git_hosts", hosts.clone())) else {
        return;
    };
    let release = host.deliver(lamp("1.0.0"));
    cluster.upstream.publish(&release);
    let target = &release.download();
    let bodies: Vec<_> = thread::scope(|scope| {
        let mut asked = Vec::new();
        for proxy in &cluster.proxies {
            asked.extend((0..6).map(|_| scope.spawn(move || proxy.client().get(target).ok().body)));
        }
        asked.into_iter().map(|client| client.join().unwrap()).collect()
    });
    assert!(bodies.iter().all(|body| *body == bodies[0]));
    assert_eq!(host.fetches(), 1);
}
