//! Everything goes wrong at once, for a while: files rot, the registry fails in every way, the process is killed.
//! No client sees a wrong byte meanwhile, and afterwards everything is served again.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard};
use std::thread;
use std::time::{Duration, Instant};

use fastrand::Rng;

use crate::support::tarball::Entry;
use crate::support::{
    Client, Proxy, Release, Reply, Seed, Setup, Truth, Upstream, Verdict, noise, setting, within,
};

/// How long it goes on, in seconds.
const USUAL: u64 = 8;
const CLIENTS: usize = 4;
/// Past so many releases none is added.
const MOST: usize = 200;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Fault {
    /// One bit of a stored file.
    Flip,
    Truncate,
    Delete,
    /// Two archives, or two documents, change places.
    Swap,
    /// The registry is gone.
    Down,
    /// It answers 500.
    Failing,
    Slow,
    /// Its bodies end early.
    Cutting,
    Kill,
    Reload,
}

impl Fault {
    const ALL: [Self; 10] = [
        Self::Flip,
        Self::Truncate,
        Self::Delete,
        Self::Swap,
        Self::Down,
        Self::Failing,
        Self::Slow,
        Self::Cutting,
        Self::Kill,
        Self::Reload,
    ];
}

/// Where clients go, and how often the proxy died or came back: it is dead at odd numbers.
struct Door {
    client: Mutex<Client>,
    turns: AtomicUsize,
}

impl Door {
    fn turn(&self) {
        self.turns.fetch_add(1, Ordering::SeqCst);
    }

    fn client(&self) -> MutexGuard<'_, Client> {
        self.client.lock().unwrap()
    }

    /// What an answer is worth; nothing is one that a kill may have cut.
    fn through<T>(&self, ask: impl FnOnce(Client) -> io::Result<T>) -> Option<T> {
        let before = self.turns.load(Ordering::SeqCst);
        let client = *self.client();
        match ask(client) {
            Ok(answer) => Some(answer),
            Err(error) => {
                let after = self.turns.load(Ordering::SeqCst);
                assert!(before % 2 == 1 || before != after, "no answer, though nothing was killed: {error}");
                None
            }
        }
    }
}

/// Who injects the faults.
struct Driver<'a> {
    upstream: &'a Upstream,
    proxy: &'a mut Proxy,
    truth: &'a Truth,
    door: &'a Door,
    chance: Rng,
    published: usize,
    injected: BTreeMap<Fault, usize>,
}

impl Driver<'_> {
    fn publish(&mut self) {
        let (number, chance) = (self.published, &mut self.chance);
        let release = Release::new(&format!("@acme/lamp-{}", number / 5), &format!("1.{number}.0"));
        // The first MiB is read before an answer begins: only what is longer can be cut short.
        let longest = if number.is_multiple_of(4) { 4 << 20 } else { 40 << 10 };
        let content = noise(chance.u64(..), chance.usize(1000..longest));
        self.truth.publish(self.upstream, &release.adding(Entry::file("data.bin", content)));
        self.published += 1;
    }

    /// Every kind once, in any order, while there is time.
    fn pass(&mut self, end: Instant) {
        let mut kinds = Fault::ALL;
        self.chance.shuffle(&mut kinds);
        for fault in kinds.into_iter().take_while(|_| Instant::now() < end) {
            if self.inject(fault).is_ok() {
                *self.injected.entry(fault).or_default() += 1;
            }
            // Not a wait for anything: so long it stays broken.
            thread::sleep(Duration::from_millis(self.chance.u64(..100)));
            if self.chance.bool() {
                self.mend();
            }
            if self.published < MOST {
                self.publish();
            }
        }
    }

    fn inject(&mut self, fault: Fault) -> io::Result<()> {
        match fault {
            Fault::Flip => {
                let file = File::options().read(true).write(true).open(self.victim()?)?;
                let at = self.chance.u64(..file.metadata()?.len().max(1));
                let mut byte = [0];
                file.read_exact_at(&mut byte, at)?;
                file.write_all_at(&[byte[0] ^ (1 << self.chance.u8(..8))], at)
            }
            Fault::Truncate => {
                let file = File::options().write(true).open(self.victim()?)?;
                file.set_len(self.chance.u64(..file.metadata()?.len().max(1)))
            }
            Fault::Delete => fs::remove_file(self.victim()?),
            Fault::Swap => self.swap(),
            Fault::Down => {
                self.upstream.down();
                Ok(())
            }
            Fault::Failing => self.spoil(|_| Reply::failure(500)),
            Fault::Slow => self.spoil(|reply| reply.slowed_by(Duration::from_millis(20))),
            Fault::Cutting => self.spoil(Reply::halved),
            Fault::Kill => {
                self.door.turn();
                self.proxy.crash();
                self.proxy.revive();
                *self.door.client() = self.proxy.client();
                self.door.turn();
                Ok(())
            }
            Fault::Reload => {
                let ttl = ["1s", "2s", "60s"][self.chance.usize(..3)];
                self.proxy.reconfigure(|setup| setup.set("cache.index_ttl", ttl));
                self.proxy.signal("HUP");
                Ok(())
            }
        }
    }

    fn spoil(&self, how: fn(Reply) -> Reply) -> io::Result<()> {
        self.upstream.spoil(Some(how));
        Ok(())
    }

    fn mend(&self) {
        self.upstream.spoil(None);
        self.upstream.down();
        self.upstream.up();
    }

    /// A stored archive or document.
    fn victim(&mut self) -> io::Result<PathBuf> {
        self.victims::<1>().map(|[one]| one)
    }

    fn victims<const COUNT: usize>(&mut self) -> io::Result<[PathBuf; COUNT]> {
        let shelf = if self.chance.bool() { "archives" } else { "documents" };
        let chosen = self.chance.choose_multiple(self.proxy.files(shelf), COUNT);
        chosen.try_into().map_err(|_| io::ErrorKind::NotFound.into())
    }

    fn swap(&mut self) -> io::Result<()> {
        let [one, other] = &self.victims()?;
        let between = self.proxy.data().with_extension("swapped");
        fs::rename(one, &between)?;
        fs::rename(other, one)?;
        fs::rename(between, other)
    }
}

