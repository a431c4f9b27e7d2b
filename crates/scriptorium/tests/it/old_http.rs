//! HTTP/1.0, which knows no Host: answered in its own manner where links do not need one.

use crate::support::{Answer, Conversation, Proxy, Release, Setup, Upstream};

fn published() -> (Upstream, Release) {
    let (upstream, release) = (Upstream::start(), Release::new("lamp", "1.0.0"));
    upstream.publish(&release);
    (upstream, release)
}

fn ask(proxy: &Proxy, version: &str, target: &str, fields: &str) -> Answer {
    let mut conversation = Conversation::open(proxy.client().0).unwrap();
    conversation.write(format!("GET {target} {version}\r\n{fields}\r\n").as_bytes()).unwrap();
    let answer = conversation.answer().unwrap();
    if version == "HTTP/1.0" {
        assert!(conversation.is_over(), "whoever did not ask for more is not kept waiting for the end");
    }
    answer
}

#[test]
fn without_a_host_links_need_a_configured_base() {
    let (upstream, release) = published();
    let mut proxy = Setup::before(&upstream).start();
    assert_eq!(ask(&proxy, "HTTP/1.0", &release.index(), "").status, 400);
    assert_eq!(ask(&proxy, "HTTP/1.0", &release.index(), "host: here\r\n").status, 200);
    proxy.restart_as(|setup| setup.set("server.public_url", "https://volumes.example/x"));
    for target in [release.index(), release.exact()] {
        let answer = ask(&proxy, "HTTP/1.0", &target, "").ok();
        assert!(answer.text().contains("https://volumes.example/x/"), "{}", answer.text());
        assert_eq!(answer.header("transfer-encoding"), None, "chunks are unknown to it");
        assert_eq!(answer.header("content-length"), Some(&*answer.body.len().to_string()));
    }
    let archive = ask(&proxy, "HTTP/1.0", &release.download(), "").ok();
    assert_eq!((archive.body, archive.fields.get("transfer-encoding")), (release.archive(), None));
}

#[test]
fn later_versions_name_one_host_whatever_is_configured() {
    let (upstream, release) = published();
    let proxy = Setup::before(&upstream).set("server.public_url", "https://volumes.example").start();
    let closing = "connection: close\r\n";
    assert_eq!(ask(&proxy, "HTTP/1.1", &release.index(), closing).status, 400);
    for hosts in ["host: a\r\nhost: b\r\n", "host: a b\r\n"] {
        assert_eq!(ask(&proxy, "HTTP/1.0", &release.index(), hosts).status, 400, "{hosts}");
    }
}
