//! Never more requests to a registry than allowed, over all nodes: at once, and in any 60 s.
//!
//! Owns those histories: every node takes permits as it can, and the registry counts. Must not know the other promises.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use cluster::{PermitSettings, PermitUse, Permits, PoolCall, PoolReply};

use super::network::{Mail, Network, STEP};

/// What is broken on purpose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Broken {
    Nothing,
    /// A node takes its share back as soon as a call is lost.
    Hasty,
    /// A pool that forgot lends at once.
    Trusting,
    /// Calls count however late they come.
    Patient,
    /// A process that starts takes its share without asking what the one before it did.
    Newborn,
    /// What was borrowed is used on after the lenders have it back.
    Clinging,
}

enum Message {
    Call(usize, u32, PoolCall),
    Reply(usize, u32, u64, Option<PoolReply>),
}

struct Node {
    permits: Permits,
    process: u32,
    /// How far its clock is from the history's.
    ahead: Duration,
    uses: BTreeMap<PermitUse, Duration>,
    called: Duration,
    waiting: u32,
    eager: u32,
}

/// What the registry sees.
#[derive(Default)]
struct Registry {
    under_way: u32,
    ended: VecDeque<Duration>,
}

struct History {
    network: Network,
    mail: Mail<Message>,
    nodes: Vec<Node>,
    registry: Registry,
    limit: u32,
    cool: Duration,
    broken: Broken,
    borrowed: u64,
    now: Duration,
}

impl History {
    fn new(seed: u64, broken: Broken) -> Self {
        let mut network = Network::new(seed, 3);
        let limit = network.rng.u32(1..40);
        let cool = [Duration::ZERO, Duration::from_secs(5), Duration::from_secs(60)][network.rng.usize(0..3)];
        let mut history = Self {
            network,
            mail: Mail::default(),
            nodes: Vec::new(),
            registry: Registry::default(),
            limit,
            cool,
            broken,
            borrowed: 0,
            now: Duration::ZERO,
        };
        history.nodes = (0..3).map(|node| history.started(node, 0)).collect();
        history
    }

    fn started(&mut self, node: usize, process: u32) -> Node {
        let ahead = Duration::from_millis(self.network.rng.u64(0..1_000_000));
        let settings = PermitSettings {
            pool: "registry".into(),
            node: format!("{node}-{process}"),
            limit: self.limit,
            nodes: 3,
            cool: self.cool,
            blank: process == 0 || self.broken == Broken::Newborn,
        };
        Node {
            permits: Permits::new(settings, self.now + ahead),
            process,
            ahead,
            uses: BTreeMap::new(),
            called: Duration::ZERO,
            waiting: 0,
            eager: self.network.rng.u32(0..4),
        }
    }

    fn step(&mut self) -> Result<(), String> {
        self.now += STEP;
        self.network.step(self.now);
        let now = self.now;
        for message in self.mail.arrived(now, &mut self.network.rng) {
            self.deliver(message);
        }
        for node in 0..self.nodes.len() {
            self.crash_or_live(node);
            self.end_uses(node);
            self.take_permits(node);
            self.call(node);
        }
        self.registry.check(now, self.cool, self.limit)
    }

    fn deliver(&mut self, message: Message) {
        match message {
            Message::Call(node, process, mut call) => {
                match self.network.serves(self.now) {
                    Err(None) => return,
                    Err(Some(later)) => return self.mail.send(later, Message::Call(node, process, call)),
                    Ok(()) => {}
                }
                if self.broken == Broken::Patient && call.expected_ms.is_some() {
                    let asked = PoolCall { expected_ms: None, ..call.clone() };
                    call.expected_ms = self.network.engine.adjust(&asked).ok().map(|reply| reply.now_ms);
                }
                let mut reply = self.network.engine.adjust(&call).ok();
                let grant = reply.as_mut().and_then(|reply| reply.grant.as_mut());
                if let Some(grant) =
                    grant.filter(|grant| grant.room.is_none() && self.broken == Broken::Trusting)
                {
                    (grant.held, grant.expires_ms) = (call.want, Some(call.rules.term_ms));
                }
                if let Some(arrives) = self.network.answered(node, self.now) {
                    self.mail.send(arrives, Message::Reply(node, process, call.turn, reply));
                }
            }
            Message::Reply(node, process, turn, reply) => {
                let node = &mut self.nodes[node];
                if node.process != process {
                    return;
                }
                let local = self.now + node.ahead;
                match reply {
                    Some(reply) if node.permits.answered(turn, &reply, local) => node.called = Duration::ZERO,
                    Some(_) => {}
                    None => node.permits.lost(turn),
                }
            }
        }
    }

    fn crash_or_live(&mut self, node: usize) {
        if self.network.rng.u32(0..4_000) > 0 || self.network.is_calm(self.now, Duration::MAX) {
            return;
        }
        let process = self.nodes[node].process + 1;
        let local = self.now + self.nodes[node].ahead;
        for (permit, _) in std::mem::take(&mut self.nodes[node].uses) {
            self.nodes[node].permits.ended(permit, local);
            self.registry.ended(self.now);
        }
        if self.network.rng.bool()
            && let Some(call) = self.nodes[node].permits.leave(local)
            && let Some(arrives) = self.network.sent(node, self.now)
        {
            self.mail.send(arrives, Message::Call(node, process - 1, call));
        }
        self.nodes[node] = self.started(node, process);
    }

