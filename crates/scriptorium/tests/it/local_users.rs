//! Other users of the same machine: what they plant in folders that all may write to harms nothing, and they can neither
//! take this process's listeners nor give it theirs.

use std::fs;
use std::io::{BufRead, BufReader, ErrorKind};
use std::os::unix::fs::{FileTypeExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use crate::support::disk::taken;
use crate::support::proxy::{capture, scriptorium};
use crate::support::tarball::Entry;
use crate::support::{Proxy, Release, Setup, Upstream, eventually, noise};

/// A user who is nobody to this process.
const STRANGER: u32 = 65_534;

/// A folder that all may write to, as the system's temporary one.
fn common() -> TempDir {
    let folder = TempDir::new().unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o1777)).unwrap();
    folder
}

fn mode(path: &Path) -> u32 {
    fs::symlink_metadata(path).unwrap().permissions().mode() & 0o777
}

fn user() -> u32 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("Uid:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// Somebody else's data, laid out as what a sweep removes.
struct Victim(TempDir);

impl Victim {
    fn new() -> Self {
        let folder = TempDir::new().unwrap();
        fs::create_dir_all(folder.path().join("run-0/inside")).unwrap();
        fs::create_dir_all(folder.path().join("precious")).unwrap();
        for file in ["run-0/staged-0", "run-0/inside/file", "precious/file", "file"] {
            fs::write(folder.path().join(file), "theirs").unwrap();
        }
        Self(folder)
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    #[track_caller]
    fn assert_whole(&self) {
        for file in ["run-0/staged-0", "run-0/inside/file", "precious/file", "file"] {
            let content = fs::read_to_string(self.path().join(file));
            assert!(content.as_deref().is_ok_and(|content| content == "theirs"), "{file}: {content:?}");
        }
    }
}

/// What a proxy says that does not start with this configuration.
#[track_caller]
fn refused(setup: &Setup) -> String {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("scriptorium.toml");
    let ports = crate::support::free_ports().map(|port| format!("127.0.0.1:{port}"));
    let [listen, admin] = ports;
    setup.clone().set("server.listen", listen).set("server.admin_listen", admin).write(&file);
    let mut child = scriptorium()
        .args(["serve", "--config"])
        .arg(&file)
        .envs(setup.environment.clone())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let exit = eventually("the end of a start", || child.try_wait().unwrap());
    assert_eq!(exit.code(), Some(1));
    String::from_utf8(child.wait_with_output().unwrap().stderr).unwrap()
}

fn large(name: &str) -> Release {
    Release::new(name, "1.0.0").adding(Entry::file("data.bin", noise(3, 6 << 20)))
}

#[test]
fn a_link_that_was_planted_at_the_scratch_folder_is_refused_and_nothing_behind_it_is_touched() {
    let (upstream, victim, common) = (Upstream::start(), Victim::new(), common());
    let data = TempDir::new().unwrap();
    symlink(victim.path(), common.path().join("scriptorium-scratch")).unwrap();
    let setup = Setup::before(&upstream)
        .set("storage.url", format!("file://{}", data.path().display()))
        .set("storage.scratch", common.path().to_str().unwrap());
    let log = refused(&setup);
    assert!(log.contains("scriptorium-scratch is a link"), "{log}");
    victim.assert_whole();
}

#[test]
fn a_link_that_was_planted_in_the_storage_is_refused() {
    for planted in ["staging", "scratch"] {
        let (upstream, victim, data) = (Upstream::start(), Victim::new(), common());
        symlink(victim.path(), data.path().join(planted)).unwrap();
        let setup = Setup::before(&upstream).set("storage.url", format!("file://{}", data.path().display()));
        let log = refused(&setup);
        assert!(log.contains(&format!("/{planted} is a link")), "{log}");
        victim.assert_whole();
    }
}

#[test]
fn a_name_that_was_taken_in_the_temporary_folder_is_passed_over() {
    for url in [None, Some("memory:///")] {
        let (upstream, victim, common) = (Upstream::start(), Victim::new(), common());
        let release = large("lamp");
        upstream.publish(&release);
        for name in ["scratch", "run"] {
            symlink(victim.path(), common.path().join(format!("scriptorium-{}-{name}", user()))).unwrap();
        }
        let setup = Setup::before(&upstream).env("TMPDIR", common.path().to_str().unwrap());
        let proxy = url.into_iter().fold(setup, |setup, url| setup.set("storage.url", url)).start();
        assert!(proxy.client().get(&release.download()).ok().body == release.archive());
        eventually("a word about it", || proxy.log().contains("-scratch is a link").then_some(()));
        proxy.signal("QUIT");
        eventually("a refusal", || proxy.log().contains("SIGQUIT is ignored").then_some(()));
        assert_eq!(proxy.admin().get("/livez").status, 200);
        victim.assert_whole();
    }
}

#[test]
fn what_finds_no_room_lies_in_a_closed_folder_below_the_storage() {
    let upstream = Upstream::start();
    let release = large("lamp");
    upstream.publish(&release);
    let proxy = Setup::before(&upstream).set("storage.max_size", "4MiB").start();
    assert!(proxy.client().get(&release.download()).ok().body == release.archive());
    for folder in ["scratch", "staging"] {
        let folder = proxy.data().join(folder);
        assert_eq!(mode(&folder), 0o700, "{}", folder.display());
        eventually("no file in it", || (taken(&folder).0 == 0).then_some(()));
    }
}

/// The process that is to take a proxy's place.
struct Next {
    child: Child,
    log: std::sync::Arc<std::sync::Mutex<String>>,
}

impl Next {
    fn of(proxy: &Proxy, environment: &[(&str, &str)]) -> Self {
        let mut child = scriptorium()
            .args(["serve", "--upgrade", "--config"])
            .arg(proxy.config())
            .envs(environment.iter().copied())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let log = capture(child.stderr.take().unwrap());
        Self { child, log }
    }

    fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }
}

impl Drop for Next {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

fn socket(folder: &Path, proxy: &Proxy) -> PathBuf {
    let socket = folder.join(format!("upgrade-{}.sock", proxy.client().0.port()));
    eventually("a process that waits", || {
        fs::symlink_metadata(&socket).is_ok_and(|found| found.file_type().is_socket()).then_some(())
    });
    socket
}

#[test]
fn listeners_change_hands_in_a_closed_folder_and_nobody_is_refused() {
    let upstream = Upstream::start();
    let release = Release::new("lamp", "1.0.0");
    upstream.publish(&release);
    let mut proxy = Setup::before(&upstream).start();
    proxy.client().get(&release.index()).ok();
    proxy.signal("QUIT");
    eventually("a refusal", || proxy.log().contains("SIGQUIT is ignored").then_some(()));
    assert_eq!(proxy.admin().get("/livez").status, 200, "nobody waits: it goes on");

    let next = Next::of(&proxy, &[]);
    let socket = socket(&proxy.data().join("run"), &proxy);
    assert_eq!(mode(socket.parent().unwrap()), 0o700);
    proxy.signal("QUIT");
    let mut asked = 0;
    eventually("the end of the first", || {
        match proxy.client().try_send("GET", &release.index(), &[]) {
            Ok(answer) => drop(answer.ok()),
            // Who connected and asked nothing before the first one stopped is hung up on, as ever.
            Err(error) => assert_ne!(error.kind(), ErrorKind::ConnectionRefused),
        }
        asked += 1;
        (!proxy.is_running()).then_some(())
    });
    assert_eq!(proxy.exit().code(), Some(0));
    for _ in 0..20 {
        proxy.client().get(&release.index()).ok();
        assert_eq!(proxy.admin().get("/livez").status, 200);
    }
    assert!(asked > 0 && !socket.exists(), "the socket was left");
    assert!(!next.log().contains("listening\""), "it bound sockets of its own: {}", next.log());
}

/// What a Python program of another user says, line by line; `None` where this process may not act as another.
fn as_stranger(program: &str, arguments: &[&str]) -> Option<(Child, BufReader<std::process::ChildStdout>)> {
    if user() != 0 {
        let required = std::env::var_os("SCRIPTORIUM_REQUIRE_OTHER_USER").is_some();
        assert!(!required, "only root can be another user");
        eprintln!("skipped: only root can be another user");
        return None;
    }
    let program = format!(
        "import os,socket,sys,array\nos.setgroups([])\nos.setgid({STRANGER})\nos.setuid({STRANGER})\n{program}"
    );
    let mut child = Command::new("python3")
        .arg("-c")
        .arg(program)
        .args(arguments)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let said = BufReader::new(child.stdout.take().unwrap());
    Some((child, said))
}

fn line(said: &mut BufReader<std::process::ChildStdout>) -> String {
    let mut line = String::new();
    said.read_line(&mut line).unwrap();
    line.trim().to_owned()
}

/// Waits where the next process would, in a folder of its own.
const TAKES: &str = "
os.mkdir(os.path.dirname(sys.argv[1]), 0o777)
os.chmod(os.path.dirname(sys.argv[1]), 0o777)
s = socket.socket(socket.AF_UNIX)
s.bind(sys.argv[1])
os.chmod(sys.argv[1], 0o777)
s.listen(1)
print('waiting', flush=True)
s.settimeout(10)
try:
    c, _ = s.accept()
    m, a, _, _ = c.recvmsg(2048, socket.CMSG_SPACE(64))
    print('took', len(a), flush=True)
except OSError as error:
    print('nothing', flush=True)
";

#[test]
fn a_stranger_takes_no_listeners() {
    let (upstream, common) = (Upstream::start(), common());
    let proxy = Setup::before(&upstream)
        .set("storage.url", "memory:///")
        .env("TMPDIR", common.path().to_str().unwrap())
        .start();
    let place = common.path().join(format!("scriptorium-{}-run", user()));
    let place = place.join(format!("upgrade-{}.sock", proxy.client().0.port()));
    // Where earlier versions met.
    let open = common.path().join(format!("upgrade-{}.sock", proxy.client().0.port()));
    let Some((mut stranger, mut said)) = as_stranger(TAKES, &[place.to_str().unwrap()]) else { return };
    assert_eq!(line(&mut said), "waiting");
    assert!(!open.exists());
    proxy.signal("QUIT");
    eventually("a refusal", || proxy.log().contains("SIGQUIT is ignored").then_some(()));
    assert!(proxy.log().contains("belongs to user 65534"), "{}", proxy.log());
    assert_eq!(proxy.admin().get("/livez").status, 200);
    stranger.kill().unwrap();
    stranger.wait().unwrap();
    assert_ne!(line(&mut said), "took 1");
}

/// Sends a listener of its own, called as the proxy's public port.
const GIVES: &str = "
own = socket.socket()
own.bind(('127.0.0.1', 0))
own.listen(5)
s = socket.socket(socket.AF_UNIX)
try:
    s.connect(sys.argv[1])
    s.sendmsg([sys.argv[2].encode()], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array('i', [own.fileno()]))])
    s.settimeout(5)
    print('answered', s.recv(16), flush=True)
