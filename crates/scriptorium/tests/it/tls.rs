//! TLS and HTTP/2 on the public port, as curl sees them.

use std::path::Path;
use std::process::Command;

use tempfile::TempDir;
use toml::Table;

use crate::support::{Release, Setup, Upstream};

/// A key and a certificate for localhost; false when there is no openssl to make them.
pub(crate) fn make_certificate(directory: &Path) -> bool {
    Command::new("openssl")
        .current_dir(directory)
        .args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=localhost"])
        .args(["-keyout", "key.pem", "-out", "cert.pem"])
        .output()
        .is_ok_and(|output| output.status.success())
}

fn curl(arguments: &[&str]) -> String {
    let output =
        Command::new("curl").args(["-sS", "-k", "--max-time", "10"]).args(arguments).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn tls_speaks_both_versions_of_http() {
    let directory = TempDir::new().unwrap();
    if !make_certificate(directory.path()) || Command::new("curl").arg("--version").output().is_err() {
        eprintln!("skipped: openssl and curl are needed to see TLS from outside");
        return;
    }
    let (upstream, release) = (Upstream::start(), Release::new("lamp", "1.0.0"));
    upstream.publish(&release);
    let pem = |name: &str| directory.path().join(name).display().to_string();
    let files = Table::from_iter([
        ("cert".to_owned(), pem("cert.pem").into()),
        ("key".to_owned(), pem("key.pem").into()),
    ]);
    let proxy = Setup::before(&upstream).set("server.tls", files).start();
    let url = format!("https://localhost:{}{}", proxy.client().0.port(), release.exact());
    let resolve = format!("localhost:{}:127.0.0.1", proxy.client().0.port());
    for (flag, version) in [("--http1.1", "1.1"), ("--http2", "2")] {
        let said = curl(&[flag, "--resolve", &resolve, "-w", "\n%{http_version} %{http_code}", &url]);
        let (body, outcome) = said.rsplit_once('\n').unwrap();
        assert_eq!(outcome, format!("{version} 200"));
        let here = format!("https://localhost:{}/archives/", proxy.client().0.port());
        assert!(body.contains(&here), "links do not lead back through TLS: {body}");
    }
    let archive = format!("https://localhost:{}{}", proxy.client().0.port(), release.download());
    let file = directory.path().join("archive");
    curl(&["--http2", "--resolve", &resolve, "-o", file.to_str().unwrap(), &archive]);
    assert_eq!(std::fs::read(file).unwrap(), release.archive());
}
