//! Rows obey rules on delivery and trust once exact metadata was asked for, also if that was before there were such rules.

use serde_json::json;

use crate::support::catalogue::attachment;
use crate::support::{Proxy, Release, Reply, Setup, Upstream};

const BY_GIT: &str = r#"
    [[policy.rules]]
    id = "rule"
    action = "deny"
    match = { delivery = "git" }
"#;

const UNPROVED: &str = r#"
    [[policy.rules]]
    id = "rule"
    action = "deny"
    match = { trust_missing = ["provenance-of-another-kind"] }
"#;

/// A proxy without rules in front of two releases, one of which was asked for.
fn asked_before() -> (Upstream, Proxy, [Release; 2]) {
    let upstream = Upstream::start();
    let releases = ["1.0.0", "1.1.0"].map(|version| Release::new("lamp", version));
    for release in &releases {
        upstream.publish(release);
        let mut exact = release.metadata(&upstream.url());
        exact["dist"] = json!({"source": "git", "repository": "https://git.example/lamp", "ref": "v1"});
        upstream.reply(&release.exact(), Reply::json(&exact));
        upstream.reply(&release.trust("summary"), Reply::json(&release.trust_summary()));
        let attested = release.attested(&[attachment("one", "a statement", "active")]);
        upstream.reply(&release.trust("detail"), Reply::json(&attested));
    }
    let proxy = Setup::before(&upstream).start();
    proxy.client().get(&releases[0].exact()).ok();
    proxy.client().get(&releases[0].trust("detail")).ok();
    (upstream, proxy, releases)
}

#[test]
fn what_is_held_counts_at_once_after_a_reload_and_after_a_restart() {
    for rules in [BY_GIT, UNPROVED] {
        for is_restarted in [false, true] {
            let (upstream, mut proxy, [asked, unasked]) = asked_before();
            let requests = upstream.requests(&asked.exact());
            if is_restarted {
                proxy.restart_as(|setup| setup.policy("enforce", rules));
            } else {
                proxy.reconfigure(|setup| setup.policy("enforce", rules));
                proxy.reload().ok();
            }
            assert_eq!(proxy.row_of(&asked)["state"], "blocked", "{rules}");
            assert_eq!(proxy.row_of(&unasked)["state"], "available", "nobody asked yet");
            assert_eq!(upstream.requests(&asked.exact()), requests, "no registry is asked for it");
            proxy.client().get(&asked.exact()).problem(403, "authorization-failed");
            proxy.client().get(&unasked.exact()).problem(403, "authorization-failed");
            assert_eq!(proxy.row_of(&unasked)["state"], "blocked");
        }
    }
}
