//! The allocations of a hit in the thread that answers it. A buffer that grows counts again each time. The time of a hit
//! is printed beside them, for information.
//!
//! A cache sometimes does its maintenance in the thread that reads from it, so the bench reports the third quartile.
//! Each kind of hit runs in a process of its own, whose log goes to /dev/null.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout, missing_docs)]

mod arguments;
mod budget;
mod proxy;
mod servers;
mod wiring;

use std::env;
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use allocation_counter::measure;
use arguments::Arguments;
use budget::{Budget, Costs};
use clap::Parser;
use proxy::{CASES, Case, Proxy};
use servers::{NoServers, Servers};
use wiring::Wiring;

/// The kinds of hits that are counted with a cluster in force, too. A file is read in other threads, so how often its hit
/// waits is chance.
const SHARED: [&str; 2] = ["index-2k", "not-modified"];

/// Allocations, their bytes and nanoseconds of a hit.
type Row = [u64; 3];

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if let Some(case) = arguments.only {
        let [allocations, bytes, nanoseconds] =
            measured(case, arguments.hits.unwrap_or(case.hits()), arguments.with);
        println!("{allocations} {bytes} {nanoseconds}");
        return ExitCode::SUCCESS;
    }
    let servers = Servers::start();
    println!("{:<16}{:>12}{:>10}{:>10}", "hit", "allocations", "bytes", "ns");
    let costs = costs(&servers, Wiring::Plain, |_| true);
    let mut budget = Budget::read();
    if arguments.bless {
        budget.allocations = costs;
        budget.write();
    } else if arguments.check {
        let checked = budget::check("allocations", &costs, &budget.allocations, 0);
        let shared = check_shared(&servers);
        return if checked == ExitCode::SUCCESS { shared } else { checked };
    }
    ExitCode::SUCCESS
}

/// With a cluster in force no hit allocates more.
fn check_shared(servers: &Result<Servers, NoServers>) -> ExitCode {
    if let Err(NoServers { missing, is_required }) = servers {
        return budget::not_counted("allocations with a cluster", missing, *is_required);
    }
    let cost = |wiring| costs(servers, wiring, |case| SHARED.contains(&case.name));
    println!("without and with a cluster, on a bucket");
    let (without, with) = (cost(Wiring::Bucket), cost(Wiring::Cluster));
    budget::check("allocations with a cluster", &with, &without, 0)
}

fn costs(servers: &Result<Servers, NoServers>, wiring: Wiring, counts: impl Fn(&Case) -> bool) -> Costs {
    let cost = |case: Case| {
        let [allocations, bytes, nanoseconds] = apart(servers, case, wiring);
        println!("{:<16}{allocations:>12}{bytes:>10}{nanoseconds:>10}", case.name);
        (case.name.to_owned(), allocations)
    };
    CASES.into_iter().filter(counts).map(cost).collect()
}

/// Measures in this process.
fn measured(case: Case, hits: u32, wiring: Wiring) -> Row {
    let proxy = Proxy::start(wiring);
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
fn apart(servers: &Result<Servers, NoServers>, case: Case, wiring: Wiring) -> Row {
    let mut command = Command::new(env::current_exe().unwrap());
    command.args(["--only", case.name, "--with", &wiring.name()]);
    command.envs(servers.iter().flat_map(Servers::environment)).stderr(Stdio::null());
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}: {}; `--only {0}` shows why", case.name, output.status);
    let printed = String::from_utf8(output.stdout).unwrap();
    let row: Vec<_> = printed.split_whitespace().map(|number| number.parse().unwrap()).collect();
    row.try_into().unwrap()
}
