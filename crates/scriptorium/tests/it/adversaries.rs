//! Everybody is hostile at once, for a while: clients read slowly, begin requests and never end them, invent names, hosts
//! and tokens; a registry trickles, hangs, and sends documents that are nothing but brackets. An honest client of an
//! honest registry is served all the while, and the process costs no more than `docs/limits.md` says.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use fastrand::Rng;
use serde_json::json;

use crate::support::tarball::Entry;
use crate::support::{
    Conversation, Proxy, Release, Reply, Seed, Seen, Setup, Upstream, noise, setting, within,
};

/// How long it goes on, in seconds.
const USUAL: u64 = 10;

/// What the attack may cost the process beyond what it took before: 16 MiB of documents in memory, 64 on their way from the
/// hostile registry and 64 being read, twice that because the C library keeps pieces of what was freed, and 32 for all else.
/// It stays there however long it goes on.
const MOST_MEMORY: u64 = ((16 + 64 + 64) * 2 + 32) << 20;
/// Handles beyond one for each connection of the attackers.
const MOST_HANDLES: usize = 200;
/// Threads: those that serve, and those that may block.
const MOST_TASKS: usize = 100;
/// What 99 of 100 of the honest client's hits take at most, with attackers and registries on the same two cores. Far more
/// than on a quiet machine, and far less than when somebody waits for an attacker.
const SLOWEST: Duration = Duration::from_secs(1);

const SLOW_READERS: usize = 40;
const BEGINNERS: usize = 200;
const TRICKLED: usize = 12;

const INDEX: &str = "/api/v1/index/volumes/@acme/lamp";
const ARCHIVE: &str = "/archives/@acme/lamp/1.0.0.tar.gz";
const BIG: &str = "/api/v1/index/volumes/@acme/big";

/// Who attacks, until when.
struct Attack {
    public: SocketAddr,
    end: Instant,
    /// Connections of attackers that are open.
    open: AtomicUsize,
}

impl Attack {
    fn is_over(&self) -> bool {
        Instant::now() >= self.end
    }

    /// A connection from an address of the attackers' own.
    fn connect(&self, from: usize) -> Option<Conversation> {
        let [_, _, high, low] = u32::try_from(from).unwrap().to_be_bytes();
        let from = IpAddr::V4(Ipv4Addr::new(127, 9, high, low));
        Conversation::open_from(from, self.public).ok()
    }

    /// Counts what `attack` does with a connection as long as it does it.
    fn with(&self, from: usize, attack: impl FnOnce(&mut Conversation)) {
        self.open.fetch_add(1, Ordering::Relaxed);
        if let Some(mut conversation) = self.connect(from) {
            attack(&mut conversation);
        }
        self.open.fetch_sub(1, Ordering::Relaxed);
    }

    /// Asks for a big document as a host of its own, and takes a little of it now and then.
    fn read_slowly(&self, number: usize) {
        self.with(number, |conversation| {
            let asked = format!("GET {BIG} HTTP/1.1\r\nhost: h{number}.example\r\n\r\n");
            let mut piece = [0; 1024];
            let _ = conversation.write(asked.as_bytes());
            while !self.is_over() && conversation.take(&mut piece).is_ok_and(|read| read > 0) {
                thread::sleep(Duration::from_millis(50));
            }
        });
    }

    /// Holds connections on which a request has begun.
    fn begin_and_never_end(&self) {
        let mut held = Vec::new();
        self.open.fetch_add(BEGINNERS, Ordering::Relaxed);
        for number in 0..BEGINNERS {
            let begun = format!("GET {INDEX} HTTP/1.1\r\nhost: a\r\nx-filler: {}", "x".repeat(20_000));
            held.extend(self.connect(1000 + number).map(|mut conversation| {
                let _ = conversation.write(begun.as_bytes());
                conversation
            }));
        }
        while !self.is_over() {
            thread::sleep(Duration::from_millis(50));
            for conversation in &mut held {
                let _ = conversation.write(b"x");
            }
        }
        drop(held);
        self.open.fetch_sub(BEGINNERS, Ordering::Relaxed);
    }

