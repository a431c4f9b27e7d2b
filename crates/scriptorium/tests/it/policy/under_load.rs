//! Rules that are exchanged while clients read: each answer obeys the rules that were in force while it was made.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use crate::support::{Answer, Client, Release, Setup, Upstream, hex_digest};

/// Volumes; each is asked for the first time while rules change, and again and again afterwards.
const VOLUMES: usize = 700;
const CLIENTS: usize = 6;
const RELOADS: usize = 24;
/// The least that has to be checked between two reloads before the next one.
const BETWEEN: usize = 40;

/// What the two policies say of a volume.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    FirstDenies,
    SecondDenies,
    /// By what the manifest says.
    FirstDeniesPublisher,
    SecondDeniesPublisher,
    BothDeny,
    NeitherDenies,
}

const KINDS: [Kind; 6] = [
    Kind::FirstDenies,
    Kind::SecondDenies,
    Kind::FirstDeniesPublisher,
    Kind::SecondDeniesPublisher,
    Kind::BothDeny,
    Kind::NeitherDenies,
];

impl Kind {
    fn of(number: usize) -> Self {
        KINDS[number % KINDS.len()]
    }

    /// Whether policy 0 or 1 allows it.
    fn is_allowed(self, policy: usize) -> bool {
        match self {
            Self::FirstDenies | Self::FirstDeniesPublisher => policy == 1,
            Self::SecondDenies | Self::SecondDeniesPublisher => policy == 0,
            Self::BothDeny => false,
            Self::NeitherDenies => true,
        }
    }

    /// Whether that is known before an archive was verified.
    fn is_known_at_once(self) -> bool {
        !matches!(self, Self::FirstDeniesPublisher | Self::SecondDeniesPublisher)
    }
}

fn release(number: usize) -> Release {
    let name = format!("kind-{}-{number}", number % KINDS.len());
    let manifest = crate::support::catalogue::manifest(&name, "1.0.0");
    let publisher = format!("kind-{}", number % KINDS.len());
    Release::new(&name, "1.0.0").manifest(&manifest.replace("\"acme\"", &format!("\"{publisher}\"")))
}

fn rules(policy: usize) -> String {
    let allowed: Vec<String> = (0..KINDS.len())
        .filter(|kind| KINDS[*kind].is_known_at_once() || KINDS[*kind].is_allowed(policy))
        .map(|kind| format!("\"kind-{kind}\""))
        .collect();
    let denied: Vec<String> = (0..KINDS.len())
        .filter(|kind| KINDS[*kind].is_known_at_once() && !KINDS[*kind].is_allowed(policy))
        .map(|kind| format!("\"kind-{kind}-*\""))
        .collect();
    format!(
        "[[policy.rules]]\nid = \"names\"\naction = \"deny\"\nmatch = {{ volumes = [{}] }}\n\
         [[policy.rules]]\nid = \"publishers\"\naction = \"hold\"\nmatch = {{ publishers_not_in = [{}] }}\n",
        denied.join(", "),
        allowed.join(", ")
    )
}

/// How a client asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Row,
    Exact,
    Archive,
    Range,
    Validated,
}

const WAYS: [Way; 5] = [Way::Row, Way::Exact, Way::Archive, Way::Range, Way::Validated];

impl Way {
    fn ask(self, client: Client, release: &Release) -> Answer {
        match self {
            Self::Row => client.get(&release.index()),
            Self::Exact => client.get(&release.exact()),
            Self::Archive => client.get(&release.download()),
            Self::Range => client.get_with(&release.download(), "range", "bytes=0-99"),
            Self::Validated => {
                let tag = format!("\"{}\"", hex_digest(&release.archive()));
                client.get_with(&release.download(), "if-none-match", &tag)
            }
        }
    }

    /// Whether the release was let through.
    fn lets_through(self, release: &Release, answer: &Answer) -> bool {
        let is_whole = || answer.body == release.archive();
        match (self, answer.status) {
            (Self::Row, 200) => {
                let status = answer.json()["items"][0]["status"].clone();
                assert!(["available", "blocked"].contains(&status["state"].as_str().unwrap()), "{status}");
                status["state"] == "available"
            }
            (Self::Exact, 200) => answer.json()["status"]["state"] == "available",
            (Self::Archive, 200) => is_whole(),
            (Self::Range, 206) => answer.body == release.archive()[..100],
            (Self::Validated, 304) => true,
            (_, 403) => {
                assert!(["names", "publishers"].contains(&answer.json()["policy"].as_str().unwrap()));
                false
            }
            (_, status) => panic!("{self:?} of {} answered {status}: {}", release.name, answer.text()),
        }
    }
}

