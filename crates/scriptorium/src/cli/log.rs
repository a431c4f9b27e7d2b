//! `log verify`: whether the lines of an audit record fit one another.
//!
//! Owns what is shown and the exit code. Must not know the rules of the chain.

use std::fs::File;
use std::io::{self, BufReader};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Subcommand;
use serde_json::{Value, json};

use crate::audit_record::{ChainVerifier, Misfit};

const VERIFY_EXAMPLES: &str = "\
Examples:
  scriptorium log verify /var/log/scriptorium/audit.jsonl
  scriptorium log verify audit.jsonl.2 audit.jsonl.1 audit.jsonl
  scriptorium log verify --json audit.jsonl | jq .lines

Each line of an audit record has the SHA-256 of the line before. Several files are read as one
record, the oldest first. Exit code 0 when every line fits, also where a crash cut a line that was
sealed afterwards; 1 with the first line that does not fit. Lines that were cut off the end cannot
be missed by this: compare the last line with a copy elsewhere.";

#[derive(Debug, Subcommand)]
pub(super) enum LogCommand {
    /// Prove that no line of an audit record was changed or taken out
    #[command(after_help = VERIFY_EXAMPLES)]
    Verify {
        /// The files of `log.audit`, the oldest first
        #[arg(required = true, value_name = "FILE")]
        files: Vec<PathBuf>,
        /// One JSON document instead of text
        #[arg(long)]
        json: bool,
    },
}

#[derive(Debug, thiserror::Error)]
enum Unverified {
    #[error("{}: {source}", path.display())]
    Unreadable {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("{}: {misfit}", path.display())]
    Misfit { path: PathBuf, misfit: Misfit },
}

pub(super) fn run(command: &LogCommand) -> ExitCode {
    let LogCommand::Verify { files, json } = command;
    match verify(files) {
        Ok(read) if *json => super::answer(&format!("{:#}\n", object(&read))),
        Ok(read) => super::answer(&text(&read)),
        Err(error) => super::fail(&error).told(*json),
    }
}

fn verify(files: &[PathBuf]) -> Result<ChainVerifier, Unverified> {
    let mut verifier = ChainVerifier::default();
    for path in files {
        let unreadable = |source| Unverified::Unreadable { path: path.clone(), source };
        let file = open(path).map_err(unreadable)?;
        let read = verifier.read(BufReader::new(file)).map_err(unreadable)?;
        read.map_err(|misfit| Unverified::Misfit { path: path.clone(), misfit })?;
    }
    Ok(verifier)
}

fn open(path: &Path) -> io::Result<File> {
    let file = File::open(path)?;
    if file.metadata()?.is_dir() {
        return Err(io::Error::other("this is a folder; expected the file of an audit record"));
    }
    Ok(file)
}

fn object(read: &ChainVerifier) -> Value {
    json!({
        "lines": read.lines, "continues": read.continues, "seals": read.seals, "torn": read.is_torn,
        "lost": read.lost,
    })
}

fn text(read: &ChainVerifier) -> String {
    let mut text = format!("{} lines fit one another\n", read.lines);
    if read.continues {
        text += "the first file goes on after one that was not read\n";
    }
    if read.seals > 0 {
        text += &format!("{} times a crash cut a line, which was sealed\n", read.seals);
    }
    if read.is_torn {
        text +=
            "the last line has no end: it is being written, or a crash cut it and the next start seals it\n";
    }
    if read.lost > 0 {
        text += &format!(
            "{} lines could not be written when they were due; the log of the process has them\n",
            read.lost
        );
    }
    text
}
