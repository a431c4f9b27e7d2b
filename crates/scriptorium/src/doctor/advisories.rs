//! The folders with advisories in OSV format.
//!
//! Owns the form of the findings. Must not know how a file is read.

use super::Diagnosis;
use crate::advisories;
use crate::clock::Timestamp;
use crate::config::PolicyKeys;

const CHECK: &str = "advisories";

/// A finding on each folder: how much is in it, and what of it cannot be read.
pub(super) fn examine(policy: &PolicyKeys, now: Timestamp) -> Vec<Diagnosis> {
    policy.osv.iter().map(|folder| of_folder(folder, now)).collect()
}

fn of_folder(folder: &std::path::Path, now: Timestamp) -> Diagnosis {
    let about = folder.display().to_string();
    let read = advisories::read_folder(folder, now);
    let count = read.advisories.len();
    match (read.faults.first(), count) {
        (Some(first), _) => {
            let found = match read.fault_count {
                1 => first.clone(),
                faults => format!("{first}; and {} more faults", faults - 1),
            };
            Diagnosis::bad(CHECK, about, found)
                .advise("mend it, or take it out of policy.osv: of what cannot be read, rules know nothing")
        }
        (None, 0) => Diagnosis::doubtful(CHECK, about, "no advisory is in it")
            .advise("put files in OSV format there, each with the ending .json"),
        (None, _) => Diagnosis::good(CHECK, about, format!("{count} can be read")),
    }
}
