//! No registry, host or client gets more slots than it may have, and a free slot goes to a download that needs it.

use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::task::JoinHandle;

use super::*;
use crate::domain::Sha256;
use crate::files::expected::ExpectedFile;
use crate::flight::Flights;

const PATIENCE: Duration = Duration::from_secs(30);

fn slots() -> Arc<DownloadSlots> {
    Arc::new(DownloadSlots::new(Arc::new(Metrics::new().unwrap())))
}

/// The need of a file that is no other's.
fn need(registry: &str, host: &str, client: &str) -> SlotRequest {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    let file = NEXT.fetch_add(1, Ordering::Relaxed).to_string();
    let expected = ExpectedFile::TrustArtifact { digest: Sha256::of(file.as_bytes()), size: None };
    let fetch = FileFetch { registry: Registry::new(registry, "https://here"), expected };
    let client = Some(Client::Token(client.into()));
    SlotRequest { fetch, host: Some(host.to_owned()), repository: None, client }
}

/// The need of an archive that Git delivers.
fn of_git(host: &str, repository: &str) -> SlotRequest {
    SlotRequest { repository: Some(repository.to_owned()), ..need("one", host, repository) }
}

#[tokio::test(start_paused = true)]
async fn a_slow_host_of_repositories_leaves_some_to_others_and_releases_of_one_repository_share() {
    let slots = slots();
    let mut held = Vec::new();
    for repository in ["a", "b", "a", "a", "b"] {
        held.push(take(&slots, of_git("slow", repository)).await.unwrap());
    }
    assert!(take(&slots, of_git("slow", "c")).await.is_none(), "a third of one host");
    held.push(take(&slots, of_git("other", "c")).await.unwrap());
    assert!(take(&slots, of_git("third", "d")).await.is_none(), "a fourth of one registry");
    held.push(take(&slots, need("one", "slow", "anna")).await.unwrap());
    // The last release of a repository leaves its place to another.
    held.retain(|slot| slot.number != 1);
    assert!(take(&slots, of_git("slow", "c")).await.is_none());
    held.retain(|slot| slot.number != 4);
    assert!(take(&slots, of_git("slow", "c")).await.is_some());
}

async fn take(slots: &Arc<DownloadSlots>, need: SlotRequest) -> Option<DownloadSlot> {
    slots.take(need, PATIENCE).await.ok()
}

fn taking(slots: &Arc<DownloadSlots>, need: SlotRequest) -> JoinHandle<Option<DownloadSlot>> {
    let slots = Arc::clone(slots);
    tokio::spawn(async move { take(&slots, need).await })
}

async fn settle() {
    for _ in 0..20 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test(start_paused = true)]
async fn each_has_its_share_and_the_others_theirs() {
    let slots = slots();
    let mut held = Vec::new();
    for _ in 0..PER_CLIENT {
        held.push(take(&slots, need("one", "a", "anna")).await.unwrap());
    }
    assert!(take(&slots, need("one", "b", "anna")).await.is_none(), "more for one client");
    for _ in PER_CLIENT..PER_HOST {
        held.push(take(&slots, need("one", "a", "ben")).await.unwrap());
    }
    assert!(take(&slots, need("one", "a", "carl")).await.is_none(), "more of one host");
    for _ in PER_HOST..PER_REGISTRY {
        held.push(take(&slots, need("one", "b", "carl")).await.unwrap());
    }
    assert!(take(&slots, need("one", "c", "dora")).await.is_none(), "more of one registry");
    for _ in 0..PER_CLIENT {
        held.push(take(&slots, need("two", "a", "anna")).await.unwrap());
    }
    drop(held);
    let queues = slots.queues();
    assert_eq!((queues.taken, queues.registries.len()), (0, 0), "nothing is left of them");
}

#[tokio::test(start_paused = true)]
async fn all_registries_together_have_no_more_than_there_are() {
    let slots = slots();
    let mut held = Vec::new();
    for number in 0..ALL {
        let (registry, host) = (format!("r-{}", number / PER_REGISTRY), (number % 2).to_string());
        held.push(take(&slots, need(&registry, &host, &host)).await.unwrap());
    }
    let waits = taking(&slots, need("more", "a", "anna"));
    settle().await;
    assert!(!waits.is_finished());
    held.pop();
    assert!(waits.await.unwrap().is_some(), "what another registry gave back");
}

