//! What a registry's request budget costs clients, and what it does not.

use super::*;
use crate::read::asker::{How, WantedAnswer};

fn cold(number: u32) -> DocumentKey {
    DocumentKey::Index(format!("cold-{number}").parse().unwrap())
}

fn is_over_budget(answer: &Result<CachedAnswer, ReadFailure>) -> bool {
    answer.as_ref().is_err_and(ReadFailure::is_over_budget)
}

fn budgeted(budget: u32, steps: impl IntoIterator<Item = Step>) -> Desk {
    Desk::within(budget, Arc::new(ObjectStorage::memory().unwrap()), Registry::of(steps), |_| {})
}

fn not_found(times: usize) -> impl Iterator<Item = Step> {
    (0..times).map(|_| answer(404, &[], NOT_FOUND))
}

#[tokio::test]
async fn hits_spend_no_budget() {
    let desk = budgeted(5, [capabilities(&[])]);
    desk.outcome().await;
    for _ in 0..1000 {
        assert_eq!(desk.outcome().await, "scriptorium; hit; ttl=300");
    }
    assert_eq!((desk.asked().await, desk.registry.left()), (1, Some(4)));
}

#[tokio::test]
async fn what_is_held_is_served_while_the_budget_is_spent() {
    let desk = budgeted(5, [capabilities(&[])]);
    desk.outcome().await;
    desk.wait(330);
    desk.registry.then(not_found(5));
    for number in 0..5 {
        desk.get(&cold(number)).await.unwrap();
    }
    for number in 5..50 {
        assert!(is_over_budget(&desk.get(&cold(number)).await));
        assert_eq!(desk.outcome().await, "scriptorium; hit; ttl=-30; detail=\"stale-if-error\"");
    }
    assert_eq!(desk.asked().await, 6);
    desk.wait(60);
    desk.registry.then([capabilities(&[])]);
    assert_eq!(desk.outcome().await, "scriptorium; fwd=stale; fwd-status=200; stored");
}

#[tokio::test]
async fn a_refresh_behind_an_answer_leaves_the_last_fifth_to_clients() {
    let desk = budgeted(5, [capabilities(&[])]);
    desk.outcome().await;
    desk.wait(312);
    desk.registry.then(not_found(5));
    for number in 0..4 {
        desk.get(&cold(number)).await.unwrap();
    }
    for _ in 0..10 {
        assert_eq!(desk.outcome().await, "scriptorium; hit; ttl=-12; detail=\"stale-while-revalidate\"");
        desk.asked().await;
        assert_eq!(desk.registry.left(), Some(1), "the refresh had its chance");
    }
    desk.get(&cold(4)).await.unwrap();
    assert_eq!(desk.registry.left(), Some(0));
}

#[tokio::test]
async fn a_client_that_joined_a_refresh_is_not_refused_with_it() {
    let desk = budgeted(2, not_found(1));
    desk.get(&cold(0)).await.unwrap();
    desk.registry.then([capabilities(&[])]);
    let (key, client) = (DocumentKey::Capabilities, FetchContext::foreground("id-1"));
    let wanted = WantedAnswer { key: &key, since: 0, how: How::Conditionally };
    let both = tokio::join!(
        desk.documents.judge.fetch(wanted, client.in_background()),
        desk.documents.judge.fetch(wanted, client)
    );
    assert!(matches!(both, (Err(behind), Ok(_)) if behind.is_over_budget()));
    assert_eq!(desk.asked().await, 2);
}
