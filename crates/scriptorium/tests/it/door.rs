//! The door: clients that are too many, too slow to ask or too slow to listen, and a certificate that is replaced.

use std::fs;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;
use toml::Table;

use crate::support::tarball::Entry;
use crate::support::{Conversation, Proxy, Release, Setup, Upstream, eventually, noise};

fn keeping_alive(target: &str) -> String {
    format!("GET {target} HTTP/1.1\r\nhost: localhost\r\n\r\n")
}

#[test]
fn a_head_that_trickles_is_cut_whatever_arrives() {
    let upstream = Upstream::start();
    let proxy = Setup::before(&upstream).set("limits.header_timeout", "3s").start();
    let mut stream = TcpStream::connect(proxy.client().0).unwrap();
    stream.set_nonblocking(true).unwrap();
    let (began, mut last) = (Instant::now(), Instant::now());
    stream.write_all(b"GET / HTTP/1.1\r\nx-").unwrap();
    eventually("the end of a head that never ends", || {
        if last.elapsed() >= Duration::from_secs(1) {
            last = Instant::now();
            stream.write_all(b"y").ok();
        }
        let read = stream.read(&mut [0; 64]);
        (!matches!(read, Err(error) if error.kind() == io::ErrorKind::WouldBlock)).then_some(())
    });
    assert!((3..6).contains(&began.elapsed().as_secs()), "after {:?}", began.elapsed());
}

/// A proxy that holds an archive larger than any socket buffer.
fn holding_64_megabytes(send_timeout: &str) -> (Upstream, Proxy, Release) {
    let upstream = Upstream::start();
    let release = Release::new("lamp", "1.0.0").adding(Entry::file("data.bin", noise(5, 64 << 20)));
    upstream.publish(&release);
    let proxy = Setup::before(&upstream).set("limits.send_timeout", send_timeout).start();
    assert_eq!(proxy.client().get(&release.download()).ok().body.len(), release.archive().len());
    (upstream, proxy, release)
}

/// What the process has open: connections, and the files that it sends.
fn descriptors(proxy: &Proxy) -> usize {
    fs::read_dir(format!("/proc/{}/fd", proxy.pid())).unwrap().count()
}

#[test]
fn clients_that_take_nothing_are_cut_and_leave_nothing() {
    let (_upstream, proxy, release) = holding_64_megabytes("2s");
    let before = descriptors(&proxy);
    let began = Instant::now();
    let mut deaf: Vec<_> = (0..10).map(|_| Conversation::open(proxy.client().0).unwrap()).collect();
    let answers: Vec<_> = deaf
        .iter_mut()
        .map(|conversation| {
            conversation.ask("GET", &release.download(), &[]).unwrap();
            conversation.begin().unwrap()
        })
        .collect();
    assert!(descriptors(&proxy) > before + 8, "ten connections");
    eventually("ten connections closed, with all they held", || {
        (descriptors(&proxy) <= before).then_some(())
    });
    assert!((2..8).contains(&began.elapsed().as_secs()), "after {:?}", began.elapsed());
    for (mut conversation, mut answer) in deaf.into_iter().zip(answers) {
        conversation.finish(&mut answer).ok();
        assert!(!answer.whole, "a cut must be seen as one");
    }
}

#[test]
fn a_client_that_is_slow_but_moves_is_not_cut() {
    let (_upstream, proxy, release) = holding_64_megabytes("1s");
    let mut stream = TcpStream::connect(proxy.client().0).unwrap();
    let request = format!("GET {} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n", release.download());
    stream.write_all(request.as_bytes()).unwrap();
    let mut received = vec![0; 5 << 20];
    for part in received.chunks_mut(256 << 10) {
        // The client's pace, six timeouts long: nothing is waited for.
        thread::sleep(Duration::from_millis(300));
        stream.read_exact(part).unwrap();
    }
    stream.read_to_end(&mut received).unwrap();
    assert!(received.ends_with(&release.archive()), "{} bytes", received.len());
}

#[test]
fn one_connection_too_many_takes_the_place_of_the_one_that_waited_the_longest() {
    let (upstream, release) = (Upstream::start(), Release::new("lamp", "1.0.0"));
    upstream.publish(&release);
    let bounds =
        |setup: Setup| setup.set("limits.max_connections", 20).set("limits.max_connections_per_client", 20);
    let proxy = bounds(Setup::before(&upstream)).start();
    let ask = |conversation: &mut Conversation| {
        conversation.write(keeping_alive(&release.index()).as_bytes()).ok();
        conversation.answer().is_ok_and(|answer| answer.status == 200)
    };
    let arrive = || {
        let mut conversation = Conversation::open(proxy.client().0).unwrap();
        assert!(ask(&mut conversation));
        conversation
    };
    let mut open: Vec<_> = (0..19).map(|_| arrive()).collect();
    // The first asks again, so the second waits the longest from now on.
    assert!(ask(&mut open[0]));
    open.extend([arrive(), arrive()]);
    let served: Vec<_> = open.iter_mut().map(ask).collect();
    assert_eq!(served.iter().position(|served| !served), Some(1), "{served:?}");
    assert_eq!(served.iter().filter(|served| **served).count(), 20, "{served:?}");
}

/// Puts a new key and certificate at `cert.pem` and `key.pem`; false when there is no openssl to make them.
fn make_certificate(folder: &Path) -> bool {
    Command::new("openssl")
        .current_dir(folder)
        .args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=localhost"])
        .args(["-keyout", "key.pem", "-out", "cert.pem"])
        .output()
        .is_ok_and(|output| output.status.success())
}

