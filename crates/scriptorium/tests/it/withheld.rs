//! The lifecycle reaches archives that are already here: what the registry withholds leaves no more,
//! online or off, and what it gives back is served from what was kept.

use std::time::Duration;

use crate::support::divergence::refusal;
use crate::support::proxy::contains;
use crate::support::{Answer, Lie, Proxy, Release, Reply, Setup, Upstream, each, eventually, within};

/// The index's TTL, one second, the window after it, and what a busy machine may add.
const VISIBLE: Duration = Duration::from_secs(5);

fn lamp() -> Release {
    Release::new("@acme/lamp", "1.0.0")
}

/// Ways in which a registry takes a release back, and the status that its archive answers from then on.
#[derive(Clone, Copy, Debug)]
enum Withheld {
    Settled(&'static str, u16),
    Lied(Lie),
}

const WITHHELD: [Withheld; 8] = [
    Withheld::Settled("blocked", 403),
    Withheld::Settled("tombstoned", 404),
    Withheld::Settled("unavailable", 404),
    Withheld::Settled("unavailable", 409),
    Withheld::Lied(Lie::RowIntegrity),
    Withheld::Lied(Lie::RowState("blocked")),
    Withheld::Lied(Lie::TwoRows),
    Withheld::Lied(Lie::RowLink),
];

impl Withheld {
    fn tell(self, upstream: &Upstream) -> u16 {
        match self {
            Self::Settled(state, status) => {
                let row = lamp().state(state, "a reason").row(&upstream.url());
                upstream.say(&lamp(), [row], refusal(status));
                status
            }
            Self::Lied(lie) => {
                lie.tell(upstream, &lamp());
                409
            }
        }
    }
}

/// A proxy that holds lamp's archive; a release is believed for an hour, an index for a second.
fn warmed(window: &str) -> (Upstream, Proxy) {
    let upstream = Upstream::start();
    upstream.publish(&lamp());
    let proxy = Setup::before(&upstream)
        .set("cache.release_ttl", "1h")
        .set("cache.index_ttl", "1s")
        .set("cache.negative_ttl", "1s")
        .set("cache.stale_while_revalidate", window)
        .start();
    assert_eq!(proxy.client().get(&lamp().download()).ok().body, lamp().archive());
    (upstream, proxy)
}

/// Every way of asking for an archive, none of which may yield a byte of it.
fn assert_withheld(proxy: &Proxy, status: u16, tag: &str) {
    let range = [("range", "bytes=0-15")];
    let (known, resumed) = ([("if-none-match", tag)], [("range", "bytes=16-"), ("if-range", tag)]);
    for fields in [&[][..], &range, &known, &resumed] {
        let answer = proxy.client().send("GET", &lamp().download(), fields);
        assert_eq!(answer.status, status, "{fields:?}: {}", answer.text());
        assert!(!contains(&answer.body, &lamp().archive()[..16]), "{fields:?}");
        assert_eq!(answer.header("content-type"), Some("application/problem+json"));
        assert!(answer.header("etag").is_none() && answer.header("repr-digest").is_none(), "{fields:?}");
    }
    assert_eq!(proxy.client().head(&lamp().download()).status, status);
}

fn until_withheld(proxy: &Proxy) -> Answer {
    within(VISIBLE, "the archive withheld", || {
        Some(proxy.client().get(&lamp().download())).filter(|answer| answer.status != 200)
    })
}

fn tag(proxy: &Proxy) -> String {
    proxy.client().head(&lamp().download()).header("etag").unwrap().to_owned()
}

#[test]
fn what_is_taken_back_leaves_no_more_within_the_indexs_windows() {
    for window in ["0s", "1s"] {
        each(WITHHELD, |withheld| {
            let (upstream, proxy) = warmed(window);
            let tag = tag(&proxy);
            let status = withheld.tell(&upstream);
            assert_eq!(until_withheld(&proxy).status, status, "{withheld:?}");
            for _ in 0..3 {
                assert_withheld(&proxy, status, &tag);
            }
        });
    }
}

#[test]
fn what_is_given_back_is_served_from_what_was_kept() {
    each(WITHHELD, |withheld| {
        let (upstream, proxy) = warmed("0s");
        withheld.tell(&upstream);
        until_withheld(&proxy);
        upstream.publish(&lamp());
        let answer = eventually("the archive again", || {
            Some(proxy.client().get(&lamp().download())).filter(|answer| answer.status == 200)
        });
        assert_eq!(answer.body, lamp().archive());
        assert_eq!(upstream.requests(&lamp().source()), 1, "{withheld:?}: it was here all the time");
    });
}

#[test]
fn a_yanked_release_keeps_its_archive() {
    let (upstream, proxy) = warmed("0s");
    upstream.publish(&lamp().state("yanked", "superseded"));
    eventually("the yank", || {
        assert_eq!(proxy.client().get(&lamp().download()).ok().body, lamp().archive());
        let exact = proxy.client().get(&lamp().exact()).ok().json();
        (exact["status"]["state"] == "yanked").then_some(())
    });
    assert_eq!(proxy.client().get(&lamp().download()).ok().body, lamp().archive());
    assert_eq!(upstream.requests(&lamp().source()), 1);
}

#[test]
fn what_is_known_to_be_withheld_stays_so_without_a_registry() {
    each(WITHHELD, |withheld| {
        for offline in [true, false] {
            let (upstream, mut proxy) = warmed("0s");
            let tag = tag(&proxy);
            let status = withheld.tell(&upstream);
            assert_eq!(until_withheld(&proxy).status, status, "{withheld:?}");
            upstream.down();
            proxy.restart_as(|setup| setup.set("cache.offline", offline));
            for _ in 0..3 {
                assert_withheld(&proxy, status, &tag);
            }
        }
    });
}

/// Blocks lamp in its row alone while the exact route fails.
fn block_in_the_row(upstream: &Upstream) {
    let row = lamp().state("blocked", "malicious").row(&upstream.url());
    upstream.say(&lamp(), [row], Reply::failure(500));
}

#[test]
fn a_block_in_a_newer_row_is_enough() {
    let (upstream, proxy) = warmed("0s");
    let tag = tag(&proxy);
    block_in_the_row(&upstream);
    until_withheld(&proxy).problem(403, "authorization-failed");
    for _ in 0..3 {
        assert_withheld(&proxy, 403, &tag);
    }
    assert_ne!(proxy.client().get(&lamp().exact()).status, 200, "the exact route is no way round a block");

    upstream.publish(&lamp());
    eventually("the archive again", || (proxy.client().get(&lamp().download()).status == 200).then_some(()));
    assert_eq!(upstream.requests(&lamp().source()), 1);
}

#[test]
fn a_block_that_only_the_index_was_seen_to_tell_holds_offline() {
    for offline in [true, false] {
        let (upstream, mut proxy) = warmed("0s");
        let tag = tag(&proxy);
        block_in_the_row(&upstream);
        eventually("the blocked row", || {
            let index = proxy.client().get(&lamp().index()).ok().json();
            (index["items"][0]["status"]["state"] == "blocked").then_some(())
        });
        upstream.down();
        proxy.restart_as(|setup| setup.set("cache.offline", offline));
        assert_withheld(&proxy, 403, &tag);
    }
}

#[test]
fn an_archive_without_a_registry_is_served_and_marked() {
    let upstream = Upstream::start();
    upstream.publish(&lamp());
    let mut proxy = Setup::before(&upstream).short_lived().start();
    proxy.client().get(&lamp().download()).ok();
    upstream.down();
    for restarted in [false, true] {
        if restarted {
            proxy.restart();
        }
        let stale = eventually("an archive marked stale-if-error", || {
            let answer = proxy.client().get(&lamp().download()).ok();
            assert_eq!(answer.body, lamp().archive());
            answer.cache().contains("detail=\"stale-if-error\"").then_some(answer)
        });
        assert!(stale.is_hit(), "{}", stale.cache());
        let age: u64 = stale.header("age").expect("an Age").parse().unwrap();
        assert!(age >= 1, "an archive that went stale after a second is {age} s old");
    }
    assert_eq!(upstream.requests(&lamp().source()), 1);
}

#[test]
fn an_archive_too_stale_to_vouch_for_is_not_served() {
    let upstream = Upstream::start();
    upstream.publish(&lamp());
    let proxy = Setup::before(&upstream).short_lived().set("cache.stale_if_error", "1s").start();
    proxy.client().get(&lamp().download()).ok();
    upstream.down();
    let late = eventually("the end of stale-if-error", || {
        Some(proxy.client().get(&lamp().download())).filter(|answer| answer.status != 200)
    });
    late.could_not_ask();
    assert!(!contains(&late.body, &lamp().archive()[..16]));
}
