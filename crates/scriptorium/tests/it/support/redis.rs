//! A Redis of a test's own, through which the proxies under test agree: on a free port, in memory only, gone at the end.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use super::authority::Identity;
use super::proxy::signal;
use super::{Setup, eventually, free_port};

/// The server; it ends when dropped.
pub(crate) struct Redis {
    server: Child,
    folder: TempDir,
    port: u16,
    password: Option<String>,
    /// Where it speaks TLS as well.
    encrypted: Option<u16>,
    options: Vec<String>,
}

impl Redis {
    /// `None` where the machine has no such server and none is required.
    pub(crate) fn start() -> Option<Self> {
        Self::start_with(None)
    }

    /// The same with a password.
    pub(crate) fn start_with(password: Option<&str>) -> Option<Self> {
        let options = password.into_iter().flat_map(|password| ["--requirepass", password]);
        let mut redis = Self::start_as(options)?;
        redis.password = password.map(str::to_owned);
        Some(redis)
    }

    /// The same on a port of its own that speaks TLS, as `identity`.
    pub(crate) fn start_encrypted(identity: &Identity) -> Option<Self> {
        Self::start_encrypted_for(identity, "no")
    }

    /// The same, asking its clients for certificates, or not.
    pub(crate) fn start_encrypted_for(identity: &Identity, certified: &str) -> Option<Self> {
        let (port, [cert, key]) = (free_port(), [&identity.cert, &identity.key]);
        let [at, cert, key] = [port.to_string(), cert.display().to_string(), key.display().to_string()];
        let files = ["--tls-cert-file", &cert, "--tls-key-file", &key, "--tls-ca-cert-file", &cert];
        let options = ["--tls-port", &at, "--tls-auth-clients", certified].into_iter().chain(files);
        let mut redis = Self::start_as(options)?;
        redis.encrypted = Some(port);
        Some(redis)
    }

    fn start_as<'a>(options: impl IntoIterator<Item = &'a str>) -> Option<Self> {
        let options: Vec<_> = options.into_iter().map(str::to_owned).collect();
        let (folder, port) = (TempDir::new().unwrap(), free_port());
        let Some(server) = spawn(port, &folder, &options) else {
            let required = std::env::var_os("SCRIPTORIUM_REQUIRE_REDIS").is_some();
            assert!(!required, "redis-server is not installed: apt-get install redis-server");
            eprintln!("skipped: redis-server is not installed");
            return None;
        };
        let redis = Self { server, folder, port, password: None, encrypted: None, options };
        redis.wait();
        Some(redis)
    }

    /// The proxy of `setup` is one of `nodes`.
    pub(crate) fn joined_by(&self, setup: Setup, nodes: u32) -> Setup {
        setup
            .set(
                "cluster.url",
                match self.encrypted {
                    Some(port) => format!("rediss://localhost:{port}/0"),
                    None => format!("redis://127.0.0.1:{}/0", self.port),
                },
            )
            .set("cluster.nodes", i64::from(nodes))
    }

    /// Where it speaks TLS.
    pub(crate) fn encrypted_port(&self) -> u16 {
        self.encrypted.unwrap()
    }

    pub(crate) fn authority(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// What the server says to a command without arguments of its own.
    pub(crate) fn command(&self, words: &str) -> String {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        if let Some(password) = &self.password {
            write!(stream, "AUTH {password}\r\n").unwrap();
        }
        write!(stream, "{words}\r\nQUIT\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    pub(crate) fn signal(&self, name: &str) {
        signal(self.server.id(), name);
    }

    /// Ends the server, which forgets everything.
    pub(crate) fn down(&mut self) {
        self.server.kill().unwrap();
        self.server.wait().unwrap();
    }

    /// Starts it again on its port.
    pub(crate) fn up(&mut self) {
        self.server = spawn(self.port, &self.folder, &self.options).unwrap();
        self.wait();
    }

    fn wait(&self) {
        eventually("redis-server", || TcpStream::connect(("127.0.0.1", self.port)).ok().map(drop));
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        self.server.kill().ok();
        self.server.wait().ok();
    }
}

fn spawn(port: u16, folder: &TempDir, options: &[String]) -> Option<Child> {
    let mut command = Command::new("redis-server");
    command.args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]);
    command.args(["--dir", &folder.path().display().to_string()]).args(options);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().ok()
}
