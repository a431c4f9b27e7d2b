//! Which rule would answer a request now, and why.
//!
//! Owns the words for what `read::decision` decides. Must not decide anything.

use std::sync::Arc;
use std::time::Duration;

use policy::MissingFact;
use serde::{Deserialize, Serialize};

use super::{ExplainedRegistry, HeldArchive};
use crate::consistency::{ArchiveRefusal, Divergence, Pin, PinError};
use crate::domain::Release;
use crate::domain::lifecycle::{Status, problem_of};
use crate::policies::PolicyFinding;
use crate::read::decision::archive::{ArchiveOffer, bring, offer};
use crate::read::decision::{self, Decision, OpenDivergence, Reach, RefusalReason, decide};
use crate::read::inspect::Inspected;
use crate::read::outcome::Stale;
use crate::read::trial::AwaitedFact;

/// The answers to the two requests about a release.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct ReleaseVerdict {
    pub(crate) exact: VerdictRule,
    pub(crate) archive: VerdictRule,
}

/// The rule that decides.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct VerdictRule {
    /// The status of the answer; `None` if a registry is asked first, so that it is not known.
    pub(crate) status: Option<u16>,
    pub(crate) rule: String,
    /// Why it applies, in a sentence.
    pub(crate) why: String,
}

impl VerdictRule {
    fn new(status: Option<u16>, rule: &str, why: impl Into<String>) -> Self {
        Self { status, rule: rule.to_owned(), why: why.into() }
    }
}

/// Said of a document that may yet turn out to be in divergence.
const SETTLED_FIRST: &str = "; it is compared with index and pin first";

/// Everything that decides how a release is answered.
pub(super) struct ReleaseFacts {
    pub(super) exact: Option<Inspected>,
    /// The open divergence, and whether both sides are asked again at the next request.
    pub(super) divergence: Option<(Arc<Divergence>, bool)>,
    pub(super) archive: Option<HeldArchive>,
    pub(super) pin: Result<Option<Pin>, PinError>,
    /// The status in the last known row of the release, if that withdraws it.
    pub(super) row: Option<Status>,
    pub(super) upstream: Option<ExplainedRegistry>,
    pub(super) offline: bool,
    pub(super) refusal: Option<Arc<ArchiveRefusal>>,
    /// What the operator's policy says against the release.
    pub(super) policy: Option<Arc<PolicyFinding>>,
    /// What a rule has to know first.
    pub(super) awaited: Option<AwaitedFact>,
}

impl ReleaseFacts {
    pub(super) fn verdict(&self) -> ReleaseVerdict {
        let exact = self.exact();
        let archive = self.archive(&exact);
        ReleaseVerdict { exact, archive }
    }

    /// The facts in the terms of the rule.
    fn facts(&self) -> decision::KnownFacts {
        // What the registry withholds itself stays its answer.
        let release = self.exact.as_ref().and_then(|exact| exact.document.content.release());
        let offers = release.is_some_and(Release::serves_bytes);
        let due = |(_, due): &(_, bool)| if *due { OpenDivergence::Due } else { OpenDivergence::Believed };
        decision::KnownFacts {
            is_routed: self.upstream.is_some(),
            held: self.exact.as_ref().map(|exact| exact.facts),
            divergence: self.divergence.as_ref().map(due),
            is_pin_unknown: self.pin.is_err(),
            is_policy_refused: offers && self.policy.as_ref().is_some_and(|finding| finding.refuses()),
            is_archive_refused: self.refusal.is_some(),
            is_row_withdrawn: self.row.is_some(),
        }
    }

    fn exact(&self) -> VerdictRule {
        let facts = self.facts();
        if let (Some((open, true)), false) = (&self.divergence, self.offline) {
            let why = format!("{}: {open}; both sides are asked again first", open.kind.as_str());
            return VerdictRule::new(None, "divergent, due", why);
        }
        match (decide(&facts, Reach::of(self.offline, false)), &self.exact) {
            (Decision::Serve { stale, settle }, Some(exact)) => match self.awaits(MissingFact::Trust) {
                Some(waits) if exact.document.content.release().is_some() => waits,
                Some(_) | None => self.served(exact, stale, settle),
            },
            (Decision::Refuse(why), _) => self.refused(why),
            (Decision::Ask { .. } | Decision::Serve { .. }, exact) => self.asked(exact.as_ref(), &facts),
        }
    }