#[tokio::test(start_paused = true)]
async fn a_free_slot_goes_to_the_client_that_has_fewest() {
    let slots = slots();
    let mut held = Vec::new();
    for client in ["anna", "ben"] {
        for host in ["a", "b"] {
            for _ in 0..PER_CLIENT / 2 {
                held.push(take(&slots, need("one", host, client)).await.unwrap());
            }
        }
    }
    let greedy = taking(&slots, need("one", "a", "ben"));
    settle().await;
    let modest = taking(&slots, need("one", "a", "carl"));
    settle().await;
    held.pop();
    settle().await;
    assert!(modest.is_finished() && !greedy.is_finished());
    assert!(modest.await.unwrap().is_some());
}

#[tokio::test(start_paused = true)]
async fn a_download_that_leaves_the_queue_leaves_nothing_there() {
    let slots = slots();
    let mut held = Vec::new();
    for _ in 0..PER_CLIENT {
        held.push(take(&slots, need("one", "a", "anna")).await.unwrap());
    }
    let [gone, called] = [0, 1].map(|_| taking(&slots, need("one", "a", "anna")));
    settle().await;
    gone.abort();
    assert!(gone.await.is_err());
    // Called and gone before it heard of it.
    held.pop();
    called.abort();
    settle().await;
    drop(called);
    held.push(take(&slots, need("one", "a", "anna")).await.unwrap());
    drop(held);
    settle().await;
    assert_eq!(slots.queues().taken, 0);
}

/// A fill that takes a slot and never ends, and the client that waits for it.
fn filling(
    slots: &Arc<DownloadSlots>,
    flights: &Arc<Flights<FileFetch, ()>>,
    need: SlotRequest,
) -> JoinHandle<()> {
    let (slots, flights) = (Arc::clone(slots), Arc::clone(flights));
    tokio::spawn(async move {
        let fetch = need.fetch.clone();
        let fill = |waiters| {
            let (slots, need) = (Arc::clone(&slots), need.clone());
            async move {
                let fetch = need.fetch.clone();
                let fill = async {
                    let _slot = slots.take(need, PATIENCE).await;
                    std::future::pending::<()>().await
                };
                slots.unless_left(&fetch, &waiters, fill).await.unwrap_or_default()
            }
        };
        let _ = flights.join_seen(&fetch, fill).await;
    })
}

#[tokio::test(start_paused = true)]
async fn a_download_that_nobody_waits_for_gives_its_slot_to_one_that_somebody_waits_for() {
    let (slots, flights) = (slots(), Arc::new(Flights::default()));
    let needs: Vec<_> = (0..PER_CLIENT).map(|_| need("one", "a", "anna")).collect();
    let clients: Vec<_> = needs.iter().map(|need| filling(&slots, &flights, need.clone())).collect();
    let other = need("two", "a", "anna");
    let elsewhere = filling(&slots, &flights, other.clone());
    settle().await;
    let waits = taking(&slots, need("one", "a", "anna"));
    settle().await;
    assert!(!waits.is_finished(), "all of them are waited for");
    elsewhere.abort();
    settle().await;
    assert!(!waits.is_finished() && flights.is_open(&other.fetch), "another registry's is no help");
    clients.iter().take(3).for_each(JoinHandle::abort);
    settle().await;
    assert!(waits.await.unwrap().is_some());
    let open = needs.iter().filter(|need| flights.is_open(&need.fetch)).count();
    assert_eq!(open, PER_CLIENT - 1, "one made room, and the others go on");
    let again = take(&slots, need("one", "a", "anna")).await;
    assert!(again.is_some(), "they do for a later request, too");
}

#[tokio::test(start_paused = true)]
async fn a_download_that_nobody_waits_for_leaves_the_queue_and_ends() {
    let (slots, flights) = (slots(), Arc::new(Flights::default()));
    let needs: Vec<_> = (0..=PER_CLIENT).map(|_| need("one", "a", "anna")).collect();
    let mut clients: Vec<_> = needs.iter().map(|need| filling(&slots, &flights, need.clone())).collect();
    settle().await;
    clients.pop().unwrap().abort();
    settle().await;
    assert!(!flights.is_open(&needs[PER_CLIENT].fetch), "it stood in line for nobody");
    clients.pop().unwrap().abort();
    let alone = &needs[PER_CLIENT - 1].fetch;
    tokio::time::sleep(ALONE - Duration::from_secs(1)).await;
    assert!(flights.is_open(alone), "it is in nobody's way");
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert!(!flights.is_open(alone));
    assert!(needs[..PER_CLIENT - 1].iter().all(|need| flights.is_open(&need.fetch)), "these are waited for");
}
