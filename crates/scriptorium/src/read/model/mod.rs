//! A model of the promises, run against the real rooms in random order: a registry that changes, lies and goes
//! away, a clock turned by hand, clients who read what the pipeline sends.
//!
//! `cargo test --lib read::model` runs the fixed seeds; `SCRIPTORIUM_MODEL_SEED=<n>` runs one, and
//! `SCRIPTORIUM_MODEL_STEPS=<n>` sets the steps of each. Owns the run and its report. Must not know what is
//! promised (`promises`) or what happens (`actions`).

mod actions;
mod ledger;
mod promise;
mod promises;
mod proxy;
mod rules;
mod stranger;
mod world;

use std::fmt::Write;
use std::sync::Arc;
use std::time::Duration;

use fastrand::Rng;
use futures_util::future::join_all;
use policy::PolicyMode;

use crate::clock::Clock;
use actions::{Action, sequence};
use ledger::{Fault, Id, Known, Ledger, Outage, RELEASES, STANDINGS, is_contradiction, releases_of};
use promise::{Broken, Promise, Verdict, hold};
use promises::{Case, judge, settled};
use proxy::{Proxy, Seen};
use rules::{Rule, RuleInForce, governed, midnight};
use stranger::Stranger;
use world::{Route, Shelf, World};

const SEEDS: u64 = 50;
const STEPS: usize = 250;
/// Runs spent on finding a shorter sequence that fails too.
const SHORTENINGS: usize = 150;
/// Routes that are asked while the names are routed elsewhere.
const DETOUR: usize = 5;
/// One question in so many is explained before it is asked.
const EXPLAINED: u64 = 3;
/// Turns given to background tasks; none of them waits for anything but its turn.
const TURNS: usize = 40;

struct Run {
    world: Arc<World>,
    proxy: Proxy,
    strangers: [Arc<Stranger>; 2],
    pokes: u64,
    trace: Vec<Event>,
}

/// A step, or an answer within one.
struct Event {
    route: Option<Route>,
    text: String,
}

impl Run {
    fn new(shelf: &Arc<Shelf>, seed: u64) -> Self {
        let world = World::new(Arc::clone(shelf), seed.is_multiple_of(2));
        let (proxy, strangers) = (Proxy::new(world.clone()), Stranger::all(shelf));
        Self { proxy, strangers, world, pokes: 0, trace: Vec::new() }
    }

    async fn step(&mut self, action: Action) -> Verdict {
        let text = format!("{:>6} s  {action:?}", self.now() / 1000);
        self.trace.push(Event { route: None, text });
        // Nothing that happens one after the other happens in the same millisecond.
        self.world.clock.advance(Duration::from_millis(1));
        match action {
            Action::Wait { millis } => self.world.clock.advance(Duration::from_millis(millis)),
            Action::Change(id, standing) => {
                let (now, mut ledger) = (self.now(), self.world.ledger());
                let lags = ledger.lags;
                let release = &mut ledger.releases[id];
                release.remember(now);
                release.tainted |= may_clash(lags, release.standing.is_some());
                release.change(if release.standing.is_some() { standing } else { STANDINGS[0] });
            }
            Action::Tell(id, lie) => {
                let (now, mut ledger) = (self.now(), self.world.ledger());
                let lags = ledger.lags;
                let release = &mut ledger.releases[id];
                release.remember(now);
                release.tainted |= may_clash(lags, release.standing.is_some());
                release.tell(lie);
            }
            Action::Lag(lags) => {
                let mut ledger = self.world.ledger();
                ledger.lags = lags;
                for release in &mut ledger.releases {
                    release.tainted |= may_clash(lags, release.epoch > 1);
                }
            }
            Action::Confirm => self.world.ledger().confirming = true,
            Action::Rule(rule) => self.rule(rule),
            Action::Advise(against) => self.advise(against),
            Action::Midnight { before } => {
                let to = (midnight(self.now()) * 1000).saturating_sub(before);
                self.world.clock.advance(Duration::from_millis(to.saturating_sub(self.now())));
            }
            Action::Weather(outage) => self.world.ledger().outage = outage,
            Action::Restart { offline } => self.proxy.restart(offline),
            Action::Detour { stranger, order, restart } => {
                return self.detour(stranger, order, restart).await;
            }
            Action::Ask(route, clients) => {
                self.ask(route, clients).await?;
            }
            Action::Settle { seconds, order } => return self.settle(seconds, order).await,
            Action::SettleOne(route, seconds) => return self.settle_one(route, seconds).await,
        }
        Ok(())
    }

