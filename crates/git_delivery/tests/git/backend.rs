//! The real server: `git http-backend`, called as a web server calls it (CGI), without a web server between.
//!
//! Owns that call. One process answers one request, and its output is the answer while it runs.

use std::cell::Cell;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Stdio};

use git_delivery::{GitAnswer, GitRequest, GitTransport};

use super::repository::{Repository, git};

/// A transport to one repository on this machine.
pub(super) struct Backend {
    project: PathBuf,
    /// Requests so far.
    pub(super) requests: Cell<usize>,
}

impl Backend {
    pub(super) fn of(repository: &Repository) -> Self {
        Self { project: repository.path().join(".git"), requests: Cell::new(0) }
    }
}

impl GitTransport for Backend {
    fn exchange(&mut self, request: &GitRequest<'_>) -> io::Result<GitAnswer<'_>> {
        self.requests.set(self.requests.get() + 1);
        let (path, query) = request.path().split_once('?').unwrap_or((request.path(), ""));
        let mut backend = git();
        backend.arg("http-backend").env("GIT_PROJECT_ROOT", &self.project).env("GIT_HTTP_EXPORT_ALL", "1");
        backend.env("PATH_INFO", path).env("QUERY_STRING", query);
        backend.env("REQUEST_METHOD", if request.body().is_some() { "POST" } else { "GET" });
        for (name, value) in request.headers() {
            match *name {
                "content-type" => backend.env("CONTENT_TYPE", value),
                name => backend.env(format!("HTTP_{}", name.to_uppercase().replace('-', "_")), value),
            };
        }
        backend.env("GIT_PROTOCOL", "version=2");
        if let Some(body) = request.body() {
            backend.env("CONTENT_LENGTH", body.len().to_string());
        }
        let mut child = backend.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn()?;
        child.stdin.take().unwrap().write_all(request.body().unwrap_or_default())?;
        let mut output = BufReader::new(child.stdout.take().unwrap());
        let mut content_type = String::new();
        for line in output.by_ref().lines() {
            let line = line?;
            if line.is_empty() {
                break;
            }
            let (name, value) = line.split_once(": ").unwrap();
            match name {
                "Status" => return Err(io::Error::other(value.to_owned())),
                "Content-Type" => value.clone_into(&mut content_type),
                _ => {}
            }
        }
        Ok(GitAnswer { content_type, body: Box::new(Output { output, child }) })
    }
}

/// The output of a process that is ended with it.
struct Output {
    output: BufReader<ChildStdout>,
    child: Child,
}

impl Read for Output {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.output.read(buffer)
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
