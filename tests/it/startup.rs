//! A process that starts on a large store answers at once and counts behind its answers.

use std::fs;
use std::path::Path;
use std::time::Instant;

use sha2::{Digest, Sha256};

use crate::support::{Release, Setup, Upstream, within};

use std::time::Duration;

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
        (proxy_count(&proxy.data(), "archives"), proxy_count(&proxy.data(), "documents"));
    litter(&proxy.data(), |number| {
        let (volume, name) = (hex(number % 500), hex(number));
        format!("documents/release/{}/{volume}/{name}.doc", &volume[..2])
    });
    litter(&proxy.data(), |number| format!("archives/{}/{}", &hex(number)[..2], hex(number)));

    let started = Instant::now();
    proxy.revive();
    let answer = proxy.client().get(&held.download()).ok();
    let answered = started.elapsed();
    let while_counting = proxy.storage()["counted"] == false;
    assert!(answer.is_hit() && answer.body == held.archive());
    assert_eq!(upstream.requests(&held.source()), 1);
    proxy.client().get(&held.exact()).ok();
    proxy.client().get(&cold.exact()).ok();
    assert_eq!(proxy.client().get(&cold.download()).ok().body, cold.archive());
    let storage = within(Duration::from_secs(60), "the count", || {
        Some(proxy.storage()).filter(|storage| storage["counted"] == true)
    });
    let counted = started.elapsed();
    eprintln!(
        "on a store of {} entries: first hit {answered:?} after the start ({} the count was over), counted after at \
         most {counted:?}",
        2 * MANY,
        if while_counting { "before" } else { "when" },
    );
    assert_eq!(storage["archives"]["values"], MANY + archives + 1, "{storage}");
    // The release and the index of the one that was cold.
    assert_eq!(storage["documents"]["values"], MANY + documents + 2, "{storage}");
}

fn proxy_count(data: &Path, shelf: &str) -> usize {
    crate::support::disk::taken(&data.join(shelf)).0
}
