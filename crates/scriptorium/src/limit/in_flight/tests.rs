//! Slots are freed on every path, and there are never more than the bounds allow.

use std::net::IpAddr;
use std::sync::Barrier;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;

const ROOM: Capacity =
    Capacity { requests: 4, requests_per_client: 2, downloads: 3, downloads_per_client: 2 };

fn address(last: u8) -> Client {
    Client::Address(IpAddr::from([192, 0, 2, last]))
}

fn requests(in_flight: &InFlight) -> usize {
    ROOM.requests - in_flight.requests.free()
}

/// Whether nothing is in flight any more. What threads keep is given back first.
fn empty(in_flight: &Arc<InFlight>) -> bool {
    in_flight.give_back();
    let free = |of: &Arc<Admission<Client>>| {
        of.free() == of.all() && of.holders() == 0 && Arc::strong_count(of) == 1
    };
    free(&in_flight.requests) && free(&in_flight.downloads)
}

#[test]
fn so_many_a_client_and_so_many_in_all() {
    let in_flight = Arc::new(InFlight::new(ROOM));
    let enter = |last| in_flight.request(&address(last));
    let mut held = vec![enter(1).unwrap(), enter(1).unwrap()];
    assert_eq!(enter(1).unwrap_err(), InFlightExceeded::Client);
    held.extend([enter(2).unwrap(), enter(3).unwrap()]);
    assert_eq!(enter(4).unwrap_err(), InFlightExceeded::Proxy);
    assert_eq!(enter(1).unwrap_err(), InFlightExceeded::Client);
    assert_eq!((requests(&in_flight), in_flight.requests.holders()), (4, 3), "who was refused left nothing");
    drop(held.remove(0));
    held.push(enter(1).unwrap());
    drop(held);
    assert!(empty(&in_flight));
}

#[test]
fn downloads_have_in_flight_of_their_own_and_one_client_has_a_share() {
    let in_flight = Arc::new(InFlight::new(ROOM));
    let download = |last| in_flight.download(&address(last));
    let mut held = vec![download(1).unwrap(), download(1).unwrap()];
    assert_eq!(download(1).unwrap_err(), InFlightExceeded::Downloads);
    held.push(download(2).unwrap());
    assert_eq!(download(2).unwrap_err(), InFlightExceeded::Proxy);
    let request = in_flight.request(&address(1)).unwrap();
    drop(held.remove(0));
    held.push(download(1).unwrap());
    drop((held, request));
    assert!(empty(&in_flight));
}

#[test]
fn a_slot_is_freed_however_its_request_ends() {
    let in_flight = Arc::new(InFlight::new(ROOM));
    let token = Client::Token("ci".into());
    let slot = in_flight.request(&token).unwrap();
    let download = in_flight.download(&token).unwrap();
    let dies = std::thread::spawn(move || {
        let _held = (slot, download);
        panic!("on purpose");
    });
    assert!(dies.join().is_err());
    assert!(empty(&in_flight));
    let Client::Token(holder) = token else { panic!("a token") };
    assert!(holder.is_alone(), "the client's name is forgotten");
}

#[test]
fn a_reload_counts_who_is_there() {
    let in_flight = Arc::new(InFlight::new(ROOM));
    let held = [1, 1, 2].map(|last| in_flight.request(&address(last)).unwrap());
    let room = |requests, requests_per_client, downloads, downloads_per_client| Capacity {
        requests,
        requests_per_client,
        downloads,
        downloads_per_client,
    };
    in_flight.reload(room(2, 1, 0, 9));
    assert_eq!(in_flight.request(&address(1)).unwrap_err(), InFlightExceeded::Client);
    assert_eq!(in_flight.request(&address(3)).unwrap_err(), InFlightExceeded::Proxy);
    assert_eq!(in_flight.download(&address(1)).unwrap_err(), InFlightExceeded::Proxy);
    in_flight.reload(room(4, 3, 9, 0));
    assert_eq!(in_flight.download(&address(1)).unwrap_err(), InFlightExceeded::Downloads);
    assert!(in_flight.request(&address(1)).is_ok());
    drop(held);
    in_flight.reload(room(0, 0, 0, 0));
    assert!(in_flight.request(&address(1)).is_err());
    assert!(empty(&in_flight));
}

#[test]
fn never_more_than_the_numbers_under_concurrency() {
    let in_flight = Arc::new(InFlight::new(ROOM));
    let (start, inside) = (Barrier::new(8), [const { AtomicUsize::new(0) }; 3]);
    let entered = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for thread in 0..8_usize {
            let (in_flight, start, inside, entered) = (&in_flight, &start, &inside, &entered);
            scope.spawn(move || {
                start.wait();
                for round in 0..5_000 {
                    let who = (thread + round) % 3;
                    let Ok(slot) = in_flight.request(&address(who as u8)) else { continue };
                    assert!(inside[who].fetch_add(1, Ordering::SeqCst) < ROOM.requests_per_client);
                    assert!(inside.iter().map(|one| one.load(Ordering::SeqCst)).sum::<usize>() <= 8);
                    assert!(requests(in_flight) <= ROOM.requests);
                    entered.fetch_add(1, Ordering::SeqCst);
                    inside[who].fetch_sub(1, Ordering::SeqCst);
                    drop(slot);
                }
            });
        }
    });
    assert!(entered.load(Ordering::SeqCst) > 0);
    assert!(empty(&in_flight));
}

#[test]
fn what_a_thread_keeps_is_there_for_its_next_request_and_for_everybody_else() {
    let in_flight = Arc::new(InFlight::new(ROOM));
    let ended = |last| drop(in_flight.request(&address(last)).unwrap());
    std::thread::scope(|scope| {
        scope.spawn(|| (1..=4).for_each(ended)).join().unwrap();
        assert!(requests(&in_flight) > 0, "some are kept");
        let held = [1, 1, 5, 6].map(|last| in_flight.request(&address(last)).unwrap());
        assert_eq!(in_flight.request(&address(1)).unwrap_err(), InFlightExceeded::Client);
        assert_eq!(in_flight.request(&address(7)).unwrap_err(), InFlightExceeded::Proxy);
        drop(held);
    });
    assert!(empty(&in_flight));
    for _ in 0..3 {
        ended(1);
        assert_eq!((requests(&in_flight), in_flight.requests.holders()), (1, 1), "one slot, used again");
    }
    assert!(empty(&in_flight));
}

#[test]
fn a_slot_can_go_with_a_body() {
    fn goes<T: Send + 'static>() {}
    goes::<InFlightSlot>();
}
