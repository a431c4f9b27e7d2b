//! One registry's trouble is its own: what is slow, hangs or was left there costs those who ask others nothing, nor
//! those who ask for what is held. At most so much of this proxy is any one registry's.

use std::net::IpAddr;
use std::time::Duration;

use crate::support::tarball::Entry;
use crate::support::{Answer, Conversation, Proxy, Release, Reply, Setup, Upstream, eventually, noise};

/// Files of one registry that are brought in at once for one client.
const OF_A_CLIENT: usize = 8;

fn slow(number: usize) -> Release {
    let content = noise(number as u64, 8 << 20);
    Release::new(&format!("@slow/v-{number}"), "1.0.0").adding(Entry::file("data.bin", content))
}

fn quick(number: usize) -> Release {
    Release::new(&format!("quick-{number}"), "1.0.0")
}

/// A registry whose archives need two minutes, one that is quick, and a proxy before both.
struct Ground {
    slow: Upstream,
    quick: Upstream,
    proxy: Proxy,
}

impl Ground {
    fn new(change: impl FnOnce(Setup) -> Setup) -> Self {
        let (slow, quick) = (Upstream::start(), Upstream::start());
        let setup = Setup::before(&slow)
            .set("upstream.name", "slow")
            .set("upstream.volumes", vec!["@slow/*"])
            .set("upstream.read_timeout", "5s");
        let setup = change(setup).upstream("quick", &quick.url()).set("upstream.retries", 0);
        Self { proxy: setup.start(), slow, quick }
    }

    /// Offers so many releases whose archives come a piece a second.
    fn trickling(&self, many: usize) -> Vec<Release> {
        let offer = |number| {
            let release = slow(number);
            self.slow.publish(&release);
            let trickle = Reply::archive(release.archive()).slowed_by(Duration::from_secs(1));
            self.slow.reply(&release.source(), trickle);
            release
        };
        (0..many).map(offer).collect()
    }

    /// Asks for the archive, from one of this machine's addresses, and reads nothing yet.
    fn ask(&self, from: &str, release: &Release) -> Conversation {
        ask(&self.proxy, from, &release.download())
    }

    /// Waits until the slow registry was asked for exactly so many of the archives.
    fn until_asked_for(&self, many: usize, releases: &[Release]) {
        let asked = || releases.iter().filter(|release| self.slow.requests(&release.source()) > 0).count();
        eventually("the archives asked for", || (asked() >= many).then_some(()));
        assert_eq!(asked(), many);
    }

    fn metric(&self, line: &str) -> bool {
        self.proxy.admin().get("/metrics").ok().text().lines().any(|held| held == line)
    }
}

fn ask(proxy: &Proxy, from: &str, target: &str) -> Conversation {
    let from: IpAddr = from.parse().unwrap();
    let mut conversation = Conversation::open_from(from, proxy.client().0).unwrap();
    conversation.ask("GET", target, &[]).unwrap();
    conversation
}

/// Asserts a 503 that says when to come again.
#[track_caller]
fn told_to_wait(answer: &Answer) -> String {
    let problem = answer.problem(503, "about:blank");
    let wait: u64 = answer.header("retry-after").expect("Retry-After").parse().unwrap();
    assert!((1..=60).contains(&wait), "{wait}");
    problem["detail"].as_str().unwrap().to_owned()
}

#[test]
fn slow_archives_of_one_registry_leave_those_of_another_alone() {
    let ground = Ground::new(|setup| setup);
    let releases = ground.trickling(20);
    let warm = quick(0);
    ground.quick.publish(&warm);
    ground.proxy.client().get(&warm.download()).ok();
    let _waiting: Vec<_> = releases.iter().map(|release| ground.ask("127.0.0.1", release)).collect();
    ground.until_asked_for(OF_A_CLIENT, &releases);
    for number in 1..4 {
        let cold = quick(number);
        ground.quick.publish(&cold);
        assert_eq!(ground.proxy.client().get(&cold.download()).ok().body, cold.archive());
        assert!(ground.proxy.client().get(&warm.download()).ok().is_hit());
    }
    assert_eq!(ground.proxy.client().get(&slow(3).exact()).ok().json()["version"], "1.0.0");
}

#[test]
fn who_waits_for_a_turn_is_told_to_come_again() {
    let ground = Ground::new(|setup| setup);
    let releases = ground.trickling(OF_A_CLIENT + 1);
    let (last, first) = releases.split_last().unwrap();
    let _waiting: Vec<_> = first.iter().map(|release| ground.ask("127.0.0.1", release)).collect();
    ground.until_asked_for(OF_A_CLIENT, &releases);
    let mut late = [(); 3].map(|()| ground.ask("127.0.0.1", last));
    for late in &mut late {
        let detail = told_to_wait(&late.answer().unwrap());
        assert!(detail.contains("slow"), "{detail}");
    }
    assert_eq!(ground.slow.requests(&last.source()), 0);
    assert!(ground.metric("scriptorium_fetches{state=\"under-way\",upstream=\"slow\"} 8"));
    assert!(ground.metric("scriptorium_fetches_ended_early_total{upstream=\"slow\",why=\"no-turn\"} 1"));
}