    /// Asks for what the hostile registry has, and hangs up sooner or later.
    fn ask_the_hostile(&self, number: usize, mut chance: Rng) {
        while !self.is_over() {
            let what = match chance.u8(..4) {
                0 => format!("/api/v1/index/volumes/@evil/list-{}", chance.u8(..40)),
                1 => format!("/api/v1/volumes/@evil/hang-{}/1.0.0", chance.u8(..40)),
                _ => format!("/archives/@evil/slow-{}/1.0.0.tar.gz", chance.u8(..200)),
            };
            self.with(2000 + number, |conversation| {
                let _ = conversation.ask("GET", &what, &[]);
                thread::sleep(Duration::from_millis(chance.u64(..1000)));
            });
        }
    }

    /// Names, hosts and tokens that nobody ever heard of.
    fn invent(&self, number: usize, mut chance: Rng) {
        while !self.is_over() {
            let target = format!("/api/v1/volumes/@acme/n{}/1.0.0", chance.u32(..));
            let (host, token) = (format!("{}.example", chance.u32(..)), format!("Bearer {}", chance.u64(..)));
            self.with(3000 + number, |conversation| {
                let asked = conversation.ask("GET", &target, &[("host", &host), ("authorization", &token)]);
                let _ = asked.and_then(|()| conversation.answer());
            });
        }
    }
}