except PermissionError:
    print('denied', flush=True)
except OSError as error:
    print('refused', flush=True)
";

#[test]
fn a_stranger_gives_no_listeners() {
    let (upstream, common) = (Upstream::start(), common());
    let environment = [("TMPDIR", common.path().to_str().unwrap())];
    let mut proxy = Setup::before(&upstream)
        .set("storage.url", "memory:///")
        .env(environment[0].0, environment[0].1)
        .start();
    let next = Next::of(&proxy, &environment);
    let folder = common.path().join(format!("scriptorium-{}-run", user()));
    let socket = socket(&folder, &proxy);
    let authority = proxy.authority();
    let give = || as_stranger(GIVES, &[socket.to_str().unwrap(), &authority]);
    let Some((mut stranger, mut said)) = give() else { return };
    assert_eq!(line(&mut said), "denied", "the folder is closed");
    stranger.wait().unwrap();
    // Were it open, the kernel would say who comes.
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o777)).unwrap();
    fs::set_permissions(&socket, fs::Permissions::from_mode(0o777)).unwrap();
    let Some((mut stranger, mut said)) = give() else { return };
    assert!(["refused", "answered b''"].contains(&line(&mut said).as_str()));
    stranger.wait().unwrap();
    eventually("a word about it", || next.log().contains("belongs to user 65534").then_some(()));
    // Who may hand over still can.
    proxy.signal("QUIT");
    assert_eq!(proxy.exit().code(), Some(0));
    eventually("the next process", || (proxy.admin().get("/livez").status == 200).then_some(()));
}
