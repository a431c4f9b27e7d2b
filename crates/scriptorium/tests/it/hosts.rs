//! Where clients reach this proxy: the scheme and the host of the links they are given, and the hosts it answers for.

use crate::support::{Conversation, Proxy, Release, Setup, Upstream};

fn published(release: &Release) -> Upstream {
    let upstream = Upstream::start();
    upstream.publish(release);
    upstream
}

/// A link that the proxy gives who sends these fields.
fn link(proxy: &Proxy, release: &Release, fields: &[(&str, &str)]) -> String {
    let index = proxy.client().send("GET", &release.index(), fields).ok();
    index.json()["items"][0]["release"]["url"].as_str().unwrap().to_owned()
}

#[test]
fn links_have_the_scheme_that_a_trusted_proxy_names() {
    let release = Release::new("lamp", "1.0.0");
    let upstream = published(&release);
    let proxy = Setup::before(&upstream).set("server.trusted_proxies", vec!["127.0.0.1/32"]).start();
    for (scheme, named) in [
        ("https", "https"),
        ("https", "HTTPS"),
        ("https", "http, https"),
        ("http", "https, http"),
        ("http", "http"),
        ("http", "javascript"),
        ("http", "https://evil.example/?"),
        ("http", ""),
    ] {
        let fields = [("host", "volumes.example"), ("x-forwarded-proto", named)];
        let expected = format!("{scheme}://volumes.example/");
        let given = link(&proxy, &release, &fields);
        assert!(given.starts_with(&expected), "{named:?}: {given}");
    }
    // The other header, and a host of another header, are not looked at.
    let fields = [
        ("host", "volumes.example"),
        ("forwarded", "for=192.0.2.1;proto=https;host=evil.example"),
        ("x-forwarded-host", "evil.example"),
    ];
    assert!(link(&proxy, &release, &fields).starts_with("http://volumes.example/"));
}

#[test]
fn links_have_the_scheme_of_the_connection_where_nobody_is_trusted() {
    let release = Release::new("lamp", "1.0.0");
    let upstream = published(&release);
    for source in ["x-forwarded-for", "forwarded", "peer"] {
        let proxy = Setup::before(&upstream).set("server.client_address", source).start();
        let fields = [("x-forwarded-proto", "https"), ("forwarded", "for=192.0.2.1;proto=https")];
        assert!(link(&proxy, &release, &fields).starts_with("http://"), "{source}");
    }
}

#[test]
fn the_scheme_of_forwarded_stands_beside_the_address() {
    let release = Release::new("lamp", "1.0.0");
    let upstream = published(&release);
    let proxy = Setup::before(&upstream)
        .set("server.trusted_proxies", vec!["127.0.0.1/32"])
        .set("server.client_address", "forwarded")
        .start();
    for (scheme, forwarded) in [
        ("https", "for=192.0.2.1;proto=https"),
        ("http", "for=6.6.6.6;proto=https, for=192.0.2.1;proto=http"),
        ("http", "for=192.0.2.1;proto=gopher"),
    ] {
        let fields = [("forwarded", forwarded), ("x-forwarded-proto", "https")];
        let given = link(&proxy, &release, &fields);
        assert!(given.starts_with(&format!("{scheme}://")), "{forwarded}: {given}");
    }
}

/// What a proxy that answers for these hosts says to who names another.
fn assert_misdirected(proxy: &Proxy, target: &str, host: &str) {
    let answer = proxy.client().get_with(target, "host", host);
    let problem = answer.problem(421, "about:blank");
    assert!(problem["detail"].as_str().unwrap().contains("server.hosts"), "{problem}");
    assert!(!answer.text().contains(host), "{host}: {}", answer.text());
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
}

#[test]
fn only_listed_hosts_are_answered_for() {
    let release = Release::new("lamp", "1.0.0");
    let upstream = published(&release);
    let api = Upstream::start();
    let proxy = Setup::before(&upstream)
        .relay("/nullspace", &api.url())
        .set("server.hosts", vec!["volumes.corp.example", "10.0.0.7:8080"])
        .start();
    for host in ["volumes.corp.example", "VOLUMES.corp.example.:8443", "10.0.0.7:8080"] {
        assert!(link(&proxy, &release, &[("host", host)]).starts_with(&format!("http://{host}/")), "{host}");
    }
    let asked = upstream.connections();
    for host in ["evil.example", "x.volumes.corp.example", "10.0.0.7", &proxy.authority()] {
        for target in [release.index(), release.exact(), release.download(), "/no-route".to_owned()] {
            assert_misdirected(&proxy, &target, host);
        }
        let relayed = proxy.client().get_with("/nullspace/v1/anything", "host", host);
        assert_eq!(relayed.status, 421, "{}", relayed.text());
    }
    assert_eq!((upstream.connections(), api.connections()), (asked, 0), "somebody was asked for them");
    assert_eq!(proxy.admin().get("/readyz").status, 200, "probes have the admin port");

    proxy.reconfigure(|setup| setup.set("server.hosts", vec!["other.example"]));
    let report = proxy.reload().ok().json();
    assert_eq!(report["applied"], serde_json::json!(["server.hosts"]), "{report}");
    assert_misdirected(&proxy, &release.index(), "volumes.corp.example");
    assert!(link(&proxy, &release, &[("host", "other.example")]).starts_with("http://other.example/"));
}

#[test]
fn the_public_host_is_listed_where_others_are_and_restricts_nothing_alone() {
    let release = Release::new("lamp", "1.0.0");
    let upstream = published(&release);
    let mut proxy = Setup::before(&upstream).set("server.public_url", "https://volumes.example/x").start();
    for host in ["volumes.example", "10.9.8.7", &proxy.authority()] {
        let link = link(&proxy, &release, &[("host", host)]);
        assert!(link.starts_with("https://volumes.example/x/"), "{host}: {link}");
    }
    proxy.restart_as(|setup| setup.set("server.hosts", vec!["other.example"]));
    for host in ["volumes.example", "volumes.example:443", "other.example"] {
        let link = link(&proxy, &release, &[("host", host)]);
        assert!(link.starts_with("https://volumes.example/x/"), "{host}: {link}");
    }
    assert_misdirected(&proxy, &release.index(), "10.9.8.7");
    // HTTP/1.0 knows no Host; links need none here.
    let mut old = Conversation::open(proxy.client().0).unwrap();
    old.write(format!("GET {} HTTP/1.0\r\n\r\n", release.index()).as_bytes()).unwrap();
    assert_eq!(old.answer().unwrap().status, 200);
}
