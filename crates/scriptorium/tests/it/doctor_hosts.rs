//! `scriptorium doctor` on what is beside the registries: the own certificate, hosts of archives and of Git, the collector of
//! spans, folders with advisories.

use std::fs;
use std::time::{SystemTime, UNIX_EPOCH};

use tempfile::TempDir;

use crate::doctor::{Patient, fails, one};
use crate::support::authority::{self, Authority, Identity};
use crate::support::collector::{Collector, Manner};
use crate::support::{Setup, Upstream, eventually, free_port};

fn before() -> Setup {
    Setup::before(&Upstream::start())
}

/// The findings of one check: outcome, what was found, and the advice.
fn findings(setup: Setup, check: &str) -> Vec<[String; 3]> {
    let (_, found) = Patient::new(setup).found();
    let of_check = found.iter().filter(|finding| finding["check"] == check);
    let text = |finding: &serde_json::Value, key: &str| finding[key].as_str().unwrap_or_default().to_owned();
    of_check.map(|finding| ["outcome", "found", "advice"].map(|key| text(finding, key))).collect()
}

#[test]
fn the_own_certificate_is_told_with_its_dates_and_the_hosts_that_it_lacks() {
    let Some(authority) = Authority::new() else { return };
    let with = |file: &str, days: &str| {
        let own = authority.issue_for(file, "DNS:volumes.example", days);
        before().set("server.tls", own.keys()).set("server.public_url", "https://volumes.example/mirror")
    };
    let [dates, hosts] = &findings(with("good", "30"), "certificate")[..] else { panic!("two findings") };
    assert!(dates[0] == "good" && dates[1].starts_with("holds until "), "{dates:?}");
    assert!(hosts[0] == "good" && hosts[1].contains("volumes.example"), "{hosts:?}");

    let [dates, _] = &findings(with("soon", "2"), "certificate")[..] else { panic!("two findings") };
    assert!(
        dates[0] == "doubtful" && dates[1].contains("ends soon") && dates[2].contains("renew"),
        "{dates:?}"
    );

    let of = |own: Identity| before().set("server.tls", own.keys());
    for (own, words) in [
        (authority.issue_expired("old", "DNS:x"), "has expired: it held until 2021-01-01"),
        (authority.issue_early("early", "DNS:x"), "does not hold yet: its first moment is 2090-01-01"),
        (authority.issue_for("odd", "DNS:x", "-1"), "end before they begin"),
    ] {
        let [dates] = &findings(of(own), "certificate")[..] else { panic!("one finding") };
        assert!(
            dates[0] == "bad" && dates[1].contains(words) && dates[2].contains("clients refuse it"),
            "{dates:?}"
        );
    }

    let hosts = toml::Value::Array(vec!["volumes.example".into(), "cache.example".into()]);
    let elsewhere = with("other", "30").set("server.hosts", hosts);
    let [_, hosts] = &findings(elsewhere, "certificate")[..] else { panic!("two findings") };
    assert!(hosts[0] == "doubtful" && hosts[1].contains("does not name cache.example,"), "{hosts:?}");
}

#[test]
fn a_certificate_that_no_client_accepts_is_served_told_and_counted() {
    let Some(authority) = Authority::new() else { return };
    let own = authority.issue_expired("own", "DNS:volumes.example");
    let proxy = before().set("server.tls", own.keys()).set("log.level", "warn").start();
    let told = || proxy.log().contains("the certificate of server.tls has expired").then_some(());
    eventually("a warning in the log", told);
    let ends = || {
        let metrics = proxy.admin().get("/metrics").ok().text();
        let name = "scriptorium_certificate_expires_timestamp_seconds{port=\"public\"} ";
        let ends = metrics.lines().find_map(|line| line.strip_prefix(name)).unwrap().parse::<u64>();
        ends.unwrap()
    };
    let page = || proxy.admin().get("/").ok().text();
    assert!(
        page().contains("The certificate of the public port has expired: it held until 2021"),
        "{}",
        page()
    );
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    assert!(ends() < now);
    let renewed = authority.issue_for("renewed", "DNS:volumes.example", "30");
    fs::copy(renewed.cert, own.cert).unwrap();
    fs::copy(renewed.key, own.key).unwrap();
    proxy.signal("HUP");
    eventually("the dates of the new one", || (ends() > now + 29 * 86_400).then_some(()));
    assert!(!page().contains("certificate of the public port"), "{}", page());
}

