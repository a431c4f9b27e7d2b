//! A file that comes late: what is known of its release by then decides whether a byte of it leaves, and no registry is
//! asked for that while nothing changed.

use std::fs;

use serde_json::json;

use crate::support::catalogue::Artifact;
use crate::support::divergence::{refusal, replaced};
use crate::support::{Answer, Conversation, Proxy, Release, Reply, Setup, Upstream, each, eventually};

fn lamp() -> Release {
    Release::new("@acme/lamp", "1.0.0")
}

fn artifact() -> Artifact {
    Artifact::new("one", "text/plain", "an attachment")
}

/// What a registry says of the release while its archive is awaited, and what the release's documents and its archive
/// answer from then on.
#[derive(Clone, Copy, Debug)]
enum Turn {
    Nothing,
    Refused(u16),
    Withdrawn(&'static str, u16),
    OtherBytes,
}

const TURNS: [Turn; 6] = [
    Turn::Nothing,
    Turn::Refused(403),
    Turn::Refused(404),
    Turn::Withdrawn("blocked", 403),
    Turn::Withdrawn("tombstoned", 404),
    Turn::OtherBytes,
];

impl Turn {
    /// Tells it, and gives the status of the archive.
    fn tell(self, upstream: &Upstream, dress: fn(Reply) -> Reply) -> u16 {
        let base = upstream.url();
        let (told, status) = match self {
            Self::Nothing => (lamp(), 200),
            Self::Refused(status) => {
                let state = if status == 403 { "blocked" } else { "tombstoned" };
                let row = lamp().state(state, "a reason").row(&base);
                upstream.say(&lamp(), [row], dress(refusal(status)));
                return status;
            }
            Self::Withdrawn(state, status) => (lamp().state(state, "a reason"), status),
            Self::OtherBytes => (replaced(&lamp()), 409),
        };
        upstream.say(&lamp(), [told.row(&base)], dress(Reply::json(&told.metadata(&base))));
        status
    }
}

fn plain(reply: Reply) -> Reply {
    reply
}

fn no_store(reply: Reply) -> Reply {
    reply.with("cache-control", "no-store")
}

/// The answer about `file` to a client that waits for it at `source`, while `meanwhile` happens.
fn awaited(upstream: &Upstream, proxy: &Proxy, file: &str, source: &str, meanwhile: impl FnOnce()) -> Answer {
    let (hold, before) = (upstream.hold(source), upstream.requests(source));
    let mut waiting = Conversation::open(proxy.client().0).unwrap();
    waiting.ask("GET", file, &[]).unwrap();
    eventually("the download", || (upstream.requests(source) > before).then_some(()));
    meanwhile();
    hold.release();
    waiting.answer().unwrap()
}

fn invalidate(proxy: &Proxy) {
    proxy.invalidate(&json!({ "volume": lamp().name })).ok();
}

#[test]
fn an_archive_that_was_awaited_obeys_what_its_release_says_by_then() {
    for dress in [plain, no_store] {
        each(TURNS, |turn| {
            let upstream = Upstream::start();
            upstream.publish(&lamp());
            Turn::Nothing.tell(&upstream, dress);
            let proxy = Setup::before(&upstream).start();
            let late = awaited(&upstream, &proxy, &lamp().download(), &lamp().source(), || {
                let status = turn.tell(&upstream, dress);
                invalidate(&proxy);
                let known = proxy.client().get(&lamp().exact());
                // Exact metadata may say that a release is withdrawn; its archive may not be sent then.
                let is_told = known.status == status || matches!(turn, Turn::Withdrawn(..));
                assert!(is_told, "{turn:?}: {} {}", known.status, known.text());
            });
            let now = proxy.client().get(&lamp().download());
            assert_eq!(late.status, now.status, "{turn:?}: {}", late.text());
            match turn {
                Turn::Nothing => assert_eq!(late.ok().body, lamp().archive()),
                _ => assert!(late.problem(now.status, slug(now.status)).is_object()),
            }
        });
    }
}

fn slug(status: u16) -> &'static str {
    match status {
        403 => "authorization-failed",
        404 => "not-found",
        _ => "inconsistent-registry-state",
    }
}

#[test]
fn nobody_is_asked_about_an_archive_that_was_awaited_while_nothing_changed() {
    for dress in [plain, no_store] {
        let upstream = Upstream::start();
        upstream.publish(&lamp());
        Turn::Nothing.tell(&upstream, dress);
        let proxy = Setup::before(&upstream).start();
        let questions = || [lamp().exact(), lamp().index()].map(|target| upstream.requests(&target));
        let mut asked = [0; 2];
        let late = awaited(&upstream, &proxy, &lamp().download(), &lamp().source(), || {
            asked = questions();
            // Nobody was told anything else by the end.
            invalidate(&proxy);
        });
        assert_eq!(late.ok().body, lamp().archive());
        assert_eq!(questions(), asked);
    }
}

#[test]
fn an_archive_that_was_mended_obeys_what_its_release_says_by_then() {
    let upstream = Upstream::start();
    upstream.publish_ranged(&lamp());
    let proxy = Setup::before(&upstream).start();
    proxy.client().get(&lamp().download()).ok();
    let stored = stored(&proxy);
    let mut bytes = fs::read(&stored).unwrap();
    bytes[20] ^= 0x10;
    fs::write(&stored, bytes).unwrap();
    let late = awaited(&upstream, &proxy, &lamp().download(), &lamp().source(), || {
        Turn::Refused(403).tell(&upstream, plain);
        invalidate(&proxy);
        proxy.client().get(&lamp().exact()).problem(403, "authorization-failed");
    });
    late.problem(403, "authorization-failed");
}

/// The only archive that is stored.
fn stored(proxy: &Proxy) -> std::path::PathBuf {
    let mut path = proxy.data().join("archives");
    while path.is_dir() {
        path = fs::read_dir(&path).unwrap().next().unwrap().unwrap().path();
    }
    path
}

#[test]
fn a_trust_artifact_that_was_awaited_obeys_what_the_trust_detail_says_by_then() {
    let attested = |base: &str| Reply::json(&lamp().attested(&[artifact().attachment(base)]));
    for status in [200, 403, 409] {
        let upstream = Upstream::start();
        upstream.publish(&lamp());
        upstream.reply(&artifact().source(), artifact().reply());
        upstream.reply(&lamp().trust("detail"), attested(&upstream.url()));
        let proxy = Setup::before(&upstream).start();
        let file = artifact().download(&lamp());
        let late = awaited(&upstream, &proxy, &file, &artifact().source(), || {
            let told = match status {
                200 => attested(&upstream.url()),
                403 => refusal(403),
                // The attachment vanishes, which contradicts what was seen.
                _ => Reply::json(&lamp().trust_detail()),
            };
            upstream.reply(&lamp().trust("detail"), told);
            invalidate(&proxy);
            assert_eq!(proxy.client().get(&lamp().trust("detail")).status, status);
        });
        match status {
            200 => assert_eq!(late.ok().body, b"an attachment"),
            _ => drop(late.problem(status, slug(status))),
        }
    }
}
