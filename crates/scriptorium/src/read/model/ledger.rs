//! What the registry is, and what it has told the proxy: the facts that every promise speaks of.
//!
//! Owns the releases, their lies, and the last definite answer given on each route. Content 0 of a release is
//! the one it was published with; content 1 never is. Must not know bodies, nor how a client is answered.

use std::collections::HashMap;

use super::rules::RuleInForce;
use crate::domain::LifecycleState;

pub(super) const VOLUMES: [&str; 2] = ["@acme/review", "tools"];
pub(super) const VERSIONS: [&str; 3] = ["1.0.0", "1.1.0", "2.0.0-rc.1"];
pub(super) const RELEASES: usize = VOLUMES.len() * VERSIONS.len();

/// A release, by its number.
pub(super) type Id = usize;

pub(super) fn volume_of(id: Id) -> usize {
    id / VERSIONS.len()
}

pub(super) fn releases_of(volume: usize) -> impl Iterator<Item = Id> {
    (0..RELEASES).filter(move |id| volume_of(*id) == volume)
}

/// A lifecycle state and the status that the exact route answers with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Standing(pub(super) LifecycleState, pub(super) u16);

pub(super) const STANDINGS: [Standing; 7] = [
    Standing(LifecycleState::Available, 200),
    Standing(LifecycleState::Yanked, 200),
    Standing(LifecycleState::Tombstoned, 404),
    Standing(LifecycleState::Blocked, 403),
    Standing(LifecycleState::Unavailable, 404),
    Standing(LifecycleState::Unavailable, 409),
    Standing(LifecycleState::Tombstoned, 410),
];

/// How long a standing is remembered for those who hear of it late, in milliseconds.
const REMEMBERED: u64 = 120_000;

/// How the registry contradicts itself about a release that may be served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lie {
    RowIntegrity,
    RowState(LifecycleState),
    RowLink,
    MissingRow,
    DuplicateRow,
    ExactName,
    ExactPurl,
    /// Only of a release that clients have seen: a first sight is believed.
    ExactIntegrity,
    MissingRelease,
    BlockedRelease,
    /// Row, exact metadata and archive agree on another content. Only of a release that clients have seen.
    Replaced,
    /// The documents are honest; the archive is that of another content.
    Archive,
}

/// Who cannot be asked, and what comes instead of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Outage(pub(super) Fault, pub(super) Scope);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    Unreachable,
    Broken,
    ServerError,
    Throttled,
    Garbage,
    /// A gateway answers in place of the registry, with a page of its own.
    Page(u16),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scope {
    Everything,
    Indexes,
    Releases,
    Archives,
}

/// An index row as told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Row {
    pub(super) state: LifecycleState,
    pub(super) content: Option<usize>,
    pub(super) leads_home: bool,
}

/// An answer of the exact route as told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Exact {
    Found { state: LifecycleState, content: usize, of_itself: bool },
    Refused(u16),
}

/// Something told, and when.
#[derive(Debug, Clone)]
pub(super) struct Told<T> {
    pub(super) what: T,
    /// The release's age in changes: what was told in one epoch was true at one time.
    pub(super) epoch: u64,
    pub(super) order: u64,
    /// Milliseconds.
    pub(super) at: u64,
}

/// What the proxy was told of one release, last.
#[derive(Debug, Clone, Default)]
pub(super) struct Known {
    pub(super) rows: Option<Told<Vec<Row>>>,
    pub(super) exact: Option<Told<Exact>>,
}

/// How a release stood until some time, in milliseconds.
#[derive(Debug, Clone)]
pub(super) struct Past {
    until: u64,
    standing: Option<Standing>,
    lie: Option<Lie>,
    epoch: u64,
}

#[derive(Debug, Clone, Default)]
pub(super) struct Release {
    pub(super) past: Vec<Past>,
    /// `None` before it is published.
    pub(super) standing: Option<Standing>,
    pub(super) lie: Option<Lie>,
    pub(super) epoch: u64,
    pub(super) known: Known,
    /// Whether a lie was told since the last time everything was in order.
    pub(super) tainted: bool,
    /// Whether a client has seen its exact metadata, so that its content is pinned for certain.
    pub(super) shown: bool,
    /// Whether a client got its archive, so that it is kept for certain.
    pub(super) served: bool,
    /// Whether the archive of another content came in its place: that is remembered as long as its integrity stands.
    pub(super) refused: bool,
    /// Archive downloads begun.
    pub(super) downloads: u32,
    /// When its content was first told by a row or exact metadata, in milliseconds, whatever else was false.
    pub(super) first_told: Option<u64>,
    /// When an honest row first told it.
    pub(super) listed_honestly: Option<u64>,
}