/// Says whatever is asked of `@evil`.
fn hostile(seen: &Seen, url: &str, releases: &Mutex<Vec<(String, Release)>>) -> Option<Reply> {
    let target = &seen.target;
    let name = target
        .split('/')
        .find(|part| part.starts_with("slow-") || part.starts_with("list-") || part.starts_with("hang-"))?;
    if name.starts_with("hang-") {
        return Some(Reply::silence());
    }
    if name.starts_with("list-") {
        let depth = 2_000_000;
        return Some(Reply::document(match name.len() % 2 {
            0 => format!(r#"{{"items":[],"x":[{}0]}}"#, "0,".repeat(depth)),
            _ => format!(r#"{{"items":[{}{{}}]}}"#, "{},".repeat(depth)),
        }));
    }
    let name = format!("@evil/{}", name.trim_end_matches(".tar.gz"));
    let release = {
        let mut made = releases.lock().unwrap();
        match made.iter().find(|(known, _)| *known == name) {
            Some((_, release)) => release.clone(),
            None => {
                let release = Release::new(&name, "1.0.0").adding(Entry::file("data.bin", noise(7, 200_000)));
                made.push((name, release.clone()));
                release
            }
        }
    };
    if *target == release.source() {
        // A piece now and then: slow, and never slow enough to be cut.
        return Some(Reply::archive(release.archive()).slowed_by(Duration::from_secs(5)));
    }
    if *target == release.exact() {
        return Some(Reply::json(&release.metadata(url)));
    }
    Some(Reply::json(&json!({"items": [release.row(url)]})))
}

/// What the process holds.
#[derive(Debug, Clone, Copy, Default)]
struct Cost {
    memory: u64,
    handles: usize,
    tasks: usize,
}

impl Cost {
    fn of(proxy: &Proxy) -> Self {
        let count = |what| fs::read_dir(format!("/proc/{}/{what}", proxy.pid())).unwrap().count();
        Self { memory: proxy.memory(), handles: count("fd"), tasks: count("task") }
    }
}

/// An honest client's hits, one after the other: how long each took.
fn hits(proxy: &Proxy, attack: &Attack) -> Vec<Duration> {
    let mut took = Vec::new();
    while !attack.is_over() {
        for target in [INDEX, ARCHIVE] {
            let began = Instant::now();
            let answer = proxy.client().get(target);
            took.push(began.elapsed());
            assert_eq!((answer.status, answer.whole), (200, true), "{target}: {}", answer.text());
        }
    }
    took.sort_unstable();
    took
}

/// And what nobody asked for before: the slowest of them.
fn cold(proxy: &Proxy, attack: &Attack, honest: &Upstream) -> (usize, Duration) {
    let (mut count, mut slowest) = (0, Duration::ZERO);
    while !attack.is_over() {
        let release = Release::new(&format!("@acme/cold-{count}"), "1.0.0");
        honest.publish(&release);
        let began = Instant::now();
        let answer = proxy.client().get(&format!("/archives/@acme/cold-{count}/1.0.0.tar.gz"));
        assert_eq!(answer.status, 200, "{}", answer.text());
        (count, slowest) = (count + 1, slowest.max(began.elapsed()));
    }
    (count, slowest)
}

#[test]
fn who_is_honest_is_served_and_what_attackers_cost_is_bounded() {
    let seed = Seed::from("SCRIPTORIUM_SOAK_SEED");
    let seconds = setting("SCRIPTORIUM_SOAK_SECONDS", USUAL);
    let (honest, evil) = (Upstream::start(), Upstream::start());
    let (url, releases) = (evil.url(), Mutex::default());
    evil.handle(move |seen| hostile(seen, &url, &releases));
    honest.publish(&Release::new("@acme/lamp", "1.0.0").adding(Entry::file("data.bin", noise(1, 300_000))));
    let rows: Vec<_> =
        (0..30_000).map(|n| Release::new("@acme/big", &format!("1.{n}.0")).row(&honest.url())).collect();
    honest.reply(BIG, Reply::json(&json!({"items": rows})));
    let setup =
        Setup::before(&evil).set("upstream.volumes", vec!["@evil/*"]).upstream("honest", &honest.url());
    // What documents may take has a key of its own; this is about everything else.
    let proxy = setup.set("cache.memory", "16MiB").start();
    for target in [INDEX, ARCHIVE, BIG] {
        assert_eq!(proxy.client().get(target).status, 200, "{target}");
    }

    let before = Cost::of(&proxy);
    let attack = Attack {
        public: proxy.client().0,
        end: Instant::now() + Duration::from_secs(seconds),
        open: AtomicUsize::new(0),
    };
    let most = Mutex::new(before);
    let (took, (count, slowest)) = thread::scope(|scope| {
        let attack = &attack;
        (0..SLOW_READERS).for_each(|number| drop(scope.spawn(move || attack.read_slowly(number))));
        scope.spawn(|| attack.begin_and_never_end());
        for number in 0..TRICKLED {
            let chance = seed.choices(number as u64);
            scope.spawn(move || attack.ask_the_hostile(number, chance));
        }
        for number in 0..2 {
            let chance = seed.choices(100 + number as u64);
            scope.spawn(move || attack.invent(number, chance));
        }
        scope.spawn(|| {
            while !attack.is_over() {
                let (now, open) = (Cost::of(&proxy), attack.open.load(Ordering::Relaxed));
                let mut most = most.lock().unwrap();
                most.memory = most.memory.max(now.memory);
                most.handles = most.handles.max(now.handles.saturating_sub(open));
                most.tasks = most.tasks.max(now.tasks);
                drop(most);
                thread::sleep(Duration::from_millis(100));
            }
        });
        let cold = scope.spawn(|| cold(&proxy, attack, &honest));
        (hits(&proxy, attack), cold.join().unwrap())
    });

    let most = *most.lock().unwrap();
    let p99 = took[took.len() * 99 / 100];
    eprintln!(
        "{} hits, p99 {p99:?}; {count} cold archives, the slowest {slowest:?}; {before:?}, at most {most:?}",
        took.len()
    );
    assert!(most.memory < before.memory + MOST_MEMORY, "{before:?}, at most {most:?}");
    assert!(most.handles < before.handles + MOST_HANDLES, "{before:?}, at most {most:?}");
    assert!(most.tasks < MOST_TASKS, "{before:?}, at most {most:?}");
    assert!(p99 < SLOWEST, "{p99:?}");
    assert!(count > 0, "nothing cold was served");
    within(Duration::from_secs(60), "as few handles as before", || {
        (Cost::of(&proxy).handles < before.handles + 40).then_some(())
    });
}
