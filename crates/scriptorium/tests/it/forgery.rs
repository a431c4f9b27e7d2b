//! Request forgery: whatever an upstream's documents and redirects say, nothing is dialled but the
//! upstream itself and the archive hosts that were allowed.

use std::net::{IpAddr, SocketAddr, TcpListener, UdpSocket};
use std::time::{Duration, Instant};

use crate::support::{Answer, Proxy, Release, Reply, Setup, Upstream, free_port};

/// A release whose locator is `url`, behind a proxy that waits long for connections.
fn pointing_to(upstream: &Upstream, url: &str) -> (Proxy, Release) {
    let release = Release::new("lamp", "1.0.0");
    upstream.publish(&release);
    let mut metadata = release.metadata(&upstream.url());
    metadata["dist"]["url"] = url.into();
    upstream.reply(&release.exact(), Reply::json(&metadata));
    (Setup::before(upstream).set("upstream.connect_timeout", "30s").start(), release)
}

/// Asserts an error that came at once, that is, without anybody having been dialled.
fn assert_refused(answer: &Answer, started: Instant, what: &str) {
    assert!(answer.status == 409 || answer.status == 502, "{what}: {} {}", answer.status, answer.text());
    answer.problem(
        answer.status,
        if answer.status == 409 { "inconsistent-registry-state" } else { "about:blank" },
    );
    assert!(started.elapsed() < Duration::from_secs(5), "{what}: took {:?}", started.elapsed());
}

/// Spellings of this machine's `port` that a careless check lets through.
fn disguises(port: u16) -> Vec<String> {
    [
        "127.0.0.1",
        "localhost",
        "LOCALHOST.",
        "127.1",
        "2130706433",
        "0x7f000001",
        "0177.0.0.1",
        "0.0.0.0",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "[::]",
    ]
    .iter()
    .map(|host| format!("http://{host}:{port}/secret"))
    .chain([format!("http://user:pass@127.0.0.1:{port}/secret")])
    .collect()
}

#[test]
fn a_locator_to_another_local_port_is_not_followed() {
    let (upstream, trap) = (Upstream::start(), Upstream::start());
    let inner = Upstream::start_at(SocketAddr::from(([0, 0, 0, 0, 0, 0, 0, 1], trap.port())));
    for url in disguises(trap.port()) {
        let (proxy, release) = pointing_to(&upstream, &url);
        let started = Instant::now();
        assert_refused(&proxy.client().get(&release.download()), started, &url);
    }
    assert_eq!(trap.connections() + inner.connections(), 0, "{:?}", trap.seen());
}

#[test]
fn a_redirect_to_another_local_port_is_not_followed() {
    let (upstream, trap) = (Upstream::start(), Upstream::start());
    for url in disguises(trap.port()) {
        let (proxy, release) = pointing_to(&upstream, &(upstream.url() + "/moved"));
        upstream.reply("/moved", Reply::redirect(&url));
        let started = Instant::now();
        assert_refused(&proxy.client().get(&release.download()), started, &url);
    }
    assert!(upstream.requests("/moved") > 0);
    assert_eq!(trap.connections(), 0, "{:?}", trap.seen());
}

#[test]
fn metadata_services_and_private_networks_are_not_dialled() {
    let upstream = Upstream::start();
    for host in [
        "169.254.169.254",
        "10.0.0.1",
        "172.16.0.1",
        "192.168.0.1",
        "100.64.0.1",
        "[fe80::1]",
        "[fd00::1]",
        "203.0.113.1",
    ] {
        let (proxy, release) = pointing_to(&upstream, &format!("http://{host}/latest/meta-data/"));
        let started = Instant::now();
        assert_refused(&proxy.client().get(&release.download()), started, host);
    }
}

#[test]
fn other_schemes_are_not_followed() {
    let upstream = Upstream::start();
    for url in [
        "file:///etc/passwd",
        "ftp://127.0.0.1/x",
        "data:application/gzip;base64,AAAA",
        "javascript:1",
        "not a url",
        "",
    ] {
        let (proxy, release) = pointing_to(&upstream, url);
        let started = Instant::now();
        let answer = proxy.client().get(&release.download());
        assert_refused(&answer, started, url);
        assert!(!answer.text().contains("root:"));
    }
}

#[test]
fn a_document_redirected_elsewhere_is_not_followed() {
    let (upstream, trap) = (Upstream::start(), Upstream::start());
    let release = Release::new("lamp", "1.0.0");
    trap.publish(&release);
    upstream.otherwise(Reply::redirect(&(trap.url() + &release.index())));
    let proxy = Setup::before(&upstream).start();
    proxy.client().get(&release.index()).could_not_ask();
    assert_eq!(trap.connections(), 0);
}

#[test]
fn an_allowed_archive_host_is_used() {
    let (upstream, cdn, release) = (Upstream::start(), Upstream::start(), Release::new("lamp", "1.0.0"));
    upstream.publish(&release);
    cdn.reply(&release.source(), Reply::archive(release.archive()));
    cdn.reply("/first", Reply::redirect("/second"));
    cdn.reply("/second", Reply::redirect(&(cdn.url() + &release.source())));
    for start in [cdn.url() + &release.source(), cdn.url() + "/first", upstream.url() + "/moved"] {
        upstream.reply("/moved", Reply::redirect(&(cdn.url() + "/first")));
        let mut metadata = release.metadata(&upstream.url());
        metadata["dist"]["url"] = start.as_str().into();
        upstream.reply(&release.exact(), Reply::json(&metadata));
        let proxy = Setup::before(&upstream).set("upstream.archive_hosts", vec![cdn.authority()]).start();
        assert_eq!(proxy.client().get(&release.download()).ok().body, release.archive(), "{start}");
    }
    assert_eq!(upstream.requests(&release.source()), 0);
}

