//! A process that starts on a large store answers at once and counts behind its answers.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use sha2::{Digest, Sha256};

use crate::support::disk::taken;
use crate::support::{Release, Setup, Upstream, within};

/// Entries of each kind.
const MANY: usize = 50_000;
/// Links that a file may have on every file system.
const LINKS: usize = 30_000;

fn hex(number: usize) -> String {
    data_encoding::HEXLOWER.encode(&Sha256::digest(number.to_le_bytes()))
}

/// Makes `MANY` files that hold what no document and no archive does: one file under many names.
fn litter(data: &Path, place: impl Fn(usize) -> String) {
    let mut original = data.join("original");
    for number in 0..MANY {
        let path = data.join(place(number));
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        if number % LINKS == 0 {
            fs::write(&path, vec![7; 3000]).unwrap();
            original = path;
        } else {
            fs::hard_link(&original, &path).unwrap();
        }
    }
}

fn files_below(data: &Path, shelf: &str) -> usize {
    taken(&data.join(shelf)).0
}

#[test]
fn nothing_waits_for_the_count_of_a_large_store() {
    let upstream = Upstream::start();
    let (held, cold) = (Release::new("@acme/held", "1.0.0"), Release::new("@acme/cold", "1.0.0"));
    upstream.publish(&held);
    upstream.publish(&cold);
    let mut proxy = Setup::before(&upstream).start();
    proxy.client().get(&held.download()).ok();
    proxy.stop();
    let (archives, documents) =
        (files_below(&proxy.data(), "archives"), files_below(&proxy.data(), "documents"));
    litter(&proxy.data(), |number| {
        let (volume, name) = (hex(number % 500), hex(number));
        format!("documents/release/{}/{volume}/{name}.doc", &volume[..2])
    });
    litter(&proxy.data(), |number| format!("archives/{}/{}", &hex(number)[..2], hex(number)));

    // Whoever waits for the count never answers before it is over; others do, unless the machine is very busy.
    let before_the_count = (0..5).any(|_| {
        let started = Instant::now();
        proxy.revive();
        let answer = proxy.client().get(&held.download()).ok();
        let answered = started.elapsed();
        let counting = proxy.storage()["counted"] == false;
        assert!(answer.is_hit() && answer.body == held.archive());
        let when = if counting { "before" } else { "when" };
        eprintln!("{} entries: first hit {answered:?} after the start, {when} they were counted", 2 * MANY);
        if !counting {
            proxy.stop();
        }
        counting
    });
    assert!(before_the_count, "the first hit waited for the count");
    let started = Instant::now();
    proxy.client().get(&held.exact()).ok();
    proxy.client().get(&cold.exact()).ok();
    assert_eq!(proxy.client().get(&cold.download()).ok().body, cold.archive());
    assert_eq!(upstream.requests(&held.source()), 1);
    let storage = within(Duration::from_secs(60), "the count", || {
        Some(proxy.storage()).filter(|storage| storage["counted"] == true)
    });
    eprintln!("counted at most {:?} after that", started.elapsed());
    assert_eq!(storage["archives"]["values"], MANY + archives + 1, "{storage}");
    // The release and the index of the one that was cold.
    assert_eq!(storage["documents"]["values"], MANY + documents + 2, "{storage}");
}
