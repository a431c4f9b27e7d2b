//! The command line: what is printed, and which exit code says what.

use std::fs;
use std::io::Write;
use std::process::{Output, Stdio};

use sha2::{Digest, Sha256};
use tempfile::TempDir;

use crate::support::proxy::{ended, scriptorium};

fn run(arguments: &[&str]) -> Output {
    scriptorium().args(arguments).stdin(Stdio::null()).output().unwrap()
}

/// Everything a command said.
fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

fn check(config: &str, environment: &[(&str, &str)]) -> Output {
    let directory = TempDir::new().unwrap();
    let file = directory.path().join("scriptorium.toml");
    fs::write(&file, config).unwrap();
    scriptorium()
        .args(["config", "check", "--config"])
        .arg(file)
        .envs(environment.iter().copied())
        .output()
        .unwrap()
}

#[test]
fn version_and_help_are_told() {
    let version = run(&["--version"]);
    assert!(version.status.success());
    assert_eq!(
        String::from_utf8(version.stdout).unwrap().trim(),
        format!("scriptorium {}", env!("CARGO_PKG_VERSION"))
    );
    let commands: [&[&str]; 13] = [
        &["--help"],
        &["serve", "--help"],
        &["demo", "--help"],
        &["config", "--help"],
        &["config", "check", "--help"],
        &["audit", "--help"],
        &["pins", "export", "--help"],
        &["pins", "import", "--help"],
        &["pins", "check", "--help"],
        &["store", "stats", "--help"],
        &["store", "gc", "--help"],
        &["store", "verify", "--help"],
        &["token", "hash", "--help"],
    ];
    for command in commands {
        let help = run(command);
        assert!(help.status.success() && said(&help).contains("Usage:"), "{command:?}: {}", said(&help));
    }
}

#[test]
fn bad_usage_exits_with_2() {
    let commands: [&[&str]; 10] = [
        &["no-such-command"],
        &["serve", "--no-such-flag"],
        &["config", "check"],
        &["serve", "--listen", "nowhere"],
        &["audit", "--data", "/no/such/folder"],
        &["pins", "export", "--data", "/no/such/folder"],
        &["store", "stats", "--data", "/no/such/folder"],
        &["store", "gc", "--data", "/no/such/folder"],
        &["store", "verify", "--data", "/no/such/folder"],
        &["pins", "import", "--data", "unused", "/no/such/file"],
    ];
    for command in commands {
        let output = run(command);
        assert_eq!(output.status.code(), Some(2), "{command:?}: {}", said(&output));
        assert!(!output.stderr.is_empty() && output.stdout.is_empty(), "{command:?}");
    }
}

#[test]
fn a_good_configuration_is_shown_without_its_secrets() {
    let hash = "2".repeat(64);
    let config = format!(
        "[[upstreams]]\nname = \"public\"\nurl = \"https://registry.example.com\"\ntoken_env = \"READ_TOKEN\"\n\
         [cache]\nindex_ttl = \"90s\"\n[[tokens]]\nname = \"ci-main\"\nclass = \"ci\"\nsha256 = \"{hash}\"\n"
    );
    let output = check(&config, &[("READ_TOKEN", "the-secret")]);
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    let shown = String::from_utf8_lossy(&output.stdout);
    assert!(!said(&output).contains("the-secret") && !said(&output).contains(&hash), "{shown}");
    let effective: toml::Table = toml::from_str(&shown).unwrap();
    assert_eq!(effective["upstreams"][0]["name"].as_str(), Some("public"));
    assert!(effective["cache"]["release_ttl"].is_str(), "defaults are part of what is in effect");
}

#[test]
fn the_environment_overrides_the_file() {
    let config = "[[upstreams]]\nname = \"public\"\nurl = \"https://registry.example.com\"\n[cache]\nindex_ttl = \"90s\"\n";
    let output =
        check(config, &[("SCRIPTORIUM_CACHE__INDEX_TTL", "17s"), ("SCRIPTORIUM_SERVER__THREADS", "3")]);
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    let effective: toml::Table = toml::from_str(&String::from_utf8_lossy(&output.stdout)).unwrap();
    assert_eq!(effective["cache"]["index_ttl"].as_str(), Some("17s"));
    assert_eq!(effective["server"]["threads"].as_integer(), Some(3));
}

#[test]
fn every_error_of_a_configuration_is_told_at_once() {
    let config = "[server]\nlisten = \"nowhere\"\nadmin_listn = \"127.0.0.1:9090\"\n\
                  [[upstreams]]\nname = \"public\"\nurl = \"ftp://registry.example.com\"\ntoken_env = \"SURELY_UNSET_TOKEN\"\n\
                  [cache]\nindex_ttl = \"soon\"\noffline = 3\n[limits]\nmax_archive = \"12 parsecs\"\n[nonsense]\nkey = 1\n";
    let output = check(config, &[("SCRIPTORIUM_CACHE__SEARCH_TTL", "later")]);
    assert_eq!(output.status.code(), Some(2));
    assert!(output.stdout.is_empty(), "a bad configuration is not shown as if it were in effect");
    let errors = String::from_utf8_lossy(&output.stderr);
    let keys = [
        "server.listen",
        "admin_listn",
        "admin_listen",
        "upstreams[0].url",
        "upstreams[0].token_env",
        "cache.index_ttl",
        "cache.offline",
        "limits.max_archive",
        "nonsense",
        "SCRIPTORIUM_CACHE__SEARCH_TTL",
        "scriptorium.toml",
    ];
    for key in keys {
        assert!(errors.contains(key), "{key} is not named in:\n{errors}");
    }
}

#[test]
fn serve_refuses_a_bad_configuration() {
    let directory = TempDir::new().unwrap();
    let file = directory.path().join("bad.toml");
    fs::write(&file, "[server]\nlisten = 1\n[cache]\nindex_ttl = \"soon\"\n").unwrap();
    let output = ended("serve", scriptorium().args(["serve", "--config"]).arg(&file));
    assert_eq!(output.status.code(), Some(2), "{}", said(&output));
    assert!(
        said(&output).contains("server.listen") && said(&output).contains("cache.index_ttl"),
        "{}",
        said(&output)
    );
    assert_eq!(run(&["serve", "--config", "/no/such/file.toml"]).status.code(), Some(2));
    assert_eq!(run(&["serve"]).status.code(), Some(2), "without an upstream there is nothing to serve");
}

#[test]
fn a_token_is_hashed() {
    for input in ["s3cret-token", "s3cret-token\n"] {
        let mut child = scriptorium()
            .args(["token", "hash"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        let hash = data_encoding::HEXLOWER.encode(&Sha256::digest("s3cret-token"));
        assert!(output.status.success());
        assert_eq!(String::from_utf8_lossy(&output.stdout).trim_end(), format!("sha256 = \"{hash}\""));
        assert!(!said(&output).contains("s3cret-token"));
    }
    assert_ne!(run(&["token", "hash"]).status.code(), Some(0), "no token, no hash");
}
