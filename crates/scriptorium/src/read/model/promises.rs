//! The oracle: what this proxy promises of each answer, given what the registry is and what it told.
//!
//! [`judge`] holds of every answer at any time; [`settled`] of those given when nothing is in the way. Both
//! are pure. Owns the promises by letter. Must not know how the proxy keeps them.

use serde_json::Value;

use super::ledger::{Id, Ledger, Lie, Release, Row, Standing, releases_of};
use super::promise::{Promise, Verdict, hold};
use super::proxy::{BASE, Seen};
use super::world::{Route, Shelf, name, purl};
use crate::domain::LifecycleState;

const INCONSISTENT: &str = "inconsistent-registry-state";
/// Seconds after which nothing is believed unasked: the longest TTL and its revalidation.
const SETTLED: u64 = 330;
const NEGATIVE_TTL: u64 = 30_000;
/// Within every stale-if-error window, in milliseconds.
const YOUNG: u64 = 3_000_000;

/// One request: the ledger before and after it, and when it was.
#[derive(Clone, Copy)]
pub(super) struct Case<'a> {
    pub(super) shelf: &'a Shelf,
    pub(super) route: Route,
    pub(super) before: &'a Ledger,
    pub(super) after: &'a Ledger,
    /// Milliseconds.
    pub(super) now: u64,
    pub(super) offline: bool,
}

impl Case<'_> {
    fn of(&self, id: Id) -> [&Release; 2] {
        [&self.before.releases[id], &self.after.releases[id]]
    }

    /// The path upstream whose answer decides.
    fn source(&self) -> String {
        match self.route {
            Route::Archive(id) => Route::Exact(id).path(),
            route => route.path(),
        }
    }

    /// The promise that keeps a release back: its lie's, its state's, or either when nobody can be asked.
    fn promise_of(&self, id: Id) -> Promise {
        let release = &self.after.releases[id];
        match self.after.outage {
            Some(_) => Promise::Outage,
            None if release.lie.is_some() || release.known.is_divergent() => Promise::Lies,
            None => Promise::Truth,
        }
    }

    fn told(&self, status: u16) -> bool {
        let source = self.source();
        let told = |ledger: &Ledger| ledger.answered.get(&source).is_some_and(|(_, told)| *told == status);
        told(self.before) || told(self.after)
    }

    /// Whether a gateway answered so in place of the registry, lately enough to be repeated.
    fn paged(&self, status: u16) -> bool {
        let source = self.source();
        [self.before, self.after].iter().any(|ledger| {
            let paged = ledger.paged.get(&source);
            paged.is_some_and(|(at, said)| *said == status && self.now - at < NEGATIVE_TTL)
        })
    }

    fn keeps_telling(&self, status: u16) -> bool {
        let source = self.source();
        [self.before, self.after].iter().all(|ledger| {
            let answered = ledger.answered.get(&source);
            answered.is_some_and(|(at, told)| *told == status && self.now - at < YOUNG)
        })
    }
}

/// What holds of every answer, whatever the weather.
pub(super) fn judge(case: &Case<'_>, seen: &Seen) -> Verdict {
    if seen.is_refused_by_rule {
        return Ok(());
    }
    fresh(case, seen)?;
    match case.route {
        Route::Index(volume) => index(case, volume, seen),
        Route::Exact(id) => {
            if seen.status == 200 {
                metadata(case, id, seen)?;
            }
            release(case, id, seen, true)
        }
        Route::Archive(id) => {
            if seen.status == 200 {
                let pinned = &case.shelf.content(id, 0).archive;
                hold(Promise::Bytes, seen.body == *pinned, || "other bytes than those first seen".into())?;
            }
            release(case, id, seen, case.before.releases[id].served)
        }
        Route::Summary(id) | Route::Detail(id) => trust(case, id, seen),
    }
}

