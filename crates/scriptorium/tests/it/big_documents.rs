//! Long documents: they are read, checked and put together beside the threads that serve, a bounded number of bytes at
//! once, and what is in them is counted before it is collected.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use crate::big::long_index;
use crate::support::{Release, Reply, Setup, Upstream, eventually};

const MIB: usize = 1 << 20;

fn lamp() -> Release {
    Release::new("lamp", "1.0.0")
}

#[test]
fn hits_are_answered_while_a_long_index_is_read() {
    let (upstream, other) = (Upstream::start(), Release::new("other", "1.0.0"));
    upstream.publish(&other);
    let text = long_index(&lamp(), &upstream.url(), 100_000);
    upstream.reply(&lamp().index(), Reply::document(text.as_str()));
    let mut proxy = Setup::before(&upstream).set("server.threads", 1).start();
    proxy.client().get(&other.index()).ok();
    // Once from the registry, once from the store.
    for is_stored in [false, true] {
        let (client, is_there) = (proxy.client(), AtomicBool::new(false));
        let sent = upstream.sent();
        thread::scope(|scope| {
            let reader = scope.spawn(|| {
                let answer = client.get(&lamp().index());
                is_there.store(true, Ordering::SeqCst);
                answer.ok().body.len()
            });
            if !is_stored {
                let whole = || (upstream.sent() - sent >= text.len() as u64).then_some(());
                eventually("all of the index", whole);
            }
            for hit in 0..5 {
                let answer = client.get(&other.index()).ok();
                assert!(answer.is_hit() || is_stored && hit == 0, "{}", answer.cache());
                assert!(!is_there.load(Ordering::SeqCst), "hit {hit} waited for the index");
            }
            assert!(reader.join().unwrap() > 20 * MIB);
        });
        if !is_stored {
            proxy.restart();
        }
    }
}

#[test]
fn what_is_too_much_is_refused_before_it_is_collected() {
    let upstream = Upstream::start();
    upstream.publish(&lamp());
    let proxy = Setup::before(&upstream).start();
    let many = |of: &str, count: usize| vec![of; count].join(",");
    for (body, why) in [
        (format!(r#"{{"items":[{}]}}"#, many("0", 16 * MIB - 16)), "more than 4000000 values"),
        (format!(r#"{{"items":[],"later":[{}]}}"#, many("0", 16 * MIB - 32)), "more than 4000000 values"),
        (format!(r#"{{"items":[{}]}}"#, many("7", 100_001)), "more than 100000 items"),
        (format!(r#"{{"items":[],"later":{}{}}}"#, "[".repeat(500), "]".repeat(500)), "more than 128 levels"),
    ] {
        upstream.reply(&lamp().index(), Reply::document(body));
        proxy.client().get(&lamp().index()).problem(502, "about:blank");
        eventually(&format!("{why} in the log"), || proxy.log().contains(why).then_some(()));
    }
    let peak = proxy.peak_memory();
    eprintln!("at most {} MiB", peak >> 20);
    assert!(peak < 150 << 20, "{peak} bytes");
}

#[test]
fn a_crowd_on_a_stored_document_reads_it_back_once() {
    let upstream = Upstream::start();
    upstream.publish(&lamp());
    let filler = "x".repeat(24 * MIB);
    let row = lamp().row(&upstream.url());
    upstream.reply(&lamp().index(), Reply::document(format!(r#"{{"items":[{row}],"filler":"{filler}"}}"#)));
    let mut proxy = Setup::before(&upstream).start();
    proxy.client().get(&lamp().index()).ok();
    proxy.restart();
    let before = proxy.memory();
    let client = proxy.client();
    thread::scope(|scope| {
        for _ in 0..20 {
            scope.spawn(|| assert!(client.get(&lamp().index()).ok().is_hit()));
        }
    });
    let grown = proxy.peak_memory().saturating_sub(before);
    eprintln!("{} MiB at most for 24", grown >> 20);
    assert!(grown < 120 << 20, "{grown} bytes");
}