/// The state of the exchange: twice the reloads that were answered, and one more while one is under way.
struct Exchange {
    moment: AtomicUsize,
    is_over: AtomicBool,
    /// The next volume that nobody asked for.
    next: AtomicUsize,
    checked: AtomicUsize,
    /// By kind: how often it was let through and refused.
    outcomes: [[AtomicUsize; 2]; KINDS.len()],
}

impl Exchange {
    fn check(&self, client: Client, way: Way, number: usize) {
        let (release, kind) = (release(number), Kind::of(number));
        let before = self.moment.load(Ordering::SeqCst);
        let answer = way.ask(client, &release);
        let after = self.moment.load(Ordering::SeqCst);
        let is_let = way.lets_through(&release, &answer);
        // What the manifest says is not known to a row or exact metadata before an archive was verified.
        if !kind.is_known_at_once() && matches!(way, Way::Row | Way::Exact) {
            return;
        }
        // Every policy that was in force, or was being put in force, between question and answer.
        let mut policies = (before / 2..=after.div_ceil(2)).map(|reload| reload % 2);
        assert!(
            policies.any(|policy| kind.is_allowed(policy) == is_let),
            "{way:?} of {} at {before} to {after}: let through is {is_let}",
            release.name
        );
        self.outcomes[number % KINDS.len()][usize::from(is_let)].fetch_add(1, Ordering::SeqCst);
        self.checked.fetch_add(1, Ordering::SeqCst);
    }

    fn read(&self, client: Client, seed: usize) {
        let mut turn = seed;
        while !self.is_over.load(Ordering::SeqCst) {
            turn = turn.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let (way, draw) = (WAYS[(turn >> 33) % WAYS.len()], turn >> 40);
            let asked = self.next.load(Ordering::SeqCst);
            let is_new = draw.is_multiple_of(4) && asked < VOLUMES;
            let number = if is_new { self.next.fetch_add(1, Ordering::SeqCst) } else { draw % asked.max(1) };
            self.check(client, way, number % VOLUMES);
        }
    }
}

#[test]
fn every_answer_obeys_the_rules_of_its_time() {
    let upstream = Upstream::start();
    upstream.forget_requests();
    (0..VOLUMES).for_each(|number| upstream.publish(&release(number)));
    let proxy = Setup::before(&upstream).policy("enforce", &rules(0)).start();
    let exchange = Exchange {
        moment: AtomicUsize::new(0),
        is_over: AtomicBool::new(false),
        next: AtomicUsize::new(0),
        checked: AtomicUsize::new(0),
        outcomes: Default::default(),
    };
    thread::scope(|scope| {
        for seed in 0..CLIENTS {
            let (exchange, client) = (&exchange, proxy.client());
            scope.spawn(move || {
                // A client that fails ends the test and not the others' patience.
                let over = Over(&exchange.is_over);
                exchange.read(client, seed + 1);
                drop(over);
            });
        }
        let over = Over(&exchange.is_over);
        for reload in 1..=RELOADS {
            let enough = reload * BETWEEN;
            while exchange.checked.load(Ordering::SeqCst) < enough && !exchange.is_over.load(Ordering::SeqCst)
            {
                thread::yield_now();
            }
            proxy.reconfigure(|setup| setup.policy("enforce", &rules(reload % 2)));
            exchange.moment.fetch_add(1, Ordering::SeqCst);
            proxy.reload().ok();
            exchange.moment.fetch_add(1, Ordering::SeqCst);
        }
        while exchange.checked.load(Ordering::SeqCst) < (RELOADS + 1) * BETWEEN
            && !exchange.is_over.load(Ordering::SeqCst)
        {
            thread::yield_now();
        }
        drop(over);
    });
    for (kind, [refused, let_through]) in KINDS.iter().zip(&exchange.outcomes) {
        let [refused, let_through] = [refused, let_through].map(|count| count.load(Ordering::SeqCst) > 0);
        assert_eq!(refused, *kind != Kind::NeitherDenies, "{kind:?}");
        assert_eq!(let_through, *kind != Kind::BothDeny, "{kind:?}");
    }
    // Whatever was asked for meanwhile obeys the last policy.
    for number in 0..exchange.next.load(Ordering::SeqCst).min(VOLUMES) {
        for way in [Way::Archive, Way::Exact, Way::Row] {
            let answer = way.ask(proxy.client(), &release(number));
            let is_let = way.lets_through(&release(number), &answer);
            assert_eq!(is_let, Kind::of(number).is_allowed(RELOADS % 2), "{way:?} of {number}");
        }
    }
}

/// Ends the reading of all when it is dropped.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}
