//! The commands of a page of the documentation, run as they stand there.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group};

/// The commands of a block: a here-document belongs to its command, comments and blank lines to none.
pub(crate) fn commands(block: &str) -> Vec<String> {
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

/// How long a command may take. A page may wait for a proxy that never answers.
const DEADLINE: Duration = Duration::from_secs(120);

/// A shell that ends at the first command that fails, with the binary under test in its path. Whatever it started ends with it,
/// since a proxy that is left behind would keep the output of the tests open.
pub(crate) struct Shell {
    child: Child,
    input: Option<ChildStdin>,
    printed: Receiver<String>,
}

impl Shell {
    pub(crate) fn start(folder: &Path) -> Self {
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
            .process_group(0)
            .spawn()
            .unwrap();
        let (input, output) = (child.stdin.take(), BufReader::new(child.stdout.take().unwrap()));
        let (sender, printed) = channel();
        thread::spawn(move || output.lines().map_while(Result::ok).try_for_each(|line| sender.send(line)));
        let mut shell = Self { child, input, printed };
        // A proxy in the background would keep the output open, and the end of the shell would not be seen.
        shell.run("trap 'kill $! 2>/dev/null' EXIT\n");
        shell
    }

    /// Runs a command to its end. What it printed comes back.
    pub(crate) fn run(&mut self, command: &str) -> String {
        let script = format!("{command}echo; echo ...done\n");
        self.input.as_mut().unwrap().write_all(script.as_bytes()).unwrap();
        let (end, mut printed) = (Instant::now() + DEADLINE, String::new());
        loop {
            let left = end.saturating_duration_since(Instant::now());
            match self.printed.recv_timeout(left) {
                Ok(line) if line == "...done" => return printed,
                Ok(line) => printed += &format!("{line}\n"),
                Err(why) => panic!("{why}: the shell at\n{command}\nwhich printed\n{printed}"),
            }
        }
    }

    /// Ends the proxy in the background, and the shell.
    pub(crate) fn end(mut self) {
        self.run("trap - EXIT\nkill -TERM $!\nwait $!\n");
        self.input = None;
        assert!(self.child.wait().unwrap().success());
    }
}

impl Drop for Shell {
    fn drop(&mut self) {
        // The group is gone if everything in it has ended.
        let _ = kill_process_group(Pid::from_child(&self.child), Signal::KILL);
        let _ = self.child.wait();
    }
}
