//! What can be promised, and how a promise is broken.

use std::fmt;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Promise {
    Bytes,
    Truth,
    Freshness,
    Lies,
    Outage,
    OneDownload,
    OneFlight,
    Whose,
    Explained,
    Rules,
}

impl fmt::Display for Promise {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Bytes => "(a) no byte but of the content first seen",
            Self::Truth => "(b) the truth, once an honest registry had time to tell it",
            Self::Freshness => "(c) nothing called fresh that is older than its TTL",
            Self::Lies => "(d) a contradiction is answered as one, and no release is accused without one",
            Self::Outage => "(e) an outage neither invents, nor loses, nor overrides an answer",
            Self::OneDownload => "(f) an archive is downloaded once",
            Self::OneFlight => "(g) equal requests at one time are one request upstream",
            Self::Whose => {
                "(h) what a registry said counts for the names that are routed to it, and for no others"
            }
            Self::Explained => "(i) an explanation says what is answered",
            Self::Rules => "(j) every answer obeys the rule in force, and nothing else is laid to it",
        })
    }
}

/// A promise, and how it was broken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Broken {
    pub(super) promise: Promise,
    pub(super) how: String,
}

pub(super) type Verdict = Result<(), Broken>;

pub(super) fn hold(promise: Promise, held: bool, how: impl FnOnce() -> String) -> Verdict {
    if held { Ok(()) } else { Err(Broken { promise, how: how() }) }
}