/// An answer that claims to be fresh was told within its TTL; `Age` makes none younger.
fn fresh(case: &Case<'_>, seen: &Seen) -> Verdict {
    let Some(hit) = seen.cache_status.strip_prefix("scriptorium; hit; ") else { return Ok(()) };
    let mut told = case.after.answered.get(&case.source());
    if hit == "detail=\"negative\"" && [403, 404, 410].iter().any(|status| case.paged(*status)) {
        told = case.after.paged.get(&case.source()).max(told);
    }
    let ttl = match case.route {
        _ if hit == "detail=\"negative\"" && seen.status == 409 => return Ok(()),
        _ if hit == "detail=\"negative\"" => NEGATIVE_TTL,
        _ if hit.contains("detail") => return Ok(()),
        Route::Index(_) => 60_000,
        _ => 300_000,
    };
    let Some((at, _)) = told else {
        return hold(Promise::Freshness, false, || "a hit on what was never told".into());
    };
    let age = case.now - at;
    hold(Promise::Freshness, age < ttl, || format!("told {age} ms ago and called fresh"))?;
    hold(Promise::Freshness, !hit.starts_with("ttl=-"), || "a fresh answer with nothing left".into())?;
    hold(Promise::Freshness, seen.age >= age / 1000, || format!("Age {} though told {age} ms ago", seen.age))
}

/// Exact metadata that was found.
fn metadata(case: &Case<'_>, id: Id, seen: &Seen) -> Verdict {
    let json = &seen.json;
    let integrity = case.shelf.content(id, 0).integrity.as_str();
    hold(Promise::Bytes, json["integrity"] == integrity, || "another integrity than that first seen".into())?;
    let itself = json["name"] == name(id).0 && json["purl"] == purl(id).as_str();
    hold(Promise::Lies, itself, || "metadata of another release".into())?;
    let link = format!("{BASE}{}", Route::Archive(id).path());
    hold(Promise::Truth, json["dist"]["url"] == link.as_str(), || "a dist.url that leads elsewhere".into())?;
    let states = case.of(id).map(|release| release.known.exact_state());
    hold(Promise::Outage, states.contains(&state(&json["status"])), || {
        format!("state {} though {states:?} was told last", json["status"])
    })
}

/// What exact route and archive have in common. `kept`: whether the proxy holds what it would need.
fn release(case: &Case<'_>, id: Id, seen: &Seen, kept: bool) -> Verdict {
    let releases = case.of(id);
    let any = |holds: fn(&Release) -> bool| releases.into_iter().any(holds);
    let Seen { status, slug, .. } = seen;
    match status {
        200 => {
            let allowed = any(|release| release.known.may_serve());
            hold(case.promise_of(id), allowed, || {
                "served though last known refused, withdrawn or divergent".into()
            })?;
        }
        403 => {
            let said = |release: &Release| release.known.refused_with(403) || release.tainted;
            let told = any(said) || any(|release| release.known.row_in(&[LifecycleState::Blocked]));
            hold(Promise::Truth, told || case.paged(403), || "403 that nobody told".into())?;
        }
        404 if case.paged(404) => {}
        404 => {
            let gone = any(|release| {
                release.known.row_in(&[LifecycleState::Tombstoned, LifecycleState::Unavailable])
            });
            let told = any(|release| release.known.refused_with(404));
            hold(Promise::Outage, gone || told, || "404 that nobody told".into())?;
            let at = case.after.answered.get(&case.source()).map_or(0, |(at, _)| *at);
            let recent = gone || case.now - at < NEGATIVE_TTL;
            hold(Promise::Outage, recent, || "an old 404 passed off as what the registry would say".into())?;
        }
        409 if slug == INCONSISTENT => {
            let grounds =
                any(|release| release.tainted || release.refused || release.known.refused_with(409));
            hold(Promise::Lies, grounds, || "409 of a registry that did not contradict itself".into())?;
        }
        _ => {}
    }
    let due = kept && releases.iter().all(|release| !release.refused && release.known.must_serve(case.now));
    hold(Promise::Outage, !due || *status == 200, || {
        format!("{status} for what was told, kept and uncontested")
    })
}

