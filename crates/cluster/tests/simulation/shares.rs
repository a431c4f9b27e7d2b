//! A client's quota over all nodes: in any time at most the quota, what was refilled, and a lease a node.
//!
//! Owns those histories: one greedy client at every node. Must not know the other promises.

use std::num::NonZeroU32;
use std::time::Duration;

use cluster::{ClientShare, ShareDebt, ShareRate, ShareVerdict};

use super::network::{Mail, Network, STEP};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Broken {
    Nothing,
    /// What was told and not answered is forgotten.
    Forgiving,
    /// A node lets in while anything of the quota is left, without a lease.
    Unbounded,
}

enum Message {
    Debt(usize, u64, ShareDebt),
    Missing(usize, u64, Duration),
}

struct Node {
    share: ClientShare,
    /// The question under way, and since when.
    asked: Option<(u64, Duration)>,
}

struct History {
    network: Network,
    mail: Mail<Message>,
    nodes: Vec<Node>,
    rate: ShareRate,
    questions: u64,
    /// What was let in and not yet refilled, by the clock of the history.
    admitted: Duration,
    most: Duration,
    now: Duration,
    all: u64,
}

const NODES: u32 = 3;

impl History {
    fn new(seed: u64, broken: Broken) -> Self {
        let mut network = Network::new(seed, NODES as usize);
        let requests = NonZeroU32::new(network.rng.u32(1..300)).unwrap();
        let nodes = NonZeroU32::new(NODES).unwrap();
        let rate = ShareRate::new(requests, Duration::from_secs(60), nodes);
        let most = rate.full() + rate.lease() * NODES;
        let believed = if broken == Broken::Unbounded {
            ShareRate::new(NonZeroU32::new(requests.get() * 4).unwrap(), Duration::from_secs(240), nodes)
        } else {
            rate
        };
        let nodes = (0..NODES).map(|_| Node { share: ClientShare::new(believed), asked: None }).collect();
        let zero = Duration::ZERO;
        Self {
            network,
            mail: Mail::default(),
            nodes,
            rate,
            questions: 0,
            admitted: zero,
            most,
            now: zero,
            all: 0,
        }
    }

    fn step(&mut self, broken: Broken) -> Result<(), String> {
        self.now += STEP;
        self.admitted = self.admitted.saturating_sub(STEP);
        for message in self.mail.arrived(self.now, &mut self.network.rng) {
            self.deliver(message);
        }
        for node in 0..self.nodes.len() {
            self.ask(node, broken);
        }
        if self.admitted > self.most {
            return Err(format!("{:?} of {:?} after {:?}", self.admitted, self.most, self.now));
        }
        Ok(())
    }

    fn deliver(&mut self, message: Message) {
        match message {
            Message::Debt(node, question, debt) => {
                let Ok(missing) = self.network.engine.settle("client", &debt) else { return };
                if let Some(arrives) = self.network.answered(node, self.now) {
                    self.mail.send(arrives, Message::Missing(node, question, missing));
                }
            }
            Message::Missing(node, question, missing) => {
                let node = &mut self.nodes[node];
                if node.asked.is_some_and(|(asked, _)| asked == question) {
                    node.asked = None;
                    node.share.settled(missing, self.now);
                }
            }
        }
    }

    fn ask(&mut self, index: usize, broken: Broken) {
        let node = &mut self.nodes[index];
        if node.asked.is_some_and(|(_, since)| since + Duration::from_millis(500) <= self.now) {
            node.asked = None;
            match broken {
                Broken::Forgiving => node.share.settled(Duration::ZERO, self.now),
                Broken::Nothing | Broken::Unbounded => node.share.lost(),
            }
        }
        for _ in 0..self.network.rng.u32(0..60) {
            if let ShareVerdict::Admitted(_) = node.share.take(self.now, true) {
                self.admitted += self.rate.cost();
                self.all += 1;
            }
        }
        let Some(debt) = node.share.debt(self.now) else { return };
        self.questions += 1;
        node.asked = Some((self.questions, self.now));
        if let Some(arrives) = self.network.sent(index, self.now) {
            self.mail.send(arrives, Message::Debt(index, self.questions, debt));
        }
    }
}

/// Together: messages are late and lost, the engine stays.
fn run(seed: u64, broken: Broken) -> Result<u64, String> {
    let mut history = History::new(seed, broken);
    let lasting = Duration::from_secs(60);
    while history.now < lasting {
        let life = history.now;
        history.network.engine.set_time(Duration::from_secs(1_000_000) + life + STEP);
        history.step(broken)?;
    }
    // A client that never stops gets its quota and what is refilled, less what was charged twice.
    let refilled = (lasting.as_micros() / history.rate.cost().as_micros()) as u64;
    let is_fair = !history.network.is_calm(history.now, Duration::MAX) || history.all >= refilled;
    is_fair.then_some(history.all).ok_or_else(|| format!("only {} of {refilled} were let in", history.all))
}

#[test]
fn a_client_gets_its_quota_and_a_lease_a_node() {
    assert!(super::hold(|seed| run(seed, Broken::Nothing)) > super::SEEDS);
}

#[test]
fn finds_a_node_that_forgets_what_it_told() {
    super::find(|seed| run(seed, Broken::Forgiving));
}

#[test]
fn finds_a_node_without_a_lease() {
    super::find(|seed| run(seed, Broken::Unbounded));
}
