//! What a request costs in system calls and in threads that wake one another, under a fixed load of two workers.
//!
//! No clock decides: `strace` writes every call down, and the calls of a fixed number of requests are counted. The bounds leave
//! room for what is done per second and not per request (log lines are written every 50 ms, a store is watched).

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::thread;

use crate::support::wire::read_head;
use crate::support::{Proxy, Release, Setup, Upstream};

const REQUIRED: &str = "SCRIPTORIUM_REQUIRE_STRACE";
/// Connections that are kept open, each with one request at a time.
const CONNECTIONS: usize = 8;

/// The system calls of a process while some work is done.
struct Calls(Vec<String>);

impl Calls {
    /// Counts the calls that `is_counted` picks.
    fn count(&self, is_counted: impl Fn(&str) -> bool) -> usize {
        self.0.iter().filter(|call| is_counted(call)).count()
    }

    /// Calls by which one thread wakes another.
    fn wakes(&self) -> usize {
        let is_wake = |call: &str| {
            (call.starts_with("write(") && call.contains("[eventfd]"))
                || (call.starts_with("futex(") && call.contains("FUTEX_WAKE"))
        };
        self.count(is_wake)
    }

    fn named(&self, names: &[&str]) -> usize {
        self.count(|call| names.iter().any(|name| call.split('(').next() == Some(name)))
    }
}

/// Whether calls can be written down here.
fn is_traceable() -> bool {
    let works = Command::new("strace")
        .args(["-qq", "-o", "/dev/null", "true"])
        .status()
        .is_ok_and(|status| status.success());
    assert!(works || std::env::var_os(REQUIRED).is_none(), "{REQUIRED} is set, and strace does not work");
    works
}

/// Writes down the calls of `proxy` while `work` is done.
fn traced(proxy: &Proxy, work: impl FnOnce()) -> Calls {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("calls");
    let mut strace: Child = Command::new("strace")
        .args(["-f", "-y", "-s", "0", "-o"])
        .arg(&file)
        .args(["-p", &proxy.pid().to_string()])
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = BufReader::new(strace.stderr.take().unwrap()).lines();
    let attached = said.find(|line| line.as_ref().is_ok_and(|line| line.contains("attached")));
    assert!(attached.is_some(), "strace was not attached");
    work();
    crate::support::proxy::signal(strace.id(), "INT");
    strace.wait().unwrap();
    let written = fs::read_to_string(&file).unwrap();
    let call = |line: &str| line.split_once(' ').map(|(_, call)| call.trim_start().to_owned());
    Calls(written.lines().filter_map(call).filter(|call| !call.starts_with("<...")).collect())
}

/// Asks for each of `targets`, which are dealt out to the connections.
fn load(proxy: &Proxy, targets: &[String]) {
    let address: SocketAddr = proxy.authority().parse().unwrap();
    let share = targets.len().div_ceil(CONNECTIONS);
    thread::scope(|scope| {
        for targets in targets.chunks(share) {
            scope.spawn(move || ask_all(address, targets));
        }
    });
}

fn ask_all(address: SocketAddr, targets: &[String]) {
    use std::io::{Read, Write};
    let mut stream = BufReader::new(std::net::TcpStream::connect(address).unwrap());
    for target in targets {
        write!(stream.get_mut(), "GET {target} HTTP/1.1\r\nhost: {address}\r\n\r\n").unwrap();
        let (start, fields) = read_head(&mut stream).unwrap().unwrap();
        assert!(start.contains(" 200 "), "{target}: {start}");
        let length = fields.iter().find(|(name, _)| name.eq_ignore_ascii_case("content-length"));
        let length: u64 = length.unwrap().1.parse().unwrap();
        std::io::copy(&mut (&mut stream).take(length), &mut std::io::sink()).unwrap();
    }
}

#[test]
fn a_hit_is_one_receive_and_one_send_and_wakes_nobody() {
    if !is_traceable() {
        return;
    }
    let upstream = Upstream::start();
    let lamp = Release::new("lamp", "1.0.0");
    upstream.publish(&lamp);
    let proxy = Setup::before(&upstream).start();
    proxy.client().get(&lamp.index()).ok();
    let targets = vec![lamp.index(); 4_000];
    load(&proxy, &targets[..CONNECTIONS]);
    let calls = traced(&proxy, || load(&proxy, &targets));
    let sends = calls.named(&["sendto", "sendmsg", "writev"]);
    let receives = calls.named(&["recvfrom", "recvmsg", "read"]);
    let files = calls.named(&["openat", "rename", "renameat2", "syncfs", "fsync", "fdatasync", "mkdir"]);
    let summary =
        format!("{sends} sends, {receives} receives, {} wakes, {files} calls of files", calls.wakes());
    // A busy machine takes long, and every 50 ms the log is written, which wakes its thread.
    let of_workers = calls.count(|call| call.starts_with("write(") && call.contains("[eventfd]"));
    assert!((targets.len()..targets.len() * 3 / 2).contains(&sends), "{summary}");
    assert!(receives < targets.len() * 5 / 2, "{summary}");
    assert!(of_workers < targets.len() / 10, "{summary}, {of_workers} of them of workers");
    assert!(calls.wakes() < targets.len() / 2, "{summary}");
    assert!(files < targets.len() / 4, "{summary}");
}

#[test]
fn cold_documents_share_their_flushes_and_cost_few_calls_each() {
    if !is_traceable() {
        return;
    }
    let upstream = Upstream::start();
    let releases: Vec<_> = (0..400).map(|at| Release::new(&format!("lamp-{at}"), "1.0.0")).collect();
    releases.iter().for_each(|release| upstream.publish(release));
    let proxy = Setup::before(&upstream).start();
    let targets: Vec<String> = releases.iter().map(Release::index).collect();
    load(&proxy, &targets[..CONNECTIONS]);
    let targets = &targets[CONNECTIONS..];
    let calls = traced(&proxy, || load(&proxy, targets));
    let flushes = calls.named(&["syncfs", "fsync", "fdatasync"]);
    let summary = format!(
        "{} calls, {flushes} flushes, {} wakes, {} opened, {} renamed for {} documents",
        calls.0.len(),
        calls.wakes(),
        calls.named(&["openat", "open"]),
        calls.named(&["rename", "renameat", "renameat2", "link", "linkat"]),
        targets.len()
    );
    assert!(flushes < targets.len() / 4, "{summary}");
    assert!(calls.wakes() < targets.len() * 24, "{summary}");
    assert!(calls.0.len() < targets.len() * 90, "{summary}");
}