fn index(case: &Case<'_>, volume: usize, seen: &Seen) -> Verdict {
    match seen.status {
        200 => releases_of(volume).filter(|id| !seen.lowered.contains(id)).try_for_each(|id| {
            let shown = rows(seen, id);
            let releases = case.of(id);
            if shown.iter().any(is_quarantined) {
                let tainted = releases.iter().any(|release| release.tainted);
                return hold(Promise::Lies, tainted, || format!("{shown:?} without a contradiction"));
            }
            if shown.iter().any(|row| is_unavailable(row, "refused:")) {
                let refused = releases.iter().any(|release| release.refused);
                return hold(Promise::Lies, refused, || format!("{shown:?} of a sound archive"));
            }
            if shown.iter().any(|row| is_unavailable(row, "not-held:")) {
                let held = releases.iter().all(|release| release.served && release.known.may_serve());
                return hold(Promise::Outage, case.offline && !held, || format!("{shown:?} though held"));
            }
            let told = releases.map(|release| release.known.rows.as_ref().map(|told| states(&told.what)));
            let shown_states: Vec<_> = shown.iter().map(|row| state(&row["status"])).collect();
            let is_blocked = releases.iter().any(|release| release.known.refused_with(403));
            let lowered = |told: &Vec<_>| is_blocked && lowered(told) == shown_states;
            let is_right = told.iter().flatten().any(|told| *told == shown_states || lowered(told));
            hold(Promise::Outage, is_right, || format!("rows {shown:?} though {told:?} was told"))?;
            let link = format!("{BASE}{}", Route::Exact(id).path());
            let home = shown.iter().all(|row| row["release"]["url"] == link.as_str());
            hold(Promise::Truth, home, || "a row that leads elsewhere".into())
        }),
        404 => hold(Promise::Outage, case.told(404) || case.paged(404), || "404 that nobody told".into()),
        409 => hold(Promise::Lies, false, || "a whole index refused".into()),
        status => hold(Promise::Outage, !case.keeps_telling(200), || format!("{status} for what was told")),
    }
}

fn trust(case: &Case<'_>, id: Id, seen: &Seen) -> Verdict {
    match seen.status {
        200 => {
            let integrity = case.shelf.content(id, 0).integrity.as_str();
            let bound = seen.json["subject"]["integrity"] == integrity;
            hold(Promise::Bytes, bound, || "trust in another content".into())
        }
        404 => hold(Promise::Outage, case.told(404) || case.paged(404), || "404 that nobody told".into()),
        409 => {
            let tainted = case.of(id).iter().any(|release| release.tainted);
            hold(Promise::Lies, tainted, || "409 of a registry that did not contradict itself".into())
        }
        status => hold(Promise::Outage, !case.keeps_telling(200), || format!("{status} for what was told")),
    }
}

/// What holds of the second answer after a wait, from a registry that can be asked.
pub(super) fn settled(ledger: &Ledger, route: Route, seconds: u64, seen: &Seen) -> Verdict {
    let expect = |promise, expected: &[(u16, &str)]| {
        let found = (seen.status, seen.slug.as_str());
        hold(promise, expected.contains(&found), || format!("{found:?} instead of {expected:?}"))
    };
    match route {
        _ if seen.is_refused_by_rule => Ok(()),
        Route::Index(volume) => {
            if releases_of(volume).all(|id| ledger.releases[id].standing.is_none()) {
                return expect(Promise::Truth, &[(404, "not-found")]);
            }
            expect(Promise::Truth, &[(200, "")])?;
            releases_of(volume).try_for_each(|id| settled_row(&ledger.releases[id], id, seconds, seen))
        }
        Route::Exact(id) => {
            let release = &ledger.releases[id];
            if is_unheard(release, id, seconds) {
                return Ok(());
            }
            expect(promise(release), expected(release))?;
            let standing = release.standing.filter(|_| seen.status == 200);
            hold(
                Promise::Truth,
                standing.is_none_or(|known| state(&seen.json["status"]) == Some(known.0)),
                || format!("{} instead of {standing:?}", seen.json["status"]),
            )
        }
        Route::Archive(id) => match &ledger.releases[id] {
            release if is_unheard(release, id, seconds) => Ok(()),
            Release { lie: Some(Lie::Archive), served: false, .. } => {
                expect(Promise::Lies, &[(409, INCONSISTENT)])
            }
            release => expect(promise(release), expected(release)),
        },
        Route::Summary(id) | Route::Detail(id) => match ledger.releases[id] {
            // Trust has no row to be overtaken by, only its own TTL.
            _ if seconds < SETTLED => Ok(()),
            Release { lie: Some(_), .. } => Ok(()),
            Release { standing: Some(Standing(_, 200 | 403)), .. } => expect(Promise::Truth, &[(200, "")]),
            _ => expect(Promise::Truth, &[(404, "not-found")]),
        },
    }
}

