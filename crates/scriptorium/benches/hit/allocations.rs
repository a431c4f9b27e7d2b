//! The allocations of a hit in the thread that answers it. A buffer that grows counts again each time. The time of a hit
//! is printed beside them, for information.
//!
//! A cache sometimes does its maintenance in the thread that reads from it, so the bench reports the third quartile.
//! Each kind of hit runs in a process of its own, whose log goes to /dev/null.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout, missing_docs)]

mod arguments;
mod budget;
mod proxy;

use std::env;
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use allocation_counter::measure;
use arguments::Arguments;
use budget::{Budget, Costs};
use clap::Parser;
use proxy::{CASES, Case, Proxy};

/// Allocations, their bytes and nanoseconds of a hit.
type Row = [u64; 3];

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if let Some(case) = arguments.only {
        let [allocations, bytes, nanoseconds] =
            measured(case, arguments.hits.unwrap_or(case.hits()), arguments.rules);
        println!("{allocations} {bytes} {nanoseconds}");
        return ExitCode::SUCCESS;
    }
    println!("{:<16}{:>12}{:>10}{:>10}", "hit", "allocations", "bytes", "ns");
    let mut costs = Costs::new();
    for case in CASES {
        let [allocations, bytes, nanoseconds] = apart(case);
        println!("{:<16}{allocations:>12}{bytes:>10}{nanoseconds:>10}", case.name);
        costs.insert(case.name.to_owned(), allocations);
    }
    let mut budget = Budget::read();
    if arguments.bless {
        budget.allocations = costs;
        budget.write();
    } else if arguments.check {
        return budget::check("allocations", &costs, &budget.allocations, 0);
    }
    ExitCode::SUCCESS
}

/// Measures in this process.
fn measured(case: Case, hits: u32, with_rules: bool) -> Row {
    let proxy = Proxy::start(with_rules);
    let (mut counts, mut bytes, mut times) = (Vec::new(), Vec::new(), Vec::new());
    proxy.drive(case, hits, |hit| {
        let mut took = Duration::ZERO;
        let allocated = measure(|| {
            let started = Instant::now();
            hit();
            took = started.elapsed();
        });
        counts.push(allocated.count_total);
        bytes.push(allocated.bytes_total);
        times.push(u64::try_from(took.as_nanos()).unwrap());
    });
    proxy.stop();
    [quantile(counts, 3, 4), quantile(bytes, 3, 4), quantile(times, 1, 2)]
}

fn quantile(mut values: Vec<u64>, share: usize, of: usize) -> u64 {
    values.sort_unstable();
    values[values.len() * share / of]
}

/// Measures in a process whose log goes to /dev/null.
fn apart(case: Case) -> Row {
    let mut command = Command::new(env::current_exe().unwrap());
    let output = command.args(["--only", case.name]).stderr(Stdio::null()).output().unwrap();
    assert!(output.status.success(), "{}: {}; `--only {0}` shows why", case.name, output.status);
    let printed = String::from_utf8(output.stdout).unwrap();
    let row: Vec<_> = printed.split_whitespace().map(|number| number.parse().unwrap()).collect();
    row.try_into().unwrap()
}
