//! The real `scriptorium serve` as a child process on a data directory of its own: started, asked,
//! signalled, restarted, looked into from outside. It dies with the value that owns it.

use std::fs;
use std::io::Read;
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::{Client, Disk, PATIENCE, Setup, eventually, free_ports};

/// How often another pair of ports is tried when somebody else was quicker.
const ATTEMPTS: usize = 5;

/// A running proxy.
pub(crate) struct Proxy {
    setup: Setup,
    directory: TempDir,
    instance: Instance,
}

struct Instance {
    child: Child,
    public: SocketAddr,
    admin: SocketAddr,
    log: Arc<Mutex<String>>,
    reader: Arc<Mutex<()>>,
}

impl Proxy {
    pub(crate) fn start(setup: Setup) -> Self {
        let directory = TempDir::new().unwrap();
        let instance = Instance::start(&setup, directory.path());
        Self { setup, directory, instance }
    }

    /// Starts with its data on a disk of its own.
    pub(crate) fn start_on(disk: &Disk, setup: Setup) -> Self {
        let directory = TempDir::new().unwrap();
        symlink(disk.path(), data(directory.path())).unwrap();
        let instance = Instance::start(&setup, directory.path());
        Self { setup, directory, instance }
    }

    /// The public port.
    pub(crate) fn client(&self) -> Client {
        Client(self.instance.public)
    }

    /// The admin port.
    pub(crate) fn admin(&self) -> Client {
        Client(self.instance.admin)
    }

    pub(crate) fn authority(&self) -> String {
        self.instance.public.to_string()
    }

    /// Everything written to standard error so far. A line is written some time after it was logged.
    pub(crate) fn log(&self) -> String {
        self.instance.log.lock().unwrap().clone()
    }

    /// Stops the proxy in good order and gives all that it wrote to standard error.
    pub(crate) fn whole_log(&mut self) -> String {
        self.stop();
        self.instance.ended_log()
    }

    /// Whoever locks it leaves what the proxy says unread.
    pub(crate) fn log_reader(&self) -> Arc<Mutex<()>> {
        Arc::clone(&self.instance.reader)
    }

    pub(crate) fn pid(&self) -> u32 {
        self.instance.child.id()
    }

    pub(crate) fn signal(&self, name: &str) {
        signal(self.pid(), name);
    }

    pub(crate) fn exit(&mut self) -> ExitStatus {
        let child = &mut self.instance.child;
        eventually("the proxy's exit", || child.try_wait().unwrap())
    }

    pub(crate) fn is_running(&mut self) -> bool {
        self.instance.child.try_wait().unwrap().is_none()
    }

    /// Stops the proxy in good order and starts it again on the same data.
    pub(crate) fn restart(&mut self) {
        self.restart_as(|setup| setup);
    }

    /// Restarts with a changed configuration.
    pub(crate) fn restart_as(&mut self, change: impl FnOnce(Setup) -> Setup) {
        self.stop();
        self.setup = change(self.setup.clone());
        self.revive();
    }

    /// Has another process take the sockets over, and waits until this one has ended.
    pub(crate) fn hand_over(&mut self) {
        let Instance { public, admin, .. } = self.instance;
        let words = ["serve", "--upgrade", "--config"];
        let next = Instance::spawn(&self.setup, self.directory.path(), &words, [public, admin]);
        let mut before = std::mem::replace(&mut self.instance, next);
        eventually("the end of the process before", || {
            // Until the next one waits for the sockets, the signal is ignored.
            signal(before.child.id(), "QUIT");
            before.child.try_wait().unwrap()
        });
        self.instance.wait_until_ready().unwrap();
    }

    /// Stops the proxy in good order.
    pub(crate) fn stop(&mut self) {
        self.signal("TERM");
        self.exit();
    }

    /// Stops the proxy, deletes one directory of its data and starts it again.
    pub(crate) fn restart_without(&mut self, shelf: &str) {
        self.stop();
        fs::remove_dir_all(data(self.directory.path()).join(shelf)).unwrap();
        self.revive();
    }

