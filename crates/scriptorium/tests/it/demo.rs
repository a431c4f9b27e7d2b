//! `scriptorium demo`: the newcomer's first minute.

use std::net::TcpListener;
use std::process::{Command, Stdio};

use sha2::{Digest, Sha256};

use crate::support::proxy::{capture, ended, scriptorium, signal};
use crate::support::{Client, eventually, free_ports};

#[test]
fn the_printed_curl_lines_work() {
    if Command::new("curl").arg("--version").output().is_err() {
        eprintln!("skipped: no curl here");
        return;
    }
    let [listen, admin] = free_ports().map(|port| format!("127.0.0.1:{port}"));
    let mut demo = scriptorium()
        .args(["demo", "--listen", &listen, "--admin-listen", &admin])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let printed = capture(demo.stdout.take().unwrap());
    let logged = capture(demo.stderr.take().unwrap());
    let lines = eventually("three curl lines", || {
        let text = printed.lock().unwrap().clone();
        let lines: Vec<_> =
            text.lines().map(str::trim).filter(|line| line.starts_with("curl ")).map(str::to_owned).collect();
        (lines.len() >= 3).then_some(lines)
    });
    assert_eq!(lines.len(), 3, "{lines:?}");
    let folder = tempfile::TempDir::new().unwrap();
    for line in lines {
        let strict = line.replacen("curl ", "curl --fail --max-time 10 ", 1);
        let output = Command::new("sh").current_dir(folder.path()).args(["-c", &strict]).output().unwrap();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{line}\n{errors}\n{}", logged.lock().unwrap());
    }
    artifacts_equal_their_digests(Client(listen.parse().unwrap()));
    every_release_is_answered(Client(listen.parse().unwrap()));
    let by_git = Client(listen.parse().unwrap()).get("/api/v1/volumes/git-tools/1.3.1").ok().json();
    assert_eq!(by_git["dist"]["source"], "git");
    Client(listen.parse().unwrap()).get("/archives/git-tools/1.3.1.tar.gz").ok();
    let admin = Client(admin.parse().unwrap());
    admin.send("POST", "/admin/v1/reload", &[]).problem(409, "about:blank");
    signal(demo.id(), "INT");
    let status = eventually("the demo's end", || demo.try_wait().unwrap());
    assert_eq!(status.code(), Some(0));
    assert!(TcpListener::bind(&listen).is_ok(), "something was left behind");
}

/// What `demo` says at these addresses, where it cannot run.
fn refused(listen: &str, admin: &str) -> (Option<i32>, String) {
    let mut demo = scriptorium();
    let output = ended("the demo", demo.args(["demo", "--listen", listen, "--admin-listen", admin]));
    assert!(output.stdout.is_empty(), "URLs that do not work: {output:?}");
    (output.status.code(), String::from_utf8(output.stderr).unwrap())
}

#[test]
fn nothing_is_promised_at_an_address_that_cannot_be_had() {
    let holder = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = holder.local_addr().unwrap().to_string();
    let [one, other] = free_ports().map(|port| format!("127.0.0.1:{port}"));
    let process = format!("process {}", std::process::id());
    for (listen, admin, flag) in [(&taken, &one, "--listen"), (&one, &taken, "--admin-listen")] {
        let (code, told) = refused(listen, admin);
        assert_eq!(code, Some(1), "{told}");
        assert!(told.contains(&process) && told.contains(&format!("choose another `{flag}`")), "{told}");
        assert!(!told.contains("server."), "{told}");
    }
    let (code, told) = refused("192.0.2.1:8080", &other);
    assert_eq!((code, told.matches("os error 99").count()), (Some(1), 1), "{told}");
    assert!(told.contains("`--listen` must be an address of this machine"), "{told}");
    for listen in [one.clone(), one.replace("127.0.0.1", "0.0.0.0")] {
        let (code, told) = refused(&listen, &one);
        assert_eq!(code, Some(2), "{told}");
        assert!(told.contains("--listen and --admin-listen: expected two ports"), "{told}");
    }
}

/// Follows every locator of a sample release's trust detail.
fn artifacts_equal_their_digests(client: Client) {
    let detail = client.get("/api/v1/volumes/@acme/review-agent/2.0.0/trust/detail").ok().json();
    let mut followed = 0;
    for attachment in detail["attachments"].as_array().unwrap() {
        let Some(url) = attachment["locator"]["url"].as_str() else { continue };
        let bytes = client.get(url.strip_prefix(&format!("http://{}", client.0)).unwrap()).ok().body;
        let digest = format!("sha256:{}", data_encoding::HEXLOWER.encode(&Sha256::digest(bytes)));
        assert_eq!(attachment["artifactDigest"], digest);
        followed += 1;
    }
    assert!(followed > 0, "the sample has artifacts: {detail}");
}

/// Asks for each release that the indexes of the sample list, so that no document of it is malformed.
fn every_release_is_answered(client: Client) {
    let found = client.get("/api/v1/search?limit=100").ok().json();
    let mut answered = 0;
    for item in found["items"].as_array().unwrap() {
        let name = item["name"].as_str().unwrap();
        let index = client.get(&format!("/api/v1/index/volumes/{name}")).ok().json();
        for row in index["items"].as_array().unwrap() {
            let (version, state) =
                (row["version"].as_str().unwrap(), row["status"]["state"].as_str().unwrap());
            let answer = client.get(&format!("/api/v1/volumes/{name}/{version}"));
            let is_expected = match state {
                "available" | "yanked" => answer.status == 200,
                _ => matches!(answer.status, 200 | 403 | 404 | 409),
            };
            assert!(is_expected, "{name}@{version}, {state}: {}", answer.status);
            answered += 1;
        }
    }
    assert!(answered > 20, "{answered} releases");
}
