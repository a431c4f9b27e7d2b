//! An error with its causes, as people read it.
//!
//! Some errors repeat their cause in their own words, some leave it to their source, and libraries do both. So the rule stands
//! where an error is told: its text, then each cause that was not said yet. Must not know any error.

use std::error::Error;
use std::iter::successors;

/// What `error` says, and each of its causes that this does not say already.
pub(crate) fn with_causes(error: &(dyn Error + 'static)) -> String {
    let mut told = error.to_string();
    for cause in successors(error.source(), |&cause| cause.source()) {
        let cause = cause.to_string();
        if !told.contains(&cause) {
            told.push_str(": ");
            told.push_str(&cause);
        }
    }
    told
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    #[derive(Debug, thiserror::Error)]
    enum Outer {
        #[error("the file cannot be read: {0}; name another")]
        Says(#[source] Inner),
        #[error("the file cannot be read")]
        Leaves(#[source] Inner),
    }

    #[derive(Debug, thiserror::Error)]
    enum Inner {
        #[error("the disk: {0}")]
        Says(#[source] io::Error),
        #[error("the disk")]
        Leaves(#[source] io::Error),
    }

    #[test]
    fn a_cause_is_told_once_whoever_tells_it() {
        let failed = || io::Error::from_raw_os_error(99);
        let told = failed().to_string();
        for (error, expected) in [
            (
                Outer::Says(Inner::Says(failed())),
                format!("the file cannot be read: the disk: {told}; name another"),
            ),
            (
                Outer::Says(Inner::Leaves(failed())),
                format!("the file cannot be read: the disk; name another: {told}"),
            ),
            (Outer::Leaves(Inner::Says(failed())), format!("the file cannot be read: the disk: {told}")),
            (Outer::Leaves(Inner::Leaves(failed())), format!("the file cannot be read: the disk: {told}")),
        ] {
            assert_eq!(with_causes(&error), expected);
        }
    }
}
