//! The instructions of a hit in the thread that answers it, counted by valgrind. Each kind of hit runs in a process of
//! its own, whose log goes to /dev/null.
//!
//! This is a program apart from `allocations`, because counting allocations takes instructions.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout, missing_docs)]

mod arguments;
mod budget;
mod callgrind;
mod proxy;

use std::process::{Command, ExitCode, Stdio};
use std::{env, hint};

use arguments::Arguments;
use budget::{Budget, Costs};
use callgrind::Profile;
use clap::Parser;
use proxy::{CASES, Case, Proxy};

/// How far a hit may be above its budget, in percent: another libc or processor takes other ways through
/// `memcpy`.
const TOLERANCE: u64 = 10;
/// How much dearer a policy may make a hit, in percent: the verdict is kept with what it is about.
const RULES_TOLERANCE: u64 = 2;
/// How often both are counted again and the lowest taken: hash tables are seeded anew in each process, which is worth three percent.
const AGAIN: u32 = 3;
/// The kinds of hits that are counted with a policy too, one of each form.
const JUDGED: [&str; 3] = ["index-2k", "not-modified", "archive-1m"];
/// Functions that a profile shows.
const SHOWN: usize = 60;
/// Makes a missing valgrind a failure.
const REQUIRED: &str = "SCRIPTORIUM_REQUIRE_VALGRIND";

/// What a hit costs in instructions.
#[derive(Debug, Parser)]
struct Parsed {
    #[command(flatten)]
    arguments: Arguments,
    /// Show the functions that a hit of one kind passes through: instructions with what they call, and by
    /// themselves
    #[arg(long, conflicts_with_all = ["only", "check", "bless"])]
    profile: Option<Case>,
}

fn main() -> ExitCode {
    let Parsed { arguments, profile: profiled } = Parsed::parse();
    if let Some(case) = arguments.only {
        let proxy = Proxy::start(arguments.rules);
        proxy.drive(case, arguments.hits.unwrap_or(case.hits()), one_measured_hit);
        proxy.stop();
        return ExitCode::SUCCESS;
    }
    if !has_valgrind() {
        let required = env::var_os(REQUIRED).is_some_and(|value| !value.is_empty());
        println!(
            "instructions: not counted, there is no valgrind{}",
            if required { " but must be" } else { "" }
        );
        return if required { ExitCode::FAILURE } else { ExitCode::SUCCESS };
    }
    if let Some(case) = profiled {
        show(&profile(case, false), case.hits());
        return ExitCode::SUCCESS;
    }
    println!("{:<16}{:>14}{:>14}", "hit", "instructions", "with rules");
    let (mut costs, mut with_rules) = (Costs::new(), Costs::new());
    for case in CASES {
        let cost = |rules| profile(case, rules).total / u64::from(case.hits());
        let mut plain = cost(false);
        print!("{:<16}{plain:>14}", case.name);
        if JUDGED.contains(&case.name) {
            let mut judged = cost(true);
            for _ in 0..AGAIN {
                if judged * 100 <= plain * (100 + RULES_TOLERANCE) {
                    break;
                }
                (plain, judged) = (plain.min(cost(false)), judged.min(cost(true)));
            }
            print!("{judged:>14}");
            with_rules.insert(case.name.to_owned(), judged);
        }
        costs.insert(case.name.to_owned(), plain);
        println!();
    }
    let mut budget = Budget::read();
    if arguments.bless {
        budget.instructions = costs;
        budget.write();
    } else if arguments.check {
        let checks = [
            budget::check("instructions", &costs, &budget.instructions, TOLERANCE),
            budget::check("instructions with rules", &with_rules, &costs, RULES_TOLERANCE),
        ];
        let failed = checks.into_iter().find(|check| *check != ExitCode::SUCCESS);
        return failed.unwrap_or(ExitCode::SUCCESS);
    }
    ExitCode::SUCCESS
}

/// Valgrind counts within this function, which it finds by its name.
#[inline(never)]
fn one_measured_hit(hit: &mut dyn FnMut()) {
    hint::black_box(hit)();
}

fn has_valgrind() -> bool {
    let version =
        Command::new("valgrind").arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    version.is_ok_and(|status| status.success())
}

fn profile(case: Case, with_rules: bool) -> Profile {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("callgrind.out");
    let status = Command::new("valgrind")
        .args(["--tool=callgrind", "--toggle-collect=*one_measured_hit*"])
        .arg(format!("--callgrind-out-file={}", file.display()))
        .arg(env::current_exe().unwrap())
        .args(["--only", case.name, "--hits", &case.hits().to_string()])
        .args(with_rules.then_some("--rules"))
        .stderr(Stdio::null())
        .status()
        .unwrap();
    assert!(status.success(), "{}: {status}; `--only {0}` shows why", case.name);
    Profile::read(&std::fs::read_to_string(file).unwrap())
}

/// The most expensive functions, the functions they call included.
fn show(profile: &Profile, hits: u32) {
    let hits = u64::from(hits);
    println!("{:>8}{:>8}  function, with what it calls and by itself", profile.total / hits, "");
    // A function that has the whole cost is a caller of the hit.
    let within = profile.dearest().into_iter().filter(|(_, [inclusive, _])| *inclusive < profile.total);
    for (name, [inclusive, own]) in within.take(SHOWN) {
        println!("{:>8}{:>8}  {name}", inclusive / hits, own / hits);
    }
}
