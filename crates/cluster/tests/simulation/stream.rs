//! What one node changes, all hear: within a second together, within six otherwise; and a return is used within five.
//!
//! Owns those histories: nodes make changes, count them in the bucket, announce them, and follow. Must not know the
//! other promises.

use std::collections::BTreeSet;
use std::time::Duration;

use cluster::{Followed, Follower, Presence, StreamEvent, StreamPage, StreamPlace};

use super::network::{Mail, Network, STEP};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Broken {
    Nothing,
    /// A gap is read over.
    Deaf,
    /// Nobody looks at the bucket while the engine is away.
    Idle,
}

enum Message {
    Announce(usize, Vec<StreamEvent>),
    Announced(usize, Vec<StreamEvent>),
    Read(usize, Duration, Option<StreamPlace>),
    Page(usize, Duration, StreamPage),
    Beat(usize, Duration),
    Alive(usize, Duration, u32),
}

#[derive(Default)]
struct Node {
    follower: Follower,
    presence: Presence,
    heard: BTreeSet<u64>,
    /// Before this it heard of every change.
    heard_all: u64,
    /// What is announced until it was, and when next.
    outbox: Vec<StreamEvent>,
    announce: Duration,
    seen: u32,
    reading: Option<Duration>,
    read: Duration,
    beating: Option<Duration>,
    beat: Duration,
    /// Until when it looks at the bucket, and since when.
    looking: Option<(Duration, Duration)>,
}

impl Node {
    fn count_heard(&mut self) {
        while self.heard.remove(&self.heard_all) {
            self.heard_all += 1;
        }
    }
}

struct History {
    network: Network,
    mail: Mail<Message>,
    nodes: Vec<Node>,
    /// When each change was counted in the bucket.
    changes: Vec<Duration>,
    broken: Broken,
    now: Duration,
    heard: u64,
}

impl History {
    fn new(seed: u64, broken: Broken) -> Self {
        let mut network = Network::new(seed, 3);
        network.quiet = Duration::from_secs(35);
        let nodes = (0..3).map(|_| Node::default()).collect();
        Self {
            network,
            mail: Mail::default(),
            nodes,
            changes: Vec::new(),
            broken,
            now: Duration::ZERO,
            heard: 0,
        }
    }

    fn step(&mut self) -> Result<(), String> {
        self.now += STEP;
        self.network.step(self.now);
        for message in self.mail.arrived(self.now, &mut self.network.rng) {
            self.deliver(message);
        }
        if self.network.rng.u32(0..20) == 0 {
            let node = self.network.rng.usize(0..3);
            let subject = self.changes.len().to_string();
            self.changes.push(self.now);
            self.nodes[node].heard.insert(self.changes.len() as u64 - 1);
            let event = StreamEvent { kind: "invalidate".into(), subject, detail: String::new() };
            self.nodes[node].outbox.push(event);
        }
        for node in 0..3 {
            self.live(node);
            self.nodes[node].count_heard();
            self.check(node)?;
        }
        Ok(())
    }

    fn deliver(&mut self, message: Message) {
        match self.network.serves(self.now) {
            _ if matches!(message, Message::Page(..) | Message::Alive(..) | Message::Announced(..)) => {}
            Err(None) => return,
            Err(Some(later)) => return self.mail.send(later, message),
            Ok(()) => {}
        }
        let now = self.now;
        match message {
            Message::Announce(node, events) => {
                if self.network.engine.announce(&events).is_err() {
                    return;
                }
                if let Some(arrives) = self.network.answered(node, now) {
                    self.mail.send(arrives, Message::Announced(node, events));
                }
            }
            Message::Announced(node, events) => {
                let node = &mut self.nodes[node];
                node.outbox.retain(|event| !events.contains(event));
                node.announce = Duration::ZERO;
            }
            Message::Read(node, sent, place) => {
                let Ok(page) = self.network.engine.read(place.as_ref(), 100) else { return };
                if let Some(arrives) = self.network.answered(node, now) {
                    self.mail.send(arrives, Message::Page(node, sent, page));
                }
            }
            Message::Page(node, sent, page) => {
                if self.nodes[node].reading == Some(sent) {
                    self.nodes[node].reading = None;
                    self.follow(node, page, sent);
                }
            }
            Message::Beat(node, sent) => {
                let Ok(beat) = self.network.engine.beat(&node.to_string()) else { return };
                if let Some(arrives) = self.network.answered(node, now) {
                    self.mail.send(arrives, Message::Alive(node, sent, beat.nodes));
                }
            }
            Message::Alive(node, sent, seen) => {
                let node = &mut self.nodes[node];
                if node.beating == Some(sent) {
                    (node.beating, node.seen) = (None, seen);
                    node.presence.answered(sent);
                    node.beat = now + node.presence.pause();
                }
            }
        }
    }