/// The whole of it.
#[derive(Debug, Clone, Default)]
pub(super) struct Ledger {
    pub(super) releases: [Release; RELEASES],
    pub(super) outage: Option<Outage>,
    /// How far behind the registry the CDN of indexes is, and that of exact metadata, in milliseconds.
    pub(super) lags: [u64; 2],
    /// Whether an edge confirms whatever it is asked about.
    pub(super) confirming: bool,
    /// Whether the registry was sent a tag that another one gave.
    pub(super) sent_foreign: bool,
    /// When a gateway last answered for each path, in milliseconds, and with which status.
    pub(super) paged: HashMap<String, (u64, u16)>,
    /// When each path was last answered definitely, in milliseconds, and with which status.
    pub(super) answered: HashMap<String, (u64, u16)>,
    /// Requests for each path, definite answer or not.
    pub(super) asked: HashMap<String, u32>,
    pub(super) orders: u64,
    /// The operator's rule.
    pub(super) rule: Option<RuleInForce>,
    /// Releases that the advisories in force affect.
    pub(super) advised: Vec<Id>,
    /// When these were confirmed, in milliseconds.
    pub(super) advisories_confirmed: Option<u64>,
}

impl Release {
    pub(super) fn rows(&self, id: Id) -> Vec<Row> {
        let Some(Standing(state, _)) = self.standing else { return Vec::new() };
        // A row may leave its integrity out; the second version's do.
        let content = (id % VERSIONS.len() != 1).then_some(0);
        let row = Row { state, content, leads_home: true };
        match self.lie {
            Some(Lie::RowIntegrity | Lie::Replaced) => vec![Row { content: Some(1), ..row }],
            Some(Lie::RowState(state)) => vec![Row { state, ..row }],
            Some(Lie::RowLink) => vec![Row { leads_home: false, ..row }],
            Some(Lie::MissingRow) => Vec::new(),
            Some(Lie::DuplicateRow) => vec![row.clone(), Row { state: LifecycleState::Blocked, ..row }],
            _ => vec![row],
        }
    }

    pub(super) fn exact(&self) -> Exact {
        let Some(Standing(state, status)) = self.standing else { return Exact::Refused(404) };
        match self.lie {
            Some(Lie::MissingRelease) => Exact::Refused(404),
            Some(Lie::BlockedRelease) => Exact::Refused(403),
            Some(Lie::ExactIntegrity | Lie::Replaced) => Exact::Found { state, content: 1, of_itself: true },
            Some(Lie::ExactName | Lie::ExactPurl) => Exact::Found { state, content: 0, of_itself: false },
            _ if status == 200 => Exact::Found { state, content: 0, of_itself: true },
            _ => Exact::Refused(status),
        }
    }

    /// Whether documents of this release contradict each other now. A row that is missing contradicts nothing, and
    /// nothing contradicts a block.
    pub(super) fn is_divergent(&self) -> bool {
        !matches!(self.lie, None | Some(Lie::Archive | Lie::MissingRow | Lie::BlockedRelease))
    }

    /// Notes that these rows, or exact metadata, are told at `now`.
    pub(super) fn note_told(&mut self, told: &Self, rows: &[Row], exact: Option<&Exact>, now: u64) {
        let is_listed = rows.iter().any(|row| row.content == Some(0));
        if is_listed || matches!(exact, Some(Exact::Found { content: 0, .. })) {
            self.first_told.get_or_insert(now);
        }
        if is_listed && told.lie.is_none() {
            self.listed_honestly.get_or_insert(now);
        }
    }

    /// Remembers how it stands for those who hear of it late.
    pub(super) fn remember(&mut self, now: u64) {
        self.past.retain(|past| now - past.until < REMEMBERED);
        let Self { standing, lie, epoch, .. } = *self;
        self.past.push(Past { until: now, standing, lie, epoch });
    }

