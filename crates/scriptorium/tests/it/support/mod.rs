//! The parts of the black-box tests: a programmable registry (the crate `bibliotheca`), the real proxy as a child
//! process, and a client that sends exactly what a test tells it to. Nothing here may call the crate under test: digests
//! and documents are made independently.

pub(crate) mod agent;
pub(crate) mod authority;
pub(crate) mod bucket;
pub(crate) mod bulk;
pub(crate) mod chromium;
pub(crate) mod client;
pub(crate) mod collector;
pub(crate) mod crossing;
pub(crate) mod disk;
pub(crate) mod divergence;
pub(crate) mod egress;
pub(crate) mod mirror;
pub(crate) mod nullspace;
pub(crate) mod operator;
pub(crate) mod policy;
pub(crate) mod proxy;
pub(crate) mod publisher;
pub(crate) mod redis;
pub(crate) mod relay;
pub(crate) mod seed;
pub(crate) mod sending;
pub(crate) mod setup;
pub(crate) mod shell;
pub(crate) mod tls;
pub(crate) mod tokens;
pub(crate) mod truth;
pub(crate) mod yaml;

/// Archives of the registry.
pub(crate) mod tarball {
    pub(crate) use bibliotheca::archive::{TarMember as Entry, bomb, gzip, tar, tar_gz, tree_digest};
}

/// Documents of the registry.
pub(crate) mod catalogue {
    pub(crate) use bibliotheca::release::{
        PublishedArtifact as Artifact, attachment, capabilities, manifest,
    };
}

/// HTTP/1.1 framing.
pub(crate) mod wire {
    pub(crate) use bibliotheca::wire::{
        BodyFraming as Framing, HeaderFields as Fields, read_head, read_line,
    };
}

use std::fmt::Debug;
use std::hash::{BuildHasher, RandomState};
use std::net::TcpListener;
use std::thread;
use std::time::{Duration, Instant};

pub(crate) use bibliotheca::{
    Accident, BodyEnding as Ending, FalseIntegrity as Untrue, PublishedRelease as Release,
    PublishingRegistry as Publishing, ReceivedRequest as Seen, RegistryServer as Upstream,
    ScriptedReply as Reply, hex_digest,
};

pub(crate) use agent::{Agent, Deployer};
pub(crate) use client::{Answer, Client, Conversation};
pub(crate) use disk::{Disk, Watch};
pub(crate) use divergence::Lie;
pub(crate) use nullspace::Nullspace;
pub(crate) use proxy::Proxy;
pub(crate) use publisher::Publisher;
pub(crate) use seed::{Seed, setting};
pub(crate) use sending::Announced;
pub(crate) use setup::Setup;
pub(crate) use truth::{Truth, Verdict};

/// How long a condition may take to come true before the test fails.
const PATIENCE: Duration = Duration::from_secs(15);

/// Asks `probe` again and again until it yields a value; fails the test with `what` when it never does.
pub(crate) fn eventually<T>(what: &str, probe: impl FnMut() -> Option<T>) -> T {
    within(PATIENCE, what, probe)
}

/// `eventually` with a deadline of its own.
pub(crate) fn within<T>(deadline: Duration, what: &str, mut probe: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + deadline;
    loop {
        if let Some(value) = probe() {
            return value;
        }
        assert!(Instant::now() < end, "not within {deadline:?}: {what}");
        thread::sleep(Duration::from_millis(20));
    }
}

/// Runs a check for every case, a few side by side, each on a thread that is named after its case.
pub(crate) fn each<T: Debug + Send>(cases: impl IntoIterator<Item = T>, check: impl Fn(T) + Sync) {
    let (check, mut cases) = (&check, cases.into_iter().peekable());
    while cases.peek().is_some() {
        thread::scope(|scope| {
            for case in cases.by_ref().take(4) {
                let name: String = format!("{case:?}").chars().take(80).collect();
                thread::Builder::new().name(name).spawn_scoped(scope, move || check(case)).unwrap();
            }
        });
    }
}

/// A free port, below the range from which outgoing connections get theirs.
pub(crate) fn free_port() -> u16 {
    eventually("a free port", || {
        let port = 10_000 + (RandomState::new().hash_one(0) % 20_000) as u16;
        TcpListener::bind(("127.0.0.1", port)).is_ok().then_some(port)
    })
}

/// Two such ports.
pub(crate) fn free_ports() -> [u16; 2] {
    eventually("two free ports", || Some([free_port(), free_port()]).filter(|[one, other]| one != other))
}

/// Bytes that gzip cannot shrink, the same for the same seed.
pub(crate) fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}
