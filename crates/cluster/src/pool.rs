//! The pool: what the engine decides about the permits of one registry, as a pure function.
//!
//! Permits are never made, only lent. With `limit` permits and `nodes` nodes each node owns a share, `limit / nodes`. A node
//! that joins the pool lends it its whole share for one term, and renews the loan with every call. What a node may use is
//! its *claim*, which the node itself remembers (`permits.rs`); the pool keeps what each member holds. Invariants:
//!
//! 1. `claim ≤ held` for every member: a node lowers its claim before it tells, and raises it after it was told.
//! 2. `held of all members ≤ shares of all members`, for members that the pool knows.
//! 3. What is claimed above the own share ends before the first of those who lent can have its share back (`expires`).
//! 4. Nobody's claim grows, and no loan is prolonged, while the pool may not know every claim: after it lost its memory,
//!    was restarted or replaced, or its clock jumped, until all nodes have joined anew or every earlier loan is over. A new pool is one that lost its memory.
//! 5. No loan is prolonged while more is claimed than the members share: another number of nodes makes shares smaller. While nodes
//!    disagree on their number, each lends its own share, and the largest number counts.
//!
//! So `claims of all nodes ≤ limit`, whatever the engine forgets. A member that falls silent is put out as soon as the
//! others need none of its share; until then its loan ends by (3).
//!
//! Owns that decision, in milliseconds of the engine's clock; `scripts/pool.lua` is the same in Lua. Must not know what a
//! permit is for.

use std::collections::BTreeMap;

/// A call that arrives more than this off the time that its sender expected has no effect.
pub(crate) const LATE_MS: u64 = 1_000;
/// Without any call for so long the clock may have jumped.
const GAP_MS: u64 = 3_000;
/// A member that is silent for so long is put out when nobody needs its share.
const SILENT_MS: u64 = 3_000;
/// Records stay so much longer than the loans in them, for clocks that run at different speeds.
const MARGIN_MS: u64 = 4_000;

/// What the permits of a registry are counted by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PoolRules {
    /// How many there are.
    pub limit: u32,
    /// How many nodes there are meant to be.
    pub nodes: u32,
    /// How long a node's share is lent.
    pub term_ms: u64,
}

impl PoolRules {
    /// What each node owns.
    pub fn share(&self) -> u32 {
        self.limit / self.nodes.max(1)
    }
}

/// What a node says to the pool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PoolCall {
    /// The pool.
    pub pool: String,
    /// Its rules.
    pub rules: PoolRules,
    /// The node, with something of its own for each process.
    pub node: String,
    /// Grows with every call of the node. An earlier call that arrives later has no effect.
    pub turn: u64,
    /// The engine's time when this was sent, as far as the node knows. Without it the call only asks for the time.
    pub expected_ms: Option<u64>,
    /// What the node may use now.
    pub claim: u32,
    /// What it would like to use.
    pub want: u32,
    /// Whether an earlier process of the node may still count, so that this one lends nothing.
    pub young: bool,
    /// Whether the pool has to forget what it knows, since it or its clock is not the one that it was.
    pub void: bool,
    /// In how long a permit that it uses comes free; nothing if it uses none.
    pub frees_ms: Option<u64>,
}

/// What the pool answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PoolReply {
    /// The engine's time.
    pub now_ms: u64,
    /// What was granted; nothing if the call had no effect.
    pub grant: Option<PoolGrant>,
}

/// What a node may use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PoolGrant {
    /// Permits.
    pub held: u32,
    /// What it should come down to as its permits come free. Without it the pool does not know.
    pub room: Option<u32>,
    /// In how long what is above the node's own share ends. Without it an earlier end stands.
    pub expires_ms: Option<u64>,
    /// Whether other nodes would like more than they hold.
    pub wanted: bool,
    /// In how long another node's permit comes free, or the pool lends at all.
    pub wait_ms: Option<u64>,
    /// Which memory of the pool this comes from.
    pub memory: String,
}

/// What the engine remembers of a pool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pool {
    engine: String,
    memory: String,
    last_ms: u64,
    opens_ms: u64,
    members: BTreeMap<String, PoolMember>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct PoolMember {
    turn: u64,
    /// How many nodes there are meant to be, as it knows.
    nodes: u32,
    until_ms: u64,
    seen_ms: u64,
    held: u32,
    want: u32,
    young: bool,
    out: bool,
    /// When a permit that it uses comes free.
    frees_ms: Option<u64>,
}

impl PoolMember {
    /// What it owns.
    fn share(&self, limit: u32) -> u32 {
        limit / self.nodes.max(1)
    }

    /// What it holds of other nodes' shares.
    fn borrowed(&self, limit: u32) -> u32 {
        self.held.saturating_sub(if self.young { 0 } else { self.share(limit) })
    }

    fn lends(&self) -> bool {
        !self.out && !self.young
    }
}

/// Decides about a call at `now_ms`; `engine` names the process of the engine and its history.
pub fn decide(pool: Option<Pool>, engine: &str, call: &PoolCall, now_ms: u64) -> (Option<Pool>, PoolReply) {
    let refused = PoolReply { now_ms, grant: None };
    if call.expected_ms.is_none_or(|expected| expected.abs_diff(now_ms) > LATE_MS) {
        return (pool, refused);
    }
    let remembered = pool.filter(|pool| !call.void && pool.continues(engine, now_ms));
    let mut pool = remembered.unwrap_or_else(|| Pool::new(engine, call, now_ms));
    if pool.members.get(&call.node).is_some_and(|member| member.turn >= call.turn) {
        return (Some(pool), refused);
    }
    pool.last_ms = now_ms;
    pool.members.retain(|_, member| member.until_ms + MARGIN_MS > now_ms);
    let grant = pool.grant(call, now_ms);
    (Some(pool), PoolReply { now_ms, grant: Some(grant) })
}

