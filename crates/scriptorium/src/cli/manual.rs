//! `man`: the manual pages, made of the help of the commands.
//!
//! Owns how a command is found by its words. Must not know any command.

use std::process::ExitCode;

use clap::Command;
use clap_mangen::Man;

pub(super) const EXAMPLES: &str = "\
Examples:
  scriptorium man | man -l -
  scriptorium man mirror sync | man -l -
  scriptorium man > /usr/local/share/man/man1/scriptorium.1";

pub(super) fn run(words: &[String], mut program: Command) -> ExitCode {
    // Gives each command the name and the options that it has below its parents.
    program.build();
    let mut command = program;
    for (at, word) in words.iter().enumerate() {
        let Some(found) = command.find_subcommand(word) else {
            super::complain(&format!(
                "expected the words of a command, found `{}`; `scriptorium help` lists all",
                words[..=at].join(" ")
            ));
            return ExitCode::from(2);
        };
        command = found.clone();
    }
    super::answer_with(|out| Man::new(command).render(out))
}
