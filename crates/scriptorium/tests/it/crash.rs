//! Killed at any instant and started again on what is left: what a client was given is still there, what was
//! half done is gone, and no byte is wrong.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Sender};
use std::thread;
use std::time::{Duration, Instant};

use fastrand::Rng;

use crate::support::tarball::Entry;
use crate::support::{
    Client, Conversation, Proxy, Release, Reply, Seed, Setup, Truth, Upstream, Verdict, eventually, noise,
    setting,
};

/// How many proxies are killed side by side.
const WORLDS: u64 = 4;
const CLIENTS: usize = 3;
/// The longest life of a loaded proxy.
const LIFE: Duration = Duration::from_millis(60);
/// Every so many rounds the upstream is gone when the proxy comes back.
const OUTAGE: u64 = 3;
/// More answers than one life has.
const MANY: usize = usize::MAX;

/// A proxy before a registry that always tells the truth, and what it has told.
struct World {
    upstream: Upstream,
    proxy: Proxy,
    truth: Truth,
    /// Where each archive is served, by the name of its file.
    archives: HashMap<String, String>,
    chance: Rng,
}

impl World {
    fn new(chance: Rng, change: impl FnOnce(Setup) -> Setup) -> Self {
        let upstream = Upstream::start();
        let proxy = change(Setup::before(&upstream)).start();
        Self { upstream, proxy, truth: Truth::default(), archives: HashMap::new(), chance }
    }

    /// A release of a new volume or of one that clients know already; half have their entries out of order.
    fn compose(&mut self) -> Release {
        let (count, chance) = (self.archives.len(), &mut self.chance);
        let scope = if count.is_multiple_of(2) { "" } else { "@acme/" };
        let release = Release::new(&format!("{scope}lamp-{}", count / 6), &format!("1.{count}.0"));
        let longest = match chance.u8(..10) {
            0 => 2 << 20,
            1 | 2 => 300 << 10,
            _ => 30 << 10,
        };
        let content = noise(chance.u64(..), chance.usize(1000..longest));
        let path = ["data.bin", "volumes.bin"][chance.usize(..2)];
        release.adding(Entry::file(path, content))
    }

    fn publish(&mut self) {
        let release = self.compose();
        self.archives.insert(digits(&release), release.download());
        self.truth.publish(&self.upstream, &release);
    }

    /// Kills the proxy under load: at a random instant, or just when a client was given something cold.
    fn kill(&mut self) {
        let Self { proxy, truth, chance, .. } = self;
        let (client, dying) = (proxy.client(), AtomicBool::new(false));
        let (tell, told) = mpsc::channel();
        let (life, last) =
            (LIFE.mul_f64(chance.f64()), if chance.bool() { chance.usize(1..9) } else { MANY });
        thread::scope(|scope| {
            for _ in 0..CLIENTS {
                let (truth, dying, chance, tell) = (&*truth, &dying, chance.fork(), tell.clone());
                scope.spawn(move || ask_until_it_dies(truth, client, dying, chance, &tell));
            }
            let end = Instant::now() + life;
            let is_alive = |_: &usize| told.recv_timeout(end - Instant::now().min(end)).is_ok();
            (0..last).take_while(is_alive).for_each(drop);
            dying.store(true, Ordering::SeqCst);
            proxy.crash();
        });
    }

    /// Asserts that everything that is published is served, and what lies on the disk without being fetched.
    fn check(&self) {
        let stored = self.stored();
        for target in self.truth.targets() {
            self.check_one(&target, stored.contains(&target.as_str()));
        }
        self.check_disk();
    }

    /// Asserts that what clients were given, and every archive on the disk, is served without the upstream.
    fn check_alone(&self) {
        let stored = self.stored();
        for target in self.truth.given() {
            self.check_one(&target, true);
        }
        stored.iter().for_each(|target| self.check_one(target, true));
        self.check_disk();
    }

    fn check_one(&self, target: &str, is_stored: bool) {
        let verdict = self.truth.ask(self.proxy.client(), target).unwrap();
        let Verdict::Right { hit } = verdict else { panic!("{target} after a kill: {verdict:?}") };
        let may_ask = !is_stored || !target.starts_with("/archives/");
        assert!(hit || may_ask, "{target} lay on the disk and was fetched");
    }

    /// Nothing half written is anywhere but among what is staged.
    fn check_disk(&self) {
        self.stored();
        let aside = self.proxy.files("quarantine");
        assert!(aside.is_empty(), "something half written was found and set aside: {aside:?}");
    }

