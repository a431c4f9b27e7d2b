//! Which rule would answer a request now, and why.
//!
//! Owns the words for what `read::decision` decides. Must not decide anything.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::awaited::AwaitingRule;
use super::{ExplainedRegistry, HeldArchive};
use crate::consistency::{ArchiveRefusal, Divergence, Pin, PinError};
use crate::domain::Release;
use crate::domain::lifecycle::{Status, problem_of};
use crate::policies::PolicyFinding;
use crate::read::decision::archive::{ArchiveOffer, bring, offer};
use crate::read::decision::{self, Decision, OpenDivergence, Reach, RefusalReason, decide};
use crate::read::inspect::Inspected;
use crate::read::outcome::Stale;

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
    /// Facts that the proxy finds out first, on which the operator's policy may then refuse the release.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) waits_for: Vec<String>,
}

impl VerdictRule {
    fn new(status: Option<u16>, rule: &str, why: impl Into<String>) -> Self {
        Self { status, rule: rule.to_owned(), why: why.into(), waits_for: Vec::new() }
    }

    /// The same answer, which is given only if none of `rules` refuses the release.
    fn unless_refused<'a>(self, rules: impl Iterator<Item = &'a AwaitingRule>) -> Self {
        let (mut waits_for, mut whys) = (BTreeSet::new(), Vec::new());
        for rule in rules {
            waits_for.extend(rule.facts().map(str::to_owned));
            whys.push(rule.words());
        }
        if whys.is_empty() {
            return self;
        }
        let Self { status, rule, why, .. } = self;
        // What is refused or asked for anyway stays that.
        let rule = if status == Some(200) { "policy, to be judged".to_owned() } else { rule };
        let why = format!("{}; otherwise {why}", whys.join("; "));
        Self {
            status: status.filter(|status| *status != 200),
            rule,
            why,
            waits_for: waits_for.into_iter().collect(),
        }
    }
}

/// The rule of an archive that is fetched first.
const FETCH: &str = "fetch";

/// Said of a document that may yet turn out to be in divergence.
const SETTLED_FIRST: &str = "; it is compared with index and pin first";

/// Everything that decides how a release is answered.
pub(super) struct ReleaseFacts {
    pub(super) exact: Option<Inspected>,
    /// The open divergence, and whether both sides are asked again at the next request.
    pub(super) divergence: Option<(Arc<Divergence>, bool)>,
    pub(super) archive: Option<HeldArchive>,
    /// Whether Git delivers it from a host that only clients ask.
    pub(super) is_elsewhere: bool,
    pub(super) pin: Result<Option<Pin>, PinError>,
    /// The status in the last known row of the release, if that withdraws it.
    pub(super) row: Option<Status>,
    pub(super) upstream: Option<ExplainedRegistry>,
    pub(super) offline: bool,
    pub(super) refusal: Option<Arc<ArchiveRefusal>>,
    /// What the operator's policy says against the release.
    pub(super) policy: Option<Arc<PolicyFinding>>,
    /// The rules of the policy that may refuse it once more is known.
    pub(super) awaiting: Vec<AwaitingRule>,
}

impl ReleaseFacts {
    pub(super) fn verdict(&self) -> ReleaseVerdict {
        // What the registry withholds is not judged.
        let awaiting = if self.offers_bytes() { self.awaiting.as_slice() } else { &[] };
        let waits = |rule: &VerdictRule| rule.status == Some(200) || rule.rule == FETCH;
        let mut exact = self.exact();
        if waits(&exact) {
            exact = exact.unless_refused(awaiting.iter().filter(|rule| rule.is_before_metadata()));
        }
        let mut archive = self.archive(&exact);
        if waits(&archive) {
            archive = archive.unless_refused(awaiting.iter());
        }
        ReleaseVerdict { exact, archive }
    }

    fn offers_bytes(&self) -> bool {
        let release = self.exact.as_ref().and_then(|exact| exact.document.content.release());
        release.is_some_and(Release::serves_bytes)
    }

    /// The facts in the terms of the rule.
    fn facts(&self) -> decision::KnownFacts {
        let due = |(_, due): &(_, bool)| if *due { OpenDivergence::Due } else { OpenDivergence::Believed };
        decision::KnownFacts {
            is_routed: self.upstream.is_some(),
            held: self.exact.as_ref().map(|exact| exact.facts),
            divergence: self.divergence.as_ref().map(due),
            is_pin_unknown: self.pin.is_err(),
            // What the registry withholds itself stays its answer.
            is_policy_refused: self.offers_bytes()
                && self.policy.as_ref().is_some_and(|finding| finding.refuses()),
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
            (Decision::Serve { stale, settle }, Some(exact)) => self.served(exact, stale, settle),
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
            (ArchiveOffer::Malformed, ..) => {
                VerdictRule::new(Some(502), "no archive", "the release names no archive")
            }
            (ArchiveOffer::Archive { .. }, true, _) => VerdictRule::new(
                Some(200),
                "sealed",
                format!("the release is {state} and its archive is held"),
            ),
            (ArchiveOffer::Archive { .. }, false, Err(_)) => {
                VerdictRule::new(Some(504), "offline", "the archive is not held")
            }
            (ArchiveOffer::Archive { .. }, false, Ok(())) if self.is_elsewhere => VerdictRule::new(
                Some(502),
                "delivered elsewhere",
                "clients fetch it by Git themselves: this proxy may not ask its repository (git_hosts)",
            ),
            (ArchiveOffer::Archive { .. }, false, Ok(())) => VerdictRule::new(
                None,
                FETCH,
                "the archive is not held; it is fetched and verified as a whole first",
            ),
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