fn promise(release: &Release) -> Promise {
    if release.is_divergent() { Promise::Lies } else { Promise::Truth }
}

fn expected(release: &Release) -> &'static [(u16, &'static str)] {
    match (release.standing, release.lie) {
        // Exact metadata that blocks what the row offers: a block stands.
        (_, Some(Lie::BlockedRelease)) => &[(403, "authorization-failed")],
        _ if release.is_divergent() => &[(409, INCONSISTENT)],
        (Some(Standing(_, 200)), _) if release.refused => &[(409, INCONSISTENT)],
        (Some(Standing(_, 200)), _) => &[(200, "")],
        (Some(Standing(_, 403)), _) => &[(403, "authorization-failed")],
        (Some(Standing(_, 409)), _) => &[(409, INCONSISTENT)],
        (Some(Standing(_, 410)), _) => &[(410, "not-found")],
        _ => &[(404, "not-found")],
    }
}

/// A lie that no row gives away is heard when the exact route is asked again: once its TTL is over.
fn is_unheard(release: &Release, id: Id, seconds: u64) -> bool {
    let honest = Release { lie: None, ..release.clone() };
    let told = release.known.exact.as_ref().is_some_and(|told| told.epoch == release.epoch);
    let differs = release.is_divergent() || release.lie == Some(Lie::BlockedRelease);
    differs && !told && release.rows(id) == honest.rows(id) && seconds < SETTLED
}

fn settled_row(release: &Release, id: Id, seconds: u64, seen: &Seen) -> Verdict {
    if is_unheard(release, id, seconds) || seen.lowered.contains(&id) {
        return Ok(());
    }
    let shown = rows(seen, id);
    let all_quarantined = shown.iter().all(is_quarantined);
    let as_told = || {
        let shown: Vec<_> = shown.iter().map(|row| state(&row["status"])).collect();
        shown == states(&release.rows(id))
    };
    let held = match release.lie {
        Some(Lie::BlockedRelease) => !shown.is_empty(),
        _ if release.is_divergent() => all_quarantined && !shown.is_empty(),
        _ if release.refused && matches!(release.standing, Some(Standing(_, 200))) => {
            shown.len() == release.rows(id).len() && shown.iter().all(|row| is_unavailable(row, "refused:"))
        }
        _ => !shown.iter().any(is_quarantined) && as_told(),
    };
    hold(promise(release), held, || format!("row {shown:?} while {:?}, {:?}", release.standing, release.lie))
}

pub(super) fn rows(seen: &Seen, id: Id) -> Vec<&Value> {
    let items = seen.json["items"].as_array().into_iter().flatten();
    items.filter(|row| row["version"] == name(id).1).collect()
}

fn is_quarantined(row: &&Value) -> bool {
    // A block is never softened.
    matches!(state(&row["status"]), Some(LifecycleState::Unavailable | LifecycleState::Blocked))
        && reason(row).starts_with("inconsistent-registry-state:")
}

fn is_unavailable(row: &Value, why: &str) -> bool {
    state(&row["status"]) == Some(LifecycleState::Unavailable) && reason(row).starts_with(why)
}

fn reason(row: &Value) -> &str {
    row["status"]["reason"].as_str().unwrap_or_default()
}

pub(super) fn state(status: &Value) -> Option<LifecycleState> {
    serde_json::from_value(status["state"].clone()).ok()
}

/// What a block makes of the states of rows.
fn lowered(states: &[Option<LifecycleState>]) -> Vec<Option<LifecycleState>> {
    let lower = |state: &Option<LifecycleState>| match state {
        Some(LifecycleState::Tombstoned) => Some(LifecycleState::Tombstoned),
        Some(_) => Some(LifecycleState::Blocked),
        None => None,
    };
    states.iter().map(lower).collect()
}

fn states(rows: &[Row]) -> Vec<Option<LifecycleState>> {
    rows.iter().map(|row| Some(row.state)).collect()
}

#[cfg(test)]
mod tests;