#[test]
fn what_nobody_waits_for_any_more_makes_room_for_what_somebody_does() {
    let ground = Ground::new(|setup| setup);
    let releases = ground.trickling(OF_A_CLIENT);
    let left: Vec<_> = releases.iter().map(|release| ground.ask("127.0.0.1", release)).collect();
    ground.until_asked_for(OF_A_CLIENT, &releases);
    let staged = || ground.proxy.files("staging").len();
    eventually("all of them staged", || (staged() == OF_A_CLIENT).then_some(()));
    left.into_iter().for_each(Conversation::hang_up);
    let wanted = Release::new("@slow/wanted", "1.0.0");
    ground.slow.publish(&wanted);
    assert_eq!(ground.proxy.client().get(&wanted.download()).ok().body, wanted.archive());
    // One made room, and the others go on since they disturb nobody.
    eventually("what was staged of it to be gone", || (staged() == OF_A_CLIENT - 1).then_some(()));
    assert!(ground.metric("scriptorium_fetches{state=\"under-way\",upstream=\"slow\"} 7"));
    assert!(ground.metric("scriptorium_fetches_ended_early_total{upstream=\"slow\",why=\"left\"} 1"));
}

#[test]
fn who_comes_back_finds_what_he_left_or_another_fetch_of_it() {
    let ground = Ground::new(|setup| setup);
    let releases = ground.trickling(OF_A_CLIENT + 1);
    let (last, first) = releases.split_last().unwrap();
    let mut waiting: Vec<_> = first.iter().map(|release| ground.ask("127.0.0.1", release)).collect();
    ground.until_asked_for(OF_A_CLIENT, &releases);
    waiting.remove(0).hang_up();
    // Nobody is in need of its turn: who comes back joins it.
    waiting.push(ground.ask("127.0.0.1", &first[0]));
    let mut late = ground.ask("127.0.0.1", last);
    told_to_wait(&late.answer().unwrap());
    assert_eq!(ground.slow.requests(&first[0].source()), 1);
    // Once its turn was given away, what is asked for is a new fetch like any other.
    waiting.pop().unwrap().hang_up();
    let _late = ground.ask("127.0.0.1", last);
    eventually("the turn that was given up", || (ground.slow.requests(&last.source()) == 1).then_some(()));
    told_to_wait(&ground.ask("127.0.0.1", &first[0]).answer().unwrap());
}

#[test]
fn one_client_leaves_turns_of_a_registry_to_others() {
    let ground = Ground::new(|setup| setup);
    let releases = ground.trickling(2 * OF_A_CLIENT);
    let _waiting: Vec<_> = releases.iter().map(|release| ground.ask("127.0.0.1", release)).collect();
    ground.until_asked_for(OF_A_CLIENT, &releases);
    let wanted = Release::new("@slow/wanted", "1.0.0");
    ground.slow.publish(&wanted);
    let mut other = ground.ask("127.0.0.2", &wanted);
    assert_eq!(other.answer().unwrap().ok().body, wanted.archive());
}

#[test]
fn who_waits_for_a_slow_archive_holds_no_place_that_warm_ones_need() {
    let ground = Ground::new(|setup| setup.set("limits.max_downloads", 1));
    let releases = ground.trickling(3);
    let warm = quick(0).adding(Entry::file("data.bin", noise(7, 4 << 20)));
    ground.quick.publish(&warm);
    ground.proxy.client().get(&warm.download()).ok();
    let _waiting: Vec<_> = releases.iter().map(|release| ground.ask("127.0.0.1", release)).collect();
    ground.until_asked_for(3, &releases);
    for _ in 0..5 {
        let client = ground.proxy.client();
        // The place of the last one is free once its last byte is taken.
        eventually("a warm archive", || (client.get(&warm.download()).status == 200).then_some(()));
    }
}

#[test]
fn hanging_documents_of_one_registry_leave_places_for_all_others() {
    const PLACES: usize = 40;
    let ground = Ground::new(|setup| {
        let setup = setup.set("limits.max_requests", PLACES as i64);
        setup.set("upstream.max_concurrent", 100).set("upstream.read_timeout", "60s")
    });
    let warm = quick(0);
    ground.quick.publish(&warm);
    ground.proxy.client().get(&warm.index()).ok();
    let indexes: Vec<_> = (0..PLACES).map(slow_index).collect();
    let _holds: Vec<_> = indexes.iter().map(|index| ground.slow.hold(index)).collect();
    let mut waiting = Vec::new();
    let mut refused = 0;
    for index in &indexes {
        let mut conversation = ask(&ground.proxy, "127.0.0.1", index);
        let asked = eventually("it asked or refused", || {
            let asked = ground.slow.requests(index) > 0;
            (asked || waiting.len() == PLACES / 2).then_some(asked)
        });
        if asked {
            waiting.push(conversation);
        } else {
            told_to_wait(&conversation.answer().unwrap());
            refused += 1;
        }
        assert!(ground.proxy.client().get(&warm.index()).ok().is_hit());
    }
    assert_eq!((waiting.len(), refused), (PLACES / 2, PLACES / 2));
    let cold = quick(1);
    ground.quick.publish(&cold);
    ground.proxy.client().get(&cold.download()).ok();
}

fn slow_index(number: usize) -> String {
    Release::new(&format!("@slow/v-{number}"), "1.0.0").index()
}
