//! `scriptorium config init`: the first configuration of a machine.

use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;

use crate::support::Upstream;
use crate::support::proxy::scriptorium;

fn init(folder: &Path, arguments: &[&str]) -> Output {
    let mut command = scriptorium();
    command.args(["config", "init"]).args(arguments).current_dir(folder);
    command.stdin(Stdio::null()).output().unwrap()
}

fn check(file: &Path) -> Output {
    scriptorium().args(["config", "check", "--config"]).arg(file).output().unwrap()
}

#[test]
fn the_file_passes_the_check_and_says_what_was_asked_for() {
    let folder = TempDir::new().unwrap();
    let written = init(
        folder.path(),
        &[
            "--upstream",
            "https://registry.example.com",
            "--public-url",
            "https://volumes.corp.example",
            "--data",
            "./ca\"che",
        ],
    );
    assert_eq!(written.status.code(), Some(0), "{written:?}");
    let file = folder.path().join("scriptorium.toml");
    let text = fs::read_to_string(&file).unwrap();
    assert!(text.contains("# Base URL of links") && text.contains("# Address and port"), "{text}");
    let checked = check(&file);
    assert_eq!(checked.status.code(), Some(0), "{checked:?}");
    let effective: toml::Table = toml::from_str(&String::from_utf8_lossy(&checked.stdout)).unwrap();
    assert_eq!(effective["upstreams"][0]["url"].as_str(), Some("https://registry.example.com/"));
    assert_eq!(effective["server"]["public_url"].as_str(), Some("https://volumes.corp.example/"));
    let data = effective["storage"]["url"].as_str().unwrap();
    assert!(data.starts_with("file:///") && data.ends_with("/ca%22che"), "{data}");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing else is left");
}

#[test]
fn a_file_that_exists_stays_and_a_bad_answer_writes_none() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("scriptorium.toml");
    let refused = |arguments: &[&str], why: &str| {
        let output = init(folder.path(), arguments);
        assert_eq!(output.status.code(), Some(2), "{output:?}");
        assert!(String::from_utf8_lossy(&output.stderr).contains(why), "{output:?}");
    };
    refused(&[], "--upstream");
    refused(&["--upstream", "ftp://registry.example.com"], "upstreams[0].url");
    refused(&["--upstream", "https://registry.example.com", "--listen", "here"], "server.listen");
    assert!(!file.exists() && fs::read_dir(folder.path()).unwrap().next().is_none());
    fs::write(&file, "mine").unwrap();
    refused(&["--upstream", "https://registry.example.com"], "not overwritten");
    assert_eq!(fs::read_to_string(&file).unwrap(), "mine");
}

#[test]
fn a_file_that_cannot_be_written_is_told_once_with_what_to_do() {
    let folder = TempDir::new().unwrap();
    let output = init(
        folder.path(),
        &["--upstream", "https://registry.example.com", "--config", "nowhere/scriptorium.toml"],
    );
    let told = String::from_utf8(output.stderr).unwrap();
    assert_eq!((output.status.code(), told.matches("os error 2").count()), (Some(1), 1), "{told}");
    assert!(told.contains("name a file in a folder that exists"), "{told}");
}

#[test]
fn what_no_flag_says_is_asked_for_on_a_terminal() {
    if Command::new("script").arg("--version").output().is_err() {
        eprintln!("skipped: no script here");
        return;
    }
    let upstream = Upstream::start();
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("scriptorium.toml");
    let command = format!("{} config init", env!("CARGO_BIN_EXE_scriptorium"));
    let answers = format!("{}\n\n{}\n", upstream.url(), folder.path().join("data").display());
    let mut terminal = Command::new("script")
        .args(["-qec", &command, "/dev/null"])
        .current_dir(folder.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    std::io::Write::write_all(&mut terminal.stdin.take().unwrap(), answers.as_bytes()).unwrap();
    assert!(terminal.wait().unwrap().success());
    let text = fs::read_to_string(&file).unwrap();
    assert!(text.contains(&upstream.url()) && text.contains("/data\""), "{text}");
    assert!(!text.contains("public_url"), "{text}");
}