impl Pool {
    fn new(engine: &str, call: &PoolCall, now_ms: u64) -> Self {
        let opens_ms = now_ms + call.rules.term_ms + MARGIN_MS;
        let memory = format!("{engine}:{now_ms}:{}:{}", call.node, call.turn);
        Self { engine: engine.to_owned(), memory, last_ms: now_ms, opens_ms, members: BTreeMap::new() }
    }

    /// Whether this memory is still the engine's.
    fn continues(&self, engine: &str, now_ms: u64) -> bool {
        self.engine == engine && now_ms >= self.last_ms && now_ms - self.last_ms <= GAP_MS
    }

    fn grant(&mut self, call: &PoolCall, now_ms: u64) -> PoolGrant {
        let rules = call.rules;
        let share = rules.share();
        let me = PoolMember {
            turn: call.turn,
            nodes: rules.nodes,
            until_ms: now_ms + rules.term_ms,
            seen_ms: now_ms,
            held: call.claim,
            want: call.want,
            young: call.young,
            out: false,
            frees_ms: call.frees_ms.map(|frees| now_ms.saturating_add(frees)),
        };
        self.members.insert(call.node.clone(), me);
        self.put_out(rules.limit, now_ms);
        // From then on it knows every claim, also those of members that fall silent.
        if self.are_all() {
            self.opens_ms = self.opens_ms.min(now_ms);
        }
        let is_open = now_ms >= self.opens_ms;
        let others = || self.members.iter().filter(|(node, member)| **node != call.node && !member.out);
        let held_by_others: u32 = others().map(|(_, member)| member.held).sum();
        // The share of a silent member may soon be its own again.
        let speaking = |member: &PoolMember| member.seen_ms + SILENT_MS >= now_ms;
        let room =
            if is_open { self.shares(rules.limit, speaking).saturating_sub(held_by_others) } else { 0 };
        // Who has its share leaves what comes free to those who have less than theirs.
        let poor =
            others().any(|(_, other)| other.held < other.share(rules.limit) && other.want > other.held);
        let room = if poor { room.min(share) } else { room };
        let held = call.claim.max(call.want.min(room));
        let wanted = others().any(|(_, other)| other.want > other.held);
        let committed = held_by_others.saturating_add(call.claim);
        let is_lent = committed <= self.shares(rules.limit, |_| true);
        let lenders = self.members.values().filter(|member| member.lends());
        let first = lenders.map(|member| member.until_ms).min().unwrap_or(now_ms);
        let first = first.min(now_ms + rules.term_ms).saturating_sub(now_ms);
        if let Some(me) = self.members.get_mut(&call.node) {
            me.held = held;
        }
        let wait = if is_open { self.frees(&call.node, now_ms) } else { Some(self.opens_ms) };
        let memory = self.memory.clone();
        PoolGrant {
            held,
            room: is_open.then_some(room),
            expires_ms: (is_open && is_lent).then_some(first),
            wanted,
            wait_ms: wait.map(|wait| wait.saturating_sub(now_ms)),
            memory,
        }
    }

    /// When a permit of another node than `node` comes free.
    fn frees(&self, node: &str, now_ms: u64) -> Option<u64> {
        let others = self.members.iter().filter(|(name, member)| *name != node && member.held > 0);
        let frees = others.filter_map(|(_, member)| match member.seen_ms + SILENT_MS >= now_ms {
            true => member.frees_ms,
            false => Some(member.until_ms + MARGIN_MS),
        });
        frees.min()
    }

    /// Whether as many lend as there are meant to be, as any member knows: while they disagree, nobody is passed over.
    fn are_all(&self) -> bool {
        self.are_enough(self.members.values().filter(|member| member.lends()).count())
    }

    fn are_enough(&self, lending: usize) -> bool {
        self.members.values().all(|member| lending >= member.nodes as usize)
    }

    /// The permits of the members that count, less what those who were put out hold of others.
    fn shares(&self, limit: u32, counts: impl Fn(&PoolMember) -> bool) -> u32 {
        let (mut lending, mut owned) = (0, 0_u32);
        for member in self.members.values().filter(|member| member.lends() && counts(member)) {
            (lending, owned) = (lending + 1, owned.saturating_add(member.share(limit)));
        }
        // What is left over when the limit is divided is lent too.
        let all = if self.are_enough(lending) { limit } else { owned.min(limit) };
        let out = self.members.values().filter(|member| member.out);
        all.saturating_sub(out.map(|member| member.borrowed(limit)).sum())
    }

    /// Does without the shares of silent members, where the others hold no more than their own.
    fn put_out(&mut self, limit: u32, now_ms: u64) {
        let silent = |member: &PoolMember| !member.out && member.seen_ms + SILENT_MS < now_ms;
        let nodes: Vec<String> =
            self.members.iter().filter(|(_, member)| silent(member)).map(|(node, _)| node.clone()).collect();
        for node in nodes {
            self.set_out(&node, true);
            let held: u32 = self.members.values().filter(|member| !member.out).map(|m| m.held).sum();
            if held > self.shares(limit, |_| true) {
                self.set_out(&node, false);
            }
        }
    }

    fn set_out(&mut self, node: &str, out: bool) {
        if let Some(member) = self.members.get_mut(node) {
            member.out = out;
        }
    }
}
