//! Writes to a registry that not everybody may read: a credential that only the registry knows is its to judge, and nothing
//! that this proxy reads of the registry is told to its sender.

use serde_json::json;
use toml::{Table, toml};

use super::{OUTSIDER, READER};
use crate::support::{Proxy, Publisher, Publishing, Release, Setup};

fn lamp() -> Release {
    Release::new("lamp", "1.0.0")
}

fn ground() -> (Publishing, Proxy) {
    let registry = Publishing::start();
    let setup = Setup::before(&registry).set("upstream.writes", true).set("upstream.readers", vec!["reader"]);
    let proxy = setup.token("reader", READER, Table::new()).token("outsider", OUTSIDER, Table::new()).start();
    (registry, proxy)
}

#[test]
fn who_has_no_credential_or_one_that_may_not_read_is_refused_here() {
    let (registry, proxy) = ground();
    let announce = |token| Publisher::at(proxy.client()).with_token(token).announce(&lamp());
    let body = r#"{"version":"1.0.0","mediaType":"application/gzip"}"#;
    let refused = proxy.client().post("/api/v1/volumes/lamp", body);
    refused.problem(401, "authentication-required");
    assert_eq!(refused.header("www-authenticate"), Some("Bearer"));
    announce(OUTSIDER).problem(403, "authorization-failed");
    let withdrawn = Publisher::at(proxy.client()).with_token(OUTSIDER).withdraw(&lamp());
    withdrawn.problem(403, "authorization-failed");
    assert_eq!(registry.connections(), 0);
    // A reader's token goes to the registry, which does not know it.
    assert_eq!(announce(READER).status, 401);
    assert!(registry.connections() > 0);
}

#[test]
fn a_publishers_credential_is_the_registrys_to_judge_and_opens_no_reads() {
    let (registry, proxy) = ground();
    let publisher = Publisher::at(proxy.client());
    let published = publisher.publish(&lamp());
    assert_eq!(published.status, 201, "{}", published.text());
    assert!(registry.has("lamp", "1.0.0"));
    let bearer = format!("Bearer {}", Publishing::TOKEN);
    let read = proxy.client().get_with(&lamp().exact(), "authorization", &bearer);
    read.problem(401, "authentication-required");
}

#[test]
fn what_this_proxy_knows_of_a_release_is_not_told_by_the_check_of_an_attachment() {
    let (registry, proxy) = ground();
    assert_eq!(Publisher::at(proxy.client()).publish(&lamp()).status, 201);
    let attach = |token: &str, version: &str| {
        let release = Release::new("lamp", version);
        let body = json!({
            "subject": {"purl": release.purl(), "integrity": format!("sha256:{}", "0".repeat(64))},
            "attachment": {"category": "signature", "format": {"family": "x", "mediaType": "application/json"}},
            "declaredDigest": format!("sha256:{}", "0".repeat(64)),
        });
        Publisher::at(proxy.client()).with_token(token).ask("POST", &release.trust("uploads"), Some(&body))
    };
    let [there, missing] = ["1.0.0", "9.0.0"].map(|version| attach("guessed", version));
    assert_eq!((there.status, missing.status), (401, 401), "{} {}", there.text(), missing.text());
    assert_eq!(there.text().replace("1.0.0", "V"), missing.text().replace("9.0.0", "V"));
    // A reader is told, as everybody is of an open registry.
    attach(READER, "1.0.0").problem(400, "subject-binding-mismatch");
    drop(registry);
}

#[test]
fn a_narrowed_token_writes_no_other_volume() {
    let registry = Publishing::start();
    let setup = Setup::before(&registry).set("upstream.writes", true).set("upstream.readers", "tokens");
    let narrow = toml! { volumes = ["tools-*"] };
    let proxy = setup.token("publisher", Publishing::TOKEN, narrow).start();
    let publisher = Publisher::at(proxy.client());
    publisher.announce(&lamp()).problem(403, "authorization-failed");
    assert_eq!(publisher.publish(&Release::new("tools-x", "1.0.0")).status, 201);
}
