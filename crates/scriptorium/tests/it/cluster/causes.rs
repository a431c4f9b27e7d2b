//! Why an engine cannot be used, with what to do, in one line: from `doctor`, from a start that is refused, and in the status and
//! the log of a proxy that works alone meanwhile.

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::thread;

use tempfile::TempDir;

use super::together::run;
use super::wait_for;
use crate::causes::filtered;
use crate::support::authority::Authority;
use crate::support::bucket::Bucket;
use crate::support::redis::Redis;
use crate::support::{Setup, Upstream, eventually, free_port};

const PASSWORD: &str = "swordfish";

/// What an engine's failure looks like.
struct Look {
    found: &'static str,
    advice: &'static str,
}

/// A proxy that should use an engine, and everything else that it needs.
struct Patient {
    bucket: Bucket,
    upstream: Upstream,
    authority: Authority,
    folder: TempDir,
}

impl Patient {
    fn new() -> Option<Self> {
        let (authority, folder) = (Authority::new()?, TempDir::new().unwrap());
        Some(Self { bucket: Bucket::start()?, upstream: Upstream::start(), authority, folder })
    }

    /// With the engine there, whose authority is trusted.
    fn at(&self, engine: &str) -> Setup {
        let setup = self.bucket.below(Setup::before(&self.upstream)).set("cluster.url", engine);
        setup.set("cluster.nodes", 1).env("SSL_CERT_FILE", &self.authority.certificate())
    }

    /// The same with a password.
    fn knowing(&self, engine: &str) -> Setup {
        self.at(engine).set("cluster.password_env", "ENGINE").env("ENGINE", PASSWORD)
    }

    /// `doctor` finds it, and says so in one line.
    #[track_caller]
    fn doctor_tells(&self, setup: Setup, look: &Look) {
        let output = run("doctor", &self.folder, setup);
        let said = String::from_utf8(output.stdout).unwrap();
        let lines: Vec<_> = said.lines().filter(|line| line.contains(" engine ")).collect();
        let [line] = lines[..] else { panic!("{lines:#?}") };
        assert_eq!(output.status.code(), Some(1), "{said}");
        let (found, advice) = line.split_once("; ").unwrap_or_else(|| panic!("{line}"));
        assert!(found.starts_with("FAILED") && found.contains(look.found), "{line}");
        assert!(advice.contains(look.advice), "{line}");
        assert!(!said.contains(PASSWORD), "{said}");
    }

    /// An error of configuration: nothing is served.
    #[track_caller]
    fn is_refused(&self, setup: Setup, found: &'static str, advice: &'static str) {
        let look = Look { found, advice };
        self.doctor_tells(setup.clone(), &look);
        let output = run("serve", &self.folder, setup);
        let told = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{told}");
        let line = told.lines().find(|line| line.contains(look.found)).unwrap_or_else(|| panic!("{told}"));
        assert!(line.contains("cluster: ") && line.contains(look.advice), "{told}");
        assert!(!told.contains(PASSWORD) && !told.contains('\u{1b}'), "{told}");
    }

    /// It may be an outage: the proxy serves alone, and says why.
    #[track_caller]
    fn is_away(&self, setup: Setup, found: &'static str, advice: &'static str) {
        let look = Look { found, advice };
        self.doctor_tells(setup.clone(), &look);
        let proxy = setup.start();
        eventually(look.found, || {
            let status = proxy.admin().get("/admin/v1/status").ok().json()["cluster"].clone();
            let cause = status["cause"].as_str().unwrap_or_default();
            (status["state"] == "alone" && cause.contains(look.found) && cause.contains(look.advice))
                .then_some(())
        });
        let told = eventually("a line of the log", || {
            proxy.log().lines().find(|line| line.contains("serving alone")).map(str::to_owned)
        });
        assert!(told.contains(look.found) && told.contains(look.advice), "{told}");
        assert!(!proxy.log().contains(PASSWORD));
    }
}

#[test]
fn a_certificate_that_does_not_hold() {
    let Some(patient) = Patient::new() else { return };
    let (authority, here) = (&patient.authority, "DNS:localhost");
    let stranger = Authority::new().unwrap();
    let renew = "renew the certificate";
    let known = "its certificate is not signed by an authority that this proxy knows";
    for (identity, found, advice) in [
        (authority.issue_expired("old", here), "its certificate has expired or is not valid yet", renew),
        (authority.issue_early("early", here), "its certificate has expired or is not valid yet", renew),
        (authority.issue("other", "DNS:other.test"), "its certificate is for another name", "`cluster.url`"),
        (stranger.issue("stranger", here), known, "SSL_CERT_FILE"),
        (stranger.self_signed("self", here), known, "its own authority will not do"),
    ] {
        let Some(redis) = Redis::start_encrypted(&identity) else { return };
        let engine = format!("rediss://localhost:{}", redis.encrypted_port());
        patient.is_refused(patient.knowing(&engine), found, advice);
    }
}