fn shell(folder: &Path, script: &str) -> String {
    let output = Command::new("sh").current_dir(folder).args(["-c", script]).output().unwrap();
    String::from_utf8(output.stdout).unwrap()
}

const FINGERPRINT: &str = "openssl x509 -noout -fingerprint -sha256";

/// The certificate on disk.
fn on_disk(folder: &Path) -> String {
    shell(folder, &format!("{FINGERPRINT} -in cert.pem"))
}

/// The certificate that a new connection is shown.
fn shown(proxy: &Proxy, folder: &Path) -> String {
    let address = proxy.authority();
    shell(folder, &format!("openssl s_client -connect {address} </dev/null 2>/dev/null | {FINGERPRINT}"))
}

/// A connection over TLS, driven by hand.
struct Encrypted {
    client: Child,
    said: BufReader<ChildStdout>,
}

impl Encrypted {
    fn open(proxy: &Proxy) -> Self {
        let mut client = Command::new("openssl")
            .args(["s_client", "-quiet", "-connect", &proxy.authority()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let said = BufReader::new(client.stdout.take().unwrap());
        Self { client, said }
    }

    /// The status line of an answer that is read to its end.
    fn get(&mut self, target: &str) -> String {
        self.client.stdin.as_mut().unwrap().write_all(keeping_alive(target).as_bytes()).unwrap();
        let mut head: Vec<String> = Vec::new();
        while head.last().is_none_or(|line| line != "\r\n") {
            let mut line = String::new();
            assert_ne!(self.said.read_line(&mut line).unwrap(), 0, "closed after {head:?}");
            head.push(line);
        }
        let length = head.iter().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
        self.said.read_exact(&mut vec![0; length.trim().parse().unwrap()]).unwrap();
        head.swap_remove(0)
    }
}

impl Drop for Encrypted {
    fn drop(&mut self) {
        self.client.kill().ok();
        self.client.wait().ok();
    }
}

/// A proxy with a certificate in a folder; none where openssl is missing.
fn encrypted(upstream: &Upstream, set: impl FnOnce(Setup) -> Setup) -> Option<(Proxy, TempDir)> {
    let folder = TempDir::new().unwrap();
    if !make_certificate(folder.path()) {
        eprintln!("skipped: openssl is needed to see TLS from outside");
        return None;
    }
    let pem = |name: &str| folder.path().join(name).display().to_string();
    let files = Table::from_iter([
        ("cert".to_owned(), pem("cert.pem").into()),
        ("key".to_owned(), pem("key.pem").into()),
    ]);
    let proxy = set(Setup::before(upstream)).set("server.tls", files).start();
    Some((proxy, folder))
}

#[test]
fn a_replaced_certificate_is_shown_to_new_connections_and_open_ones_go_on() {
    let (upstream, release) = (Upstream::start(), Release::new("lamp", "1.0.0"));
    upstream.publish(&release);
    let Some((proxy, folder)) = encrypted(&upstream, |setup| setup) else { return };
    let folder = folder.path();
    let first = on_disk(folder);
    assert_eq!(shown(&proxy, folder), first);
    let mut open = Encrypted::open(&proxy);
    assert!(open.get(&release.index()).starts_with("HTTP/1.1 200"));

    assert!(make_certificate(folder));
    let second = on_disk(folder);
    assert_ne!(first, second);
    assert_eq!(shown(&proxy, folder), first, "not asked to reload yet");
    proxy.signal("HUP");
    eventually("the new certificate", || (shown(&proxy, folder) == second).then_some(()));
    eventually("the log of it", || proxy.log().contains("server.tls.cert").then_some(()));
    assert!(open.get(&release.index()).starts_with("HTTP/1.1 200"));
}

#[test]
fn a_bad_certificate_is_refused_and_the_old_one_stays() {
    let upstream = Upstream::start();
    let Some((proxy, folder)) = encrypted(&upstream, |setup| setup) else { return };
    let folder = folder.path();
    let first = on_disk(folder);
    fs::write(folder.join("cert.pem"), "-----BEGIN CERTIFICATE-----\nnonsense\n").unwrap();
    proxy.signal("HUP");
    eventually("the refusal in the log", || proxy.log().contains("server.tls.cert").then_some(()));
    assert_eq!(shown(&proxy, folder), first);
}

#[test]
fn a_handshake_that_never_comes_does_not_delay_the_stop() {
    let upstream = Upstream::start();
    let Some((mut proxy, _folder)) = encrypted(&upstream, |setup| setup) else { return };
    let silent = TcpStream::connect(proxy.client().0).unwrap();
    let began = Instant::now();
    proxy.signal("TERM");
    assert_eq!(proxy.exit().code(), Some(0));
    assert!(began.elapsed() < Duration::from_secs(2), "took {:?}", began.elapsed());
    drop(silent);
}

#[test]
fn a_handshake_that_never_comes_takes_nobodys_place_and_ends_in_the_time_of_a_head() {
    let upstream = Upstream::start();
    let set = |setup: Setup| {
        let setup = setup.set("limits.max_connections", 2).set("limits.max_connections_per_client", 2);
        setup.set("limits.header_timeout", "2s")
    };
    let Some((proxy, folder)) = encrypted(&upstream, set) else { return };
    let first = on_disk(folder.path());
    let began = Instant::now();
    let mut silent: Vec<_> = (0..2).map(|_| TcpStream::connect(proxy.client().0).unwrap()).collect();
    assert_eq!(shown(&proxy, folder.path()), first, "though both places were taken");
    for connection in &mut silent {
        assert_eq!(connection.read(&mut [0]).unwrap(), 0);
    }
    assert!((2..6).contains(&began.elapsed().as_secs()), "after {:?}", began.elapsed());
}
