//! Chance that can be had again: a seed from the environment or a new one, named when its test fails.

use std::env;
use std::str::FromStr;
use std::thread;

use fastrand::Rng;

/// Where a test's random choices come from.
pub(crate) struct Seed {
    variable: &'static str,
    value: u64,
}

impl Seed {
    /// The seed that `variable` gives, else a new one.
    pub(crate) fn from(variable: &'static str) -> Self {
        Self { variable, value: setting(variable, fastrand::u64(..)) }
    }

    /// The choices of one thread, the same for the same seed.
    pub(crate) fn choices(&self, thread: u64) -> Rng {
        Rng::with_seed(self.value ^ thread.wrapping_mul(0x9e37_79b9_7f4a_7c15))
    }
}

impl Drop for Seed {
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!("the same choices again: {}={}", self.variable, self.value);
        }
    }
}

/// A number that `variable` may set.
pub(crate) fn setting<T: FromStr>(variable: &str, otherwise: T) -> T {
    match env::var(variable) {
        Ok(text) => text.parse().unwrap_or_else(|_| panic!("{variable}={text} is no such number")),
        Err(_) => otherwise,
    }
}
