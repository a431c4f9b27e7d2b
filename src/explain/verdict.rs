//! Which rule would answer a request now, and why.
//!
//! Owns the words. The order is the pipeline's: a divergence, a refused archive, then freshness, then lifecycle, then the archive.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Registry;
use crate::cache::freshness::Freshness;
use crate::cache::inspect::Inspected;
use crate::consistency::{Divergence, PinError, Refusal};
use crate::domain::Dist;

/// What two requests would be answered with.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Verdict {
    /// For exact metadata.
    pub exact: Rule,
    /// For the archive.
    pub archive: Rule,
}

/// The rule that decides.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Rule {
    /// The status of the answer; `None` where an upstream is asked first, so that it cannot be known.
    pub status: Option<u16>,
    /// The rule's name.
    pub rule: String,
    /// Why it applies, in a sentence.
    pub why: String,
}

impl Rule {
    fn new(status: Option<u16>, rule: &str, why: impl Into<String>) -> Self {
        Self { status, rule: rule.to_owned(), why: why.into() }
    }
}

/// What decides.
pub(super) struct Known<'a> {
    pub(super) exact: Option<&'a Inspected>,
    pub(super) divergence: Option<(&'a Divergence, bool)>,
    pub(super) sealed: bool,
    pub(super) pin: Option<&'a PinError>,
    pub(super) upstream: Option<&'a Registry>,
    pub(super) offline: bool,
    pub(super) refusal: Option<&'a Refusal>,
}

impl Known<'_> {
    pub(super) fn verdict(&self) -> Verdict {
        let exact = self.exact();
        let archive = self.archive(&exact);
        Verdict { exact, archive }
    }

    fn exact(&self) -> Rule {
        if let Some((open, due)) = self.divergence {
            let kind = open.kind.as_str();
            return match due {
                false => Rule::new(Some(409), "divergent", format!("{kind}: {open}")),
                true => Rule::new(
                    None,
                    "divergent, due",
                    format!("{kind}: {open}; both sides are asked again first"),
                ),
            };
        }
        if let Some(refusal) = self.refusal {
            let why = format!("the archive was fetched at {} and refused: {}", refusal.since, refusal.why);
            return Rule::new(Some(refusal.verdict.problem().status()), "refused", why);
        }
        let is_settled = |exact: &Inspected| exact.settled && exact.freshness == Freshness::Fresh;
        if let (Some(trouble), false) = (self.pin, self.exact.is_some_and(is_settled)) {
            return pin(trouble);
        }
        let Some(exact) = self.exact else { return self.not_held() };
        let (status, age) = (exact.document.meta.status, seconds(exact.age));
        let ask = |window: &str| {
            let why = format!("asked for {age} ago, {window}; {} is asked first", self.upstream());
            Rule::new(None, "ask first", why)
        };
        match exact.freshness {
            _ if exact.outdated && !self.offline => ask("and declared out of date since"),
            Freshness::Fresh if !exact.settled => Rule::new(
                Some(status),
                "fresh, to be settled",
                format!("asked for {age} ago; it is held against index and pin first"),
            ),
            Freshness::Fresh => {
                let left = seconds(Duration::from_secs(exact.ttl.try_into().unwrap_or_default()));
                let cap = exact.document.meta.keeping.cap;
                let cap = cap.map(|cap| format!(", the registry says {}={}", cap.by.as_str(), cap.seconds));
                let cap = cap.unwrap_or_default();
                Rule::new(
                    Some(status),
                    "fresh",
                    format!("asked for {age} ago, fresh for another {left}{cap}"),
                )
            }
            Freshness::Revalidate => Rule::new(
                Some(status),
                "stale-while-revalidate",
                format!(
                    "asked for {age} ago, just past its TTL; {} is asked behind the answer",
                    self.upstream()
                ),
            ),
            Freshness::Ask { .. } if exact.document.is_absence() => {
                ask("and an old \"not found\" is never repeated")
            }
            Freshness::Ask { may_fall_back: true } if exact.document.meta.keeping.no_cache => {
                ask("and the registry says no-cache")
            }
            Freshness::Ask { may_fall_back: true } => ask("within stale-if-error should that fail"),
            Freshness::Ask { may_fall_back: false } => ask("beyond stale-if-error"),
            Freshness::Offline if exact.document.is_absence() => {
                Rule::new(Some(504), "offline", "an old \"not found\" is never repeated, and nobody is asked")
            }
            Freshness::Offline => {
                Rule::new(Some(status), "offline", format!("asked for {age} ago; nobody is asked"))
            }
        }
    }

    fn not_held(&self) -> Rule {
        match self.upstream {
            _ if self.offline => Rule::new(Some(504), "offline", "nothing is held, and nobody is asked"),
            None => Rule::new(Some(404), "no upstream", "the routing table sends this volume nowhere"),
            Some(_) => Rule::new(None, "ask first", format!("nothing is held; {} is asked", self.upstream())),
        }
    }

    fn archive(&self, exact: &Rule) -> Rule {
        let release = self.exact.and_then(|exact| exact.document.content.release());
        let (Some(200), Some(release)) = (exact.status, release) else {
            return Rule { why: format!("the release decides: {}", exact.why), ..exact.clone() };
        };
        let state = release.state();
        if !release.serves_bytes() {
            let status = state.refusal().status();
            return Rule::new(
                Some(status),
                "lifecycle",
                format!("the release is {state}: no byte of it is sent"),
            );
        }
        match (&release.dist, self.sealed) {
            (Some(Dist::Git), _) => {
                Rule::new(Some(404), "delivered by Git", "clients fetch the repository themselves")
            }
            (_, true) => {
                Rule::new(Some(200), "sealed", format!("the release is {state} and its archive is held"))
            }
            (_, false) if self.offline => Rule::new(Some(504), "offline", "the archive is not held"),
            (_, false) => Rule::new(
                None,
                "fetch",
                "the archive is not held; it is fetched and verified as a whole first",
            ),
        }
    }

    fn upstream(&self) -> String {
        match self.upstream {
            Some(Registry { name, up: true, .. }) => name.clone(),
            Some(Registry { name, up: false, .. }) => format!("{name} (not answering at the moment)"),
            None => "no upstream".to_owned(),
        }
    }
}

/// What is not held against its pin is not served.
fn pin(trouble: &PinError) -> Rule {
    let (status, rule) = match trouble {
        PinError::Damaged(_) => (None, "pin damaged"),
        PinError::Lost(_) => (Some(502), "pin lost"),
        PinError::Store(_) => (Some(503), "pin unreadable"),
    };
    let made_out = match trouble {
        PinError::Damaged(_) => "; it is made out anew from the archive, where that is held",
        PinError::Lost(_) | PinError::Store(_) => "",
    };
    Rule::new(status, rule, format!("{trouble}{made_out}"))
}

/// A duration in whole seconds, as people write it.
pub(super) fn seconds(duration: Duration) -> String {
    humantime::format_duration(Duration::from_secs(duration.as_secs())).to_string()
}
