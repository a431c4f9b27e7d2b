//! Nobody has more turns than there are for one, and what is free or given up goes to who needs it.

use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::task::JoinHandle;

use super::*;
use crate::cache::failure::Failure;
use crate::cache::flight::Flights;
use crate::cache::wanted::Wanted;
use crate::domain::Sha256;

const PATIENCE: Duration = Duration::from_secs(30);

fn turns() -> Arc<Turns> {
    Arc::new(Turns::new(Arc::new(Metrics::new().unwrap())))
}

/// The need of a file that is no other's.
fn need(registry: &str, host: &str, client: &str) -> Need {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    let file = NEXT.fetch_add(1, Ordering::Relaxed).to_string();
    let wanted = Wanted::TrustArtifact { digest: Sha256::of(file.as_bytes()), size: None };
    let fetch = Fetch { registry: Registry::new(registry, "https://here"), wanted };
    Need { fetch, host: Some(host.to_owned()), client: Some(Client::Token(client.into())) }
}

async fn take(turns: &Arc<Turns>, need: Need) -> Option<Turn> {
    turns.take(need, PATIENCE).await.ok()
}

fn taking(turns: &Arc<Turns>, need: Need) -> JoinHandle<Option<Turn>> {
    let turns = Arc::clone(turns);
    tokio::spawn(async move { take(&turns, need).await })
}

async fn settle() {
    for _ in 0..20 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test(start_paused = true)]
async fn each_has_its_share_and_the_others_theirs() {
    let turns = turns();
    let mut held = Vec::new();
    for _ in 0..OF_CLIENT {
        held.push(take(&turns, need("one", "a", "anna")).await.unwrap());
    }
    assert!(take(&turns, need("one", "b", "anna")).await.is_none(), "more for one client");
    for _ in OF_CLIENT..OF_HOST {
        held.push(take(&turns, need("one", "a", "ben")).await.unwrap());
    }
    assert!(take(&turns, need("one", "a", "carl")).await.is_none(), "more of one host");
    for _ in OF_HOST..OF_REGISTRY {
        held.push(take(&turns, need("one", "b", "carl")).await.unwrap());
    }
    assert!(take(&turns, need("one", "c", "dora")).await.is_none(), "more of one registry");
    for _ in 0..OF_CLIENT {
        held.push(take(&turns, need("two", "a", "anna")).await.unwrap());
    }
    drop(held);
    let state = turns.state();
    assert_eq!((state.taken, state.lines.len()), (0, 0), "nothing is left of them");
}

#[tokio::test(start_paused = true)]
async fn all_registries_together_have_no_more_than_there_are() {
    let turns = turns();
    let mut held = Vec::new();
    for number in 0..ALL {
        let (registry, host) = (format!("r-{}", number / OF_REGISTRY), (number % 2).to_string());
        held.push(take(&turns, need(&registry, &host, &host)).await.unwrap());
    }
    let waits = taking(&turns, need("more", "a", "anna"));
    settle().await;
    assert!(!waits.is_finished());
    held.pop();
    assert!(waits.await.unwrap().is_some(), "what another registry gave back");
}

#[tokio::test(start_paused = true)]
async fn a_free_turn_goes_to_the_client_that_has_fewest() {
    let turns = turns();
    let mut held = Vec::new();
    for client in ["anna", "ben"] {
        for host in ["a", "b"] {
            for _ in 0..OF_CLIENT / 2 {
                held.push(take(&turns, need("one", host, client)).await.unwrap());
            }
        }
    }
    let greedy = taking(&turns, need("one", "a", "ben"));
    settle().await;
    let modest = taking(&turns, need("one", "a", "carl"));
    settle().await;
    held.pop();
    settle().await;
    assert!(modest.is_finished() && !greedy.is_finished());
    assert!(modest.await.unwrap().is_some());
}

