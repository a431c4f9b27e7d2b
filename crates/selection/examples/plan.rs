//! Measures the processor time of a selection from a large catalogue: 5,000 volumes with 10 releases each, and every volume is a root.
//!
//! `cargo run --release -p selection --example plan [seed]`. Dependencies lead mostly to a few popular volumes, as in real
//! registries, and one in ten wants an older major version, so that the highest versions often do not fit together.
#![expect(clippy::print_stdout, reason = "an example prints what it measured")]

use std::collections::BTreeMap;
use std::error::Error;

use archive::{LifecycleState, VolumeName};
use selection::{CatalogueRow, Closure, NextStep, RootVersions, Selection, SelectionRules, Selector, verify};

const VOLUMES: usize = 5_000;
const VERSIONS: [&str; 10] =
    ["1.0.0", "1.1.0", "1.2.0", "1.2.1", "1.3.0", "1.4.0", "2.0.0", "2.1.0", "2.1.1", "2.2.0"];

type Rows = BTreeMap<VolumeName, Vec<CatalogueRow>>;

fn catalogue(chance: &mut fastrand::Rng) -> Result<Rows, Box<dyn Error>> {
    let mut catalogue = Rows::new();
    for at in 0..VOLUMES {
        let mut rows = Vec::new();
        let popular: Vec<usize> =
            (0..chance.usize(0..6)).map(|_| (at as f64 * chance.f64().powi(3)) as usize).collect();
        for version in VERSIONS {
            let mut on = popular.clone();
            on.sort_unstable();
            on.dedup();
            on.retain(|on| *on < at);
            let dependencies = on.into_iter().map(|on| (format!("volume-{on}"), range(chance)));
            let (version, state) = (version.parse()?, LifecycleState::Available);
            rows.push(CatalogueRow { version, state, integrity: None, dependencies: dependencies.collect() });
        }
        catalogue.insert(format!("volume-{at}").parse()?, rows);
    }
    Ok(catalogue)
}

fn range(chance: &mut fastrand::Rng) -> String {
    match chance.u8(0..20) {
        0 | 1 => format!("^1.{}.0", chance.u8(0..4)),
        2 => "~2.1.0".to_owned(),
        3..6 => format!(">=1.{}.0", chance.u8(0..4)),
        6 => ">=1.2.0, <3.0.0".to_owned(),
        _ => format!("^2.{}.0", chance.u8(0..2)),
    }
}

fn select(catalogue: &Rows, rules: SelectionRules) -> Result<(Selection, usize), Box<dyn Error>> {
    let mut selector = Selector::new(vec!["*".parse()?], rules);
    let mut rounds = 0;
    loop {
        match selector.advance()? {
            NextStep::Ask(questions) => {
                rounds += 1;
                for pattern in &questions.patterns {
                    selector.answer_pattern(pattern, Ok(catalogue.keys().cloned().collect()))?;
                }
                for name in &questions.volumes {
                    selector.answer_volume(name, catalogue.get(name).cloned().ok_or_else(String::new))?;
                }
            }
            NextStep::Done(selection) => return Ok((selection, rounds)),
        }
    }
}

/// Seconds of processor time so far, which another program on the machine does not change. Linux counts hundredths.
fn seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
    fields.skip(11).take(2).filter_map(|field| field.parse::<f64>().ok()).sum::<f64>() / 100.0
}

/// The most memory that this process had.
fn peak() -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.unwrap_or("unknown").trim().to_owned()
}

fn main() -> Result<(), Box<dyn Error>> {
    let seed = std::env::args().nth(1).and_then(|text| text.parse().ok()).unwrap_or(1);
    let catalogue = catalogue(&mut fastrand::Rng::with_seed(seed))?;
    println!("seed {seed}, {VOLUMES} volumes, {} releases, peak {}", VOLUMES * VERSIONS.len(), peak());
    for versions in [RootVersions::Highest, RootVersions::All] {
        for closure in [Closure::Highest, Closure::All, Closure::Resolve] {
            let rules = SelectionRules { versions, closure, ..SelectionRules::default() };
            let start = seconds();
            let (selection, rounds) = select(&catalogue, rules)?;
            println!(
                "{versions:?} {closure:?}: {} releases, {} missing, {rounds} rounds, {:.2} s, peak {}",
                selection.releases.len(),
                selection.missing.len(),
                seconds() - start,
                peak()
            );
        }
    }
    let start = seconds();
    let verified = verify(vec!["*".parse()?], SelectionRules::default(), catalogue, |_| None)?;
    println!("verify: {} problems, {:.2} s", verified.problems.len(), seconds() - start);
    pins()
}

/// A volume with 10,000 rows that each exclude all but one version of another: the solver's worst case.
fn pins() -> Result<(), Box<dyn Error>> {
    let row = |version: String, dependencies: Vec<(String, String)>| -> Result<_, Box<dyn Error>> {
        let (version, state) = (version.parse()?, LifecycleState::Available);
        Ok(CatalogueRow { version, state, integrity: None, dependencies })
    };
    let on = |name: &str, range: String| (name.to_owned(), range);
    let core = (0..10_000).map(|at| row(format!("1.0.{at}"), vec![on("peer", format!("=1.0.{at}"))]));
    let peer = (0..10_000).map(|at| row(format!("1.0.{at}"), Vec::new()));
    let app = row("1.0.0".into(), vec![on("core", ">=1.0.0".into()), on("peer", "<=1.0.5".into())])?;
    let catalogue = Rows::from([
        ("app".parse()?, vec![app]),
        ("core".parse()?, core.collect::<Result<_, _>>()?),
        ("peer".parse()?, peer.collect::<Result<_, _>>()?),
    ]);
    let start = seconds();
    let (selection, _) = select(&catalogue, SelectionRules::default())?;
    println!("10,000 pins: {} missing, {:.2} s", selection.missing.len(), seconds() - start);
    Ok(())
}
