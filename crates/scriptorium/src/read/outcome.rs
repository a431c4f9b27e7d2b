//! How an answer came about, in the terms of `Cache-Status` (RFC 9211).
//!
//! Owns the text of that header and of the metric's `outcome` label. Must not decide which answer is given.

use std::fmt;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// From the cache; no registry was asked.
    Hit {
        /// Seconds it is still fresh; negative when stale.
        ttl: i64,
        /// Why a stale answer is served.
        stale: Option<Stale>,
    },
    /// A cached refusal.
    Negative,
    /// A registry was asked.
    Forwarded {
        /// Whether a stale document was held.
        stale: bool,
        status: u16,
        stored: bool,
        /// Whether this request joined another's fetch.
        collapsed: bool,
    },
    /// A write was relayed to a registry.
    Relayed {
        /// The status of its answer, if one came.
        status: Option<u16>,
    },
    /// Composed of some registries' answers; another registry's is missing.
    Partial {
        /// Whether a registry was asked.
        asked: bool,
        /// Seconds it is still fresh.
        ttl: i64,
    },
    /// Two answers contradict each other, so neither is served.
    Divergent,
    /// No registry could be asked, and nothing held may be served.
    Failed {
        /// Whether something stale was held.
        stale: bool,
    },
}

/// Why a stale answer is served; the reason that promises least is the greatest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Stale {
    /// It is refreshed in the background.
    WhileRevalidate,
    /// This proxy is offline.
    Offline,
    /// The registry could not be asked.
    IfError,
}

impl Stale {
    fn as_str(self) -> &'static str {
        match self {
            Self::WhileRevalidate => "stale-while-revalidate",
            Self::IfError => "stale-if-error",
            Self::Offline => "offline",
        }
    }
}

impl Outcome {
    /// The metric's label.
    #[must_use]
    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::Hit { stale: None, .. } => "hit",
            Self::Hit { stale: Some(stale), .. } => stale.as_str(),
            Self::Negative => "negative",
            Self::Partial { .. } => "partial",
            Self::Divergent => "divergent",
            Self::Relayed { .. } => "relayed",
            Self::Forwarded { collapsed: true, .. } => "collapsed",
            Self::Forwarded { status: 304, .. } => "revalidated",
            Self::Forwarded { .. } => "miss",
            Self::Failed { .. } => "failed",
        }
    }
}

impl Outcome {
    /// The header's value in parts; the number is formatted into `digits`.
    #[must_use]
    pub(crate) fn words(self, digits: &mut itoa::Buffer) -> [&str; 5] {
        match self {
            Self::Hit { ttl, stale: None } => ["scriptorium; hit; ttl=", digits.format(ttl), "", "", ""],
            Self::Hit { ttl, stale: Some(stale) } => {
                ["scriptorium; hit; ttl=", digits.format(ttl), "; detail=\"", stale.as_str(), "\""]
            }
            Self::Negative => ["scriptorium; hit; detail=\"negative\"", "", "", "", ""],
            Self::Partial { asked: true, .. } => {
                ["scriptorium; fwd=uri-miss; fwd-status=200; detail=\"partial\"", "", "", "", ""]
            }
            Self::Partial { asked: false, ttl } => {
                ["scriptorium; hit; ttl=", digits.format(ttl), "; detail=\"partial\"", "", ""]
            }
            Self::Divergent => ["scriptorium; detail=\"divergent\"", "", "", "", ""],
            Self::Forwarded { stale, status, stored, collapsed } => [
                forwarded(stale),
                "; fwd-status=",
                digits.format(status),
                if stored { "; stored" } else { "" },
                if collapsed { "; collapsed" } else { "" },
            ],
            Self::Relayed { status: Some(status) } => {
                ["scriptorium; fwd=method; fwd-status=", digits.format(status), "", "", ""]
            }
            Self::Relayed { status: None } => ["scriptorium; fwd=method", "", "", "", ""],
            Self::Failed { stale } => [forwarded(stale), "", "", "", ""],
        }
    }
}

fn forwarded(stale: bool) -> &'static str {
    if stale { "scriptorium; fwd=stale" } else { "scriptorium; fwd=uri-miss" }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.words(&mut itoa::Buffer::new()).into_iter().try_for_each(|word| f.write_str(word))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wording() {
        let forwarded = Outcome::Forwarded { stale: false, status: 200, stored: true, collapsed: false };
        for (outcome, text) in [
            (Outcome::Hit { ttl: 42, stale: None }, "scriptorium; hit; ttl=42"),
            (
                Outcome::Hit { ttl: -12, stale: Some(Stale::WhileRevalidate) },
                "scriptorium; hit; ttl=-12; detail=\"stale-while-revalidate\"",
            ),
            (
                Outcome::Hit { ttl: -600, stale: Some(Stale::IfError) },
                "scriptorium; hit; ttl=-600; detail=\"stale-if-error\"",
            ),
            (
                Outcome::Hit { ttl: 5, stale: Some(Stale::Offline) },
                "scriptorium; hit; ttl=5; detail=\"offline\"",
            ),
            (Outcome::Partial { asked: false, ttl: -3 }, "scriptorium; hit; ttl=-3; detail=\"partial\""),
            (
                Outcome::Partial { asked: true, ttl: 0 },
                "scriptorium; fwd=uri-miss; fwd-status=200; detail=\"partial\"",
            ),
            (Outcome::Divergent, "scriptorium; detail=\"divergent\""),
            (Outcome::Negative, "scriptorium; hit; detail=\"negative\""),
            (forwarded, "scriptorium; fwd=uri-miss; fwd-status=200; stored"),
            (
                Outcome::Forwarded { stale: false, status: 200, stored: true, collapsed: true },
                "scriptorium; fwd=uri-miss; fwd-status=200; stored; collapsed",
            ),
            (
                Outcome::Forwarded { stale: true, status: 304, stored: false, collapsed: false },
                "scriptorium; fwd=stale; fwd-status=304",
            ),
            (Outcome::Failed { stale: false }, "scriptorium; fwd=uri-miss"),
            (Outcome::Relayed { status: Some(201) }, "scriptorium; fwd=method; fwd-status=201"),
            (Outcome::Relayed { status: None }, "scriptorium; fwd=method"),
        ] {
            assert_eq!(outcome.to_string(), text);
        }
    }
}