    /// The configuration file it was last started with.
    pub(crate) fn config(&self) -> PathBuf {
        config(self.directory.path())
    }

    /// Writes the configuration it was started with anew, changed; nobody tells the proxy.
    pub(crate) fn reconfigure(&self, change: impl FnOnce(Setup) -> Setup) {
        let Instance { public, admin, .. } = self.instance;
        change(at(&self.setup, self.directory.path(), public, admin)).write(&self.config());
    }

    /// Ends the process as a power cut would and starts another on what it left.
    pub(crate) fn crash_and_restart(&mut self) {
        self.crash();
        self.revive();
    }

    /// Ends the process as a power cut would.
    pub(crate) fn crash(&mut self) {
        self.instance.child.kill().unwrap();
        self.instance.child.wait().unwrap();
    }

    /// Starts a proxy that has ended on the data it left.
    pub(crate) fn revive(&mut self) {
        self.instance = Instance::start(&self.setup, self.directory.path());
    }

    /// The folder it keeps things in.
    pub(crate) fn data(&self) -> PathBuf {
        data(self.directory.path())
    }

    /// Files of the data directory that contain `needle`.
    pub(crate) fn files_holding(&self, needle: &[u8]) -> Vec<PathBuf> {
        let holds = |path: &PathBuf| fs::read(path).is_ok_and(|bytes| contains(&bytes, needle));
        self.files("").into_iter().filter(holds).collect()
    }

    /// All files below one folder of the data directory, in order.
    pub(crate) fn files(&self, shelf: &str) -> Vec<PathBuf> {
        let mut found = Vec::new();
        let mut folders = vec![self.data().join(shelf)];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
                let path = entry.path();
                if path.is_dir() { folders.push(path) } else { found.push(path) }
            }
        }
        found.sort();
        found
    }

    /// The most memory the process ever held, in bytes.
    pub(crate) fn peak_memory(&self) -> u64 {
        self.status("VmHWM:")
    }

    /// The memory that holds the program itself now, in bytes: much of a build for tests.
    pub(crate) fn program(&self) -> u64 {
        self.status("RssFile:")
    }

    /// The memory the process holds now, in bytes.
    pub(crate) fn memory(&self) -> u64 {
        self.status("VmRSS:")
    }

    fn status(&self, field: &str) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap();
        let line = status.lines().find(|line| line.starts_with(field)).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() << 10
    }
}

/// Whether `needle` occurs in `bytes`.
pub(crate) fn contains(bytes: &[u8], needle: &[u8]) -> bool {
    bytes.windows(needle.len()).any(|window| window == needle)
}

/// The binary under test, not yet told what to do, free of this process's own settings for it, of credentials
/// and of proxies.
pub(crate) fn scriptorium() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_scriptorium"));
    for (name, _) in
        std::env::vars().filter(|(name, _)| name.starts_with("SCRIPTORIUM_") || name.starts_with("AWS_"))
    {
        command.env_remove(name);
    }
    for name in ["HTTPS_PROXY", "https_proxy", "http_proxy", "NO_PROXY", "no_proxy"] {
        command.env_remove(name);
    }
    command.env("AWS_METADATA_ENDPOINT", "http://127.0.0.1:9");
    command
}

/// What a command says that must end by itself. One that goes on is killed, and fails the test with what it said.
#[track_caller]
pub(crate) fn ended(what: &str, command: &mut Command) -> Output {
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let end = Instant::now() + PATIENCE;
    let is_over = loop {
        match child.try_wait().unwrap() {
            Some(_) => break true,
            None if Instant::now() > end => break false,
            None => thread::sleep(Duration::from_millis(20)),
        }
    };
    if !is_over {
        child.kill().unwrap();
    }
    let output = child.wait_with_output().unwrap();
    assert!(is_over, "{what} did not end by itself: {output:?}");
    output
}

