//! A statement that was in force once does not count while its registry cannot be asked whether it still is.

use serde_json::Value;

use crate::support::catalogue::attachment;
use crate::support::{Proxy, Release, Reply, Setup, Upstream, eventually};

/// A proxy that let a release in by its statement, whose trust goes stale after a second.
fn let_in(stale_while_revalidate: &str) -> (Upstream, Proxy, Release) {
    let release = Release::new("lamp", "1.0.0");
    let upstream = Upstream::start();
    upstream.publish(&release);
    upstream.reply(&release.trust("detail"), Reply::json(&attested(&release)));
    let category = attested(&release)["attachments"][0]["category"].as_str().unwrap().to_owned();
    let rules = format!(
        "[[policy.rules]]\nid = \"rule\"\naction = \"hold\"\nmatch = {{ trust_missing = [\"{category}\"] }}\n"
    );
    let setup = Setup::before(&upstream).set("cache.trust_ttl", "1s");
    let setup = setup.set("cache.stale_while_revalidate", stale_while_revalidate);
    let proxy = setup.policy("enforce", &rules).start();
    proxy.is_let_in(&release);
    (upstream, proxy, release)
}

fn attested(release: &Release) -> Value {
    release.attested(&[attachment("one", "a statement", "active")])
}

#[test]
fn a_stale_statement_holds_no_release_in_on_any_side_and_counts_again_once_it_is_confirmed() {
    // Stale trust would be served while it is refreshed, and if its registry fails.
    for stale_while_revalidate in ["1h", "0s"] {
        let (upstream, proxy, release) = let_in(stale_while_revalidate);
        upstream.reply(&release.trust("detail"), Reply::failure(503));
        eventually("trust that cannot be asked", || {
            (proxy.client().get(&release.exact()).status == 403).then_some(())
        });
        proxy.is_refused_by(&release, "rule", "");
        upstream.reply(&release.trust("detail"), Reply::json(&attested(&release)));
        eventually("trust that can be asked", || {
            (proxy.client().get(&release.exact()).status == 200).then_some(())
        });
        proxy.is_let_in(&release);
    }
}

#[test]
fn a_proxy_that_asks_no_registry_believes_what_it_holds() {
    let (_upstream, mut proxy, release) = let_in("0s");
    proxy.restart_as(|setup| setup.set("cache.offline", true));
    proxy.is_let_in(&release);
}
