//! What mirrors keep from eviction.

use crate::support::mirror::mirror;
use crate::support::tarball::Entry;
use crate::support::{Proxy, Release, Setup, Upstream, eventually, noise};

pub(super) const KIB: usize = 1 << 10;

pub(super) fn sized(name: &str, number: usize, bytes: usize) -> Release {
    let data = Entry::file("data.bin", noise(number as u64, bytes));
    Release::new(&format!("{name}{number}"), "1.0.0").adding(data)
}

pub(super) fn is_stored(proxy: &Proxy, release: &Release) -> bool {
    let hex = release.integrity()["sha256:".len()..].to_owned();
    proxy.data().join("archives").join(&hex[..2]).join(hex).exists()
}

#[test]
fn what_the_last_complete_sync_selected_is_not_evicted() {
    let upstream = Upstream::start();
    let mirrored: Vec<Release> = (0..4).map(|number| sized("m", number, 600 * KIB)).collect();
    let others: Vec<Release> = (0..30).map(|number| sized("o", 100 + number, 500 * KIB)).collect();
    mirrored.iter().chain(&others).for_each(|release| upstream.publish(release));
    let roots = "roots = [\"m0\", \"m1\", \"m2\", \"m3\"]\ntrust = false";
    let mut proxy = Setup::before(&upstream).set("storage.max_size", "8MiB").mirror("ci", roots).start();
    let (code, sync) = mirror(&proxy.config(), &["sync"]);
    assert_eq!(code, 0, "{sync}");
    let pull = |proxy: &Proxy, others: &[Release]| {
        for release in others {
            assert_eq!(proxy.client().get(&release.download()).ok().body, release.archive());
        }
        eventually("an eviction", || (proxy.stored("/evicted/values") > 0).then_some(()));
    };
    pull(&proxy, &others[..15]);
    assert!(mirrored.iter().all(|release| is_stored(&proxy, release)), "after other archives");
    assert!(!others[..15].iter().all(|release| is_stored(&proxy, release)));
    proxy.restart();
    eventually("the count", || (proxy.storage()["counted"] == true).then_some(()));
    pull(&proxy, &others[15..]);
    assert!(mirrored.iter().all(|release| is_stored(&proxy, release)), "after a restart and other archives");
    // What the mirror no longer selects goes like anything else.
    proxy.reconfigure(|setup| {
        let mut setup = setup;
        setup.table.remove("mirrors");
        setup.mirror("ci", "roots = [\"m0\"]\ntrust = false")
    });
    assert_eq!(proxy.reload().status, 200);
    assert_eq!(mirror(&proxy.config(), &["sync"]).0, 0);
    pull(&proxy, &others);
    assert!(is_stored(&proxy, &mirrored[0]));
    assert!(!mirrored[1..].iter().all(|release| is_stored(&proxy, release)), "the rest may go");
}
