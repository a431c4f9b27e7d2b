//! Everything goes wrong at once, for a while: files rot, the registry fails in every way, the process is
//! killed. No client sees a wrong byte meanwhile, and afterwards everything is served again.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
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
const CLIENTS: u64 = 4;
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
    const OF_THE_DISK: [Self; 4] = [Self::Flip, Self::Truncate, Self::Delete, Self::Swap];
    const OTHERS: [Self; 6] =
        [Self::Down, Self::Failing, Self::Slow, Self::Cutting, Self::Kill, Self::Reload];
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

    /// What came of a question, and whether the proxy was dead or died meanwhile: else there is an answer.
    fn through<T>(&self, ask: impl FnOnce(Client) -> io::Result<T>) -> (Option<T>, bool) {
        let before = self.turns.load(Ordering::SeqCst);
        let client = *self.client();
        let asked = ask(client);
        let died = before % 2 == 1 || before != self.turns.load(Ordering::SeqCst);
        let answer = asked.map_err(|error| assert!(died, "no answer, though nothing was killed: {error}"));
        (answer.ok(), died)
    }
}

/// What clients ask, of whom, and for how long.
struct Course {
    upstream: Upstream,
    truth: Truth,
    door: Door,
    end: Instant,
    tally: Tally,
    /// Whether what clients were given once must still be there.
    is_disk_sound: bool,
}

/// How often clients were answered, and how.
#[derive(Default)]
struct Tally {
    right: AtomicUsize,
    short: AtomicUsize,
    unable: AtomicUsize,
}

impl Course {
    fn ask_to_its_end(&self, mut chance: Rng) {
        while Instant::now() < self.end {
            let targets = self.truth.targets();
            let first = if chance.bool() { targets.len().saturating_sub(12) } else { 0 };
            let target = &targets[chance.usize(first..targets.len())];
            let must_be_kept = self.is_disk_sound && self.truth.is_given(target);
            let (asked, died) = self.door.through(|client| self.truth.ask_any(client, target, &mut chance));
            let count = match asked {
                Some(Verdict::Right { .. }) => &self.tally.right,
                Some(Verdict::Short) => {
                    assert!(died || !self.is_disk_sound, "{target} was cut short for no reason");
                    &self.tally.short
                }
                Some(Verdict::Unable(why)) => {
                    assert!(!must_be_kept, "{target} was given once, and now: {why}");
                    &self.tally.unable
                }
                None => continue,
            };
            count.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// Who injects the faults.
struct Driver<'a> {
    course: &'a Course,
    proxy: &'a mut Proxy,
    chance: Rng,
    published: usize,
    /// Places of which one was swapped with another. A second swap could bring back what was right before: no proxy can tell.
    swapped: BTreeSet<PathBuf>,
    injected: BTreeMap<Fault, usize>,
}

impl Driver<'_> {
    fn publish(&mut self) {
        let (number, chance) = (self.published, &mut self.chance);
        let release = Release::new(&format!("@acme/lamp-{}", number / 5), &format!("1.{number}.0"));
        // The first MiB is read before an answer begins: only what is longer can be cut short.
        let longest = if number.is_multiple_of(4) { 4 << 20 } else { 40 << 10 };
        let content = noise(chance.u64(..), chance.usize(1000..longest));
        self.course.truth.publish(&self.course.upstream, &release.adding(Entry::file("data.bin", content)));
        self.published += 1;
    }

    /// Every kind once, in any order, while there is time.
    fn pass(&mut self, mut kinds: Vec<Fault>) {
        self.chance.shuffle(&mut kinds);
        for fault in kinds.into_iter().take_while(|_| Instant::now() < self.course.end) {
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
                self.course.upstream.down();
                Ok(())
            }
            Fault::Failing => self.spoil(|_| Reply::failure(500)),
            Fault::Slow => self.spoil(|reply| reply.slowed_by(Duration::from_millis(20))),
            Fault::Cutting => self.spoil(Reply::halved),
            Fault::Kill => {
                self.course.door.turn();
                self.proxy.crash();
                self.proxy.revive();
                *self.course.door.client() = self.proxy.client();
                self.course.door.turn();
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
        self.course.upstream.spoil(Some(how));
        Ok(())
    }

    fn mend(&self) {
        self.course.upstream.spoil(None);
        self.course.upstream.down();
        self.course.upstream.up();
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
        if [one, other].iter().any(|place| self.swapped.contains(*place)) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        self.swapped.extend([one.clone(), other.clone()]);
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

/// Lets these faults happen for a while; afterwards nothing may be missing.
fn soak(faults: &[Fault], is_disk_sound: bool) {
    let seed = Seed::from("SCRIPTORIUM_SOAK_SEED");
    let seconds = setting("SCRIPTORIUM_SOAK_SECONDS", USUAL);
    let upstream = Upstream::start();
    let mut proxy = any_setup(&upstream, &mut seed.choices(u64::MAX)).start();
    let door = Door { client: proxy.client().into(), turns: AtomicUsize::new(0) };
    let end = Instant::now() + Duration::from_secs(seconds);
    let (truth, tally) = (Truth::default(), Tally::default());
    let course = Course { upstream, truth, door, end, tally, is_disk_sound };
    let (chance, injected) = (seed.choices(0), BTreeMap::new());
    let mut driver = Driver {
        course: &course,
        proxy: &mut proxy,
        chance,
        published: 0,
        swapped: BTreeSet::new(),
        injected,
    };
    (0..4).for_each(|_| driver.publish());
    thread::scope(|scope| {
        for number in 1..=CLIENTS {
            let (course, chance) = (&course, seed.choices(number));
            scope.spawn(move || course.ask_to_its_end(chance));
        }
        while Instant::now() < end {
            driver.pass(faults.to_vec());
        }
    });
    driver.mend();
    let injected = driver.injected;
    for target in course.truth.targets() {
        within(Duration::from_secs(90), &format!("{target}, whole and right again"), || {
            course.truth.ask(proxy.client(), &target).unwrap().is_right().then_some(())
        });
    }
    assert!(seconds < USUAL || injected.len() == faults.len(), "not every fault happened: {injected:?}");
    let Tally { right, short, unable } = course.tally;
    let [right, short, unable] = [right, short, unable].map(AtomicUsize::into_inner);
    assert!(right > 0, "nothing was served");
    eprintln!("{injected:?}: {right} right, {short} cut short, {unable} unable, 0 wrong bytes");
}

#[test]
fn whatever_breaks_no_byte_is_wrong_and_everything_mends() {
    soak(&[&Fault::OF_THE_DISK[..], &Fault::OTHERS].concat(), false);
}

#[test]
fn on_a_sound_disk_what_was_given_is_given_again_whatever_breaks() {
    soak(&Fault::OTHERS, true);
}
