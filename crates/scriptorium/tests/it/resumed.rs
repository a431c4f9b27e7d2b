//! Downloads that break off: the rest is asked for as a range where the registry sends those, and whatever was put
//! together is verified as a whole.

use crate::support::tarball::Entry;
use crate::support::{Accident, Proxy, Release, Reply, Setup, Upstream, noise};

fn lamp() -> Release {
    Release::new("@acme/lamp", "1.0.0").adding(Entry::file("data.bin", noise(7, 4 << 20)))
}

/// A registry that sends ranges, and breaks off the first download after `cut` bytes of what is made of the archive.
fn breaking(cut: usize, how: impl Fn(Reply) -> Reply) -> (Upstream, Release) {
    let (upstream, release) = (Upstream::start(), lamp());
    upstream.publish(&release);
    let whole = how(Reply::archive(release.archive()));
    upstream.befall("GET", &release.source(), Accident::Instead(whole.clone().cut_after(cut)));
    upstream.reply(&release.source(), whole);
    (upstream, release)
}

fn before(upstream: &Upstream, retries: i64) -> Proxy {
    Setup::before(upstream).set("upstream.retries", retries).start()
}

#[test]
fn the_rest_is_asked_for_as_a_range() {
    for tag in [None, Some("\"v1\""), Some("W/\"v1\"")] {
        let tagged = |reply: Reply| match tag {
            Some(tag) => reply.ranged().with("etag", tag),
            None => reply.ranged(),
        };
        let (upstream, release) = breaking(2 << 20, tagged);
        let proxy = before(&upstream, 1);
        let archive = release.archive();
        assert!(proxy.client().get(&release.download()).ok().body == archive);
        let rest = format!("bytes={}-{}", 2 << 20, archive.len() - 1);
        assert_eq!(upstream.ranges(&release.source()), [rest]);
        assert_eq!(upstream.requests(&release.source()), 2);
        let asked = upstream.asked("GET", &release.source());
        let strong = tag.filter(|tag| tag.starts_with('"'));
        assert_eq!(asked[1].fields.get("if-range"), strong);
        assert!(upstream.sent() < archive.len() as u64 + (64 << 10), "it did not start from zero");
        assert!(proxy.client().get(&release.download()).ok().is_hit());
    }
}

#[test]
fn one_that_breaks_off_again_and_again_goes_on_as_long_as_it_moves() {
    const PART: usize = (1 << 20) + (64 << 10);
    let (upstream, release) = breaking(PART, Reply::ranged);
    for _ in 0..2 {
        let part = Reply::archive(release.archive()).ranged().cut_after(PART);
        upstream.befall("GET", &release.source(), Accident::Instead(part));
    }
    let proxy = before(&upstream, 1);
    assert!(proxy.client().get(&release.download()).ok().body == release.archive());
    assert_eq!(upstream.requests(&release.source()), 4);
}

#[test]
fn a_registry_without_ranges_sends_all_of_it_again() {
    let (upstream, release) = breaking(2 << 20, |reply| reply);
    let proxy = before(&upstream, 1);
    assert!(proxy.client().get(&release.download()).ok().body == release.archive());
    assert_eq!(upstream.requests(&release.source()), 2);
}

#[test]
fn what_was_put_together_wrongly_is_asked_for_as_a_whole() {
    let (upstream, release) = (Upstream::start(), lamp());
    upstream.publish_ranged(&release);
    let mut other = release.archive();
    other[1 << 20] ^= 1;
    let other = Reply::archive(other).ranged().cut_after(2 << 20);
    upstream.befall("GET", &release.source(), Accident::Instead(other));
    let proxy = before(&upstream, 1);
    assert!(proxy.client().get(&release.download()).ok().body == release.archive());
    assert_eq!(upstream.ranges(&release.source()).len(), 1);
    assert_eq!(upstream.requests(&release.source()), 3);
}

#[test]
fn nobody_tries_for_ever() {
    for ranged in [true, false] {
        let (upstream, release) = (Upstream::start(), lamp());
        upstream.publish(&release);
        let cut = Reply::archive(release.archive()).cut_after(1000);
        upstream.reply(&release.source(), if ranged { cut.ranged() } else { cut });
        let proxy = before(&upstream, 2);
        proxy.client().get(&release.download()).could_not_ask();
        assert_eq!(upstream.requests(&release.source()), 3, "two retries, however they are used");
        assert_eq!(proxy.files("archives").len(), 0);
    }
}