pub(crate) fn signal(pid: u32, name: &str) {
    let sent = Command::new("sh").args(["-c", &format!("kill -{name} {pid}")]).status().unwrap();
    assert!(sent.success(), "could not send {name} to {pid}");
}

fn data(directory: &Path) -> PathBuf {
    directory.join("data")
}

/// The configuration of a proxy on these ports and in this directory.
fn at(setup: &Setup, directory: &Path, public: SocketAddr, admin: SocketAddr) -> Setup {
    let data = data(directory).display().to_string();
    setup
        .clone()
        .set("server.listen", public.to_string())
        .set("server.admin_listen", admin.to_string())
        .set_unless("storage.url", format!("file://{data}"))
        // With a bucket, the folder before it.
        .set_unless("storage.tier", data)
}

fn config(directory: &Path) -> PathBuf {
    directory.join("scriptorium.toml")
}

/// What the proxy says of a port that somebody took meanwhile, or that belongs to a registry which is down.
const UNLUCKY: [&str; 2] = ["in use", "expected another address than server.listen"];

impl Instance {
    fn start(setup: &Setup, directory: &Path) -> Self {
        let mut last = String::new();
        for _ in 0..ATTEMPTS {
            match Self::try_start(setup, directory) {
                Ok(instance) => return instance,
                Err(log) => last = log,
            }
            if !UNLUCKY.iter().any(|cause| last.contains(cause)) {
                break;
            }
        }
        panic!("the proxy did not start:\n{last}");
    }

    fn try_start(setup: &Setup, directory: &Path) -> Result<Self, String> {
        let [public, admin] = free_ports().map(|port| SocketAddr::from(([127, 0, 0, 1], port)));
        let mut instance = Self::spawn(setup, directory, &["serve", "--config"], [public, admin]);
        instance.wait_until_ready().map(|()| instance)
    }

    fn spawn(setup: &Setup, directory: &Path, words: &[&str], [public, admin]: [SocketAddr; 2]) -> Self {
        let config = config(directory);
        let setup = at(setup, directory, public, admin);
        setup.write(&config);
        let mut child = scriptorium()
            .args(words)
            .arg(&config)
            .envs(setup.environment)
            .stderr(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let reader = Arc::default();
        let log = capture_by(child.stderr.take().unwrap(), Arc::clone(&reader));
        Self { child, public, admin, log, reader }
    }

    /// All that a proxy wrote that has ended.
    fn ended_log(&self) -> String {
        eventually("the end of the log", || (Arc::strong_count(&self.reader) == 1).then_some(()));
        self.log.lock().unwrap().clone()
    }

    fn wait_until_ready(&mut self) -> Result<(), String> {
        let admin = Client(self.admin);
        eventually("a ready proxy", || {
            if self.child.try_wait().unwrap().is_some() {
                return Some(Err(self.ended_log()));
            }
            let ready = admin.try_send("GET", "/readyz", &[]).is_ok_and(|answer| answer.status == 200);
            (ready && TcpStream::connect(self.public).is_ok()).then_some(Ok(()))
        })
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// Collects what a child says until it ends.
pub(crate) fn capture(from: impl Read + Send + 'static) -> Arc<Mutex<String>> {
    capture_by(from, Arc::default())
}

/// The same, with a pause as long as somebody else locks `reader`.
fn capture_by(mut from: impl Read + Send + 'static, reader: Arc<Mutex<()>>) -> Arc<Mutex<String>> {
    let text = Arc::new(Mutex::new(String::new()));
    let into = Arc::clone(&text);
    thread::spawn(move || {
        let mut buffer = [0; 4096];
        while let Ok(read @ 1..) = from.read(&mut buffer) {
            into.lock().unwrap().push_str(&String::from_utf8_lossy(&buffer[..read]));
            drop(reader.lock().unwrap());
        }
    });
    text
}