/// Documents that are asked for again and again or seldom, and that are read from the disk often or seldom.
fn any_setup(upstream: &Upstream, chance: &mut Rng) -> Setup {
    let setup = Setup::before(upstream).set("cache.memory", ["64KiB", "64MiB"][chance.usize(..2)]);
    if chance.bool() { setup.short_lived() } else { setup }
}

/// How often clients were answered, and how.
#[derive(Default)]
struct Tally {
    right: AtomicUsize,
    short: AtomicUsize,
    unable: AtomicUsize,
}

fn ask_until(over: &AtomicBool, truth: &Truth, door: &Door, tally: &Tally, mut chance: Rng) {
    while !over.load(Ordering::SeqCst) {
        let targets = truth.targets();
        let first = if chance.bool() { targets.len().saturating_sub(12) } else { 0 };
        let target = &targets[chance.usize(first..targets.len())];
        let count = match door.through(|client| truth.ask_any(client, target, &mut chance)) {
            Some(Verdict::Right { .. }) => &tally.right,
            Some(Verdict::Short) => &tally.short,
            Some(Verdict::Unable(_)) => &tally.unable,
            None => continue,
        };
        count.fetch_add(1, Ordering::Relaxed);
    }
}

#[test]
fn whatever_breaks_no_byte_is_wrong_and_everything_mends() {
    let seed = Seed::from("SCRIPTORIUM_SOAK_SEED");
    let seconds = setting("SCRIPTORIUM_SOAK_SECONDS", USUAL);
    let (upstream, truth, tally) = (Upstream::start(), Truth::default(), Tally::default());
    let mut proxy = any_setup(&upstream, &mut seed.choices(u64::MAX)).start();
    let door = Door { client: proxy.client().into(), turns: AtomicUsize::new(0) };
    let (over, end) = (AtomicBool::new(false), Instant::now() + Duration::from_secs(seconds));
    let injected = thread::scope(|scope| {
        let (injected, chance) = (BTreeMap::new(), seed.choices(0));
        let (upstream, truth, door, proxy) = (&upstream, &truth, &door, &mut proxy);
        let mut driver = Driver { upstream, proxy, truth, door, chance, published: 0, injected };
        (0..4).for_each(|_| driver.publish());
        for number in 0..CLIENTS {
            let (over, tally, chance) = (&over, &tally, seed.choices(1 + number as u64));
            scope.spawn(move || ask_until(over, truth, door, tally, chance));
        }
        while Instant::now() < end {
            driver.pass(end);
        }
        over.store(true, Ordering::SeqCst);
        driver.mend();
        driver.injected
    });
    for target in truth.targets() {
        within(Duration::from_secs(90), &format!("{target}, whole and right again"), || {
            let verdict = truth.ask(proxy.client(), &target).unwrap();
            verdict.is_right().then_some(())
        });
    }
    assert!(seconds < USUAL || injected.len() == Fault::ALL.len(), "not every fault happened: {injected:?}");
    let [right, short, unable] = [tally.right, tally.short, tally.unable].map(AtomicUsize::into_inner);
    assert!(right > 0, "nothing was served");
    eprintln!("{injected:?}: {right} right, {short} cut short, {unable} unable, 0 wrong bytes");
}