    /// The release as it stood at `then`.
    pub(super) fn as_of(&self, then: u64) -> Self {
        let past = self.past.iter().find(|past| then < past.until);
        past.map_or(self.clone(), |past| Self {
            standing: past.standing,
            lie: past.lie,
            epoch: past.epoch,
            ..self.clone()
        })
    }

    pub(super) fn change(&mut self, standing: Standing) {
        (self.standing, self.lie) = (Some(standing), None);
        self.epoch += 1;
    }

    /// Begins a lie, or ends one. A lie that makes no sense of this release is not told.
    pub(super) fn tell(&mut self, lie: Option<Lie>) {
        let makes_sense = match (self.standing, lie) {
            (_, None) => self.lie.is_some(),
            // An integrity whose archive was refused binds nobody.
            (Some(Standing(_, 200)), Some(Lie::Replaced | Lie::ExactIntegrity)) => {
                self.shown && !self.refused
            }
            (Some(Standing(state, 200)), Some(Lie::RowState(told))) => state != told,
            (Some(Standing(_, 200)), Some(_)) => true,
            _ => false,
        };
        if makes_sense {
            self.tainted |= is_contradiction(lie) || is_contradiction(self.lie);
            self.lie = lie;
            self.epoch += 1;
        }
    }
}

/// Whether it may be answered as a contradiction.
pub(super) fn is_contradiction(lie: Option<Lie>) -> bool {
    !matches!(lie, None | Some(Lie::MissingRow | Lie::BlockedRelease))
}

impl Known {
    /// Whether what was told cannot be true, however the registry stands by now.
    pub(super) fn is_divergent(&self) -> bool {
        let Some(exact) = &self.exact else { return false };
        match &exact.what {
            Exact::Found { of_itself: false, .. } | Exact::Found { content: 1.., .. } => return true,
            _ => {}
        }
        self.rows.as_ref().is_some_and(|rows| rows.epoch == exact.epoch && clash(&rows.what, &exact.what))
    }

    /// Whether the release may be served by what was told: neither refused, nor divergent, nor withdrawn by a
    /// row told later.
    pub(super) fn may_serve(&self) -> bool {
        let Some(Told { what: Exact::Found { .. }, order, .. }) = &self.exact else { return false };
        let withdrawn = self
            .rows
            .as_ref()
            .is_some_and(|rows| rows.order > *order && rows.what.iter().any(|row| !row.state.serves_bytes()));
        !withdrawn && !self.is_divergent()
    }

    /// Whether it must be served at `now`, asked or not: nothing told raises a question, nothing is too old.
    pub(super) fn must_serve(&self, now: u64) -> bool {
        let young = |at: u64| now - at < 3_000_000;
        let Some(exact) = self.exact.as_ref().filter(|exact| young(exact.at)) else { return false };
        let rows = self.rows.as_ref();
        self.may_serve() && rows.is_none_or(|rows| rows.epoch == exact.epoch && young(rows.at))
    }

    pub(super) fn exact_state(&self) -> Option<LifecycleState> {
        match self.exact.as_ref()?.what {
            Exact::Found { state, .. } => Some(state),
            Exact::Refused(_) => None,
        }
    }

    pub(super) fn refused_with(&self, status: u16) -> bool {
        self.exact.as_ref().is_some_and(|exact| exact.what == Exact::Refused(status))
    }

    pub(super) fn row_in(&self, states: &[LifecycleState]) -> bool {
        self.rows.iter().flat_map(|rows| &rows.what).any(|row| states.contains(&row.state))
    }
}

fn clash(rows: &[Row], exact: &Exact) -> bool {
    let ([first, others @ ..], false) = (rows, *exact == Exact::Refused(403)) else { return false };
    let among_themselves = !first.leads_home || others.iter().any(|other| other != first);
    among_themselves
        || match exact {
            Exact::Found { state, content, .. } => {
                first.state != *state || first.content.is_some_and(|told| told != *content)
            }
            Exact::Refused(404 | 410) => first.state.serves_bytes(),
            Exact::Refused(_) => false,
        }
}