    fn end_uses(&mut self, node: usize) {
        let node = &mut self.nodes[node];
        let local = self.now + node.ahead;
        let mut over: Vec<PermitUse> =
            node.uses.iter().filter(|(_, until)| **until <= self.now).map(|(permit, _)| *permit).collect();
        if self.broken != Broken::Clinging {
            over.extend(node.permits.overdue(local));
        }
        for permit in over {
            if node.uses.remove(&permit).is_some() {
                node.permits.ended(permit, local);
                self.registry.ended(self.now);
            }
        }
    }

    fn take_permits(&mut self, node: usize) {
        let rng = &mut self.network.rng;
        let node = &mut self.nodes[node];
        if rng.u32(0..200) == 0 {
            node.eager = rng.u32(0..4);
        }
        node.waiting = 0;
        for _ in 0..rng.u32(0..=node.eager * 2) {
            match node.permits.take(0, self.now + node.ahead) {
                Some(permit) => {
                    let longest = if rng.u32(0..20) == 0 { 40_000 } else { 800 };
                    node.uses.insert(permit, self.now + Duration::from_millis(rng.u64(0..longest)));
                    self.registry.under_way += 1;
                }
                None => node.waiting += 1,
            }
        }
        self.borrowed += u64::from(node.uses.len() as u32 > self.limit / 3);
    }

    fn call(&mut self, index: usize) {
        let node = &mut self.nodes[index];
        let pause = if node.waiting > 0 { 250 } else { 1_000 };
        if node.called + Duration::from_millis(pause) > self.now {
            return;
        }
        let local = self.now + node.ahead;
        let Some(call) = node.permits.call(node.waiting, local) else { return };
        node.called = self.now;
        let (process, turn) = (node.process, call.turn);
        match self.network.sent(index, self.now) {
            Some(arrives) => self.mail.send(arrives, Message::Call(index, process, call)),
            None if self.broken == Broken::Hasty => {
                let uses = std::mem::take(&mut self.nodes[index].uses);
                uses.iter().for_each(|_| self.registry.ended(self.now));
                let mut fresh = self.started(index, process + 1000);
                let settings = PermitSettings {
                    pool: "registry".into(),
                    node: format!("{index}-{}", process + 1000),
                    limit: self.limit,
                    nodes: 3,
                    cool: self.cool,
                    blank: true,
                };
                fresh.permits = Permits::new(settings, self.now + fresh.ahead);
                self.nodes[index] = fresh;
            }
            None => self.nodes[index].permits.lost(turn),
        }
    }
}

impl Registry {
    fn ended(&mut self, now: Duration) {
        self.under_way -= 1;
        self.ended.push_back(now);
    }

    fn check(&mut self, now: Duration, cool: Duration, limit: u32) -> Result<(), String> {
        while self.ended.front().is_some_and(|ended| *ended + cool <= now) {
            self.ended.pop_front();
        }
        let counted = self.under_way + self.ended.len() as u32;
        if counted > limit {
            return Err(format!("{counted} of {limit} requests after {now:?}, cool for {cool:?}"));
        }
        Ok(())
    }
}

fn run(seed: u64, broken: Broken) -> Result<u64, String> {
    let mut history = History::new(seed, broken);
    let lasting = Duration::from_secs(60) + history.cool * 2;
    while history.now < lasting {
        history.step()?;
    }
    Ok(history.borrowed)
}

#[test]
fn never_more_requests_than_allowed_over_all_nodes() {
    let borrowed = super::hold(|seed| run(seed, Broken::Nothing));
    assert!(borrowed > super::SEEDS, "nodes seldom used more than their share: {borrowed}");
}

#[test]
fn finds_a_node_that_takes_its_share_back_at_once() {
    super::find(|seed| run(seed, Broken::Hasty));
}

#[test]
fn finds_a_pool_that_lends_after_it_forgot() {
    super::find(|seed| run(seed, Broken::Trusting));
}

#[test]
fn finds_calls_that_count_however_late() {
    super::find(|seed| run(seed, Broken::Patient));
}

#[test]
fn finds_a_process_that_forgets_the_one_before_it() {
    super::find(|seed| run(seed, Broken::Newborn));
}

#[test]
fn finds_a_node_that_uses_on_what_it_borrowed() {
    super::find(|seed| run(seed, Broken::Clinging));
}

/// While nothing fails, one node may use everything.
#[test]
fn one_node_gets_everything_soon() {
    let mut history = History::new(1, Broken::Nothing);
    history.network = Network::calm(0, 3);
    (history.limit, history.cool) = (30, Duration::from_secs(60));
    history.nodes = (0..3).map(|node| history.started(node, 0)).collect();
    for node in &mut history.nodes {
        node.eager = 0;
    }
    for _ in 0..40 {
        history.now += STEP;
        history.network.step(history.now);
        for message in history.mail.arrived(history.now, &mut history.network.rng) {
            history.deliver(message);
        }
        let node = &mut history.nodes[0];
        while let Some(permit) = node.permits.take(0, history.now + node.ahead) {
            node.uses.insert(permit, Duration::MAX);
        }
        node.waiting = 5;
        (0..3).for_each(|node| history.call(node));
    }
    assert_eq!(history.nodes[0].uses.len(), 30, "within {:?}", history.now);
}
