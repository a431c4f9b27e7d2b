//! The ten commands of the README and of `docs/mirror.md`, run as they stand there: from a list of names to an archive that
//! an offline site serves.
//!
//! Only the addresses are other ones, since those of the page may be taken: the sample registry of the demo stands at the
//! address of the page's registry, and is gone before anything crosses.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use bibliotheca::sample;
use sha2::{Digest, Sha256};

use crate::support::{Client, Upstream, free_ports};

/// The archive that the last command gets.
const ARCHIVE: &str = "/archives/@acme/review-agent/2.0.0.tar.gz";

/// The one block of a page that begins with a list of roots.
fn block(page: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(page);
    let text = fs::read_to_string(path).unwrap();
    let blocks = text.split("```sh\n").skip(1).map(|rest| rest.split("```").next().unwrap());
    let mut walks = blocks.filter(|block| block.contains("> roots.txt"));
    let walk = walks.next().expect("the ten commands").to_owned();
    assert!(walks.next().is_none(), "{page} has two walks");
    walk
}

/// The commands of a block: a here-document belongs to its command, comments and blank lines to none.
fn commands(block: &str) -> Vec<String> {
    let (mut commands, mut lines) = (Vec::new(), block.lines());
    while let Some(line) = lines.next() {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let mut command = format!("{line}\n");
        if line.ends_with("<<END") {
            for line in lines.by_ref() {
                command += &format!("{line}\n");
                if line == "END" {
                    break;
                }
            }
        }
        commands.push(command);
    }
    commands
}

/// A shell that ends at the first command that fails, with the binary under test in its path.
struct Shell {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Shell {
    fn start(folder: &Path) -> Self {
        let binary = Path::new(env!("CARGO_BIN_EXE_scriptorium")).parent().unwrap();
        let path = format!("{}:{}", binary.display(), std::env::var("PATH").unwrap());
        let mut shell = Command::new("sh");
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("SCRIPTORIUM_")) {
            shell.env_remove(name);
        }
        for name in ["HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"] {
            shell.env_remove(name);
        }
        let mut child = shell
            .args(["-e", "-s"])
            .env("PATH", path)
            .current_dir(folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (input, output) = (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()));
        Self { child, input, output }
    }

    /// Runs a command to its end. What it printed comes back.
    fn run(&mut self, command: &str) -> String {
        self.input.write_all(format!("{command}echo; echo ...done\n").as_bytes()).unwrap();
        let mut printed = String::new();
        while !printed.ends_with("\n...done\n") {
            let read = self.output.read_line(&mut printed).unwrap();
            assert!(read > 0, "the shell ended at\n{command}\nwhich printed\n{printed}");
        }
        printed
    }

    /// Ends the proxy in the background, and the shell.
    fn end(mut self) {
        self.run("kill -TERM $!\nwait $!\n");
        drop(self.input);
        assert!(self.child.wait().unwrap().success());
    }
}

#[test]
fn the_ten_commands_lead_from_a_list_to_an_offline_site() {
    if Command::new("curl").arg("--version").output().is_err() {
        eprintln!("skipped: no curl here");
        return;
    }
    let walk = block("README.md");
    assert_eq!(commands(&walk), commands(&block("docs/mirror.md")), "the pages have the same commands");
    let registry = Upstream::start();
    sample::publish(&registry).unwrap();
    let authority = registry.url().strip_prefix("http://").unwrap().to_owned();
    let ([public, admin], [near, near_admin]) = (free_ports(), free_ports());
    let mut placed = walk.replace("127.0.0.1:8080", &authority);
    for (page, port) in [(8181, public), (9191, admin), (8282, near), (9292, near_admin)] {
        let page = format!("127.0.0.1:{page}");
        assert!(placed.contains(&page), "{page}");
        placed = placed.replace(&page, &format!("127.0.0.1:{port}"));
    }
    let commands = commands(&placed);
    assert_eq!(commands.len(), 10, "{commands:#?}");
    let published = Client(authority.parse().unwrap()).get(&format!("/cdn{}", &ARCHIVE["/archives".len()..]));

    let folder = tempfile::TempDir::new().unwrap();
    let mut shell = Shell::start(folder.path());
    let crossing = commands.iter().position(|command| command.contains("there.toml")).unwrap();
    for command in &commands[..crossing] {
        shell.run(command);
    }
    registry.down();
    for command in &commands[crossing..] {
        shell.run(command);
    }
    let got = fs::read(folder.path().join("2.0.0.tar.gz")).unwrap();
    assert!(got == published.ok().body, "the bytes that the registry had");
    let served = Client(format!("127.0.0.1:{public}").parse().unwrap()).get(ARCHIVE).ok();
    assert!(served.body == got);
    let digest = data_encoding::BASE64.encode(&Sha256::digest(&got));
    assert_eq!(served.header("repr-digest"), Some(&*format!("sha-256=:{digest}:")));
    shell.end();
}
