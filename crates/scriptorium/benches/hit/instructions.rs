//! The instructions of a hit in the thread that answers it, counted by valgrind. Each kind of hit runs in a process of
//! its own, whose log goes to /dev/null.
//!
//! This is a program apart from `allocations`, because counting allocations takes instructions.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout, missing_docs)]

mod arguments;
mod budget;
mod callgrind;
mod proxy;
mod servers;
mod wiring;

use std::process::{Command, ExitCode, Stdio};
use std::{env, hint};

use arguments::Arguments;
use budget::{Budget, Costs};
use callgrind::Profile;
use clap::Parser;
use proxy::{CASES, Case, Proxy};
use servers::{NoServers, Servers};
use wiring::Wiring;

/// How far a hit may be above its budget, in percent: another libc or processor takes other ways through
/// `memcpy`.
const TOLERANCE: u64 = 10;
/// How often both of what is compared are counted again and the lowest taken: hash tables are seeded anew in each process, which
/// is worth three percent.
const AGAIN: u32 = 3;
/// The kinds of hits that are counted in other wirings too, one of each form.
const COMPARED: [&str; 3] = ["index-2k", "not-modified", "archive-1m"];
/// Functions that a profile shows.
const SHOWN: usize = 60;
/// Makes a missing valgrind a failure.
const REQUIRED: &str = "SCRIPTORIUM_REQUIRE_VALGRIND";

/// How much dearer a hit may be in one wiring than in another.
struct Comparison {
    what: &'static str,
    base: Wiring,
    with: Wiring,
    percent: u64,
}

/// The verdict of a policy is kept with what it is about, and a hit never waits for the engine of a cluster.
const COMPARISONS: [Comparison; 2] = [
    Comparison { what: "with rules", base: Wiring::Plain, with: Wiring::Rules, percent: 2 },
    Comparison { what: "with a cluster", base: Wiring::Bucket, with: Wiring::Cluster, percent: 3 },
];

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
        let proxy = Proxy::start(arguments.with);
        proxy.drive(case, arguments.hits.unwrap_or(case.hits()), one_measured_hit);
        proxy.stop();
        return ExitCode::SUCCESS;
    }
    if !has_valgrind() {
        return budget::not_counted(
            "instructions",
            "valgrind",
            env::var_os(REQUIRED).is_some_and(|value| !value.is_empty()),
        );
    }
    let counter = Counter(Servers::start());
    if let Some(case) = profiled {
        show(&counter.profile(case, arguments.with), case.hits());
        return ExitCode::SUCCESS;
    }
    println!("{:<16}{:>14}", "hit", "instructions");
    let costs: Costs =
        CASES.into_iter().map(|case| (case.name.to_owned(), counter.cost(case, Wiring::Plain))).collect();
    costs.iter().for_each(|(case, cost)| println!("{case:<16}{cost:>14}"));
    let mut budget = Budget::read();
    let mut code = ExitCode::SUCCESS;
    if arguments.check {
        code = budget::check("instructions", &costs, &budget.instructions, TOLERANCE);
    }
    for comparison in &COMPARISONS {
        let compared = counter.compare(comparison);
        if compared != ExitCode::SUCCESS && arguments.check {
            code = compared;
        }
    }
    if arguments.bless {
        budget.instructions = costs;
        budget.write();
    }
    code
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

/// Counts in processes of their own.
struct Counter(Result<Servers, NoServers>);

impl Counter {
    /// Counts hits in both wirings, prints them, and fails if one is too much dearer.
    fn compare(&self, Comparison { what, base, with, percent }: &Comparison) -> ExitCode {
        let what = format!("instructions {what}");
        if let (true, Err(NoServers { missing, is_required })) = (with.is_shared(), &self.0) {
            return budget::not_counted(&what, missing, *is_required);
        }
        println!("{:<16}{:>14}{:>14}  {what}", "hit", "without", "with");
        let (mut without, mut costs) = (Costs::new(), Costs::new());
        for case in CASES.into_iter().filter(|case| COMPARED.contains(&case.name)) {
            let both = || [*base, *with].map(|wiring| self.cost(case, wiring));
            let [mut lower, mut dearer] = both();
            for _ in 0..AGAIN {
                if dearer * 100 <= lower * (100 + percent) {
                    break;
                }
                let again = both();
                (lower, dearer) = (lower.min(again[0]), dearer.min(again[1]));
            }
            println!("{:<16}{lower:>14}{dearer:>14}", case.name);
            without.insert(case.name.to_owned(), lower);
            costs.insert(case.name.to_owned(), dearer);
        }
        budget::check(&what, &costs, &without, *percent)
    }

    fn cost(&self, case: Case, wiring: Wiring) -> u64 {
        self.profile(case, wiring).total / u64::from(case.hits())
    }

    fn profile(&self, case: Case, wiring: Wiring) -> Profile {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("callgrind.out");
        let status = Command::new("valgrind")
            // Fair, so that the threads of a cluster have their turn while hits are made.
            .args(["--tool=callgrind", "--toggle-collect=*one_measured_hit*", "--fair-sched=try"])
            .arg(format!("--callgrind-out-file={}", file.display()))
            .arg(env::current_exe().unwrap())
            .args(["--only", case.name, "--hits", &case.hits().to_string(), "--with", &wiring.name()])
            .envs(self.0.iter().flat_map(Servers::environment))
            .stderr(Stdio::null())
            .status()
            .unwrap();
        assert!(status.success(), "{}: {status}; `--only {0}` shows why", case.name);
        Profile::read(&std::fs::read_to_string(file).unwrap())
    }
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
