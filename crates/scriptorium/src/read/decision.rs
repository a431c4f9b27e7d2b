//! Which answer a client gets: the rule of serving, in one place.
//!
//! [`decide`] looks at what is known about a question and at whether its registry may be asked. Down: what is held.
//! Across: whether the registry may be asked.
//!
//! | held             | online                 | only-if-cached         | offline       | unreachable    |
//! |------------------|------------------------|------------------------|---------------|----------------|
//! | no registry      | no upstream            | not held               | offline       | unreachable    |
//! | nothing          | ask                    | not held               | offline       | unreachable    |
//! | fresh            | serve                  | serve                  | serve offline | serve          |
//! | while-revalidate | serve while-revalidate | serve while-revalidate | serve offline | serve if-error |
//! | if-error         | ask                    | not held               | serve offline | serve if-error |
//! | expired          | ask                    | not held               | serve offline | unreachable    |
//! | fresh absence    | serve                  | serve                  | offline       | serve          |
//! | old absence      | ask                    | not held               | offline       | unreachable    |
//!
//! `ask`: the registry is asked first. If that fails, the column `unreachable` decides, so it is also what may be served
//! instead. `serve while-revalidate` has the registry asked behind the answer, except for a client that sent
//! only-if-cached. An absence is a 404, or a refusal that is not the registry's own: it is true when it is said, and an
//! old one is never repeated. A document that is not settled is compared with the other documents of its release before
//! it is served (`judge`), which may still refuse it.
//!
//! Other facts change the cell that was found. The first row that applies counts.
//!
//! | known                | where                   | changes        | to        |
//! |----------------------|-------------------------|----------------|-----------|
//! | divergence believed  | everywhere              | anything       | divergent |
//! | divergence due       | only-if-cached, offline | anything       | divergent |
//! | pin unknown          | everywhere              | serve unsettled | pin       |
//! | policy refuses       | everywhere              | serve          | policy    |
//! | archive refused      | everywhere              | serve          | archive   |
//! | row withdrawn        | offline, unreachable    | no answer      | withdrawn |
//! | divergence due       | unreachable             | no answer      | divergent |
//!
//! A divergence is due when it was last checked longer ago than `negative_ttl`: both sides are then asked again.
//! `row withdrawn`: the last index that is known says that the release is blocked, tombstoned or unavailable. `no answer`:
//! the cells `offline` and `unreachable`.
//!
//! A new rule needs a row here and a branch in [`decide`]; the tests read these tables. Owns this rule. Must not
//! know how anything is looked up, asked for, or shown. `archive` has the same for a release's archive.

use super::freshness::Freshness;
use super::outcome::Stale;

pub(crate) mod archive;

/// Whether the registry may be asked for an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reach {
    Online,
    /// The client takes only what is held.
    OnlyIfCached,
    /// The configuration forbids asking.
    Offline,
    /// The registry was asked and could not answer.
    Unreachable,
}

impl Reach {
    pub(crate) fn of(offline: bool, only_if_cached: bool) -> Self {
        match (offline, only_if_cached) {
            (true, _) => Self::Offline,
            (false, true) => Self::OnlyIfCached,
            (false, false) => Self::Online,
        }
    }
}

/// A document that is held, as far as it matters here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct HeldFacts {
    pub(crate) freshness: Freshness,
    pub(crate) is_settled: bool,
    pub(crate) is_absence: bool,
}

/// An open divergence about the question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OpenDivergence {
    /// It was checked a short while ago and is believed.
    Believed,
    /// Both sides are to be asked again.
    Due,
}

/// Everything that decides. What was not looked up yet is left out; [`decide`] is asked again once it is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct KnownFacts {
    /// Whether the routing table names a registry for the question.
    pub(crate) is_routed: bool,
    pub(crate) held: Option<HeldFacts>,
    pub(crate) divergence: Option<OpenDivergence>,
    /// Whether the pin of the release cannot be read, or was lost.
    pub(crate) is_pin_unknown: bool,
    /// Whether the operator's policy refuses the held release.
    pub(crate) is_policy_refused: bool,
    /// Whether the archive that the held release names was refused.
    pub(crate) is_archive_refused: bool,
    /// Whether the last known row of the release withdraws it.
    pub(crate) is_row_withdrawn: bool,
}

