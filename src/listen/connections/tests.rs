//! Places taken and given, and who goes first, without a socket: a task that never ends stands for each connection.

use std::future::pending;

use tokio::task::JoinHandle;

use super::*;
use crate::listen::standing::{HTTP1, HTTP2, READ_MOST};

/// Hears nothing.
#[derive(Debug)]
pub(in crate::listen) struct Deaf;

impl Observer for Deaf {
    fn open(&self, _: usize, _: usize) {}
    fn gone(&self, _: Cause, _: Fate, _: usize) {}
}

pub(in crate::listen) const MANY: Places = Places { all: 10_000, each: 10_000, bytes: 64 << 20 };

/// The place of one connection of a port that has many.
pub(in crate::listen) fn place() -> Place {
    Port::new(MANY, Arc::new(Deaf)).open().unwrap()
}

fn port(all: usize, each: usize, bytes: usize) -> Arc<Port> {
    Port::new(Places { all, each, bytes }, Arc::new(Deaf))
}

/// A connection that does nothing, until it is sent away.
struct Held {
    standing: Arc<Standing>,
    task: JoinHandle<()>,
}

fn hold(place: Place) -> Held {
    let standing = place.standing().clone();
    let task = tokio::spawn(async move {
        let _place = place;
        pending::<()>().await;
    });
    standing.runs(task.abort_handle());
    Held { standing, task }
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
    drop(first.standing.open());
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
    let open = [first.standing.open(), second.standing.open()];
    assert!(port.open().is_err(), "both are being answered");
    second.standing.full(true);
    let third = hold(port.open().unwrap());
    assert!(second.went().await && !first.task.is_finished());
    drop((open, third));
}

#[tokio::test]
async fn a_client_with_too_many_loses_its_own_and_nobody_elses() {
    let port = port(100, 2, MANY.bytes);
    let open = |last| {
        let place = port.open().unwrap();
        place.belongs_to(address(last)).unwrap();
        hold(place)
    };
    let other = open(1);
    let [first, second] = [open(2), open(2)];
    let _third = open(2);
    assert!(first.went().await && !second.task.is_finished() && !other.task.is_finished());
    let (_answered, _answered_too) = (second.standing.open(), _third.standing.open());
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
    let kept: Vec<_> = held.iter().map(|held| held.standing.keep(HTTP2)).collect();
    assert!(kept.iter().all(Result::is_ok));
    let newest = held.pop().unwrap();
    let more: Vec<_> = (0..60).map_while(|_| newest.standing.keep(HTTP1).ok()).collect();
    assert!(more.len() == 60 && port.room.taken() <= 3 << 20, "{} KiB", port.room.taken() >> 10);
    assert!(held.swap_remove(0).went().await);
    assert!(!newest.task.is_finished());
}

#[tokio::test]
async fn what_came_counts_until_it_is_a_request() {
    let port = port(10, 10, 1 << 20);
    let held = hold(port.open().unwrap());
    held.standing.reads(1000).unwrap();
    assert_eq!(held.standing.kept(), CONNECTION);
    held.standing.reads(9000).unwrap();
    assert_eq!(held.standing.kept(), CONNECTION + 30_000);
    held.standing.reads(1 << 20).unwrap();
    assert_eq!(held.standing.kept(), CONNECTION + READ_MOST);
    drop(held.standing.open());
    assert_eq!(held.standing.kept(), CONNECTION);
}

#[tokio::test]
async fn all_that_was_taken_is_given_back() {
    let port = port(10, 10, 1 << 20);
    for _ in 0..100 {
        let place = port.open().unwrap();
        place.belongs_to(address(1)).unwrap();
        place.standing().reads(9000).unwrap();
        let _kept = place.standing().keep(HTTP1).unwrap();
    }
    port.all_closed().await;
    assert!(port.room.taken() <= 256 << 10 && port.opened().clients.is_empty());
}
