//! What systemd is told, over the socket that it gives.

use std::fs::File;
use std::os::unix::net::UnixDatagram;
use std::process::Stdio;
use std::time::Duration;

use tempfile::TempDir;

use crate::support::proxy::{capture, scriptorium, signal};
use crate::support::{Setup, Upstream, eventually};

/// The socket of a service manager.
struct ServiceManager {
    socket: UnixDatagram,
    folder: TempDir,
}

impl ServiceManager {
    fn new() -> Self {
        let folder = TempDir::new().unwrap();
        let socket = UnixDatagram::bind(folder.path().join("notify")).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        Self { socket, folder }
    }

    fn of(&self, setup: Setup) -> Setup {
        setup.env("NOTIFY_SOCKET", self.folder.path().join("notify").to_str().unwrap())
    }

    /// The next message that is no sign of life.
    fn told(&self) -> String {
        loop {
            let mut message = [0; 4096];
            let length = self.socket.recv(&mut message).expect("a message");
            let message = String::from_utf8(message[..length].to_vec()).unwrap();
            if message.trim() != "WATCHDOG=1" {
                return message;
            }
        }
    }

    fn sign_of_life(&self) {
        let mut message = [0; 4096];
        loop {
            let length = self.socket.recv(&mut message).expect("a message");
            if message[..length].trim_ascii() == b"WATCHDOG=1" {
                return;
            }
        }
    }
}

#[test]
fn the_start_a_reload_and_the_end_are_told() {
    let (upstream, manager) = (Upstream::start(), ServiceManager::new());
    let mut proxy = manager.of(Setup::before(&upstream)).start();
    assert_eq!(manager.told(), "READY=1\n");
    proxy.signal("HUP");
    let reloading = manager.told();
    assert!(reloading.starts_with("RELOADING=1\nMONOTONIC_USEC="), "{reloading}");
    assert_eq!(manager.told(), "READY=1\n");
    proxy.signal("TERM");
    assert_eq!(manager.told(), "STOPPING=1\n");
    assert!(proxy.exit().success());
}

#[test]
fn signs_of_life_come_before_the_watchdog_loses_patience() {
    let (upstream, manager) = (Upstream::start(), ServiceManager::new());
    let setup = manager.of(Setup::before(&upstream)).env("WATCHDOG_USEC", "200000");
    let mut proxy = setup.start();
    for _ in 0..5 {
        manager.sign_of_life();
    }
    proxy.stop();
}

#[test]
fn the_next_process_is_named_as_the_main_one_and_the_service_does_not_end() {
    let (upstream, manager) = (Upstream::start(), ServiceManager::new());
    let mut proxy = manager.of(Setup::before(&upstream)).start();
    assert_eq!(manager.told(), "READY=1\n");
    let mut next = scriptorium()
        .args(["serve", "--upgrade", "--config"])
        .arg(proxy.config())
        .env("NOTIFY_SOCKET", manager.folder.path().join("notify"))
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let log = capture(next.stderr.take().unwrap());
    eventually("the old process's end", || {
        proxy.signal("QUIT");
        (!proxy.is_running()).then_some(())
    });
    let mut told = [manager.told(), manager.told()];
    told.sort();
    assert_eq!(told, [format!("MAINPID={}\n", next.id()), "READY=1\n".to_owned()], "{}", log.lock().unwrap());
    signal(next.id(), "TERM");
    assert_eq!(manager.told(), "STOPPING=1\n");
    assert!(next.wait().unwrap().success());
}

#[test]
fn lines_for_the_journal_say_how_bad_they_are() {
    let folder = TempDir::new().unwrap();
    let upstream = Upstream::start();
    let log = folder.path().join("log");
    let run = |journal: Option<String>| {
        let file = folder.path().join("scriptorium.toml");
        Setup::before(&upstream)
            .set("server.listen", "192.0.2.1:1")
            .set("server.admin_listen", "127.0.0.1:0")
            .set("storage.url", "memory:///")
            .set("upstream.url", "https://registry.localhost")
            .write(&file);
        let mut command = scriptorium();
        // It is told, before the start fails.
        command.env("SSL_CERT_FILE", "/etc/ssl/certs/ca-certificates.crt");
        command.args(["serve", "--config"]).arg(&file).envs(journal.map(|stream| ("JOURNAL_STREAM", stream)));
        command.env_remove("NOTIFY_SOCKET").stderr(File::create(&log).unwrap()).status().unwrap();
        std::fs::read_to_string(&log).unwrap()
    };
    let plain = run(None);
    assert!(plain.contains("\"level\":\"ERROR\"") && !plain.contains('<'), "{plain}");
    use std::os::unix::fs::MetadataExt;
    let stream = log.metadata().unwrap();
    let journal = run(Some(format!("{}:{}", stream.dev(), stream.ino())));
    let error = journal.lines().find(|line| line.contains("\"level\":\"ERROR\"")).unwrap();
    assert!(error.starts_with("<3>{"), "{journal}");
    assert!(journal.lines().any(|line| line.starts_with('{')), "information has no priority: {journal}");
}
