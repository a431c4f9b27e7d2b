//! The readers of this machine: those of Debian, Python in several modes, node, Go, Perl, and the Rust crate.
//!
//! Owns how each is started and called. A reader unpacks into an empty folder, or reports a failure. Must not know the
//! expected tree.

use std::env;
use std::ffi::OsString;
use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::OnceLock;

use flate2::read::GzDecoder;

/// Set if no reader of Debian may be missing.
const REQUIRED: &str = "SCRIPTORIUM_REQUIRE_READERS";
/// More interpreters of Python than `python3`, with colons between them.
const PYTHONS: &str = "SCRIPTORIUM_PYTHONS";

/// Which archives a reader may refuse with an error.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Voice {
    /// Must unpack every archive that is sent.
    Takes,
    /// May refuse archives that are sent unchanged, but no archive that was packed anew.
    MayRefuse,
    /// May refuse any archive: it checks more than tar requires.
    Choosy,
    /// Cannot read pax, and gets only archives that were packed anew.
    OnlyAnew,
}

/// One way to unpack an archive.
pub(crate) struct Reader {
    pub(crate) name: String,
    pub(crate) voice: Voice,
    /// Whether another mode of the same reader is also used.
    pub(crate) variant: bool,
    hand: Hand,
}

enum Hand {
    /// A process for each archive.
    Process(&'static Process),
    /// A mode of a long-running process: its index among the workers.
    Worker {
        at: usize,
        mode: &'static str,
    },
    Crate,
}

/// How a process gets the archive.
#[derive(Clone, Copy)]
enum Handed {
    Named,
    Piped,
}

/// The readers, and the processes behind them.
pub(crate) struct Readers {
    pub(crate) readers: Vec<Reader>,
    workers: Vec<Worker>,
}

const OF_DEBIAN: [&str; 4] = ["GNU tar", "bsdtar", "busybox tar", "Python, whole"];
const UTF8: &str = "C.UTF-8";

/// A reader that is a process for each archive.
struct Process {
    name: &'static str,
    /// The required program, which must accept `--help`.
    program: &'static str,
    /// The command, to which the archive, `-C` and the folder are added.
    words: &'static [&'static str],
    archive: Handed,
    locale: &'static str,
    voice: Voice,
}

