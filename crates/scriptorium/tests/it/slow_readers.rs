//! Clients that read long documents slowly: what they keep in memory does not follow their number, the names that they
//! use for this proxy, nor how often a document is replaced while they read.

use std::process::{Child, Command, Stdio};

use tempfile::TempDir;
use toml::Table;

use crate::support::tarball::Entry;
use crate::support::{Conversation, Proxy, Release, Reply, Setup, Upstream, eventually, noise};
use crate::tls::make_certificate;

const MIB: usize = 1 << 20;

/// An index with one row and as many bytes of something else, which no socket takes at once.
fn padded_index(release: &Release, upstream: &Upstream, bytes: usize, with: char) -> Reply {
    let row = release.row(&upstream.url());
    let filler = String::from(with).repeat(bytes);
    Reply::document(format!(r#"{{"items":[{row}],"filler":"{filler}"}}"#))
}

fn lamp() -> Release {
    Release::new("lamp", "1.0.0")
}

/// A proxy that holds an index of so many bytes.
fn holding(bytes: usize, adjust: impl FnOnce(Setup) -> Setup) -> (Upstream, Proxy) {
    let upstream = Upstream::start();
    upstream.publish(&lamp());
    upstream.reply(&lamp().index(), padded_index(&lamp(), &upstream, bytes, 'x'));
    let proxy = adjust(Setup::before(&upstream)).start();
    assert!(proxy.client().get(&lamp().index()).ok().body.len() > bytes);
    (upstream, proxy)
}

/// Begins to read the index, and reads no more than its head.
fn begin(proxy: &Proxy, host: &str) -> Conversation {
    let mut reader = Conversation::open_narrow(proxy.client().0).unwrap();
    reader.ask("GET", &lamp().index(), &[("host", host)]).unwrap();
    assert_eq!(reader.begin().unwrap().status, 200);
    reader
}

#[test]
fn a_host_costs_nothing_however_slowly_it_is_read() {
    let (_upstream, proxy) = holding(16 * MIB, |setup| setup);
    let before = proxy.memory();
    let _readers: Vec<_> = (0..40).map(|host| begin(&proxy, &format!("host-{host}.example"))).collect();
    let grown = proxy.memory().saturating_sub(before);
    eprintln!("40 hosts: {} MiB more", grown >> 20);
    assert!(grown < 24 << 20, "{grown} bytes for 40 readers of 16 MiB");
}

/// curl, which reads an index under so many names over HTTP/2, a thousand bytes a second.
struct Curl(Child);

impl Curl {
    fn start(proxy: &Proxy, hosts: usize) -> Self {
        let port = proxy.client().0.port();
        let urls = (0..hosts).map(|host| format!("https://host-{host}.example:{port}{}", lamp().index()));
        let child = Command::new("curl")
            .args(["-s", "-k", "--http2", "--limit-rate", "1000", "-Z", "--parallel-immediate"])
            .args(["--parallel-max", &hosts.to_string(), "--connect-to", &format!("::127.0.0.1:{port}")])
            .args(urls)
            .stdout(Stdio::null())
            .spawn();
        Self(child.unwrap())
    }
}

impl Drop for Curl {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

#[test]
fn nor_does_it_over_http_2() {
    let directory = TempDir::new().unwrap();
    if !make_certificate(directory.path()) || Command::new("curl").arg("--version").output().is_err() {
        eprintln!("skipped: openssl and curl are needed to see TLS from outside");
        return;
    }
    let upstream = Upstream::start();
    upstream.publish(&lamp());
    upstream.reply(&lamp().index(), padded_index(&lamp(), &upstream, 16 * MIB, 'x'));
    let pem = |name: &str| {
        (name.to_owned(), directory.path().join(format!("{name}.pem")).display().to_string().into())
    };
    let proxy =
        Setup::before(&upstream).set("server.tls", Table::from_iter([pem("cert"), pem("key")])).start();
    let asked = || proxy.log().matches(&lamp().index()).count();
    let first = Curl::start(&proxy, 1);
    eventually("the first answer", || (asked() > 0).then_some(()));
    drop(first);
    let (before, answered) = (proxy.memory(), asked());
    let _readers = Curl::start(&proxy, 30);
    eventually("all answers", || (asked() >= answered + 30).then_some(()));
    let grown = proxy.memory().saturating_sub(before);
    eprintln!("30 hosts: {} MiB more", grown >> 20);
    assert!(grown < 40 << 20, "{grown} bytes for 30 readers of 16 MiB");
}

#[test]
fn a_place_is_held_until_the_last_byte() {
    let (_upstream, proxy) = holding(16 * MIB, |setup| setup.set("limits.max_requests", 1));
    let mut reader = Conversation::open_narrow(proxy.client().0).unwrap();
    reader.ask("GET", &lamp().index(), &[]).unwrap();
    let mut answer = reader.begin().unwrap();
    proxy.client().get(&lamp().index()).problem(503, "about:blank");
    reader.finish(&mut answer).unwrap();
    answer.ok();
    eventually("the place", || (proxy.client().get(&lamp().index()).status == 200).then_some(()));
}

#[test]
fn versions_that_were_replaced_are_not_held_for_whoever_reads_them_slowly() {
    const VERSIONS: usize = 24;
    const LENGTH: usize = 24 * MIB;
    let (upstream, proxy) = holding(LENGTH, |setup| setup.set("limits.send_timeout", "10m"));
    let before = proxy.memory();
    let mut readers = Vec::new();
    for version in 0..VERSIONS {
        let with = char::from(b'A' + u8::try_from(version).unwrap());
        upstream.reply(&lamp().index(), padded_index(&lamp(), &upstream, LENGTH, with));
        proxy.admin().post("/admin/v1/invalidate", r#"{"volume":"lamp"}"#).ok();
        let mut reader = Conversation::open_narrow(proxy.client().0).unwrap();
        reader.ask("GET", &lamp().index(), &[]).unwrap();
        readers.push((reader.begin().unwrap(), reader));
    }
    let grown = proxy.memory().saturating_sub(before);
    eprintln!("{VERSIONS} versions of {} MiB: {} MiB more", LENGTH >> 20, grown >> 20);
    // Held are three at most, one more while it is parsed.
    assert!(grown < 130 << 20, "{grown} bytes");
    let (mut last, mut reader) = readers.pop().unwrap();
    reader.finish(&mut last).unwrap();
    last.ok();
    let (mut first, mut reader) = readers.swap_remove(0);
    assert!(reader.finish(&mut first).is_err() || !first.whole, "the oldest version was taken back");
}

#[test]
fn downloads_that_are_read_slowly_hold_little() {
    const READERS: usize = 60;
    let release = lamp().adding(Entry::file("data.bin", noise(7, 48 * MIB)));
    let upstream = Upstream::start();
    upstream.publish(&release);
    let proxy = Setup::before(&upstream).start();
    proxy.client().get(&release.download()).ok();
    let before = proxy.memory();
    let begin = |reader: usize| {
        let mut download = Conversation::open_narrow(proxy.client().0).unwrap();
        let range = format!("bytes={}-", reader * 700_000);
        download.ask("GET", &release.download(), &[("range", &range)]).unwrap();
        assert_eq!(download.begin().unwrap().status, 206);
        download
    };
    let _readers: Vec<_> = (0..READERS).map(begin).collect();
    let grown = proxy.memory().saturating_sub(before);
    eprintln!("{READERS} downloads: {} MiB more", grown >> 20);
    assert!(grown < 80 << 20, "{grown} bytes");
}

#[test]
fn an_answer_that_may_not_be_kept_is_held_for_few_readers() {
    let (upstream, proxy) = holding(16, |setup| setup);
    let long = padded_index(&lamp(), &upstream, 24 * MIB, 'y').with("cache-control", "no-store");
    upstream.reply(&lamp().index(), long);
    proxy.admin().post("/admin/v1/invalidate", r#"{"volume":"lamp"}"#).ok();
    let _first = begin(&proxy, "one");
    let refused = proxy.client().get(&lamp().index());
    refused.problem(429, "rate-limited");
    assert!(refused.header("retry-after").is_some());
}