/// The decision about a question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Decision {
    /// Serve the held document, as stale for this reason; `settle` it first where it is not settled.
    Serve { stale: Option<Stale>, settle: bool },
    /// Ask the registry. `may_serve`: the held document may be served should that fail.
    Ask { may_serve: bool },
    /// Answer with an error.
    Refuse(RefusalReason),
}

/// Why there is no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RefusalReason {
    NoUpstream,
    NotHeld,
    Offline,
    Unreachable,
    Divergent,
    Pin,
    Policy,
    Archive,
    Withdrawn,
}

/// Whether a document may be served from memory without looking at anything else. [`decide`] agrees wherever nothing
/// speaks against a document, and whatever does so takes away that it is settled.
#[inline]
pub(crate) fn is_hit(is_settled: bool, freshness: Freshness, offline: bool) -> bool {
    is_settled && !offline && matches!(freshness, Freshness::Fresh)
}

/// The tables of this module's header.
pub(crate) fn decide(known: &KnownFacts, reach: Reach) -> Decision {
    use Reach::{Offline, OnlyIfCached, Unreachable};
    let open = known.divergence;
    match (by_age(known, reach), reach) {
        _ if open == Some(OpenDivergence::Believed) => Decision::Refuse(RefusalReason::Divergent),
        (_, OnlyIfCached | Offline) if open.is_some() => Decision::Refuse(RefusalReason::Divergent),
        (Decision::Serve { settle: true, .. }, _) if known.is_pin_unknown => {
            Decision::Refuse(RefusalReason::Pin)
        }
        (Decision::Serve { .. }, _) if known.is_policy_refused => Decision::Refuse(RefusalReason::Policy),
        (Decision::Serve { .. }, _) if known.is_archive_refused => Decision::Refuse(RefusalReason::Archive),
        (Decision::Refuse(RefusalReason::Offline | RefusalReason::Unreachable), _)
            if known.is_row_withdrawn =>
        {
            Decision::Refuse(RefusalReason::Withdrawn)
        }
        (Decision::Refuse(_), Unreachable) if open.is_some() => Decision::Refuse(RefusalReason::Divergent),
        (decision, _) => decision,
    }
}

/// The first table.
fn by_age(known: &KnownFacts, reach: Reach) -> Decision {
    let refused = Decision::Refuse(match reach {
        Reach::Online | Reach::Unreachable => RefusalReason::Unreachable,
        Reach::OnlyIfCached => RefusalReason::NotHeld,
        Reach::Offline => RefusalReason::Offline,
    });
    let ask = |may_serve| match reach {
        Reach::Online => Decision::Ask { may_serve },
        Reach::Unreachable | Reach::OnlyIfCached | Reach::Offline => refused,
    };
    let Some(held) = known.held else {
        return match reach {
            Reach::Online if !known.is_routed => Decision::Refuse(RefusalReason::NoUpstream),
            _ => ask(false),
        };
    };
    let serve = |stale| Decision::Serve { stale, settle: !held.is_settled };
    let if_error = || match reach {
        Reach::Unreachable => serve(Some(Stale::IfError)),
        _ => ask(true),
    };
    match (reach, held.freshness) {
        (Reach::Offline, _) if held.is_absence => refused,
        (Reach::Offline, _) => serve(Some(Stale::Offline)),
        (_, Freshness::Fresh) => serve(None),
        _ if held.is_absence => ask(false),
        (Reach::Online | Reach::OnlyIfCached, Freshness::WhileRevalidate) => {
            serve(Some(Stale::WhileRevalidate))
        }
        (_, Freshness::WhileRevalidate | Freshness::IfError) => if_error(),
        (_, Freshness::Expired) => ask(false),
    }
}

#[cfg(test)]
mod tests;
