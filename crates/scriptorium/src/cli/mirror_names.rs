//! Which mirrors a command is about.
//!
//! Owns the error about a name that the configuration does not have. Must not know what a command does with a mirror.

use super::{CommandFailure, usage};
use crate::config::Config;

/// The mirrors of `config` that are named, or all of them.
pub(super) fn named_mirrors(config: &Config, names: &[String]) -> Result<Vec<String>, CommandFailure> {
    let known: Vec<String> = config.mirrors.iter().map(|mirror| mirror.name.clone()).collect();
    let refusal = match names.iter().find(|name| !known.contains(name)) {
        _ if known.is_empty() => "the configuration has no [[mirrors]]".to_owned(),
        Some(name) => format!("{name}: expected the name of a mirror: {}", known.join(", ")),
        None if names.is_empty() => return Ok(known),
        None => return Ok(names.to_vec()),
    };
    Err(usage(&refusal))
}
