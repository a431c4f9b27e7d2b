//! Where clients reach this proxy: the scheme and the host of the links they are given, and the hosts it answers for.

use crate::support::{Proxy, Release, Setup, Upstream};

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
