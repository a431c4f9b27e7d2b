//! The budget: what each kind of hit may cost, in `benches/budget.toml`.
//!
//! Owns that file and what counts as too much. Must not know how anything is counted.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::ExitCode;

use serde::{Deserialize, Serialize};

const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/budget.toml");

const HEADER: &str = "\
# What a hit may cost; README.md says how it is counted.
# Written by: cargo bench --bench 'hit-*' -- --bless
";

/// Costs by case.
pub(crate) type Costs = BTreeMap<String, u64>;

/// The whole file.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Budget {
    pub(crate) allocations: Costs,
    pub(crate) instructions: Costs,
}

impl Budget {
    pub(crate) fn read() -> Self {
        if !Path::new(FILE).exists() {
            return Self::default();
        }
        toml::from_str(&std::fs::read_to_string(FILE).unwrap()).expect(FILE)
    }

    pub(crate) fn write(&self) {
        std::fs::write(FILE, format!("{HEADER}\n{}", toml::to_string(self).unwrap())).unwrap();
        println!("written: {FILE}");
    }
}

/// Compares `costs` of `what` with `budget`, which a cost may exceed by this percentage. Prints those that are too
/// high.
pub(crate) fn check(what: &str, costs: &Costs, budget: &Costs, percent: u64) -> ExitCode {
    let mut code = ExitCode::SUCCESS;
    for (case, cost) in costs {
        let Some(allowed) = budget.get(case) else {
            println!("{case}: no budget of {what}; `--bless` writes one");
            code = ExitCode::FAILURE;
            continue;
        };
        if *cost > allowed + allowed * percent / 100 {
            println!("{case}: {cost} {what} a hit, {allowed} allowed");
            code = ExitCode::FAILURE;
        } else if *cost < allowed - allowed * percent / 100 {
            println!(
                "{case}: {cost} {what} a hit, less than the {allowed} allowed: `--bless` keeps the gain"
            );
        }
    }
    if code == ExitCode::SUCCESS {
        println!("{what}: within the budget");
    }
    code
}

/// Says that something was not counted for want of a program.
pub(crate) fn not_counted(what: &str, missing: &str, is_required: bool) -> ExitCode {
    println!("{what}: not counted, there is no {missing}{}", if is_required { " but must be" } else { "" });
    if is_required { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}
