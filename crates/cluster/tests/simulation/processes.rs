//! The processes of the nodes: they are killed, end in order and start again, one by one or all at once, and enter the record
//! of places, which does not always say whether it was written.
//!
//! Owns that life. Must not know what permits are for.

use std::time::Duration;

use cluster::{Entered, Legacy, PermitLegacy, PermitSettings, Permits, Places};
use fastrand::Rng;

use super::network::STEP;
use super::permits::{Broken, History, Message};

const POOL: &str = "registry";
const NODES: u32 = 3;
/// Between attempts to enter.
const AGAIN: Duration = Duration::from_secs(1);
/// A process that found no place looks for one so long.
const LOOKS: Duration = Duration::from_secs(70);

/// The record of places, and how many processes there were.
pub(crate) struct Record {
    places: Places,
    processes: u32,
    /// How many a process that starts now takes for meant to be there.
    pub(crate) meant: u32,
    /// How many processes took the place of one that ended in order.
    pub(crate) taken_over: u32,
}

/// One process of a node.
pub(crate) struct NodeProcess {
    pub(crate) number: u32,
    /// How many there are meant to be.
    nodes: u32,
    /// When it is up.
    pub(crate) starts: Duration,
    /// What its last attempt to enter found, whether or not it heard of it.
    found: Option<Entered>,
    /// What it has.
    place: Option<ProcessPlace>,
    /// Whether it does not know what came of its last attempt.
    unsure: bool,
    tries: Duration,
}

struct ProcessPlace {
    /// From when its age counts; nothing if no earlier process does.
    since: Option<(Duration, Duration)>,
    waits: bool,
    entered: Duration,
}

/// How processes are replaced on purpose.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Deploy {
    /// They are not.
    None,
    /// One after the other from then on, with so much time between.
    Rolling(usize, Duration, Duration),
    /// All of them at once.
    All(Duration),
}

impl Default for Record {
    fn default() -> Self {
        Self { places: Places::default(), processes: 0, meant: NODES, taken_over: 0 }
    }
}

impl Record {
    pub(crate) fn process(&mut self) -> NodeProcess {
        self.processes += 1;
        let zero = Duration::ZERO;
        NodeProcess {
            number: self.processes,
            nodes: self.meant,
            starts: zero,
            found: None,
            place: None,
            unsure: false,
            tries: zero,
        }
    }
}

impl NodeProcess {
    pub(crate) fn permits(&self, limit: u32, cool: Duration, now: Duration) -> Permits {
        let (pool, node) = (POOL.to_owned(), self.number.to_string());
        Permits::new(PermitSettings { pool, node, limit, nodes: self.nodes, cool }, now)
    }

    pub(crate) fn is_up(&self, now: Duration) -> bool {
        self.starts <= now
    }
}

impl Deploy {
    pub(crate) fn drawn(rng: &mut Rng) -> Self {
        let begin = Duration::from_millis(rng.u64(0..60_000));
        match rng.u32(0..4) {
            0 => Self::None,
            1 => Self::All(begin),
            _ => Self::Rolling(0, begin, Duration::from_millis(rng.u64(0..30_000))),
        }
    }
}

impl Broken {
    /// What a successor that is broken makes of what was left.
    fn left(self, left: &PermitLegacy, name: &str) -> PermitLegacy {
        let mut fields = serde_json::to_value(left).unwrap();
        match self {
            Self::Forgetful => fields["cooling"] = serde_json::json!([]),
            Self::Greedy => fields["returns_ms"] = 0.into(),
            Self::Stranger => fields["node"] = name.into(),
            _ => {}
        }
        serde_json::from_value(fields).unwrap()
    }
}

impl History {
    pub(crate) fn follow_deploy(&mut self) {
        let now = self.now;
        match self.deploy {
            Deploy::None => {}
            Deploy::All(begin) if begin <= now => {
                self.deploy = Deploy::None;
                for node in 0..self.nodes.len() {
                    self.end_in_order(node);
                }
            }
            Deploy::Rolling(node, next, pause) if next <= now && self.nodes[node].process.is_up(now) => {
                let follows = node + 1 < self.nodes.len();
                self.end_in_order(node);
                let up = self.nodes[node].process.starts;
                self.deploy =
                    if follows { Deploy::Rolling(node + 1, up + pause, pause) } else { Deploy::None };
                // Now and then something else happens meanwhile.
                match self.network.rng.u32(0..12) {
                    _ if self.network.is_calm(now, Duration::MAX) => {}
                    0 => self.network.engine.flush(),
                    1 if follows => self.kill(node + 1),
                    _ => {}
                }
            }
            Deploy::All(_) | Deploy::Rolling(..) => {}
        }
    }