#[test]
fn an_engine_that_asks_for_a_certificate() {
    let Some(patient) = Patient::new() else { return };
    let identity = patient.authority.issue("redis", "DNS:localhost");
    let Some(redis) = Redis::start_encrypted_for(&identity, "yes") else { return };
    let engine = format!("rediss://localhost:{}", redis.encrypted_port());
    let found = "it does not accept this proxy's client certificate, or requires one";
    patient.is_refused(patient.knowing(&engine), found, "tls-auth-clients no");
}

#[test]
fn a_certificate_that_expires_while_a_proxy_serves() {
    let Some(patient) = Patient::new() else { return };
    let identity = patient.authority.issue("redis", "DNS:localhost");
    let Some(mut redis) = Redis::start_encrypted(&identity) else { return };
    let proxy = patient.at(&format!("rediss://localhost:{}", redis.encrypted_port())).start();
    wait_for(&proxy, "together", 1);
    let expired = patient.authority.issue_expired("expired", "DNS:localhost");
    redis.down();
    fs::copy(expired.cert, &identity.cert).unwrap();
    fs::copy(expired.key, &identity.key).unwrap();
    redis.up();
    eventually("its certificate has expired", || {
        let cluster = proxy.admin().get("/admin/v1/status").ok().json()["cluster"].clone();
        let cause = cluster["cause"].as_str().unwrap_or_default();
        let is_told = cause.contains("its certificate has expired") && cause.contains("renew");
        (cluster["state"] == "alone" && is_told).then_some(())
    });
    let told = eventually("a line of the log", || {
        proxy.log().lines().find(|line| line.contains("this proxy works alone")).map(str::to_owned)
    });
    assert!(told.contains("no connection to the engine could be made"), "{told}");
    let metrics = proxy.admin().get("/metrics").ok().text();
    assert!(metrics.contains("call=\"beat\",outcome=\"tls-expired\""), "{metrics}");
}

#[test]
fn tls_where_there_is_none_and_none_where_there_is() {
    let Some(patient) = Patient::new() else { return };
    let identity = patient.authority.issue("redis", "DNS:localhost");
    let Some(redis) = Redis::start_encrypted(&identity) else { return };
    let plain = format!("redis://localhost:{}", redis.encrypted_port());
    patient.is_refused(
        patient.knowing(&plain),
        "it speaks TLS at that port",
        "write rediss:// in `cluster.url`",
    );
    let encrypted = format!("rediss://{}", redis.authority());
    let found = "it does not speak TLS at that port";
    patient.is_refused(patient.knowing(&encrypted), found, "write redis:// in `cluster.url`");
}

/// Answers everything like a web server, with what should be in nobody's terminal.
fn web_server() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let _ = stream.read(&mut [0; 1024]);
            let body = format!("\u{1b}[2J{PASSWORD}\r\n").repeat(10_000);
            let _ = write!(stream, "HTTP/1.1 400 Bad Request\r\n\r\n{body}");
        }
    });
    address
}

#[test]
fn a_web_server_in_its_place() {
    let Some(patient) = Patient::new() else { return };
    let at = web_server();
    let advice = "check host and port in `cluster.url`";
    let plain = patient.knowing(&format!("redis://{at}/1"));
    patient.is_refused(plain, "a web server answers instead of the engine", advice);
    let encrypted = patient.knowing(&format!("rediss://{at}"));
    patient.is_refused(encrypted, "it does not speak TLS at that port", "redis://");
}

#[test]
fn a_database_that_it_does_not_have() {
    let Some(patient) = Patient::new() else { return };
    let Some(redis) = Redis::start() else { return };
    let engine = |database: u16| patient.at(&format!("redis://{}/{database}", redis.authority()));
    patient.is_refused(engine(99), "the engine does not have database 99", "`cluster.url`");
    wait_for(&engine(15).start(), "together", 1);
    assert!(redis.command("SELECT 15\r\nEXISTS scriptorium:nodes").contains(":1"), "another database");
}

#[test]
fn nobody_there() {
    let Some(patient) = Patient::new() else { return };
    let unknown = patient.knowing("redis://no-such-name.invalid");
    patient.is_away(unknown, "its name cannot be resolved", "check the host in `cluster.url`");
    for scheme in ["redis", "rediss"] {
        let closed = patient.knowing(&format!("{scheme}://127.0.0.1:{}", free_port()));
        patient.is_away(closed, "it refuses connections", "whether Redis or Valkey runs");
    }
    let (listener, _queued) = filtered();
    let silent = patient.knowing(&format!("redis://{}", listener.local_addr().unwrap()));
    patient.is_away(silent, "nothing answers at its address", "let the firewall pass it");
}
