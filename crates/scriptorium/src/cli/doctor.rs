//! `doctor`: one line for each check of a configuration from this machine.
//!
//! Owns the form of the lines and the exit code. Must not know what is checked.

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use serde_json::{Value, json};

use crate::config::Overrides;
use crate::doctor::{self, CheckOutcome, Diagnosis};

pub(super) const EXAMPLES: &str = "\
Examples:
  scriptorium doctor --config /etc/scriptorium.toml
  sudo -u scriptorium scriptorium doctor --config /etc/scriptorium/scriptorium.toml
  scriptorium doctor --config /etc/scriptorium.toml --json | jq '.checks[] | select(.outcome == \"bad\")'

Run it as the user, in the environment and on the machine of the proxy; the proxy may be running. Each
registry is asked for its capabilities once, and a bucket gets a small object that is removed again. Exit
code 0, or 1 when a check fails. A warning is no failure.";

#[derive(Debug, Args)]
pub(super) struct DoctorArgs {
    /// The configuration file; without it, the environment and the defaults
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// One JSON document instead of lines
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &DoctorArgs) -> ExitCode {
    let mut found = Vec::new();
    let mut tell = |finding: Diagnosis| {
        if !args.json {
            // Each line as soon as it is known, since some take seconds. If nobody reads, the exit code still counts.
            let _ = writeln!(io::stdout().lock(), "{}", line(&finding));
        }
        found.push(finding);
    };
    match super::load(args.config.as_deref(), Overrides::default()) {
        Err(errors) => {
            for error in &errors.0 {
                tell(Diagnosis::bad("configuration", error.origin.to_string(), error.sentence()));
            }
        }
        Ok(loaded) => {
            let about = args.config.as_ref().map(|file| file.display().to_string()).unwrap_or_default();
            tell(Diagnosis::good(
                "configuration",
                about,
                "valid; every file and variable that it names is there",
            ));
            for note in &loaded.notes {
                tell(Diagnosis::doubtful("configuration", "", note));
            }
            if let Err(failure) = super::wait(doctor::examine(&loaded.config, &mut tell)) {
                return failure.told(args.json);
            }
        }
    }
    let is_good = found.iter().all(|finding| finding.outcome != CheckOutcome::Bad);
    if args.json {
        let checks: Vec<_> = found.iter().map(object).collect();
        super::answer(&format!("{:#}\n", json!({ "good": is_good, "checks": checks })));
    }
    if is_good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn word(outcome: CheckOutcome) -> &'static str {
    match outcome {
        CheckOutcome::Good => "ok",
        CheckOutcome::Doubtful => "warning",
        CheckOutcome::Bad => "FAILED",
        CheckOutcome::Unchecked => "-",
    }
}

/// On one line, whatever a registry or a library says.
fn line(finding: &Diagnosis) -> String {
    let Diagnosis { check, about, outcome, found, advice } = finding;
    let about = if about.is_empty() { String::new() } else { format!(" {about}") };
    let advice = advice.as_ref().map(|advice| format!("; {advice}")).unwrap_or_default();
    let line = format!("{:<8} {check}{about}: {found}{advice}", word(*outcome));
    line.chars().map(|letter| if letter.is_control() { ' ' } else { letter }).collect()
}

fn object(finding: &Diagnosis) -> Value {
    let outcome = match finding.outcome {
        CheckOutcome::Good => "good",
        CheckOutcome::Doubtful => "doubtful",
        CheckOutcome::Bad => "bad",
        CheckOutcome::Unchecked => "unchecked",
    };
    let Diagnosis { check, about, found, advice, .. } = finding;
    json!({ "check": check, "about": about, "outcome": outcome, "found": found, "advice": advice })
}