    fn follow(&mut self, node: usize, page: StreamPage, sent: Duration) {
        let node = &mut self.nodes[node];
        let events = page.events.clone();
        let events = match node.follower.read(page, sent, self.now) {
            Followed::Events(events) => events,
            Followed::CatchUp if self.broken == Broken::Deaf => {
                node.follower.looked(self.now);
                events
            }
            Followed::CatchUp => return,
        };
        self.heard += events.len() as u64;
        node.heard.extend(events.iter().map(|event| event.subject.parse::<u64>().unwrap()));
    }

    fn live(&mut self, index: usize) {
        let now = self.now;
        let deadline = Duration::from_millis(500);
        let node = &mut self.nodes[index];
        if node.beating.is_some_and(|sent| sent + deadline <= now) {
            node.beating = None;
            node.presence.failed();
            node.beat = now + node.presence.pause();
        }
        node.reading = node.reading.filter(|sent| *sent + deadline > now);
        if let Some((begun, until)) = node.looking.filter(|(_, until)| *until <= now) {
            let _ = until;
            node.looking = None;
            let counted = self.changes.partition_point(|at| *at <= begun) as u64;
            node.heard.extend(node.heard_all..counted);
            node.follower.looked(begun);
        }
        let all_together = node.presence.is_together(now) && node.seen >= 3;
        let looks =
            node.follower.should_look(all_together, now) && (all_together || self.broken != Broken::Idle);
        if node.looking.is_none() && looks {
            node.looking = Some((now, now + Duration::from_millis(self.network.rng.u64(0..1_000))));
        }
        if node.beating.is_none() && node.beat <= now {
            node.beating = Some(now);
            if let Some(arrives) = self.network.sent(index, now) {
                // Its connection is given up when the answer is late, so it is not under way for seconds.
                let arrives = arrives.min(now + Duration::from_secs(1));
                self.mail.send(arrives, Message::Beat(index, now));
            }
        }
        if node.announce + deadline <= now && !node.outbox.is_empty() {
            node.announce = now;
            let events = node.outbox.clone();
            if let Some(arrives) = self.network.sent(index, now) {
                self.mail.send(arrives, Message::Announce(index, events));
            }
        }
        if node.reading.is_none() && node.read + Duration::from_millis(250) <= now {
            (node.reading, node.read) = (Some(now), now);
            let place = node.follower.place().cloned();
            if let Some(arrives) = self.network.sent(index, now) {
                self.mail.send(arrives, Message::Read(index, now, place));
            }
        }
    }

    fn check(&self, index: usize) -> Result<(), String> {
        let node = &self.nodes[index];
        let calm = self.network.is_calm(self.now, Duration::from_secs(12));
        let patience = if calm { Duration::from_millis(1_250) } else { Duration::from_secs(6) };
        let due = self.changes.partition_point(|at| *at + patience <= self.now) as u64;
        if node.heard_all < due && self.now > Duration::from_secs(12) {
            return Err(format!("node {index} misses a change after {:?}, calm: {calm}", self.now));
        }
        let is_back = self.network.is_calm(self.now, Duration::from_secs(6));
        if is_back && self.now > Duration::from_secs(6) && !node.presence.is_together(self.now) {
            return Err(format!("node {index} is still alone after {:?}", self.now));
        }
        Ok(())
    }
}

fn run(seed: u64, broken: Broken) -> Result<u64, String> {
    let mut history = History::new(seed, broken);
    while history.now < Duration::from_secs(60) {
        history.step()?;
    }
    Ok(history.heard)
}

#[test]
fn all_hear_of_every_change() {
    assert!(super::hold(|seed| run(seed, Broken::Nothing)) > super::SEEDS);
}

#[test]
fn finds_a_node_that_reads_over_gaps() {
    super::find(|seed| run(seed, Broken::Deaf));
}

#[test]
fn finds_a_node_that_does_not_look_at_the_bucket() {
    super::find(|seed| run(seed, Broken::Idle));
}
