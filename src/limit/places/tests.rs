//! Places are freed on every path, and never more than there are.

use std::net::IpAddr;
use std::sync::Barrier;

use super::*;

const ROOM: Capacity =
    Capacity { requests: 4, requests_per_client: 2, downloads: 3, downloads_per_client: 2 };

fn address(last: u8) -> Client {
    Client::Address(IpAddr::from([192, 0, 2, last]))
}

fn requests(places: &Places) -> usize {
    places.requests.all.load(Ordering::Relaxed)
}

fn empty(places: &Arc<Places>) -> bool {
    let free = |taken: &Taken| taken.all.load(Ordering::Relaxed) == 0 && taken.clients.is_empty();
    free(&places.requests) && free(&places.downloads) && Arc::strong_count(places) == 1
}

#[test]
fn so_many_a_client_and_so_many_in_all() {
    let places = Arc::new(Places::new(ROOM));
    let enter = |last| places.enter(&address(last));
    let mut held = vec![enter(1).unwrap(), enter(1).unwrap()];
    assert_eq!(enter(1).unwrap_err(), Crowded::Client);
    held.extend([enter(2).unwrap(), enter(3).unwrap()]);
    assert_eq!(enter(4).unwrap_err(), Crowded::Proxy);
    assert_eq!(enter(1).unwrap_err(), Crowded::Client);
    assert_eq!((requests(&places), places.requests.clients.len()), (4, 3), "who was refused left nothing");
    drop(held.remove(0));
    held.push(enter(1).unwrap());
    drop(held);
    assert!(empty(&places));
}

#[test]
fn downloads_have_places_of_their_own_and_one_client_has_a_share() {
    let places = Arc::new(Places::new(ROOM));
    let download = |last| places.download(&address(last));
    let mut held = vec![download(1).unwrap(), download(1).unwrap()];
    assert_eq!(download(1).unwrap_err(), Crowded::Downloads);
    held.push(download(2).unwrap());
    assert_eq!(download(2).unwrap_err(), Crowded::Proxy);
    let request = places.enter(&address(1)).unwrap();
    drop(held.remove(0));
    held.push(download(1).unwrap());
    drop((held, request));
    assert!(empty(&places));
}

#[test]
fn a_place_is_freed_however_its_request_ends() {
    let places = Arc::new(Places::new(ROOM));
    let token: Arc<str> = "ci".into();
    let place = places.enter(&Client::Token(Arc::clone(&token))).unwrap();
    let download = places.download(&Client::Token(Arc::clone(&token))).unwrap();
    let dies = std::thread::spawn(move || {
        let _held = (place, download);
        panic!("on purpose");
    });
    assert!(dies.join().is_err());
    assert!(empty(&places));
    assert_eq!(Arc::strong_count(&token), 1, "the client's name is forgotten");
}

#[test]
fn a_reload_counts_who_is_there() {
    let places = Arc::new(Places::new(ROOM));
    let held = [1, 1, 2].map(|last| places.enter(&address(last)).unwrap());
    let room = |requests, requests_per_client, downloads, downloads_per_client| Capacity {
        requests,
        requests_per_client,
        downloads,
        downloads_per_client,
    };
    places.reload(room(2, 1, 0, 9));
    assert_eq!(places.enter(&address(1)).unwrap_err(), Crowded::Client);
    assert_eq!(places.enter(&address(3)).unwrap_err(), Crowded::Proxy);
    assert_eq!(places.download(&address(1)).unwrap_err(), Crowded::Proxy);
    places.reload(room(4, 3, 9, 0));
    assert_eq!(places.download(&address(1)).unwrap_err(), Crowded::Downloads);
    assert!(places.enter(&address(1)).is_ok());
    drop(held);
    places.reload(room(0, 0, 0, 0));
    assert!(places.enter(&address(1)).is_err());
    assert!(empty(&places));
}

#[test]
fn never_more_than_the_numbers_under_concurrency() {
    let places = Arc::new(Places::new(ROOM));
    let (start, inside) = (Barrier::new(8), [const { AtomicUsize::new(0) }; 3]);
    let entered = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for thread in 0..8_usize {
            let (places, start, inside, entered) = (&places, &start, &inside, &entered);
            scope.spawn(move || {
                start.wait();
                for round in 0..5_000 {
                    let who = (thread + round) % 3;
                    let Ok(place) = places.enter(&address(who as u8)) else { continue };
                    assert!(inside[who].fetch_add(1, Ordering::SeqCst) < ROOM.requests_per_client);
                    assert!(inside.iter().map(|one| one.load(Ordering::SeqCst)).sum::<usize>() <= 8);
                    assert!(requests(places) <= ROOM.requests);
                    entered.fetch_add(1, Ordering::SeqCst);
                    inside[who].fetch_sub(1, Ordering::SeqCst);
                    drop(place);
                }
            });
        }
    });
    assert!(entered.load(Ordering::SeqCst) > 0);
    assert!(empty(&places));
}

#[test]
fn a_place_can_go_with_a_body() {
    fn goes<T: Send + 'static>() {}
    goes::<Place>();
}
