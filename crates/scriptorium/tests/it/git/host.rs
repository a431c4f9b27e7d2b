//! A host of Git repositories: the real `git http-backend` behind a socket of this machine.
//!
//! Owns how Git is called: with no configuration of the machine, and as nobody in particular.

use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

use serde_json::json;
use tempfile::TempDir;

use crate::support::tarball::Entry;
use crate::support::{Release, Reply, Seen, Setup, Upstream};

/// Repositories, each with a work tree, below one address.
pub(super) struct GitHost {
    pub(super) server: Upstream,
    folder: Arc<TempDir>,
}

impl GitHost {
    pub(super) fn start() -> Self {
        let (server, folder) = (Upstream::start(), Arc::new(TempDir::new().unwrap()));
        let served = Arc::clone(&folder);
        server.handle(move |request| Some(answer(served.path(), request)));
        Self { server, folder }
    }

    pub(super) fn repository(&self, name: &str) -> String {
        format!("{}/{name}/.git", self.server.url())
    }

    /// Commits the files of `release` instead of all that was there, and points `tag` at the commit.
    pub(super) fn commit(&self, name: &str, release: &Release, tag: &str) -> String {
        let tree = self.folder.path().join(name);
        if !tree.exists() {
            fs::create_dir_all(&tree).unwrap();
            self.git(name, &["init", "--quiet", "--initial-branch=main"]);
        }
        self.git(name, &["rm", "-r", "-f", "--quiet", "--ignore-unmatch", "."]);
        release.entries.iter().for_each(|entry| write(&tree, entry));
        self.git(name, &["add", "--all", "--force", "."]);
        self.git(name, &["commit", "--quiet", "--allow-empty", "--message=x"]);
        self.git(name, &["tag", "--force", tag]);
        self.git(name, &["rev-parse", "HEAD"])
    }

    /// What Git writes, without the line feed at its end.
    pub(super) fn git(&self, name: &str, arguments: &[&str]) -> String {
        let output = git().arg("-C").arg(self.folder.path().join(name)).args(arguments).output().unwrap();
        assert!(output.status.success(), "git {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim_end().to_owned()
    }

    /// What a shell command writes in a repository.
    pub(super) fn shell(&self, name: &str, script: &str) -> String {
        let mut shell = Command::new("sh");
        let output = shell.args(["-c", script]).current_dir(self.folder.path().join(name)).output().unwrap();
        assert!(output.status.success(), "{script}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim_end().to_owned()
    }

    /// How many packs were asked for.
    pub(super) fn fetches(&self) -> usize {
        let is_fetch = |request: &Seen| {
            request.method == "POST" && crate::support::proxy::contains(&request.body, b"command=fetch")
        };
        self.server.seen().iter().filter(|request| is_fetch(request)).count()
    }

    /// A release that this host delivers, by a tag `v<version>` of the repository that has the volume's name.
    pub(super) fn deliver(&self, mut release: Release) -> Release {
        let name = release.name.replace(['@', '/'], "-");
        let tag = format!("v{}", release.version);
        self.commit(&name, &release, &tag);
        release.dist = Some(json!({ "source": "git", "repository": self.repository(&name), "ref": tag }));
        release
    }

    /// A proxy before `registry` that may ask this host.
    pub(super) fn before(&self, registry: &Upstream) -> Setup {
        Setup::before(registry).set("upstream.git_hosts", vec![self.server.authority()])
    }
}

fn write(tree: &Path, entry: &Entry) {
    let path: PathBuf = tree.join(&entry.path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, &entry.content).unwrap();
    let mode = if entry.executable { 0o755 } else { 0o644 };
    fs::set_permissions(&path, PermissionsExt::from_mode(mode)).unwrap();
}

/// Git, with a configuration of its own.
fn git() -> Command {
    let mut git = Command::new("git");
    git.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
    for (key, value) in [
        ("GIT_CONFIG_NOSYSTEM", "1"),
        ("GIT_CONFIG_GLOBAL", "/dev/null"),
        ("GIT_AUTHOR_NAME", "nobody"),
        ("GIT_AUTHOR_EMAIL", "nobody@localhost"),
        ("GIT_COMMITTER_NAME", "nobody"),
        ("GIT_COMMITTER_EMAIL", "nobody@localhost"),
    ] {
        git.env(key, value);
    }
    git
}

/// What the backend answers, called as a web server calls it.
fn answer(root: &Path, request: &Seen) -> Reply {
    let mut backend = git();
    backend.arg("http-backend").env("GIT_PROJECT_ROOT", root).env("GIT_HTTP_EXPORT_ALL", "1");
    backend.env("PATH_INFO", request.path()).env("QUERY_STRING", request.query());
    backend.env("REQUEST_METHOD", &request.method).env("CONTENT_LENGTH", request.body.len().to_string());
    for (field, variable) in [("content-type", "CONTENT_TYPE"), ("git-protocol", "GIT_PROTOCOL")] {
        if let Some(value) = request.header(field) {
            backend.env(variable, value);
        }
    }
    let mut child =
        backend.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(&request.body).unwrap();
    let output = child.wait_with_output().unwrap().stdout;
    let end = output.windows(4).position(|bytes| bytes == b"\r\n\r\n").unwrap();
    let head = String::from_utf8(output[..end].to_vec()).unwrap();
    let field = |name: &str| head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
    let status = field("Status").and_then(|status| status[..3].parse().ok()).unwrap_or(200);
    Reply::new(status, field("Content-Type").unwrap_or_default(), &output[end + 4..])
}
