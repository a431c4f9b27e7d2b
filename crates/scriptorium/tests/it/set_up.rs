//! Errors of a start: each names its cause, and what to do.

use std::fs::{self, Permissions};
use std::net::TcpListener;
use std::os::unix::fs::{PermissionsExt, chown};
use std::process::Command;

use tempfile::TempDir;

use crate::support::proxy::{ended, scriptorium};
use crate::support::{Setup, Upstream, free_ports};

/// A user that owns nothing.
const STRANGER: u32 = 61_234;

#[test]
fn a_port_in_use_names_the_process_that_has_it() {
    let upstream = Upstream::start();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("scriptorium.toml");
    let [admin, _] = free_ports();
    Setup::before(&upstream)
        .set("server.listen", taken.local_addr().unwrap().to_string())
        .set("server.admin_listen", format!("127.0.0.1:{admin}"))
        .set("storage.url", "memory:///")
        .write(&file);
    let output = ended("serve", scriptorium().args(["serve", "--config"]).arg(&file));
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    let process = format!("in use by process {} (", std::process::id());
    assert!(said.contains(&process) && said.contains("server.listen"), "{said}");
}

#[test]
fn a_cause_is_told_once() {
    let upstream = Upstream::start();
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("scriptorium.toml");
    let [public, admin] = free_ports().map(|port| format!("127.0.0.1:{port}"));
    let setup = Setup::before(&upstream)
        .set("server.listen", public)
        .set("server.admin_listen", admin)
        .set("storage.url", "memory:///");
    let audit = folder.path().join("missing/audit.jsonl").display().to_string();
    for (setup, flags, cause, advice) in [
        (
            setup.clone().set("server.listen", "192.0.2.1:8080"),
            [].as_slice(),
            "os error 99",
            "`server.listen` must",
        ),
        (setup.clone(), &["--listen", "192.0.2.1:8080"], "os error 99", "`--listen` must"),
        (setup.set("log.audit", audit), &[], "os error 2", "make its folder"),
    ] {
        setup.write(&file);
        let output = ended("serve", scriptorium().args(["serve", "--config"]).arg(&file).args(flags));
        let said = String::from_utf8_lossy(&output.stderr);
        let last = said.lines().last().unwrap_or_default();
        assert_eq!((output.status.code(), last.matches(cause).count()), (Some(1), 1), "{said}");
        assert!(last.contains(advice), "{said}");
    }
}

#[test]
fn an_error_without_a_key_names_the_file_and_its_line() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("scriptorium.toml");
    let place = file.display().to_string();
    for (text, told) in [
        (None, format!("{place}: expected a readable TOML file: ")),
        (Some("[server]\nlisten ="), format!("{place}:2:9: not TOML: ")),
        (Some("\"\" = 1"), format!("{place}:1:1: \"\": unknown key")),
    ] {
        if let Some(text) = text {
            fs::write(&file, text).unwrap();
        }
        for command in [["config", "check"].as_slice(), &["serve"], &["doctor"]] {
            let output = ended("it", scriptorium().args(command).arg("--config").arg(&file));
            let said = format!(
                "{}{}",
                String::from_utf8_lossy(&output.stdout),
                String::from_utf8_lossy(&output.stderr)
            );
            assert!(said.contains(&told) && !said.contains(": :"), "{command:?}: {said}");
        }
    }
}

#[test]
fn a_folder_without_rights_says_which_user_needs_which() {
    if rustix::process::geteuid().as_raw() != 0 {
        let required = std::env::var_os("SCRIPTORIUM_REQUIRE_OTHER_USER").is_some();
        assert!(!required, "only root can be another user");
        eprintln!("skipped: only root can be another user");
        return;
    }
    let upstream = Upstream::start();
    let home = TempDir::new().unwrap();
    fs::set_permissions(home.path(), Permissions::from_mode(0o755)).unwrap();
    // A copy, since the folder of the build may be closed to others.
    let binary = home.path().join("scriptorium");
    fs::copy(env!("CARGO_BIN_EXE_scriptorium"), &binary).unwrap();
    let (closed, foreign) = (home.path().join("closed"), home.path().join("foreign"));
    for (folder, mode) in [(&closed, 0o700), (&foreign, 0o755)] {
        fs::create_dir(folder).unwrap();
        fs::set_permissions(folder, Permissions::from_mode(mode)).unwrap();
    }
    let start = |data: &str| {
        let file = home.path().join("scriptorium.toml");
        let [public, admin] = free_ports().map(|port| format!("127.0.0.1:{port}"));
        Setup::before(&upstream)
            .set("server.listen", public)
            .set("server.admin_listen", admin)
            .set("storage.url", format!("file://{data}"))
            .write(&file);
        chown(&file, Some(STRANGER), None).unwrap();
        let user = STRANGER.to_string();
        let mut command = Command::new("setpriv");
        command.args(["--reuid", &user, "--regid", &user, "--clear-groups"]).arg(&binary);
        let output = ended("serve", command.args(["serve", "--config"]).arg(&file).env_clear());
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        String::from_utf8(output.stderr).unwrap()
    };
    let said = start(&closed.join("data").display().to_string());
    let enter = format!("user {STRANGER} may not enter {}", closed.display());
    assert!(said.contains(&enter) && said.contains("belongs to user 0 and has mode 700"), "{said}");
    let said = start(&foreign.join("data").display().to_string());
    assert!(said.contains(&format!("user {STRANGER} may not write in {}", foreign.display())), "{said}");
    let make = format!("`install -d -o {STRANGER} {}`", foreign.join("data").display());
    assert!(said.contains("storage.url") && said.contains(&make) && !said.contains("chown"), "{said}");
}