    fn served(&self, exact: &Inspected, stale: Option<Stale>, settle: bool) -> VerdictRule {
        let (status, age) = (Some(exact.document.meta.status), seconds(exact.age));
        let settled = if settle { SETTLED_FIRST } else { "" };
        match stale {
            None if settle => {
                VerdictRule::new(status, "fresh, to be settled", format!("asked for {age} ago{settled}"))
            }
            None => {
                let left = seconds(Duration::from_secs(exact.ttl.try_into().unwrap_or_default()));
                let cap = exact.document.meta.keeping.cap;
                let cap = cap.map(|cap| format!(", the registry says {}={}", cap.by.as_str(), cap.seconds));
                let cap = cap.unwrap_or_default();
                VerdictRule::new(
                    status,
                    "fresh",
                    format!("asked for {age} ago, fresh for another {left}{cap}"),
                )
            }
            Some(Stale::WhileRevalidate) => {
                let behind = format!("{} is asked behind the answer", self.upstream());
                let why = format!("asked for {age} ago, just past its TTL; {behind}{settled}");
                VerdictRule::new(status, "stale-while-revalidate", why)
            }
            Some(Stale::Offline) => {
                let why = format!("asked for {age} ago; this proxy is offline and asks no registry{settled}");
                VerdictRule::new(status, "offline", why)
            }
            Some(Stale::IfError) => VerdictRule::new(
                status,
                "stale-if-error",
                format!("asked for {age} ago; the registry cannot be asked"),
            ),
        }
    }

    fn asked(&self, exact: Option<&Inspected>, facts: &decision::KnownFacts) -> VerdictRule {
        let first = format!("{} is asked first", self.upstream());
        let Some(exact) = exact else {
            return VerdictRule::new(None, "ask first", format!("nothing is held; {first}"));
        };
        let window = match decide(facts, Reach::Unreachable) {
            _ if exact.outdated => "and declared out of date since",
            _ if exact.facts.is_absence => "and an old \"not found\" is never repeated",
            Decision::Serve { .. } if exact.document.meta.keeping.no_cache => {
                "and the registry says no-cache"
            }
            Decision::Serve { .. } => "within stale-if-error should that fail",
            Decision::Refuse(_) | Decision::Ask { .. } => "beyond stale-if-error",
        };
        VerdictRule::new(
            None,
            "ask first",
            format!("asked for {} ago, {window}; {first}", seconds(exact.age)),
        )
    }

    fn refused(&self, why: RefusalReason) -> VerdictRule {
        if let (RefusalReason::Policy, Some(finding)) = (why, &self.policy) {
            let is_settled = self.exact.as_ref().is_some_and(|exact| exact.facts.is_settled);
            let settled = if is_settled { "" } else { SETTLED_FIRST };
            return VerdictRule::new(Some(403), "policy", format!("{}{settled}", finding.reason));
        }
        match (why, &self.divergence, &self.refusal, &self.pin, &self.row) {
            (RefusalReason::Divergent, Some((open, _)), ..) => {
                VerdictRule::new(Some(409), "divergent", format!("{}: {open}", open.kind.as_str()))
            }
            (RefusalReason::Archive, _, Some(refusal), ..) => {
                let why =
                    format!("the archive was fetched at {} and refused: {}", refusal.since, refusal.why);
                VerdictRule::new(Some(refusal.verdict.problem().status()), "refused", why)
            }
            (RefusalReason::Pin, .., Err(trouble), _) => pin(trouble),
            (RefusalReason::Withdrawn, .., Some(row)) => {
                let why = format!(
                    "no registry is asked, and the last index says that the release is {}",
                    row.state
                );
                VerdictRule::new(Some(problem_of(row.state).status()), "row withdrawn", why)
            }
            (RefusalReason::NoUpstream, ..) => {
                VerdictRule::new(Some(404), "no upstream", "the routing table sends this volume nowhere")
            }
            _ if self.exact.is_some() => VerdictRule::new(
                Some(504),
                "offline",
                "an old \"not found\" is never repeated, and no registry is asked",
            ),
            _ => VerdictRule::new(Some(504), "offline", "nothing is held, and no registry is asked"),
        }
    }