#[test]
fn a_host_to_which_the_registry_points_is_tried_as_the_proxy_tries_it() {
    let list = |hosts: &[&str]| toml::Value::Array(hosts.iter().map(|host| (*host).into()).collect());
    let upstream = Upstream::start();
    let closed = format!("127.0.0.1:{}", free_port());
    for (key, check) in [("upstream.git_hosts", "Git host"), ("upstream.archive_hosts", "archive host")] {
        let with = |host: &str| Setup::before(&upstream).set(key, list(&[host]));
        fails(with(&closed), check, "refuses connections", "port");
        fails(with("no-such-name.invalid"), check, "cannot be resolved", "name servers");
        // The registry here is at a loopback address, and this one is elsewhere.
        fails(with("10.255.255.1"), check, "private_addresses", "");
        let [open] = &findings(with(&upstream.authority()), check)[..] else { panic!("one finding") };
        assert_eq!((&*open[0], &*open[1]), ("good", "takes connections"));
    }
    let Some(authority) = Authority::new() else { return };
    let behind = upstream.authority().parse().unwrap();
    let door = |identity| authority::door(&identity, None, behind);
    let (registry, host) = ("DNS:registry.localhost", "DNS:git.localhost");
    let home = door(authority.issue("registry", registry));
    let at = |port: u16| {
        let setup = before().set("upstream.url", format!("https://registry.localhost:{}", home.port()));
        let setup = setup.set("upstream.git_hosts", list(&[&format!("git.localhost:{port}")]));
        setup.set("upstream.ca_file", authority.certificate())
    };
    fails(
        at(door(authority.issue("other", "DNS:other.test")).port()),
        "Git host",
        "for another name",
        "names",
    );
    fails(at(door(authority.issue_expired("old", host)).port()), "Git host", "has expired", "renew");
    let good = at(door(authority.issue("git", host)).port());
    let good = good.set("upstream.git_token_env", "GIT_TOKEN_OF_TEST").env("GIT_TOKEN_OF_TEST", "hunter2");
    let (_, found) = Patient::new(good).found();
    assert_eq!(one(&found, "Git host")["outcome"], "good", "{found:#?}");
    let credential = one(&found, "Git credential")["found"].as_str().unwrap();
    assert!(credential.contains("git.localhost") && !credential.contains("hunter2"), "{credential}");
}

#[test]
fn the_collector_is_tried_and_what_is_no_collector_is_told() {
    let at = |url: &str| before().set("telemetry.otlp", url);
    let collector = Collector::start();
    let [good] = &findings(at(&collector.url()), "collector")[..] else { panic!("one finding") };
    assert_eq!((&*good[0], &*good[1]), ("good", "takes spans"));
    assert!(collector.spans().is_empty(), "nothing is left there");
    fails(at(&format!("http://127.0.0.1:{}", free_port())), "collector", "refuses connections", "port");
    fails(at(&Upstream::start().url()), "collector", "no spans", "4317");
    let refusing = Collector::start_as(Manner::Refuses);
    fails(at(&refusing.url()), "collector", "no spans", "4317");
    let Some(authority) = Authority::new() else { return };
    let door = |identity| authority::door_to_http2(&identity, collector.address);
    let tls = |port: u16| at(&format!("https://localhost:{port}"));
    let known = |setup: Setup| setup.set("telemetry.ca_file", authority.certificate());
    let good = door(authority.issue("collector", "DNS:localhost")).port();
    fails(tls(good), "collector", "authority", "ca_file");
    let old = door(authority.issue_expired("old", "DNS:localhost")).port();
    fails(known(tls(old)), "collector", "has expired", "renew");
    let [found] = &findings(known(tls(good)), "collector")[..] else { panic!("one finding") };
    assert_eq!(found[0], "good", "{found:?}");
}

#[test]
fn a_folder_with_advisories_is_read() {
    let home = TempDir::new().unwrap();
    let osv = home.path().join("osv");
    let with = || before().set("policy.osv", toml::Value::Array(vec![osv.display().to_string().into()]));
    fails(with(), "advisories", "cannot be read", "policy.osv");
    fs::create_dir(&osv).unwrap();
    let [empty] = &findings(with(), "advisories")[..] else { panic!("one finding") };
    assert_eq!(empty[0], "doubtful", "{empty:?}");
    let advisory = r#"{"id":"OSV-1","modified":"2026-01-01T00:00:00Z","affected":[{"package":{"purl":"pkg:volume/lamp"},
        "ranges":[{"type":"SEMVER","events":[{"introduced":"0"}]}]}]}"#;
    fs::write(osv.join("one.json"), advisory).unwrap();
    let [good] = &findings(with(), "advisories")[..] else { panic!("one finding") };
    assert_eq!((&*good[0], &*good[1]), ("good", "1 can be read"));
    fs::write(osv.join("two.json"), "{").unwrap();
    fails(with(), "advisories", "two.json", "policy.osv");
}
