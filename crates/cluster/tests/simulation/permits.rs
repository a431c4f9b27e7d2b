//! Never more requests to a registry than allowed, over all nodes: at once, and in any 60 s.
//!
//! Owns those histories: every node takes permits as it can, and the registry counts. Must not know the other promises.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use cluster::{PermitUse, Permits, PoolCall, PoolReply};

use super::network::{Mail, Network, STEP};
use super::processes::{Deploy, NodeProcess, Record};

/// What is broken on purpose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Broken {
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
    /// A place is left to every process that starts.
    Twice,
    /// A process that takes a place does not count what was used there.
    Forgetful,
    /// It takes the share at once that the one before it lent.
    Greedy,
    /// A process that ends in order leaves no place.
    Placeless,
    /// It does not tell the pool that it is the one before it.
    Stranger,
    /// A process of a node that is new takes its share while others may count that had more.
    Uninvited,
}

pub(crate) enum Message {
    Call(usize, u32, PoolCall),
    Reply(usize, u32, u64, Option<PoolReply>),
}

pub(crate) struct Node {
    pub(crate) permits: Permits,
    pub(crate) process: NodeProcess,
    /// How far its clock is from the history's.
    pub(crate) ahead: Duration,
    pub(crate) uses: BTreeMap<PermitUse, Duration>,
    pub(crate) called: Duration,
    pub(crate) waiting: u32,
    pub(crate) eager: u32,
}

/// What the registry sees.
#[derive(Default)]
pub(crate) struct Registry {
    pub(crate) under_way: u32,
    ended: VecDeque<Duration>,
}

pub(crate) struct History {
    pub(crate) network: Network,
    pub(crate) mail: Mail<Message>,
    pub(crate) nodes: Vec<Node>,
    pub(crate) record: Record,
    pub(crate) deploy: Deploy,
    pub(crate) registry: Registry,
    pub(crate) limit: u32,
    pub(crate) cool: Duration,
    pub(crate) broken: Broken,
    borrowed: u64,
    pub(crate) now: Duration,
}

impl History {
    pub(crate) fn new(seed: u64, broken: Broken) -> Self {
        let mut network = Network::new(seed, 3);
        let limit = network.rng.u32(1..40);
        let cool = [Duration::ZERO, Duration::from_secs(5), Duration::from_secs(60)][network.rng.usize(0..3)];
        Self::over(network, limit, cool, broken)
    }

    pub(crate) fn over(mut network: Network, limit: u32, cool: Duration, broken: Broken) -> Self {
        let deploy = Deploy::drawn(&mut network.rng);
        let mut history = Self {
            network,
            mail: Mail::default(),
            nodes: Vec::new(),
            record: Record::default(),
            deploy,
            registry: Registry::default(),
            limit,
            cool,
            broken,
            borrowed: 0,
            now: Duration::ZERO,
        };
        history.nodes = (0..3).map(|_| history.started()).collect();
        for node in 0..3 {
            history.enter(node);
        }
        history
    }

    /// A node whose process starts now.
    pub(crate) fn started(&mut self) -> Node {
        let process = self.record.process();
        let ahead = Duration::from_millis(self.network.rng.u64(0..1_000_000));
        Node {
            permits: process.permits(self.limit, self.cool, self.now + ahead),
            process,
            ahead,
            uses: BTreeMap::new(),
            called: Duration::ZERO,
            waiting: 0,
            eager: self.network.rng.u32(0..4),
        }
    }

    pub(crate) fn step(&mut self) -> Result<(), String> {
        self.now += STEP;
        self.network.step(self.now);
        let now = self.now;
        for message in self.mail.arrived(now, &mut self.network.rng) {
            self.deliver(message);
        }
        self.follow_deploy();
        for node in 0..self.nodes.len() {
            self.live(node);
            if self.nodes[node].process.is_up(now) {
                self.end_uses(node);
                self.take_permits(node);
                self.call(node);
            }
        }
        self.registry.check(now, self.cool, self.limit)
    }

    /// Ends what the process of `node` has under way.
    pub(crate) fn end_all(&mut self, node: usize) {
        let local = self.now + self.nodes[node].ahead;
        for (permit, _) in std::mem::take(&mut self.nodes[node].uses) {
            self.nodes[node].permits.ended(permit, local);
            self.registry.ended(self.now);
        }
    }

    pub(crate) fn deliver(&mut self, message: Message) {
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
                // A node that is no more hears nothing.
                let Some(node) = self.nodes.get_mut(node).filter(|node| node.process.number == process)
                else {
                    return;
                };
                let local = self.now + node.ahead;
                match reply {
                    Some(reply) if node.permits.answered(turn, &reply, local) => node.called = Duration::ZERO,
                    Some(_) => {}
                    None => node.permits.lost(turn),
                }
            }
        }
    }

    pub(crate) fn end_uses(&mut self, node: usize) {
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

    pub(crate) fn call(&mut self, index: usize) {
        let node = &mut self.nodes[index];
        let pause = if node.waiting > 0 { 250 } else { 1_000 };
        if node.called + Duration::from_millis(pause) > self.now {
            return;
        }
        let local = self.now + node.ahead;
        let Some(call) = node.permits.call(node.waiting, local) else { return };
        node.called = self.now;
        let (process, turn) = (node.process.number, call.turn);
        match self.network.sent(index, self.now) {
            Some(arrives) => self.mail.send(arrives, Message::Call(index, process, call)),
            None if self.broken == Broken::Hasty => {
                self.end_all(index);
                self.nodes[index] = self.started();
                let local = self.now + self.nodes[index].ahead;
                self.nodes[index].permits.enter(None, local);
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

    pub(crate) fn check(&mut self, now: Duration, cool: Duration, limit: u32) -> Result<(), String> {
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
    Ok(history.borrowed << 32 | u64::from(history.record.taken_over))
}

#[test]
fn never_more_requests_than_allowed_over_all_nodes() {
    let seen = super::hold(|seed| run(seed, Broken::Nothing));
    let (borrowed, taken_over) = (seen >> 32, seen & 0xffff_ffff);
    assert!(borrowed > super::SEEDS, "nodes seldom used more than their share: {borrowed}");
    assert!(taken_over > super::SEEDS, "processes seldom took a place over: {taken_over}");
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

#[test]
fn finds_two_processes_that_take_one_place() {
    super::find(|seed| run(seed, Broken::Twice));
}

#[test]
fn finds_a_successor_that_forgets_what_was_used() {
    super::find(|seed| run(seed, Broken::Forgetful));
}

#[test]
fn finds_a_successor_that_takes_back_what_was_lent() {
    super::find(|seed| run(seed, Broken::Greedy));
}

#[test]
fn finds_a_successor_that_the_pool_does_not_know() {
    super::find(|seed| run(seed, Broken::Stranger));
}

/// While nothing fails, one node may use everything.
#[test]
fn one_node_gets_everything_soon() {
    let mut history = History::over(Network::calm(0, 3), 30, Duration::from_secs(60), Broken::Nothing);
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
