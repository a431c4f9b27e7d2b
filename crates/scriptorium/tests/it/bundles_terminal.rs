//! Commands about bundles on a terminal: a password is not shown, and long work has a bar.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::support::crossing::{Luggage, export, mirror, receiver, seen};
use crate::support::{Release, Upstream};

/// Runs a command on a terminal of its own, answers each prompt in turn once the terminal shows nothing that is typed, and
/// gives back what the terminal showed. Its exit code is the command's.
const TERMINAL: &str = r#"
import os, pty, select, sys, termios, time
answers, command, sent = sys.argv[1].split(","), sys.argv[2:], 0
child, terminal = pty.fork()
if child == 0:
    os.execv(command[0], command)
shown, deadline = b"", time.monotonic() + 60
def hides():
    return not termios.tcgetattr(terminal)[3] & termios.ECHO
while time.monotonic() < deadline:
    if select.select([terminal], [], [], 0.01)[0]:
        try:
            read = os.read(terminal, 4096)
        except OSError:
            read = b""
        if not read:
            break
        shown += read
    elif answers[sent:] and shown.count(b"Password") > sent and hides():
        os.write(terminal, answers[sent].encode() + b"\n")
        sent += 1
sys.stdout.buffer.write(shown)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"#;

/// What a terminal showed, and the exit code; none where there is no Python.
fn on_a_terminal(answers: &str, arguments: &[&str]) -> Option<(String, i32)> {
    let binary = env!("CARGO_BIN_EXE_scriptorium");
    let mut command = Command::new("python3");
    command.args(["-c", TERMINAL, answers, binary, "mirror"]).args(arguments).env("TERM", "xterm");
    match command.output() {
        Ok(said) => Some((
            String::from_utf8_lossy(&said.stdout).into_owned() + &String::from_utf8_lossy(&said.stderr),
            said.status.code().unwrap(),
        )),
        Err(error) => {
            eprintln!("skipped: no python3 here: {error}");
            None
        }
    }
}

#[test]
fn a_password_is_not_shown_and_asked_for_twice() {
    let luggage = Luggage::new();
    let made = |answers| on_a_terminal(answers, &["key", "--password", "--out", &luggage.at("corp")]);
    let Some((shown, code)) = made("hunter2,hunter3") else { return };
    assert_eq!(code, 2, "{shown}");
    assert!(shown.contains("differ") && !luggage.path("corp.key").exists(), "{shown}");
    let (shown, code) = made("hunter2,hunter2").unwrap();
    assert_eq!(code, 0, "{shown}");
    assert!(shown.contains("Password: ") && shown.contains("corp.key"), "{shown}");
    assert!(!shown.contains("hunter"), "{shown}");

    let upstream = Upstream::start();
    let near = seen(&upstream, &[&Release::new("lamp", "1.0.0")]);
    let export = |answers| {
        let (to, key, config) =
            (luggage.at("bundle"), luggage.at("corp.key"), near.config().display().to_string());
        let arguments = ["export", "ci", "--to", &to, "--key", &key, "--password", "--config", &config];
        on_a_terminal(answers, &arguments).unwrap()
    };
    let (shown, code) = export("hunter3");
    assert_ne!(code, 0, "{shown}");
    let (shown, code) = export("hunter2");
    assert!(code == 0 && !shown.contains("hunter"), "{shown}");
    // What is no terminal is read as it was.
    assert!(fs::read_to_string(luggage.path("corp.pub")).unwrap().contains("RW"));
}

#[test]
fn inspecting_and_importing_show_how_far_they_are() {
    let (luggage, upstream) = (Luggage::new(), Upstream::start());
    let key = luggage.key("corp");
    export(&seen(&upstream, &[&Release::new("lamp", "1.0.0")]), &luggage, "bundle", &[]);
    let far = receiver(&upstream, &key).start();
    let (bundle, config) = (luggage.at("bundle"), far.config().display().to_string());
    for command in ["inspect", "import"] {
        let arguments = [command, &bundle, "--config", &config];
        let Some((shown, code)) = on_a_terminal("", &arguments) else { return };
        assert_eq!(code, 0, "{shown}");
        assert!(shown.contains(" left"), "{command} shows no bar: {shown:?}");
        let (shown, _) = on_a_terminal("", &[&arguments[..], &["--json"]].concat()).unwrap();
        assert!(!shown.contains(" left"), "a program is shown none: {shown:?}");
    }
    assert!(Path::new(&bundle).is_dir());
    mirror(&far, &["status", "--json"]).exits(0);
}