    /// Puts another rule in force, or none.
    fn rule(&mut self, rule: Option<Rule>) {
        let now = self.now();
        let in_force = rule.map(|rule| RuleInForce { rule, waived_until: midnight(now) });
        self.world.ledger().rule = in_force;
        let is_audit = rule.is_some_and(|rule| rule.is_audit);
        let mode = if is_audit { PolicyMode::Audit } else { PolicyMode::Enforce };
        self.proxy.rule(&rule.map(|rule| rule.text(now)).unwrap_or_default(), mode);
    }

    /// One more advisory is known, or all were withdrawn.
    fn advise(&mut self, against: Option<Id>) {
        let advised = {
            let mut ledger = self.world.ledger();
            ledger.advisories_confirmed = Some(self.world.clock.now().0);
            match against {
                Some(id) => ledger.advised.push(id),
                None => ledger.advised.clear(),
            }
            ledger.advised.clone()
        };
        self.proxy.advise(&advised);
    }

    /// Asks as so many clients at once, and holds every answer against the promises.
    async fn ask(&mut self, route: Route, clients: usize) -> Result<Seen, Broken> {
        self.world.clock.advance(Duration::from_millis(1));
        self.world.ledger().asked.clear();
        let before = self.world.ledger().clone();
        let path = route.path();
        let told = match route {
            // Not each time, for an explanation reads into memory what it looks at.
            Route::Exact(id) | Route::Archive(id) if clients == 1 && self.now().is_multiple_of(EXPLAINED) => {
                self.proxy.explained(id, route == Route::Exact(id)).await
            }
            _ => None,
        };
        let mut answers = join_all((0..clients).map(|_| self.proxy.get(&path))).await;
        rest().await;
        let after = self.world.ledger().clone();
        let (shelf, now, offline) = (&self.world.shelf, self.now(), self.proxy.offline);
        let case = Case { shelf, route, before: &before, after: &after, now, offline };
        for seen in &mut answers {
            let summary = format!("{} {} {}", seen.status, seen.slug, seen.cache_status);
            let text = format!("            {path} {summary}; asked {:?}", after.asked);
            self.trace.push(Event { route: Some(route), text });
            *seen = governed(&case, std::mem::take(seen))?;
            judge(&case, seen)?;
            let is_late = seen.is_refused_by_rule && after.rule.is_some_and(|rule| rule.is_known_late());
            let is_told = is_late || told.is_none_or(|told| told == seen.status);
            hold(Promise::Explained, is_told, || format!("{} though {told:?} was explained", seen.status))?;
        }
        hold(Promise::Whose, !after.sent_foreign, || "the registry was sent a stranger's tag".into())?;
        self.count(route, &before, &after)?;
        let mut ledger = self.world.ledger();
        if answers.iter().any(|seen| seen.status == 200) {
            match route {
                Route::Exact(id) => ledger.releases[id].shown = true,
                Route::Archive(id) => (ledger.releases[id].shown, ledger.releases[id].served) = (true, true),
                Route::Index(_) | Route::Summary(_) | Route::Detail(_) => {}
            }
        }
        answers.into_iter().next().ok_or_else(|| unreachable!("at least one client"))
    }

