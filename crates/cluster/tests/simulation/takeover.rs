//! One fetch for all nodes while the engine is there; and a fetcher that dies is replaced within ten seconds.
//!
//! Owns those histories: every node wants one result, whoever fetches may die, and the bucket keeps what was committed.
//! Must not know the other promises.

use std::time::Duration;

use cluster::{FLIGHT_LEASE, FlightStep, LeaseCall, LeaseReply, SharedFlight};

use super::network::{Mail, Network, STEP};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Broken {
    Nothing,
    /// Everyone fetches.
    Impatient,
    /// Nobody takes over.
    Patient,
}

enum Message {
    Ask(usize, u64, LeaseCall),
    Answer(usize, u64, LeaseReply),
    Told(usize),
}

struct Node {
    flight: SharedFlight,
    wants_at: Duration,
    asked: Option<(u64, Duration)>,
    fetch_ends: Option<Duration>,
    done: Option<Duration>,
    dead: bool,
}

struct History {
    network: Network,
    mail: Mail<Message>,
    nodes: Vec<Node>,
    committed: Option<Duration>,
    fetches: u32,
    deaths: u32,
    /// Since when nobody fetches and somebody waits.
    idle_since: Option<Duration>,
    questions: u64,
    broken: Broken,
    now: Duration,
}

impl History {
    fn new(seed: u64, broken: Broken) -> Self {
        let mut network = Network::new(seed, 4);
        let mut node = || Node {
            flight: SharedFlight::new(broken != Broken::Impatient),
            wants_at: Duration::from_millis(network.rng.u64(0..2_000)),
            asked: None,
            fetch_ends: None,
            done: None,
            dead: false,
        };
        let nodes = (0..4).map(|_| node()).collect();
        Self {
            network,
            mail: Mail::default(),
            nodes,
            committed: None,
            fetches: 0,
            deaths: 0,
            idle_since: None,
            questions: 0,
            broken,
            now: Duration::ZERO,
        }
    }

    fn step(&mut self) -> Result<(), String> {
        self.now += STEP;
        self.network.step(self.now);
        for message in self.mail.arrived(self.now, &mut self.network.rng) {
            self.deliver(message);
        }
        for node in 0..self.nodes.len() {
            self.live(node);
        }
        self.check()
    }

    fn deliver(&mut self, message: Message) {
        let now = self.now;
        match message {
            Message::Ask(node, question, call) => {
                match self.network.serves(now) {
                    Err(None) => return,
                    Err(Some(later)) => return self.mail.send(later, Message::Ask(node, question, call)),
                    Ok(()) => {}
                }
                let Ok(reply) = self.network.engine.lease(&call) else { return };
                if let Some(arrives) = self.network.answered(node, now) {
                    self.mail.send(arrives, Message::Answer(node, question, reply));
                }
            }
            Message::Answer(node, question, reply) => {
                let node = &mut self.nodes[node];
                if node.asked.is_some_and(|(asked, _)| asked == question) {
                    node.asked = None;
                    node.flight.answered(reply, now);
                }
            }
            Message::Told(node) => self.nodes[node].flight.told(),
        }
    }

    fn live(&mut self, index: usize) {
        let now = self.now;
        let node = &mut self.nodes[index];
        if node.dead || node.done.is_some() || node.wants_at > now {
            return;
        }
        if node.fetch_ends.is_some_and(|ends| ends <= now) {
            node.done = Some(now);
            self.committed = self.committed.or(Some(now));
            for other in 0..self.nodes.len() {
                if let Some(arrives) = self.network.answered(other, now) {
                    self.mail.send(arrives, Message::Told(other));
                }
            }
            return;
        }
        if node.fetch_ends.is_some() && self.deaths < 2 && self.network.rng.u32(0..60) == 0 {
            node.dead = true;
            self.deaths += 1;
            return;
        }
        if node.asked.is_some_and(|(_, since)| since + Duration::from_millis(500) <= now) {
            node.asked = None;
            node.flight.unanswered(now);
        }
        while self.nodes[index].asked.is_none() && self.nodes[index].done.is_none() {
            if !self.act(index) {
                break;
            }
        }
    }

    /// Does the next step. Whether there may be another now.
    fn act(&mut self, index: usize) -> bool {
        let now = self.now;
        let node = &mut self.nodes[index];
        match node.flight.step(now) {
            FlightStep::Wait(_) => return false,
            FlightStep::Ask if self.broken == Broken::Patient && self.deaths > 0 => return false,
            FlightStep::Ask => self.ask(index, None),
            FlightStep::Renew(fence) => self.ask(index, Some(fence)),
            FlightStep::Fetch(_) => {
                self.fetches += 1;
                let lasting = Duration::from_millis(self.network.rng.u64(200..9_000));
                self.nodes[index].fetch_ends = Some(now + lasting);
            }
            FlightStep::Look if self.committed.is_some() => node.done = Some(now),
            FlightStep::Look => node.flight.not_found(now),
        }
        true
    }

    fn ask(&mut self, index: usize, fence: Option<u64>) {
        self.questions += 1;
        self.nodes[index].asked = Some((self.questions, self.now));
        let call = LeaseCall { key: "key".into(), node: index.to_string(), fence, lease: FLIGHT_LEASE };
        if let Some(arrives) = self.network.sent(index, self.now) {
            self.mail.send(arrives, Message::Ask(index, self.questions, call));
        }
    }

    fn check(&mut self) -> Result<(), String> {
        let now = self.now;
        let alive = || self.nodes.iter().filter(|node| !node.dead && node.wants_at <= now);
        let waits = alive().any(|node| node.done.is_none());
        let fetches = alive().any(|node| node.done.is_none() && node.fetch_ends.is_some());
        let is_idle = waits && !fetches && self.committed.is_none();
        self.idle_since = if is_idle { self.idle_since.or(Some(now)) } else { None };
        if self.idle_since.is_some_and(|since| since + Duration::from_secs(10) < now) {
            return Err(format!("nobody takes over by {now:?}"));
        }
        let late = |node: &Node| node.done.is_none() && node.fetch_ends.is_none();
        let patience = Duration::from_millis(1_600);
        if self
            .committed
            .is_some_and(|at| at + patience < now && alive().any(|n| late(n) && n.wants_at + patience < now))
        {
            return Err(format!("somebody still waits at {now:?}"));
        }
        let calm = self.network.is_calm(now, Duration::MAX);
        if calm && self.fetches > 1 + self.deaths {
            return Err(format!("{} fetches, {} deaths", self.fetches, self.deaths));
        }
        Ok(())
    }
}

fn run(seed: u64, broken: Broken) -> Result<u64, String> {
    let mut history = History::new(seed, broken);
    while history.now < Duration::from_secs(45) {
        history.step()?;
    }
    Ok(u64::from(history.deaths))
}

#[test]
fn one_node_fetches_and_another_takes_over() {
    assert!(super::hold(|seed| run(seed, Broken::Nothing)) > super::SEEDS / 10);
}

#[test]
fn finds_nodes_that_all_fetch() {
    super::find(|seed| run(seed, Broken::Impatient));
}

#[test]
fn finds_nodes_that_never_take_over() {
    super::find(|seed| run(seed, Broken::Patient));
}
