//! `completions`: what a shell needs to complete the commands.
//!
//! Owns which shells are known. Must not know any command.

use std::process::ExitCode;

use clap::Command;
pub(super) use clap_complete::Shell;
use clap_complete::generate;

pub(super) const EXAMPLES: &str = "\
Examples:
  scriptorium completions bash > ~/.local/share/bash-completion/completions/scriptorium
  scriptorium completions zsh > \"${fpath[1]}/_scriptorium\"
  scriptorium completions fish > ~/.config/fish/completions/scriptorium.fish";

pub(super) fn run(shell: Shell, mut program: Command) -> ExitCode {
    // Written here first, because the generator panics where a pipe is closed.
    let mut script = Vec::new();
    generate(shell, &mut program, "scriptorium", &mut script);
    super::answer_with(|out| out.write_all(&script))
}
