//! A real redis-server for one test: on a free port, with a folder of its own, gone at the end.
//!
//! Owns the process. Must not know what a test does with it.

use std::net::TcpListener;
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

pub(crate) struct Server {
    pub(crate) port: u16,
    process: Child,
    folder: TempDir,
    options: Vec<String>,
}

impl Server {
    /// `None` where no redis-server is installed, which the tests may then skip.
    pub(crate) fn start(options: &[&str]) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let options: Vec<String> = options.iter().map(|option| (*option).to_owned()).collect();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let Some(process) = spawn(port, &folder, &options) else {
            let required = std::env::var_os("SCRIPTORIUM_REQUIRE_REDIS").is_some();
            assert!(!required, "redis-server is not installed: apt-get install redis-server");
            println!("skipped: redis-server is not installed");
            return None;
        };
        let mut server = Self { port, process, folder, options };
        assert!(server.answers(), "redis-server did not start on port {port}");
        Some(server)
    }

    fn answers(&mut self) -> bool {
        for _ in 0..1_000 {
            if std::net::TcpStream::connect(("127.0.0.1", self.port)).is_ok() {
                return true;
            }
            if self.process.try_wait().unwrap().is_some() {
                return false;
            }
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        false
    }

    pub(crate) fn signal(&self, signal: &str) {
        let sent = Command::new("kill").args([signal, &self.process.id().to_string()]).status().unwrap();
        assert!(sent.success());
    }

    pub(crate) fn kill(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    pub(crate) fn restart(&mut self) {
        self.kill();
        self.process = spawn(self.port, &self.folder, &self.options).unwrap();
        assert!(self.answers());
    }

    pub(crate) async fn command(&self, words: &[&str]) -> redis::Value {
        let client = redis::Client::open(format!("redis://127.0.0.1:{}/0", self.port)).unwrap();
        let mut connection = client.get_multiplexed_async_connection().await.unwrap();
        let mut command = redis::cmd(words[0]);
        for word in &words[1..] {
            command.arg(*word);
        }
        command.query_async(&mut connection).await.unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

fn spawn(port: u16, folder: &TempDir, options: &[String]) -> Option<Child> {
    let mut command = Command::new("redis-server");
    command.args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]);
    command.args(["--dir", &folder.path().display().to_string()]).args(options);
    command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().ok()
}