    /// Routes every name to a stranger for a moment. Nothing is excused there, and the registry hears nothing of it.
    async fn detour(&mut self, stranger: usize, order: u64, restart: bool) -> Verdict {
        // Rules are about names, whoever is asked for them.
        if self.proxy.offline || self.world.ledger().rule.is_some() {
            return Ok(());
        }
        let stranger = Arc::clone(&self.strangers[stranger]);
        let upstream = stranger.upstream(self.world.clock.clone());
        self.world.ledger().asked.clear();
        self.proxy.route(Some(&upstream));
        let mut routes = Route::all();
        routes.retain(|route| !matches!(route, Route::Summary(_) | Route::Detail(_)));
        Rng::with_seed(order).shuffle(&mut routes);
        for restarted in [false, true] {
            if restarted && restart {
                self.proxy.restart_before(false, &upstream);
            }
            for route in routes.iter().take(DETOUR) {
                self.world.clock.advance(Duration::from_millis(1));
                let seen = self.proxy.get(&route.path()).await;
                rest().await;
                let text = format!("            {} {} elsewhere", route.path(), seen.status);
                self.trace.push(Event { route: Some(*route), text });
                stranger.judge(*route, &seen)?;
            }
        }
        let asked = self.world.ledger().asked.clone();
        self.proxy.route(None);
        hold(Promise::Whose, asked.is_empty(), || format!("{asked:?} though nothing is routed there"))
    }

    /// How often the registry was asked for the answers to equal requests.
    fn count(&self, route: Route, before: &Ledger, after: &Ledger) -> Verdict {
        for id in 0..RELEASES {
            let [was, is] = [before, after].map(|ledger| &ledger.releases[id]);
            hold(Promise::OneDownload, !was.served || was.downloads == is.downloads, || {
                format!("release {id} was downloaded again")
            })?;
        }
        let is_unsettled = |id: &Id| {
            let release = &before.releases[*id];
            let past = |epoch: u64| epoch != release.epoch;
            let Known { rows, exact } = &release.known;
            let (rows, exact) = (rows.as_ref().map(|told| told.epoch), exact.as_ref().map(|told| told.epoch));
            release.lie.is_some() || rows.is_some_and(past) || exact.is_some_and(past)
        };
        // A difference is worth another look at both documents, however many clients notice it.
        let most = match releases_of(route.volume()).filter(is_unsettled).count() {
            0 => 1,
            unsettled => 2 + unsettled as u32,
        };
        // An address that expired has its document asked for once more, and so does a refused condition.
        let is_archive = matches!(route, Route::Archive(_));
        let is_refused = matches!(after.outage, Some(Outage(Fault::Page(400), _)));
        let most = (most + u32::from(is_archive)) * if is_refused { 2 } else { 1 };
        let often = after.asked.iter().find(|(_, times)| **times > most);
        hold(Promise::OneFlight, often.is_none(), || format!("{often:?} requests upstream"))
    }

    /// An honest moment: the registry can be asked, nothing known is young enough to be believed unasked.
    async fn clear_up(&mut self, seconds: u64) {
        {
            let mut ledger = self.world.ledger();
            (ledger.outage, ledger.lags, ledger.confirming) = (None, [0, 0], false);
        }
        if self.proxy.offline {
            self.proxy.restart(false);
        }
        self.world.clock.advance(Duration::from_secs(seconds));
        // Closes the breaker that an outage may have opened.
        self.pokes += 1;
        self.proxy.get(&format!("/api/v1/advisories/poke-{}", self.pokes)).await;
    }

    async fn settle(&mut self, seconds: u64, order: u64) -> Verdict {
        self.clear_up(seconds).await;
        let mut routes = Route::all();
        for round in [1, 2] {
            Rng::with_seed(order.wrapping_add(round)).shuffle(&mut routes);
            for route in &routes {
                let seen = self.ask(*route, 1).await?;
                if round == 2 {
                    settled(&self.world.ledger(), *route, seconds, &seen)?;
                }
            }
        }
        for release in &mut self.world.ledger().releases {
            release.tainted = is_contradiction(release.lie);
        }
        Ok(())
    }