/// An address of this machine that is neither loopback nor of the internet; some machines have none.
fn neighbour() -> Option<IpAddr> {
    let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
    socket.connect("203.0.113.1:9").ok()?;
    let ip = socket.local_addr().ok()?.ip();
    let IpAddr::V4(v4) = ip else { return None };
    let is_inner = v4.is_private() || v4.is_link_local() || v4.is_documentation();
    (is_inner && TcpListener::bind((ip, 0)).is_ok()).then_some(ip)
}

#[test]
fn a_listed_host_in_a_private_network_is_dialled_where_the_operator_names_it() {
    let Some(ip) = neighbour() else { return };
    let (upstream, release) = (Upstream::start(), Release::new("lamp", "1.0.0"));
    let cdn = Upstream::start_at(SocketAddr::from((ip, free_port())));
    upstream.publish(&release);
    cdn.reply(&release.source(), Reply::archive(release.archive()));
    upstream.reply(&release.exact(), Reply::json(&release.metadata(&cdn.url())));
    let setup = || Setup::before(&upstream).set("upstream.archive_hosts", vec![cdn.authority()]);
    let refused = setup().start().client().get(&release.download());
    let refused = refused.problem(502, "about:blank");
    assert!(refused["detail"].as_str().unwrap().contains("private_addresses"), "{refused}");
    assert_eq!(cdn.connections(), 0);
    let proxy = setup().set("upstream.private_addresses", vec![format!("{ip}/32")]).start();
    assert_eq!(proxy.client().get(&release.download()).ok().body, release.archive());
}

#[test]
fn the_network_of_the_registrys_own_url_is_named_with_it() {
    let (upstream, cdn, release) = (Upstream::start(), Upstream::start(), Release::new("lamp", "1.0.0"));
    upstream.publish(&release);
    cdn.reply(&release.source(), Reply::archive(release.archive()));
    for host in ["localhost", "cdn.localhost"] {
        let place = format!("{host}:{}", cdn.port());
        upstream.reply(&release.exact(), Reply::json(&release.metadata(&format!("http://{place}"))));
        let proxy = Setup::before(&upstream).set("upstream.archive_hosts", vec![place]).start();
        assert_eq!(proxy.client().get(&release.download()).ok().body, release.archive(), "{host}");
    }
}

#[test]
fn our_own_listeners_are_not_dialled_whoever_lists_them() {
    let (upstream, release) = (Upstream::start(), Release::new("lamp", "1.0.0"));
    upstream.publish(&release);
    let proxy = Setup::before(&upstream).start();
    let [public, admin] = [proxy.client().0.port(), proxy.admin().0.port()];
    let places: Vec<_> = [public, admin]
        .iter()
        .flat_map(|port| {
            ["127.0.0.1", "localhost", "0.0.0.0", "[::ffff:127.0.0.1]"].map(|host| format!("{host}:{port}"))
        })
        .collect();
    for place in &places {
        upstream.reply(&release.exact(), Reply::json(&release.metadata(&format!("http://{place}"))));
        proxy.reconfigure(|setup| setup.set("upstream.archive_hosts", places.clone()));
        proxy.reload().ok();
        proxy.invalidate(&serde_json::json!({ "pattern": "*" }));
        let refused = proxy.client().get(&release.download()).problem(502, "about:blank");
        assert!(refused["detail"].as_str().unwrap().contains("this proxy's own"), "{place}: {refused}");
    }
}

#[test]
fn a_host_without_a_port_is_listed_at_its_schemes_own() {
    let (upstream, cdn, release) = (Upstream::start(), Upstream::start(), Release::new("lamp", "1.0.0"));
    upstream.publish(&release);
    upstream.reply(&release.exact(), Reply::json(&release.metadata(&cdn.url())));
    let proxy = Setup::before(&upstream).set("upstream.archive_hosts", vec!["127.0.0.1"]).start();
    assert_refused(&proxy.client().get(&release.download()), Instant::now(), "another port");
    assert_eq!(cdn.connections(), 0);
}

#[test]
fn an_allowed_archive_host_leads_no_further() {
    let (upstream, cdn, trap) = (Upstream::start(), Upstream::start(), Upstream::start());
    let release = Release::new("lamp", "1.0.0");
    upstream.publish(&release);
    trap.reply("/secret", Reply::archive(release.archive()));
    cdn.reply(&release.source(), Reply::redirect(&(trap.url() + "/secret")));
    let metadata = release.metadata(&cdn.url());
    upstream.reply(&release.exact(), Reply::json(&metadata));
    let proxy = Setup::before(&upstream).set("upstream.archive_hosts", vec![cdn.authority()]).start();
    assert_refused(
        &proxy.client().get(&release.download()),
        Instant::now(),
        "a redirect from the archive host",
    );
    assert_eq!((cdn.requests(&release.source()), trap.connections()), (1, 0));
}

#[test]
fn redirects_in_a_circle_end() {
    let upstream = Upstream::start();
    let (proxy, release) = pointing_to(&upstream, &(upstream.url() + "/a"));
    upstream.reply("/a", Reply::redirect("/b"));
    upstream.reply("/b", Reply::redirect("/a"));
    assert_refused(&proxy.client().get(&release.download()), Instant::now(), "a circle");
    assert!(upstream.requests("/a") + upstream.requests("/b") <= 20);
}
