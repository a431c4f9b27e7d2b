//! A campaign: many cases on several threads. It counts them, and reports each difference.
//!
//! Owns the numbers that a run prints, and the minimum that a run must reach.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::{env, fs, thread};

use crate::bench::{Bench, Outcome, Trial};
use crate::case::Case;
use crate::corpus::{Base, bases};

/// After so many differences a thread stops.
const ENOUGH: usize = 5;

/// The counts of a campaign.
#[derive(Default)]
pub(crate) struct Count {
    pub(crate) cases: u64,
    pub(crate) as_it_came: u64,
    pub(crate) anew: u64,
    pub(crate) refused: u64,
    /// Different bytes that the readers unpacked.
    pub(crate) tried: u64,
    /// Reasons of refusals, without names and numbers.
    reasons: BTreeMap<String, u64>,
    pub(crate) readers: BTreeMap<String, Asked>,
    pub(crate) differences: Vec<String>,
}

/// The results of one reader.
#[derive(Default)]
pub(crate) struct Asked {
    pub(crate) times: u64,
    /// The number of its failures, and its last message.
    pub(crate) loud: u64,
    said: Option<String>,
}

/// Which cases to run.
pub(crate) struct Plan {
    pub(crate) seed: u64,
    pub(crate) first: u64,
    pub(crate) cases: u64,
}

impl Plan {
    /// From the environment: a seed, a number of cases, the first of them, or one only.
    pub(crate) fn from_environment(usual: u64) -> Self {
        let number = |variable: &str| {
            let text = env::var(variable).ok()?;
            Some(text.parse::<u64>().unwrap_or_else(|_| panic!("{variable}={text} is no number")))
        };
        let seed = number("SCRIPTORIUM_FUZZ_SEED").unwrap_or(1);
        match number("SCRIPTORIUM_FUZZ_ONLY") {
            Some(first) => Self { seed, first, cases: 1 },
            None => Self {
                seed,
                first: number("SCRIPTORIUM_FUZZ_FIRST").unwrap_or(0),
                cases: number("SCRIPTORIUM_FUZZ_CASES").unwrap_or(usual),
            },
        }
    }

    /// Runs all of it, on as many benches as there are processors.
    pub(crate) fn run(&self) -> Count {
        let bases = bases();
        let next = AtomicU64::new(self.first);
        let benches = thread::available_parallelism().map_or(1, usize::from).min(8);
        let mut sum = Count::default();
        thread::scope(|scope| {
            let running: Vec<_> = (0..benches).map(|_| scope.spawn(|| self.bench(&bases, &next))).collect();
            running.into_iter().for_each(|bench| sum.add(bench.join().unwrap()));
        });
        sum
    }

    fn bench(&self, bases: &[Base], next: &AtomicU64) -> Count {
        let mut bench = Bench::new();
        bench.take_turns(true);
        let mut count = Count::default();
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= self.first + self.cases || count.differences.len() >= ENOUGH {
                return count;
            }
            if number > self.first && (number - self.first).is_multiple_of(10_000) {
                eprintln!("{} of {} cases", number - self.first, self.cases);
            }
            let case = Case::draw(self.seed, number, bases);
            count.cases += 1;
            match bench.put(&case.bytes(bases)) {
                Outcome::Refused(why) => count.refuse(&why),
                Outcome::Known { anew } => count.accept(anew),
                Outcome::Tried(trial) => {
                    count.accept(trial.anew);
                    count.tried += 1;
                    for (reader, said) in &trial.asked {
                        let asked =
                            count.readers.entry(bench.readers.readers[*reader].name.clone()).or_default();
                        asked.add(1, u64::from(said.is_some()), said.clone());
                    }
                    if !trial.differences.is_empty() {
                        bench.take_turns(false);
                        count.differences.push(report(&mut bench, case, bases, trial));
                        bench.take_turns(true);
                    }
                }
            }
        }
    }
}

impl Asked {
    fn add(&mut self, times: u64, loud: u64, said: Option<String>) {
        self.times += times;
        self.loud += loud;
        self.said = said.or(self.said.take());
    }
}

impl Count {
    fn refuse(&mut self, why: &str) {
        self.refused += 1;
        let plain: String = why
            .split('`')
            .step_by(2)
            .collect::<Vec<_>>()
            .join("…")
            .chars()
            .filter(|sign| !sign.is_ascii_digit())
            .collect();
        *self.reasons.entry(plain).or_default() += 1;
    }

    fn accept(&mut self, anew: bool) {
        *(if anew { &mut self.anew } else { &mut self.as_it_came }) += 1;
    }

    fn add(&mut self, other: Self) {
        self.cases += other.cases;
        self.as_it_came += other.as_it_came;
        self.anew += other.anew;
        self.refused += other.refused;
        self.tried += other.tried;
        for (reason, times) in other.reasons {
            *self.reasons.entry(reason).or_default() += times;
        }
        for (name, Asked { times, loud, said }) in other.readers {
            self.readers.entry(name).or_default().add(times, loud, said);
        }
        self.differences.extend(other.differences);
    }

    /// The numbers, for people.
    pub(crate) fn summary(&self) -> String {
        let Self { cases, as_it_came, anew, refused, tried, .. } = self;
        let mut text = format!(
            "{cases} cases: {as_it_came} would go out as they came, {anew} packed anew, {refused} refused; \
             {tried} different archives unpacked by the readers\n"
        );
        for (name, Asked { times, loud, said }) in &self.readers {
            let said = said.as_deref().unwrap_or_default();
            let _infallible = writeln!(text, "  {name}: {times} archives, {loud} refused loudly {said}");
        }
        for (reason, times) in &self.reasons {
            let _infallible = writeln!(text, "  {times} refused: {reason}");
        }
        text
    }
}

/// Minimizes the case, stores its bytes, and prints each reader's result.
fn report(bench: &mut Bench, case: Case, bases: &[Base], first: Trial) -> String {
    let (whole, mut smallest) = (case.clone(), first);
    let case = case.shrink(|smaller| match bench.put(&smaller.bytes(bases)) {
        Outcome::Tried(trial) if !trial.differences.is_empty() => {
            smallest = trial;
            true
        }
        _ => false,
    });
    let arrived = keep(&format!("{}-{}", case.seed, case.number), &case.bytes(bases));
    let sent = if smallest.anew {
        let sent = keep(&format!("{}-{}-sent", case.seed, case.number), &smallest.sent);
        format!(", packed anew as {}", sent.display())
    } else {
        ", sent as it came".into()
    };
    let differences = smallest.told();
    let (all, left) = (whole.changes(), case.changes());
    format!(
        "{} from {} with {left} of {all} changes{sent}\n    again: {case} cargo test --test differential\n{differences}",
        arrived.display(),
        case.base(bases),
    )
}

/// The folder of archives with a difference.
fn keep(name: &str, bytes: &[u8]) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("differential");
    fs::create_dir_all(&folder).unwrap();
    let path = folder.join(format!("{name}.tar.gz"));
    fs::write(&path, bytes).unwrap();
    path
}
