//! What each action makes of each route, as a plain table:
//!
//! | action | row | exact metadata | trust views, their artifacts | archive: GET, HEAD, range, validator |
//! |---|---|---|---|---|
//! | deny, hold | `blocked` | 403 | 403 | 403 |
//! | discourage | `yanked` | 200 `yanked` | 200 | 200, 206, 304 |
//! | none, or waived | `available` | 200 `available` | 200 | 200, 206, 304; of a release by Git, whose host this proxy may not ask, 502 |
//!
//! Owns this table, and that a refusal names its rule. Must not know when a matcher holds.

use super::routes::{Route, Seen};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Action {
    Deny,
    Hold,
    Discourage,
}

impl Action {
    pub(super) const ALL: [Self; 3] = [Self::Deny, Self::Hold, Self::Discourage];

    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Deny => "deny",
            Self::Hold => "hold",
            Self::Discourage => "discourage",
        }
    }

    pub(super) fn refuses(self) -> bool {
        self != Self::Discourage
    }
}

/// What is done to a release by a rule; none by no rule.
#[derive(Debug, Clone, Copy)]
pub(super) struct Done<'a> {
    pub(super) action: Action,
    pub(super) rule: &'a str,
    /// Whether time alone ends it.
    pub(super) ends: bool,
}

/// Whether a client may see `seen` on a route.
pub(super) fn is_right(route: Route, done: Option<Done<'_>>, is_by_git: bool, seen: &Seen) -> bool {
    let Some(Done { action, rule, ends }) = done else {
        return match seen {
            Seen::State { state, reason } => state == "available" && reason.is_none(),
            Seen::Served => !(is_by_git && route.is_of_archive()),
            Seen::Refused { status, rule, .. } => {
                is_by_git && route.is_of_archive() && *status == 502 && rule.is_none()
            }
        };
    };
    let says = |reason: &Option<String>| {
        let reason = reason.as_deref().unwrap_or_default();
        let is_told_when = reason.contains("; until 2");
        reason.contains(&format!("policy:{rule}: ask {rule}@corp.example"))
            && is_told_when == (ends && action == Action::Hold)
    };
    match (route, seen) {
        (Route::Row, Seen::State { state, reason }) => {
            state == if action.refuses() { "blocked" } else { "yanked" } && says(reason)
        }
        (Route::Exact, Seen::State { state, reason }) => {
            !action.refuses() && state == "yanked" && says(reason)
        }
        (Route::ExactHead | Route::ArchiveHead, Seen::Refused { status, .. }) => {
            action.refuses() && *status == 403
        }
        (_, Seen::Refused { status, rule: told, reason, ends: ending }) => {
            let is_ours = told.as_deref() == Some(rule) && says(reason);
            // A hold and a denial by age both end; what a client is told by `until` is when.
            action.refuses() && *status == 403 && is_ours && *ending == Some(ends)
        }
        (_, Seen::Served) => !action.refuses(),
        (_, Seen::State { .. }) => false,
    }
}
