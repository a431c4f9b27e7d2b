//! What ordinary packers write is never refused: it goes out as it came, or packed anew.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::{assert_is_the_tree, gz};
use crate::support::tarball::Entry;
use crate::support::{Release, Setup, Upstream};

/// A tree that makes packers show what they do: long names, names beyond ASCII, a script, an empty file.
fn tree(number: usize, long: bool) -> Release {
    let release = Release::new(&format!("packed-{number}"), "1.0.0")
        .adding(Entry::file("docs/안녕.md", "hello"))
        .adding(Entry::file("empty.txt", ""));
    if !long {
        return release;
    }
    let (folder, name) = ("d".repeat(90), "n".repeat(90));
    let split = format!("{folder}/{name}.md");
    let longest = format!("{folder}/{folder}/{}.md", "m".repeat(150));
    release.adding(Entry::file(&split, "split")).adding(Entry::script(&longest, "long"))
}

/// Writes a release's files below `folder`, with times that have fractions.
fn lay_out(release: &Release, folder: &Path) {
    for Entry { path, content, executable, .. } in &release.entries {
        let file = folder.join(path);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(&file, content).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(if *executable { 0o755 } else { 0o644 }))
            .unwrap();
    }
}

/// A way to pack the folder that the command runs in: a shell's line that writes a tar or a `.tar.gz`.
struct Packer {
    tool: &'static str,
    line: String,
    /// Whether the format has room for every name.
    long: bool,
    /// Whether what it writes is canonical already.
    canonical: bool,
}

fn packer(tool: &'static str, line: impl Into<String>, long: bool, canonical: bool) -> Packer {
    Packer { tool, line: line.into(), long, canonical }
}

fn packers() -> Vec<Packer> {
    let gnu = |format: &str| format!("tar --format={format} -cf - *");
    let bsd = |format: &str| format!("bsdtar --format {format} -cf - *");
    let python = |format: &str| {
        format!(
            "python3 -c 'import sys, tarfile, os\n\
             with tarfile.open(fileobj=sys.stdout.buffer, mode=\"w|gz\", format=tarfile.{format}) as a:\n\
             \x20   for name in os.listdir(\".\"): a.add(name)'"
        )
    };
    let node = |options: &str| {
        format!(
            "node -e 'require(\"tar\").c({{ gzip: true, {options} }}, require(\"fs\").readdirSync(\".\")).pipe(process.stdout)'"
        )
    };
    let git = "git init -q . && git add -A && git -c user.name=a -c user.email=a@b.c commit -qm x && \
               git archive --format=tar.gz HEAD";
    vec![
        packer("tar", "tar -czf - *", true, true),
        packer("tar", gnu("gnu"), true, true),
        packer("tar", gnu("oldgnu"), true, true),
        packer("tar", gnu("ustar"), false, true),
        packer("tar", gnu("posix"), true, false),
        packer("tar", gnu("v7"), false, false),
        packer(
            "tar",
            "tar --format=gnu --sort=name --owner=0 --group=0 --mode=u=rwX,go=rX -cf - * | gzip -n",
            true,
            true,
        ),
        packer("tar", "tar --format=posix --pax-option=delete=path -cf - *", false, true),
        packer("bsdtar", "bsdtar -czf - *", true, false),
        packer("bsdtar", bsd("pax"), true, false),
        packer("bsdtar", bsd("ustar"), false, true),
        packer("bsdtar", bsd("gnutar"), true, true),
        packer("bsdtar", bsd("v7tar"), false, false),
        packer("git", git, true, false),
        packer("python3", python("USTAR_FORMAT"), false, true),
        packer("python3", python("GNU_FORMAT"), true, true),
        packer("python3", python("PAX_FORMAT"), true, false),
        packer("node-tar", node(""), true, false),
        packer("node-tar", node("portable: true"), true, false),
        packer("node-tar", node("noPax: true"), false, false),
        packer("busybox", "busybox tar -czf - *", true, true),
    ]
}

/// Where a packer's tool is. `None` where it is missing and nobody requires it.
fn find(tool: &str) -> Option<Option<PathBuf>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let node = std::env::var_os("SCRIPTORIUM_NODE_TAR")
        .map_or_else(|| root.join("../../target/tools/node"), PathBuf::from);
    let there = match tool {
        "node-tar" => node.join("node_modules/tar").is_dir() && runs("node"),
        tool => runs(tool),
    };
    if there {
        return Some((tool == "node-tar").then_some(node));
    }
    assert!(std::env::var_os("SCRIPTORIUM_REQUIRE_PACKERS").is_none(), "{tool} is missing");
    eprintln!("skipped: {tool} is missing");
    None
}

fn runs(tool: &str) -> bool {
    let probe = Command::new("sh").args(["-c", &format!("command -v {tool}")]).stdout(Stdio::null()).status();
    probe.is_ok_and(|status| status.success())
}

#[test]
fn what_ordinary_packers_write_is_served() {
    let upstream = Upstream::start();
    let mut packed = Vec::new();
    for (number, Packer { tool, line, long, canonical }) in packers().into_iter().enumerate() {
        let Some(node) = find(tool) else { continue };
        let (release, folder) = (tree(number, long), tempfile::tempdir().unwrap());
        lay_out(&release, folder.path());
        let mut shell = Command::new("sh");
        shell
            .args(["-c", &line])
            .current_dir(&folder)
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("LC_ALL", "C.UTF-8");
        if let Some(node) = node {
            shell.env("NODE_PATH", node.join("node_modules"));
        }
        let output = shell.output().unwrap();
        assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
        let archive =
            if output.stdout.starts_with(&[0x1f, 0x8b]) { output.stdout } else { gz(&output.stdout) };
        upstream.publish_as(&release, archive.clone());
        packed.push((line, release, archive, canonical));
    }
    let proxy = Setup::before(&upstream).start();
    let mut differing = Vec::new();
    for (line, release, archive, canonical) in packed {
        let answer = proxy.client().get(&release.download());
        assert_eq!(answer.status, 200, "{line}: {}", answer.text());
        assert_is_the_tree(&answer, &release);
        if (answer.body == archive) != canonical {
            differing.push(line);
        }
    }
    assert_eq!(differing, [""; 0], "canonical is what the table of packers says");
}