#[tokio::test(start_paused = true)]
async fn who_leaves_the_line_leaves_nothing_there() {
    let turns = turns();
    let mut held = Vec::new();
    for _ in 0..OF_CLIENT {
        held.push(take(&turns, need("one", "a", "anna")).await.unwrap());
    }
    let [gone, called] = [0, 1].map(|_| taking(&turns, need("one", "a", "anna")));
    settle().await;
    gone.abort();
    assert!(gone.await.is_err());
    // Called and gone before it heard of it.
    held.pop();
    called.abort();
    settle().await;
    drop(called);
    held.push(take(&turns, need("one", "a", "anna")).await.unwrap());
    drop(held);
    settle().await;
    assert_eq!(turns.state().taken, 0);
}

/// A fill that takes a turn and never ends, and the client that waits for it.
fn filling(turns: &Arc<Turns>, flights: &Arc<Flights<Fetch, Fill>>, need: Need) -> JoinHandle<()> {
    let (turns, flights) = (Arc::clone(turns), Arc::clone(flights));
    tokio::spawn(async move {
        let fetch = need.fetch.clone();
        let fill = |waiters| {
            let (turns, need) = (Arc::clone(&turns), need.clone());
            async move {
                let fetch = need.fetch.clone();
                let fill = async {
                    let _turn = turns.take(need, PATIENCE).await;
                    std::future::pending::<Fill>().await
                };
                turns.unless_left(&fetch, &waiters, fill).await.unwrap_or(Err(Failure::Lost))
            }
        };
        let _ = flights.join_seen(&fetch, fill).await;
    })
}

#[tokio::test(start_paused = true)]
async fn what_nobody_waits_for_makes_room_for_one_that_somebody_does() {
    let (turns, flights) = (turns(), Arc::new(Flights::default()));
    let needs: Vec<_> = (0..OF_CLIENT).map(|_| need("one", "a", "anna")).collect();
    let clients: Vec<_> = needs.iter().map(|need| filling(&turns, &flights, need.clone())).collect();
    let other = need("two", "a", "anna");
    let elsewhere = filling(&turns, &flights, other.clone());
    settle().await;
    let waits = taking(&turns, need("one", "a", "anna"));
    settle().await;
    assert!(!waits.is_finished(), "all of them are waited for");
    elsewhere.abort();
    settle().await;
    assert!(!waits.is_finished() && flights.is_open(&other.fetch), "another registry's is no help");
    clients.iter().take(3).for_each(JoinHandle::abort);
    settle().await;
    assert!(waits.await.unwrap().is_some());
    let open = needs.iter().filter(|need| flights.is_open(&need.fetch)).count();
    assert_eq!(open, OF_CLIENT - 1, "one made room, and the others go on");
    let again = take(&turns, need("one", "a", "anna")).await;
    assert!(again.is_some(), "so they do for whoever comes later");
}

#[tokio::test(start_paused = true)]
async fn what_nobody_waits_for_does_not_wait_for_a_turn_and_does_not_go_on_for_ever() {
    let (turns, flights) = (turns(), Arc::new(Flights::default()));
    let needs: Vec<_> = (0..=OF_CLIENT).map(|_| need("one", "a", "anna")).collect();
    let mut clients: Vec<_> = needs.iter().map(|need| filling(&turns, &flights, need.clone())).collect();
    settle().await;
    clients.pop().unwrap().abort();
    settle().await;
    assert!(!flights.is_open(&needs[OF_CLIENT].fetch), "it stood in line for nobody");
    clients.pop().unwrap().abort();
    let alone = &needs[OF_CLIENT - 1].fetch;
    tokio::time::sleep(ALONE - Duration::from_secs(1)).await;
    assert!(flights.is_open(alone), "it is in nobody's way");
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert!(!flights.is_open(alone));
    assert!(needs[..OF_CLIENT - 1].iter().all(|need| flights.is_open(&need.fetch)), "these are waited for");
}