    /// Whatever happens to a process that nobody meant, and its way to a place.
    pub(crate) fn live(&mut self, node: usize) {
        if !self.nodes[node].process.is_up(self.now) {
            return;
        }
        if !self.network.is_calm(self.now, Duration::MAX) {
            match self.network.rng.u32(0..8_000) {
                0 => return self.kill(node),
                1 => return self.end_in_order(node),
                _ => {}
            }
        }
        self.enter(node);
    }

    pub(crate) fn kill(&mut self, node: usize) {
        self.end_all(node);
        self.replace(node);
    }

    /// Another process takes over.
    fn replace(&mut self, node: usize) {
        let longest = if self.network.rng.bool() { 1_000 } else { 15_000 };
        let down = Duration::from_millis(self.network.rng.u64(0..longest));
        self.nodes[node] = self.started();
        self.nodes[node].process.starts = self.now + STEP + down;
    }

    pub(crate) fn end_in_order(&mut self, index: usize) {
        if self.network.rng.bool() {
            self.end_all(index);
        }
        let (now, told) = (self.now, self.network.rng.u32(0..8) > 0);
        let node = &mut self.nodes[index];
        let number = node.process.number;
        let (call, left) = node.permits.leave(told, now + node.ahead);
        if let Some(call) = call
            && let Some(arrives) = self.network.sent(index, now)
        {
            self.mail.send(arrives, Message::Call(index, number, call));
        }
        let process = &self.nodes[index].process;
        if let Some(place) = process.place.as_ref().filter(|_| !process.unsure) {
            let age = place.since.map(|(since, before)| now - since + before);
            let age_ms = age.map(|age| age.as_millis() as u64);
            let legacy = Legacy { age_ms, pools: [(POOL.into(), left)].into() };
            self.leave_place(&number.to_string(), process.nodes, &legacy);
        }
        self.end_all(index);
        self.replace(index);
    }

    /// Some writes are lost, and of some nobody hears, so that they are made twice.
    fn leave_place(&mut self, name: &str, nodes: u32, legacy: &Legacy) {
        let now_ms = self.now.as_millis() as u64;
        let troubled = !self.network.is_calm(self.now, Duration::MAX);
        if self.broken == Broken::Placeless || troubled && self.network.rng.u32(0..10) == 0 {
            return;
        }
        for _ in 0..1 + u32::from(troubled && self.network.rng.u32(0..10) == 0) {
            self.record.places.put(name, nodes, false);
            self.record.places.end(name, legacy, now_ms);
        }
    }

    /// Looks for a place, while the process of `node` has none, or only that of one that was killed.
    pub(crate) fn enter(&mut self, node: usize) {
        let now = self.now;
        let process = &mut self.nodes[node].process;
        let looks = process.place.as_ref().is_none_or(|place| place.waits && now < place.entered + LOOKS);
        if !looks || now < process.tries {
            return;
        }
        (process.tries, process.unsure) = (now + AGAIN, true);
        let fate = if self.network.is_calm(now, Duration::MAX) { 9 } else { self.network.rng.u32(0..10) };
        let mut places = self.record.places.clone();
        let entered = places.enter(&process.number.to_string(), process.nodes, now.as_millis() as u64);
        if entered != Entered::Again {
            process.found = Some(entered);
        }
        let is_taken = matches!(process.found, Some(Entered::Successor(_)));
        if fate > 0 && !(self.broken == Broken::Twice && is_taken) {
            self.record.places = places;
        }
        if fate > 1 {
            self.settle(node);
        }
    }

    fn settle(&mut self, index: usize) {
        let now = self.now;
        let node = &mut self.nodes[index];
        let local = now + node.ahead;
        node.process.unsure = false;
        let Some(found) = node.process.found.clone() else { return };
        let place = match found {
            Entered::Nothing if node.process.place.is_some() => return,
            Entered::Nothing if self.broken != Broken::Newborn => {
                node.permits.enter(Some(Duration::ZERO), local);
                ProcessPlace { since: Some((now, Duration::ZERO)), waits: true, entered: now }
            }
            Entered::NewRoom if self.broken != Broken::Uninvited => {
                node.permits.enter(Some(Duration::ZERO), local);
                ProcessPlace { since: Some((now, Duration::ZERO)), waits: false, entered: now }
            }
            Entered::Nothing | Entered::Room | Entered::NewRoom | Entered::Again => {
                node.permits.enter(None, local);
                ProcessPlace { since: None, waits: false, entered: now }
            }
            Entered::Successor(legacy) => {
                self.record.taken_over += 1;
                let left = self.broken.left(&legacy.pools[POOL], &node.process.number.to_string());
                node.permits.succeed(legacy.age(), &left, local);
                let since = legacy.age().map(|age| (now, age));
                ProcessPlace { since, waits: false, entered: now }
            }
        };
        self.nodes[index].process.place = Some(place);
    }
}
