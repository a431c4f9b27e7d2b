//! A bounded run of one target: its seeds and their mutations.
//!
//! Owns the mutations, and that a failing case can be repeated. Must not know what a target checks.

use std::env;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use fastrand::Rng;

/// The longest case; a longer one is only slower.
const LONGEST: usize = 64 << 10;

/// A function of bytes: whether they were accepted. It panics if a rule is broken.
pub(crate) type Target = fn(&[u8]) -> bool;

/// Runs `target` on every seed, then on as many mutations as the environment says; by default `usual`.
pub(crate) fn run(target: Target, seeds: &[Vec<u8>], words: &[&[u8]], usual: u64) {
    let number = |variable| {
        let text = env::var(variable).ok()?;
        Some(text.parse::<u64>().unwrap_or_else(|_| panic!("{variable}={text} is no number")))
    };
    let seed = number("SCRIPTORIUM_FUZZ_SEED").unwrap_or(1);
    let cases = number("SCRIPTORIUM_FUZZ_CASES").unwrap_or(usual);
    for (number, data) in seeds.iter().enumerate() {
        assert!(put(target, data, &format!("seed {number}")), "seed {number} is refused");
    }
    let mut taken = 0;
    for case in 0..cases {
        let mut chance = Rng::with_seed(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(case));
        let data = mutated(seeds, words, &mut chance);
        taken += u64::from(put(target, &data, &format!("case {case} of SCRIPTORIUM_FUZZ_SEED={seed}")));
    }
    println!("seed {seed}: {taken} of {cases} cases were taken for what they claim to be");
    // If all mutations are refused, they prove nothing about the code behind the refusal.
    assert!(taken >= cases / 500, "{taken} of {cases} cases were accepted");
}

fn put(target: Target, data: &[u8], which: &str) -> bool {
    catch_unwind(AssertUnwindSafe(|| target(data))).unwrap_or_else(|panic| {
        eprintln!("{which}: {:?}", String::from_utf8_lossy(&data[..data.len().min(2000)]));
        resume_unwind(panic)
    })
}

fn mutated(seeds: &[Vec<u8>], words: &[&[u8]], chance: &mut Rng) -> Vec<u8> {
    let mut data = seeds[chance.usize(..seeds.len())].clone();
    for _ in 0..1 + chance.u32(..3) * chance.u32(..3) {
        let (at, to) = (chance.usize(..=data.len()), chance.usize(..=data.len()));
        let piece = at.min(to)..at.max(to);
        match chance.u8(..9) {
            0 if at < data.len() => data[at] ^= 1 << chance.u8(..8),
            1 if at < data.len() => data[at] = chance.u8(..),
            2 => data.insert(at, chance.u8(..)),
            3 => drop(data.drain(piece.start..piece.end.min(piece.start + 64))),
            4 => drop(data.splice(at..at, words[chance.usize(..words.len())].iter().copied())),
            5 => {
                let end = (at + 16).min(data.len());
                data.splice(at..end, words[chance.usize(..words.len())].iter().copied());
            }
            6 => {
                let copied = data[piece.start..piece.end.min(piece.start + 512)].to_vec();
                data.splice(at..at, copied);
            }
            7 => {
                let other = &seeds[chance.usize(..seeds.len())];
                let from = chance.usize(..=other.len());
                data.truncate(at);
                data.extend_from_slice(&other[from..]);
            }
            _ => data.truncate(at),
        }
        data.truncate(LONGEST);
    }
    data
}
