//! The output of callgrind: instructions by function.
//!
//! Owns that format, as far as it is needed. Must not know what was measured.

use std::collections::HashMap;

/// Instructions of a run.
#[derive(Debug, Default)]
pub(crate) struct Profile {
    /// Of everything.
    pub(crate) total: u64,
    /// Of each function: with what it calls, and by itself.
    functions: HashMap<String, [u64; 2]>,
}

impl Profile {
    /// Reads an output file of one event. A line is a function that follows (`fn=`), one it calls (`cfn=`),
    /// what a call cost with all that was called in turn (the line after `calls=`), or what a line of code
    /// cost by itself. A name is spelled out once and then only given its number.
    pub(crate) fn read(text: &str) -> Self {
        let (mut profile, mut names) = (Self::default(), HashMap::new());
        let (mut function, mut called, mut is_call) = ("", "", false);
        for line in text.lines() {
            if let Some(name) = line.strip_prefix("fn=") {
                function = spelled_out(name, &mut names);
            } else if let Some(name) = line.strip_prefix("cfn=") {
                called = spelled_out(name, &mut names);
            } else if line.starts_with("calls=") {
                is_call = true;
            } else if let Some(total) = line.strip_prefix("totals: ") {
                profile.total = total.trim().parse().unwrap();
            } else if line.starts_with(|first: char| first.is_ascii_digit() || "+-*".contains(first)) {
                let cost: u64 = line.rsplit(' ').next().unwrap().parse().unwrap();
                // A function that calls itself is not counted twice.
                let costs =
                    profile.functions.entry(if is_call { called } else { function }.to_owned()).or_default();
                match is_call {
                    true if called == function => {}
                    true => costs[0] += cost,
                    false => costs[1] += cost,
                }
                is_call = false;
            }
        }
        profile
    }

    /// Every function, the most expensive first.
    pub(crate) fn dearest(&self) -> Vec<(&str, [u64; 2])> {
        let mut functions: Vec<_> =
            self.functions.iter().map(|(name, costs)| (name.as_str(), *costs)).collect();
        functions.sort_unstable_by_key(|(name, [inclusive, _])| (u64::MAX - inclusive, *name));
        functions
    }
}

fn spelled_out<'a>(name: &'a str, names: &mut HashMap<&'a str, &'a str>) -> &'a str {
    match name.split_once(' ') {
        Some((number, name)) => {
            names.insert(number, name);
            name
        }
        None => names[name],
    }
}
