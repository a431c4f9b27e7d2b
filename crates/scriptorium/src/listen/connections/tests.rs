//! Slots taken and given back, and the order of eviction, without a socket: each connection is a task that never ends.

use std::future::pending;

use tokio::task::JoinHandle;

use super::*;
use crate::listen::memory::{CONNECTION, HTTP1, HTTP2, READ_MOST};

pub(in crate::listen) const MANY: ConnectionLimits =
    ConnectionLimits { all: 10_000, each: 10_000, bytes: 64 << 20 };

/// The slot of one connection of a port that has many.
pub(in crate::listen) fn slot() -> ConnectionSlot {
    port(MANY.all, MANY.each, MANY.bytes).open().unwrap()
}

fn port(all: usize, each: usize, bytes: usize) -> Arc<Connections> {
    Connections::new(ConnectionLimits { all, each, bytes }, 1, "public", Arc::new(Metrics::new().unwrap()))
}

/// A connection that does nothing, until it is sent away. It has the memory that every connection needs.
struct Held {
    connection: Arc<Connection>,
    task: JoinHandle<()>,
}

fn hold(slot: ConnectionSlot) -> Held {
    let connection = slot.connection().clone();
    let reserved = connection.reserve(CONNECTION).unwrap();
    let task = tokio::spawn(async move {
        let (_slot, _reserved) = (slot, reserved);
        pending::<()>().await;
    });
    connection.runs(task.abort_handle());
    Held { connection, task }
}

impl Held {
    async fn went(self) -> bool {
        self.task.await.is_err_and(|error| error.is_cancelled())
    }
}

fn address(last: u8) -> IpAddr {
    [192, 0, 2, last].into()
}

#[tokio::test]
async fn whoever_waited_the_longest_goes_first() {
    let port = port(3, 10, MANY.bytes);
    let [first, second, third] = [(); 3].map(|()| hold(port.open().unwrap()));
    // The first asks again after all three came, so the second has waited the longest.
    drop(first.connection.open_answer());
    let fourth = hold(port.open().unwrap());
    assert!(second.went().await);
    let _fifth = hold(port.open().unwrap());
    assert!(third.went().await);
    assert!(!first.task.is_finished() && !fourth.task.is_finished());
}

#[tokio::test]
async fn whoever_is_being_answered_stays_and_whoever_takes_nothing_does_not() {
    let port = port(2, 10, MANY.bytes);
    let [first, second] = [(); 2].map(|()| hold(port.open().unwrap()));
    let open = [first.connection.open_answer(), second.connection.open_answer()];
    assert!(port.open().is_err(), "both are being answered");
    second.connection.activity.set_full(true);
    let third = hold(port.open().unwrap());
    assert!(second.went().await && !first.task.is_finished());
    drop((open, third));
}

#[tokio::test]
async fn a_client_with_too_many_loses_its_own_and_nobody_elses() {
    let port = port(100, 2, MANY.bytes);
    let open = |last| {
        let slot = port.open().unwrap();
        slot.belongs_to(address(last)).unwrap();
        hold(slot)
    };
    let other = open(1);
    let [first, second] = [open(2), open(2)];
    let _third = open(2);
    assert!(first.went().await && !second.task.is_finished() && !other.task.is_finished());
    let (_answered, _answered_too) = (second.connection.open_answer(), _third.connection.open_answer());
    assert!(port.open().unwrap().belongs_to(address(2)).is_err(), "both are being answered");
    assert!(port.open().unwrap().belongs_to(address(3)).is_ok());
}

#[test]
fn a_client_of_ipv6_is_its_network_and_one_of_ipv4_is_itself_however_it_is_written() {
    let client = |text: &str| subnet(text.parse().unwrap());
    assert_eq!(client("2001:db8::1"), client("2001:db8::ffff:1"));
    assert_ne!(client("2001:db8::1"), client("2001:db8:0:1::1"));
    assert_eq!(client("::ffff:192.0.2.1"), client("192.0.2.1"));
    assert_ne!(client("192.0.2.1"), client("192.0.2.2"));
}

#[tokio::test]
async fn what_connections_keep_is_bounded_and_the_longest_wait_pays_for_it() {
    let port = port(100, 100, 2 << 20);
    let mut held: Vec<_> = (0..20).map(|_| hold(port.open().unwrap())).collect();
    let kept: Vec<_> = held.iter().map(|held| held.connection.reserve(HTTP2)).collect();
    assert!(kept.iter().all(Result::is_ok));
    let newest = held.pop().unwrap();
    let more: Vec<_> = (0..60).map_while(|_| newest.connection.reserve(HTTP1).ok()).collect();
    assert!(more.len() == 60 && port.memory.leased() <= 3 << 20, "{} KiB", port.memory.leased() >> 10);
    assert!(held.swap_remove(0).went().await);
    assert!(!newest.task.is_finished());
}

#[tokio::test]
async fn what_came_counts_until_it_is_a_request() {
    let port = port(10, 10, 1 << 20);
    let held = hold(port.open().unwrap());
    held.connection.receive(1000).unwrap();
    assert_eq!(held.connection.memory.used(), CONNECTION);
    held.connection.receive(9000).unwrap();
    assert_eq!(held.connection.memory.used(), CONNECTION + 30_000);
    held.connection.receive(1 << 20).unwrap();
    assert_eq!(held.connection.memory.used(), CONNECTION + READ_MOST);
    drop(held.connection.open_answer());
    assert_eq!(held.connection.memory.used(), CONNECTION);
}

#[tokio::test]
async fn all_that_was_taken_is_given_back() {
    let port = port(10, 10, 1 << 20);
    for _ in 0..100 {
        let slot = port.open().unwrap();
        slot.belongs_to(address(1)).unwrap();
        slot.connection().receive(9000).unwrap();
        let _kept = slot.connection().reserve(HTTP1).unwrap();
    }
    port.all_closed().await;
    assert!(port.memory.leased() <= 256 << 10 && port.table.lock().clients.is_empty());
}
