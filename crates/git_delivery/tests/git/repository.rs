//! A repository in a temporary folder, in the hands of the real Git.
//!
//! Owns how Git is called: with no configuration of the machine, and as nobody in particular.

use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use archive::TreeFile;
use git_delivery::{CommitId, GitObjects};
use tempfile::TempDir;

use super::ROOMY;

/// A repository with a work tree.
pub(super) struct Repository(TempDir);

impl Repository {
    pub(super) fn new() -> Self {
        let repository = Self(tempfile::tempdir().unwrap());
        repository.git(&["init", "--quiet", "--initial-branch=main"]);
        repository
    }

    pub(super) fn path(&self) -> &Path {
        self.0.path()
    }

    pub(super) fn folder(&self) -> PathBuf {
        self.path().join(".git/objects")
    }

    pub(super) fn objects(&self) -> GitObjects {
        GitObjects::open(&self.folder(), &ROOMY).unwrap()
    }

    /// What Git writes, without the line feed at its end.
    pub(super) fn git(&self, arguments: &[&str]) -> String {
        self.git_with(arguments, b"")
    }

    /// The same for a command that reads `input`.
    pub(super) fn git_with(&self, arguments: &[&str], input: &[u8]) -> String {
        let mut child = git()
            .arg("-C")
            .arg(self.path())
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(input).unwrap();
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "git {arguments:?}");
        String::from_utf8(output.stdout).unwrap().trim_end().to_owned()
    }

    /// Writes files into the work tree, instead of all that was there, and commits them.
    pub(super) fn commit(&self, files: &[TreeFile<'_>]) -> CommitId {
        self.git(&["rm", "-r", "-f", "--quiet", "--ignore-unmatch", "."]);
        for TreeFile { path, executable, content } in files {
            let path = self.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, content).unwrap();
            let mode = if *executable { 0o755 } else { 0o644 };
            std::fs::set_permissions(&path, PermissionsExt::from_mode(mode)).unwrap();
        }
        self.git(&["add", "--all", "--force", "."]);
        self.git(&["commit", "--quiet", "--allow-empty", "--message=x"]);
        self.head()
    }

    pub(super) fn head(&self) -> CommitId {
        self.git(&["rev-parse", "HEAD"]).parse().unwrap()
    }

    /// Writes an object as it is, whether or not Git would make one like it. Returns its name.
    pub(super) fn object(&self, kind: &str, content: &[u8]) -> String {
        self.git_with(&["hash-object", "-t", kind, "-w", "--literally", "--stdin"], content)
    }

    /// A commit of a tree that is written as it is, of entries with mode, name and object.
    pub(super) fn commit_of_tree(&self, entries: &[(&str, &[u8], &str)]) -> CommitId {
        let tree = self.tree(entries);
        self.commit_of(&tree)
    }

    pub(super) fn commit_of(&self, tree: &str) -> CommitId {
        self.git(&["commit-tree", "-m", "x", tree]).parse().unwrap()
    }

    pub(super) fn tree(&self, entries: &[(&str, &[u8], &str)]) -> String {
        let mut content = Vec::new();
        for (mode, name, object) in entries {
            content.extend_from_slice(mode.as_bytes());
            content.push(b' ');
            content.extend_from_slice(name);
            content.push(0);
            let digit = |at: usize| u8::from_str_radix(&object[at..at + 2], 16).unwrap();
            content.extend((0..object.len()).step_by(2).map(digit));
        }
        self.object("tree", &content)
    }
}

/// Git, with a configuration of its own.
pub(super) fn git() -> Command {
    let mut git = Command::new("git");
    git.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
    for (key, value) in [
        ("GIT_CONFIG_NOSYSTEM", "1"),
        ("GIT_CONFIG_GLOBAL", "/dev/null"),
        ("GIT_AUTHOR_NAME", "nobody"),
        ("GIT_AUTHOR_EMAIL", "nobody@localhost"),
        ("GIT_AUTHOR_DATE", "1796000000 +0000"),
        ("GIT_COMMITTER_NAME", "nobody"),
        ("GIT_COMMITTER_EMAIL", "nobody@localhost"),
        ("GIT_COMMITTER_DATE", "1796000000 +0000"),
    ] {
        git.env(key, value);
    }
    git
}