    async fn settle_one(&mut self, route: Route, seconds: u64) -> Verdict {
        self.clear_up(seconds).await;
        self.ask(route, 1).await?;
        let seen = self.ask(route, 1).await?;
        let ledger = self.world.ledger();
        let is_told = match route {
            // What two documents say is known once both were asked for.
            Route::Index(volume) => releases_of(volume).all(|id| !ledger.releases[id].tainted),
            Route::Exact(id) | Route::Archive(id) | Route::Summary(id) | Route::Detail(id) => {
                !ledger.releases[id].is_divergent()
            }
        };
        if is_told { settled(&ledger, route, seconds, &seen) } else { Ok(()) }
    }

    fn now(&self) -> u64 {
        self.world.clock.now().0
    }
}

/// Whether sides that are so far behind may contradict each other about a change. An index that is behind may lack the row
/// of a release that is new, which contradicts nothing; exact metadata may lack the release of a row.
fn may_clash([index, exact]: [u64; 2], was_published: bool) -> bool {
    exact > 0 || (index > 0 && was_published)
}

/// Lets background tasks run until they have nothing left to do.
async fn rest() {
    for _ in 0..TURNS {
        tokio::task::yield_now().await;
    }
}

/// Where a sequence failed, how, and what had happened.
struct Failed {
    at: usize,
    broken: Broken,
    trace: Vec<Event>,
}

impl Failed {
    /// The steps, and the answers about what the last one was about.
    fn story(&self) -> String {
        let last = self.trace.last().and_then(|event| event.route);
        let told = self.trace.iter().filter(|event| match (event.route, last) {
            (Some(route), Some(last)) => route.is_near(last),
            _ => true,
        });
        told.fold(String::new(), |story, event| story + &event.text + "\n")
    }
}

async fn run(shelf: &Arc<Shelf>, seed: u64, actions: &[Action]) -> Result<(), Failed> {
    let mut run = Run::new(shelf, seed);
    for (at, action) in actions.iter().enumerate() {
        if let Err(broken) = run.step(*action).await {
            return Err(Failed { at, broken, trace: run.trace });
        }
    }
    Ok(())
}

/// Leaves out what the failure does not need, as far as some runs go.
async fn shorten(shelf: &Arc<Shelf>, seed: u64, mut actions: Vec<Action>, mut failed: Failed) -> Failed {
    actions.truncate(failed.at + 1);
    let mut runs = 0;
    let mut chunk = actions.len() / 2;
    while chunk > 0 && runs < SHORTENINGS {
        let mut start = 0;
        while start < actions.len() && runs < SHORTENINGS {
            let mut fewer = actions.clone();
            fewer.drain(start..(start + chunk).min(actions.len()));
            runs += 1;
            match run(shelf, seed, &fewer).await {
                Err(again) if again.broken.promise == failed.broken.promise => {
                    fewer.truncate(again.at + 1);
                    (actions, failed) = (fewer, again);
                }
                _ => start += chunk,
            }
        }
        chunk /= 2;
    }
    failed
}

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().map(|text| text.parse().expect("a number"))
}

#[tokio::test]
async fn every_promise_holds_in_any_order_of_events() {
    let shelf = Shelf::new();
    let steps = number("SCRIPTORIUM_MODEL_STEPS").map_or(STEPS, |steps| steps as usize);
    let seeds = number("SCRIPTORIUM_MODEL_SEED").map_or(0..SEEDS, |seed| seed..seed + 1);
    let mut report = String::new();
    for seed in seeds {
        let actions = sequence(seed, steps);
        let Err(failed) = run(&shelf, seed, &actions).await else { continue };
        let rerun = format!(
            "SCRIPTORIUM_MODEL_SEED={seed} SCRIPTORIUM_MODEL_STEPS={steps} cargo test --lib read::model"
        );
        let (failed, story) = if report.is_empty() {
            let failed = shorten(&shelf, seed, actions, failed).await;
            let story = failed.story();
            (failed, story)
        } else {
            (failed, "(only the first failure is shortened and told)\n".into())
        };
        let Broken { promise, how } = failed.broken;
        let _ = writeln!(report, "\nseed {seed} broke {promise}: {how}\n{story}again: {rerun}");
    }
    assert!(report.is_empty(), "{report}");
}
