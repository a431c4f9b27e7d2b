//! `scriptorium health`: the exit code by which containers and supervisors judge the proxy.

use std::fs;
use std::net::TcpListener;
use std::process::Output;
use std::thread;

use tempfile::TempDir;

use crate::support::proxy::scriptorium;
use crate::support::{Setup, Upstream, free_ports};

fn health(arguments: &[&str], environment: &[(&str, &str)]) -> Output {
    scriptorium().arg("health").args(arguments).envs(environment.iter().copied()).output().unwrap()
}

#[track_caller]
fn refuses(output: &Output, why: &str) {
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains(why) && output.stdout.is_empty(), "{said}");
}

#[test]
fn a_running_proxy_is_found_by_file_url_and_environment() {
    let upstream = Upstream::start();
    let mut proxy = Setup::before(&upstream).start();
    let (file, port) = (proxy.config(), proxy.admin().0.port());
    let file = file.to_str().unwrap();
    let (everywhere, url) = (format!("0.0.0.0:{port}"), format!("http://localhost:{port}"));
    let found = [
        health(&["--config", file], &[]),
        health(&["--admin", &url], &[]),
        health(&[], &[("SCRIPTORIUM_SERVER__ADMIN_LISTEN", &everywhere)]),
        health(&[], &[("SCRIPTORIUM_SERVER__ADMIN_LISTEN", &format!("[::]:{port}"))]),
        // No credential is needed, nor sent.
        health(&["--admin", &url], &[("SCRIPTORIUM_ADMIN_TOKEN", "not a\ntoken")]),
    ];
    for output in found {
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        assert!(output.stdout.is_empty() && output.stderr.is_empty(), "{output:?}");
    }

    // Somebody edits the file; the proxy goes on.
    let text = fs::read_to_string(file).unwrap();
    fs::write(file, format!("{text}\n[nonsense]\nkey = 1\n")).unwrap();
    assert_eq!(health(&["--config", file], &[]).status.code(), Some(0));
    fs::write(file, format!("{text}\nx = [\n[half")).unwrap();
    let output = health(&["--config", file], &[]);
    assert_eq!(output.status.code(), Some(0), "what can be read of a file counts: {output:?}");
    fs::write(file, "[server]\nadmin_listen = \"nowhere\"\n").unwrap();
    refuses(&health(&["--config", file], &[]), "server.admin_listen");

    proxy.stop();
    refuses(&health(&["--admin", &url], &[]), "is the proxy running?");
}

#[test]
fn what_is_not_ready_or_no_proxy_is_refused_with_the_reason() {
    let [port, _] = free_ports();
    let url = format!("http://127.0.0.1:{port}");
    refuses(&health(&["--config", "/no/such/file.toml"], &[]), "/no/such/file.toml");
    refuses(&health(&["--admin", "http://no.such.host.invalid:9090"], &[]), "is not found");

    let listener = TcpListener::bind(("127.0.0.1", port)).unwrap();
    let stranger = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut head = [0; 4096];
        std::io::Read::read(&mut stream, &mut head).unwrap();
        let answer = "HTTP/1.1 503 Service Unavailable\r\ncontent-length: 8\r\n\r\nstarting";
        std::io::Write::write_all(&mut stream, answer.as_bytes()).unwrap();
    });
    let output = health(&["--admin", &url], &[]);
    stranger.join().unwrap();
    refuses(&output, "503");
    refuses(&output, "starting");
}

#[test]
fn completions_and_manual_pages_name_every_command() {
    let folder = TempDir::new().unwrap();
    let printed = |arguments: &[&str]| {
        let output = scriptorium().args(arguments).current_dir(folder.path()).output().unwrap();
        assert!(output.status.success() && output.stderr.is_empty(), "{arguments:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = printed(&["completions", shell]);
        assert!(script.contains("mirror") && script.contains("admin-listen"), "{shell}");
    }
    let page = printed(&["man"]);
    assert!(page.contains(".TH scriptorium 1") && page.contains("scriptorium\\-serve(1)"), "{page}");
    let page = printed(&["man", "mirror", "sync"]);
    assert!(page.contains("scriptorium\\-mirror\\-sync") && page.contains("\\-\\-config"), "{page}");
    assert_eq!(scriptorium().args(["man", "mirror", "nothing"]).output().unwrap().status.code(), Some(2));
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0, "everything goes to standard output");
}