    /// Said of an answer that waits for `fact`.
    fn awaits(&self, fact: MissingFact) -> Option<VerdictRule> {
        let AwaitedFact { rule, .. } = self.awaited.as_ref().filter(|awaited| awaited.fact == fact)?;
        let first = match fact {
            MissingFact::Manifest => {
                "the manifest in the archive, which is read and judged before the first byte is sent"
            }
            _ => "trust metadata, which is asked for and judged first",
        };
        Some(VerdictRule::new(None, "policy, to be judged", format!("the rule `{rule}` looks at {first}")))
    }

    fn archive(&self, exact: &VerdictRule) -> VerdictRule {
        let release = self.exact.as_ref().and_then(|exact| exact.document.content.release());
        let (Some(200), Some(release)) = (exact.status, release) else {
            return VerdictRule { why: format!("the release decides: {}", exact.why), ..exact.clone() };
        };
        let state = release.state();
        match (offer(release), self.archive.is_some(), bring(Reach::of(self.offline, false))) {
            (ArchiveOffer::Withdrawn, ..) => {
                let status = Some(problem_of(state).status());
                VerdictRule::new(
                    status,
                    "lifecycle",
                    format!("the release is {state}: no byte of it is sent"),
                )
            }
            (ArchiveOffer::ByGit, ..) => {
                VerdictRule::new(Some(404), "delivered by Git", "clients fetch the repository themselves")
            }
            (ArchiveOffer::Malformed, ..) => {
                VerdictRule::new(Some(502), "no archive", "the release names no archive")
            }
            (ArchiveOffer::Archive { .. }, true, _) => {
                self.awaits(MissingFact::Manifest).unwrap_or_else(|| {
                    let why = format!("the release is {state} and its archive is held");
                    VerdictRule::new(Some(200), "sealed", why)
                })
            }
            (ArchiveOffer::Archive { .. }, false, Err(_)) => {
                VerdictRule::new(Some(504), "offline", "the archive is not held")
            }
            (ArchiveOffer::Archive { .. }, false, Ok(())) => {
                let why = "the archive is not held; it is fetched and verified as a whole first";
                match self.awaits(MissingFact::Manifest) {
                    Some(waits) => VerdictRule::new(None, "fetch", format!("{why}; {}", waits.why)),
                    None => VerdictRule::new(None, "fetch", why),
                }
            }
        }
    }

    fn upstream(&self) -> String {
        match &self.upstream {
            Some(ExplainedRegistry { name, up: true, .. }) => name.clone(),
            Some(ExplainedRegistry { name, up: false, .. }) => {
                format!("{name} (not answering at the moment)")
            }
            None => "no upstream".to_owned(),
        }
    }
}

/// A release is not served without its pin.
fn pin(trouble: &PinError) -> VerdictRule {
    let (status, rule) = match trouble {
        PinError::Damaged(_) => (None, "pin damaged"),
        PinError::Lost(_) => (Some(502), "pin lost"),
        PinError::Store(_) => (Some(503), "pin unreadable"),
    };
    let made_out = match trouble {
        PinError::Damaged(_) => "; it is made out anew from the archive, where that is held",
        PinError::Lost(_) | PinError::Store(_) => "",
    };
    VerdictRule::new(status, rule, format!("{trouble}{made_out}"))
}

/// A duration in whole seconds, for people.
pub(super) fn seconds(duration: Duration) -> String {
    humantime::format_duration(Duration::from_secs(duration.as_secs())).to_string()
}