const PROCESSES: &[Process] = &[
    GNU_TAR,
    Process { name: "GNU tar, piped", archive: Handed::Piped, ..GNU_TAR },
    Process { name: "GNU tar, plain locale", locale: "C", ..GNU_TAR },
    // It tries tar before gzip.
    Process { name: "GNU tar, guessing", words: &["tar", "-x", "-f"], ..GNU_TAR },
    BSDTAR,
    Process { name: "bsdtar, piped", words: &["bsdtar", "-x", "-p", "-f"], archive: Handed::Piped, ..BSDTAR },
    Process { name: "bsdtar, plain locale", locale: "C", ..BSDTAR },
    Process {
        name: "busybox tar",
        program: "busybox",
        words: &["busybox", "tar", "-x", "-z", "-f"],
        voice: Voice::MayRefuse,
        ..GNU_TAR
    },
    Process {
        name: "7-Zip",
        program: "7zz",
        words: &["bash", "-o", "pipefail", "-c", r#"7zz x -so "$0" | 7zz x -ttar -si -y -o"$2""#],
        voice: Voice::MayRefuse,
        ..GNU_TAR
    },
];

const GNU_TAR: Process = Process {
    name: "GNU tar",
    program: "tar",
    words: &["tar", "-x", "-z", "-f"],
    archive: Handed::Named,
    locale: UTF8,
    voice: Voice::Takes,
};
const BSDTAR: Process =
    Process { name: "bsdtar", program: "bsdtar", words: &["bsdtar", "-x", "-f"], ..GNU_TAR };

/// Python's modes.
const PYTHON: &[&str] = &["whole", "stream", "any", "members", "strict", "lenient", "zeros", "ascii"];
/// Modes that need a filter, which versions before 3.12 may lack.
const PYTHON_FILTERS: &[&str] = &["data", "data-stream", "tar", "trusted"];

impl Readers {
    /// Starts the readers that this machine has.
    pub(crate) fn start() -> Self {
        let mut all = Self { readers: Vec::new(), workers: Vec::new() };
        for process in PROCESSES.iter().filter(|process| is_there(process.program, &["--help"])) {
            let hand = Hand::Process(process);
            let variant = process.name.contains(", ");
            all.readers.push(Reader { name: process.name.into(), voice: process.voice, variant, hand });
        }
        let more = env::var(PYTHONS).unwrap_or_default();
        for python in std::iter::once("python3").chain(more.split(':')).filter(|python| !python.is_empty()) {
            all.python(python);
        }
        all.node();
        all.go();
        if is_there("perl", &["-MArchive::Tar", "-e", "1"]) {
            let perl = command("perl", &[worker("unpack.pl").into()]);
            all.worker("Perl's Archive::Tar", perl, &[("", Voice::OnlyAnew)]);
        }
        let (name, voice) = ("the tar crate".into(), Voice::MayRefuse);
        all.readers.push(Reader { name, voice, variant: false, hand: Hand::Crate });
        all.of_debian();
        all
    }

    /// Unpacks with the reader at `at`. `Err` is its message.
    pub(crate) fn unpack(&mut self, at: usize, archive: &Path, folder: &Path) -> Result<(), String> {
        match &self.readers[at].hand {
            Hand::Process(process) => process.unpack(archive, folder),
            Hand::Worker { at, mode } => self.workers[*at].ask(mode, archive, folder),
            Hand::Crate => {
                let file = File::open(archive).unwrap();
                tar::Archive::new(GzDecoder::new(file)).unpack(folder).map_err(|error| error.to_string())
            }
        }
    }

    /// Whether this machine has a reader.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.readers.iter().any(|reader| reader.name == name)
    }

    fn python(&mut self, python: &str) {
        if !is_there(python, &["-c", "import tarfile"]) {
            return;
        }
        let filters = is_there(python, &["-c", "import tarfile; tarfile.data_filter"]);
        let modes = PYTHON.iter().chain(PYTHON_FILTERS.iter().filter(|_| filters));
        let modes: Vec<_> = modes.map(|mode| (*mode, Voice::Takes)).collect();
        let name = match Path::new(python).parent().and_then(Path::parent).and_then(Path::file_name) {
            Some(version) => format!("Python {}", version.display()),
            None => "Python".to_owned(),
        };
        self.worker(&name, command(python, &["-u".into(), worker("unpack.py").into()]), &modes);
    }

    /// node-tar in `target/tools/node`, where `.ci/run` installs it, or in npm.
    fn node(&mut self) {
        if !is_there("node", &["--version"]) {
            return;
        }
        let own = |name: &str| Some(root().join("../../target/tools/node/node_modules").join(name));
        let of_npm = || npm().map(|npm| npm.join("npm/node_modules/tar"));
        let tar = &[("", Voice::MayRefuse), ("stream", Voice::MayRefuse), ("strict", Voice::Choosy)][..];
        let libraries = [
            ("node-tar", own("tar").filter(|place| place.exists()).or_else(of_npm), tar),
            ("old node-tar", own("tar-6"), tar),
            ("tar-fs", own("tar-fs"), &[("fs", Voice::MayRefuse)]),
        ];
        for (name, place, modes) in libraries {
            if let Some(place) = place.filter(|place| place.exists()) {
                self.worker(name, command("node", &[worker("unpack.js").into(), place.into()]), modes);
            }
        }
    }

    fn go(&mut self) {
        static BUILT: OnceLock<Option<PathBuf>> = OnceLock::new();
        if let Some(built) = BUILT.get_or_init(build_go) {
            self.worker("Go", Command::new(built), &[("", Voice::MayRefuse)]);
        }
    }

    fn worker(&mut self, name: &str, command: Command, modes: &[(&'static str, Voice)]) {
        let at = self.workers.len();
        self.workers.push(Worker::new(command));
        for (place, (mode, voice)) in modes.iter().enumerate() {
            let name = if mode.is_empty() { name.to_owned() } else { format!("{name}, {mode}") };
            let hand = Hand::Worker { at, mode };
            self.readers.push(Reader { name, voice: *voice, variant: place > 0, hand });
        }
    }

    /// Whether every reader of Debian is installed.
    pub(crate) fn of_debian(&self) -> bool {
        let here = OF_DEBIAN.iter().all(|wanted| self.has(wanted));
        assert!(
            here || env::var_os(REQUIRED).is_none(),
            "{REQUIRED} is set, and one is missing of {OF_DEBIAN:?}"
        );
        here
    }
}

impl Process {
    fn unpack(&self, archive: &Path, folder: &Path) -> Result<(), String> {
        let mut command = Command::new(self.words[0]);
        command.args(&self.words[1..]).env("LC_ALL", self.locale);
        match self.archive {
            Handed::Named => command.arg(archive).stdin(Stdio::null()),
            Handed::Piped => command.arg("-").stdin(File::open(archive).unwrap()),
        };
        let output = command.arg("-C").arg(folder).output().unwrap();
        match output.status.success() {
            true => Ok(()),
            false => Err(String::from_utf8_lossy(&output.stderr).trim().to_owned()),
        }
    }
}

/// A process that unpacks one archive after another.
///
/// It is restarted if it dies, and after each refusal: node-tar reports an error while it still writes.
struct Worker {
    command: Command,
    running: Option<Running>,
}

struct Running {
    child: Child,
    questions: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Worker {
    fn new(mut command: Command) -> Self {
        command.env("LC_ALL", UTF8).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        Self { command, running: None }
    }

    fn ask(&mut self, mode: &str, archive: &Path, folder: &Path) -> Result<(), String> {
        let mut running = self.running.take().unwrap_or_else(|| Running::start(&mut self.command));
        writeln!(running.questions, "{mode}\t{}\t{}", archive.display(), folder.display()).unwrap();
        let mut answer = String::new();
        running.answers.read_line(&mut answer).unwrap();
        match answer.trim_end() {
            "" => Err("it died".into()),
            "ok" => {
                self.running = Some(running);
                Ok(())
            }
            refusal => Err(refusal.to_owned()),
        }
    }
}

impl Running {
    fn start(command: &mut Command) -> Self {
        let mut child = command.spawn().unwrap();
        let (questions, answers) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        Self { child, questions, answers: BufReader::new(answers) }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _gone_already = self.child.kill();
        let _reaped = self.child.wait();
    }
}

fn command(program: &str, words: &[OsString]) -> Command {
    let mut command = Command::new(program);
    command.args(words);
    command
}

fn is_there(program: &str, words: &[&str]) -> bool {
    let quiet = Command::new(program)
        .args(words)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    quiet.is_ok_and(|status| status.success())
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn worker(name: &str) -> PathBuf {
    root().join("tests/differential/workers").join(name)
}

/// The worker in Go, where there is a compiler; built once for all benches.
fn build_go() -> Option<PathBuf> {
    let built = Path::new(env!("CARGO_TARGET_TMPDIR")).join("unpack-go");
    let build = Command::new("go").arg("build").arg("-o").arg(&built).arg(worker("unpack.go")).status();
    build.is_ok_and(|status| status.success()).then_some(built)
}

/// Where npm keeps what is installed for all.
fn npm() -> Option<PathBuf> {
    let output = Command::new("npm").args(["root", "-g"]).stderr(Stdio::null()).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().into())
}
