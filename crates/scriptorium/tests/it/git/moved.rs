//! References that move or vanish: the same tree is noted, another one is refused, and what is here stays.

use super::host::GitHost;
use super::lamp;
use crate::support::tarball::Entry;
use crate::support::{Proxy, Release, Upstream};

fn served() -> (GitHost, Upstream, Proxy, Release) {
    let (host, registry) = (GitHost::start(), Upstream::start());
    let release = host.deliver(lamp("1.0.0"));
    registry.publish(&release);
    let proxy = host.before(&registry).start();
    proxy.client().get(&release.download()).ok();
    (host, registry, proxy, release)
}

#[test]
fn a_reference_that_moves_to_the_same_tree_is_noted() {
    let (host, _registry, mut proxy, release) = served();
    let first = host.git("-acme-lamp", &["rev-parse", "v1.0.0"]);
    let explained = proxy.explain("@acme/lamp", "1.0.0");
    assert_eq!(explained["exact"]["says"]["delivery"], "git");
    assert_eq!(explained["pin"]["commit"]["commit"], first.as_str(), "{explained}");
    host.git("-acme-lamp", &["commit", "--quiet", "--allow-empty", "--message=again"]);
    host.git("-acme-lamp", &["tag", "--force", "v1.0.0"]);
    let second = host.git("-acme-lamp", &["rev-parse", "v1.0.0"]);
    assert_ne!(first, second);
    proxy.restart_without("archives");
    proxy.client().get(&release.download()).ok();
    let commit = proxy.explain("@acme/lamp", "1.0.0")["pin"]["commit"].clone();
    assert_eq!((&commit["commit"], &commit["moved_to"]), (&first.as_str().into(), &second.as_str().into()));
    let told = String::from_utf8(proxy.explain_by_command(&["@acme/lamp@1.0.0"]).stdout).unwrap();
    assert!(told.contains(&first) && told.contains(&second), "{told}");
    assert!(proxy.whole_log().contains("names another commit with the same tree"));
}

#[test]
fn a_reference_that_moves_to_another_tree_gives_nothing_and_costs_no_pin() {
    let (host, registry, mut proxy, release) = served();
    host.commit("-acme-lamp", &lamp("1.0.0").adding(Entry::file("evil", "x")), "v1.0.0");
    proxy.client().get(&release.download()).ok();
    proxy.restart_without("archives");
    let refusal = proxy.client().get(&release.download()).problem(409, "inconsistent-registry-state");
    assert!(refusal["detail"].as_str().unwrap().contains(&release.integrity()), "{refusal}");
    assert!(proxy.files("archives").is_empty());
    let asked = host.server.seen().len();
    proxy.client().get(&release.download()).problem(409, "inconsistent-registry-state");
    assert_eq!(host.server.seen().len(), asked, "it is remembered");
    let row = proxy.client().get(&release.index()).ok().json()["items"][0]["status"].clone();
    assert_eq!(row["state"], "unavailable", "{row}");
    assert!(row["reason"].as_str().unwrap().starts_with("refused:"), "{row}");
    // Both sides of it, wherever divergences are told.
    let commit = host.git("-acme-lamp", &["rev-parse", "v1.0.0"]);
    let listed = proxy.divergences()[0].clone();
    assert_eq!((&listed["kind"], &listed["version"]), (&"delivery".into(), &"1.0.0".into()), "{listed}");
    let [one, other] = [0, 1].map(|at| listed["claims"][at]["says"].as_str().unwrap().to_owned());
    assert!(
        one.contains(&release.integrity()) && other.contains(&commit) && other.contains("v1.0.0"),
        "{listed}"
    );
    assert_eq!(refusal["divergence"], listed);
    assert_eq!(proxy.explain("@acme/lamp", "1.0.0")["divergence"], listed);
    assert!(proxy.admin().get("/metrics").ok().text().contains("scriptorium_divergences_open 1"));
    assert!(proxy.admin().get("/").ok().text().contains(&commit));
    let pin = proxy.explain("@acme/lamp", "1.0.0")["pin"].clone();
    assert_eq!(pin["integrity"], release.integrity().as_str(), "{pin}");
    // The tag is put right, and an operator says that it is worth another look.
    host.commit("-acme-lamp", &lamp("1.0.0"), "v1.0.0");
    proxy.restart();
    assert_eq!(proxy.divergences()[0], listed);
    proxy.admin().post("/admin/v1/invalidate", r#"{"volume":"@acme/lamp"}"#).ok();
    proxy.client().get(&release.download()).ok();
    assert_eq!(proxy.divergences(), Vec::<serde_json::Value>::new());
    assert!(proxy.admin().get("/metrics").ok().text().contains("scriptorium_divergences_open 0"));
    drop(registry);
}

#[test]
fn a_reference_that_vanishes_costs_nothing_once_its_archive_is_here() {
    let (host, _registry, mut proxy, release) = served();
    host.git("-acme-lamp", &["tag", "--delete", "v1.0.0"]);
    proxy.client().get(&release.download()).ok();
    proxy.restart();
    proxy.client().get(&release.download()).ok();
    proxy.restart_without("archives");
    let answer = proxy.client().get(&release.download());
    assert_eq!(
        answer.status,
        502,
        "it could not be had, which is not that it does not exist: {}",
        answer.text()
    );
    assert!(answer.text().contains("reference"), "{}", answer.text());
}

#[test]
fn a_release_that_names_another_reference_by_now_is_fetched_by_that() {
    let (host, registry, mut proxy, mut release) = served();
    let commit = host.git("-acme-lamp", &["rev-parse", "v1.0.0"]);
    host.git("-acme-lamp", &["tag", "--delete", "v1.0.0"]);
    release.dist.as_mut().unwrap()["ref"] = commit.into();
    registry.publish(&release);
    proxy.restart_without("archives");
    proxy.client().get(&release.download()).ok();
}