    /// Where the archives on the disk are served.
    fn stored(&self) -> Vec<&str> {
        let known = |file: &Path| {
            let found = self.archives.get(file.file_name().unwrap().to_str().unwrap());
            found.unwrap_or_else(|| panic!("{} is no archive", file.display())).as_str()
        };
        self.proxy.files("archives").iter().map(|file| known(file)).collect()
    }

    /// Kills the proxy in the middle of a download, lets two hours pass, and asserts that nothing is staged.
    fn check_sweep(&mut self) {
        let release = Release::new("heavy", "1.0.0").adding(Entry::file("data.bin", noise(1, 1 << 20)));
        self.upstream.publish(&release);
        let (reply, hold) = Reply::archive(release.archive()).pausing_after(1 << 19);
        self.upstream.reply(&release.source(), reply);
        let mut client = Conversation::open(self.proxy.client().0).unwrap();
        client.ask("GET", &release.download(), &[]).unwrap();
        let is_staged = |proxy: &Proxy| !proxy.files("staging").is_empty();
        // Documents are staged, too, and only for a moment.
        let is_large = |file: &PathBuf| file.metadata().is_ok_and(|file| file.len() > 1 << 17);
        eventually("half an archive", || self.proxy.files("staging").iter().any(is_large).then_some(()));
        self.proxy.crash();
        hold.release();
        assert!(is_staged(&self.proxy), "nothing was staged, so nothing is proved");
        self.proxy.revive();
        eventually("nothing staged", || (!is_staged(&self.proxy)).then_some(()));
        assert_eq!(self.proxy.client().get(&release.download()).ok().body, release.archive());
    }
}

/// The digits of a release's integrity, which its file is called by.
fn digits(release: &Release) -> String {
    release.integrity().replace("sha256:", "")
}

/// Asks for what is cold and what is warm; nothing but the kill is a reason not to answer.
fn ask_until_it_dies(truth: &Truth, client: Client, dying: &AtomicBool, mut chance: Rng, told: &Sender<()>) {
    let targets = truth.targets();
    let cold = targets.len().saturating_sub(8);
    loop {
        let first = if chance.bool() { cold } else { 0 };
        let target = &targets[chance.usize(first..targets.len())];
        let asked = truth.ask_any(client, target, &mut chance);
        let was_killed = dying.load(Ordering::SeqCst);
        match asked {
            Ok(Verdict::Right { hit: true }) => {}
            Ok(Verdict::Right { hit: false }) => drop(told.send(())),
            Ok(verdict) => assert!(was_killed, "{target}: {verdict:?}"),
            Err(error) => return assert!(was_killed, "{target}: {error}"),
        }
    }
}

/// A proxy's lives, one after the other, and how many times it was killed.
fn live(number: u64, chance: Rng, kills: u64) -> (World, u64) {
    let mut world = World::new(chance, |setup| {
        let setup = if number.is_multiple_of(2) { setup } else { setup.short_lived() };
        setup.set("storage.durability", if number < 2 { "commit" } else { "relaxed" })
    });
    let mut killed = 0;
    for round in 1.. {
        if killed >= kills {
            break;
        }
        (0..world.chance.u8(1..3)).for_each(|_| world.publish());
        world.kill();
        killed += 1;
        if round % OUTAGE == 0 {
            world.upstream.down();
            world.proxy.revive();
            world.check_alone();
            world.proxy.crash();
            killed += 1;
            world.upstream.up();
        }
        world.proxy.revive();
        world.check();
    }
    world.check_sweep();
    (world, killed)
}

#[test]
fn a_kill_at_any_instant_costs_no_byte() {
    let seed = Seed::from("SCRIPTORIUM_CRASH_SEED");
    let kills = setting("SCRIPTORIUM_CRASH_KILLS", 200_u64).div_ceil(WORLDS);
    let worlds: Vec<_> = thread::scope(|scope| {
        let chances = (0..WORLDS).map(|number| (number, seed.choices(number)));
        let lives = chances.map(|(number, chance)| scope.spawn(move || live(number, chance, kills)));
        let lives: Vec<_> = lives.collect();
        lives.into_iter().map(|life| life.join().unwrap()).collect()
    });
    let killed: u64 = worlds.iter().map(|(_, killed)| killed).sum();
    let answers: usize = worlds.iter().map(|(world, _)| world.truth.answers()).sum();
    let drafts: usize = worlds.iter().map(|(world, _)| drafts(&world.proxy)).sum();
    eprintln!("{killed} kills, {answers} answers, 0 wrong bytes");
    assert_eq!(drafts, 0, "unfinished documents or pins were left beside their places");
}

/// Unfinished documents and pins beside their places, which nobody ever reads.
fn drafts(proxy: &Proxy) -> usize {
    proxy.files("").iter().filter(|file| file.to_string_lossy().contains('#')).count()
}
