//! What a registry says of keeping its documents, and what comes of it.

use super::*;

type Fields = &'static [(&'static str, &'static str)];

fn says(fields: Fields) -> Step {
    capabilities(fields)
}

/// What is to be said of the next answer.
async fn given(desk: &Desk) -> (String, u64, i64) {
    let answer = desk.get(&DocumentKey::Capabilities).await.unwrap();
    (answer.outcome.to_string(), answer.age, answer.ttl)
}

#[tokio::test]
async fn what_may_not_be_kept_is_asked_for_by_each_and_held_nowhere() {
    const MISS: &str = "scriptorium; fwd=uri-miss; fwd-status=200";
    for field in ["no-store", "private, max-age=60"] {
        let fields: Fields = if field == "no-store" {
            &[("cache-control", "no-store")]
        } else {
            &[("cache-control", "private, max-age=60")]
        };
        let desk = Desk::of([says(fields), says(fields)]);
        for _ in 0..2 {
            assert_eq!(desk.outcome().await, MISS, "{field}");
        }
        assert_eq!(desk.asked().await, 2);
        assert!(desk.documents.shelf.remembered(&DocumentKey::Capabilities).is_none());
        assert_eq!(desk.store.read(&desk.place()).await.unwrap(), None);
    }
}

#[tokio::test]
async fn what_may_no_longer_be_kept_takes_what_was_held_with_it() {
    let renewals: [Step; 2] = [
        answer(200, &[("cache-control", "no-store")], CAPABILITIES),
        answer(304, &[("cache-control", "no-store")], ""),
    ];
    for renewal in renewals {
        let desk = Desk::of([says(&[("etag", "\"a\"")]), renewal, Step::Fail(REFUSED)]);
        desk.outcome().await;
        desk.wait(330);
        assert!(!desk.outcome().await.contains("stored"));
        let failure = desk.get(&DocumentKey::Capabilities).await.unwrap_err();
        assert!(failure.lets_stale_live(), "nothing earlier comes back: {failure}");
        assert_eq!(desk.store.read(&desk.place()).await.unwrap(), None);
        assert!(!desk.registry.asked()[2].headers.contains_key("if-none-match"), "nor its tag");
    }
}

#[tokio::test]
async fn no_cache_is_kept_and_asked_for_each_time() {
    let desk = Desk::of([
        says(&[("etag", "\"a\""), ("cache-control", "no-cache")]),
        answer(304, &[], ""),
        Step::Fail(REFUSED),
        says(&[("cache-control", "max-age=60")]),
    ]);
    assert_eq!(desk.outcome().await, "scriptorium; fwd=uri-miss; fwd-status=200; stored");
    assert_eq!(desk.outcome().await, "scriptorium; fwd=stale; fwd-status=304");
    assert_eq!(desk.outcome().await, "scriptorium; hit; ttl=0; detail=\"stale-if-error\"");
    assert_eq!(desk.outcome().await, "scriptorium; fwd=stale; fwd-status=200; stored");
    assert_eq!(desk.outcome().await, "scriptorium; hit; ttl=60", "what is said last counts");
}

#[tokio::test]
async fn a_cap_shortens_our_ttl_and_age_counts_against_it() {
    for (fields, ttl) in [
        (&[("cache-control", "max-age=100")] as Fields, 100),
        (&[("cache-control", "max-age=1000")], 300),
        (&[("cache-control", "max-age=1000, s-maxage=50")], 50),
        (&[("cache-control", "max-age=10, s-maxage=50")], 50),
        (&[("cache-control", "max-age=100"), ("age", "70")], 30),
        (&[("cache-control", "max-age=400"), ("age", "70")], 300),
        (&[("cache-control", "max-age=100"), ("age", "100")], 0),
        (&[("cache-control", "max-age=nonsense")], 0),
        (&[("age", "70")], 300),
        (&[("expires", "Thu, 01 Jan 1970 00:00:00 GMT"), ("pragma", "no-cache")], 300),
    ] {
        let desk = Desk::of([says(fields)]);
        assert_eq!(given(&desk).await.2, ttl, "{fields:?}");
        desk.wait(20);
        let (outcome, _, left) = given(&desk).await;
        assert_eq!(left, ttl - 20, "{fields:?}: {outcome}");
    }
}

#[tokio::test]
async fn a_renewal_updates_what_was_said() {
    let desk = Desk::of([
        says(&[("etag", "\"a\""), ("cache-control", "max-age=10")]),
        answer(304, &[], ""),
        answer(304, &[("cache-control", "max-age=20"), ("age", "5")], ""),
    ]);
    for ttl in [10, 10, 15] {
        assert_eq!(given(&desk).await.2, ttl);
        desk.wait(50);
    }
}

#[tokio::test]
async fn a_capability_document_caps_itself_after_a_restart_too() {
    const SAYS: &str = r#"{"schemaVersion":"1","apiVersion":"v1","apis":{},"cache":{"maxAgeSeconds":7}}"#;
    let desk = Desk::of([answer(200, &[("cache-control", "max-age=9")], SAYS)]);
    assert_eq!(given(&desk).await.2, 7);
    let restarted = Desk::over(desk.store, Registry::default(), |_| {});
    assert_eq!(given(&restarted).await, ("scriptorium; hit; ttl=7".to_owned(), 0, 7));
}

#[tokio::test]
async fn an_operator_may_turn_it_off() {
    const SAYS: &str = r#"{"schemaVersion":"1","apiVersion":"v1","apis":{},"cache":{"maxAgeSeconds":7}}"#;
    for field in [&[("cache-control", "no-store")] as Fields, &[("cache-control", "no-cache, max-age=1")]] {
        let desk = Desk::of([answer(200, field, SAYS)]);
        let upstream = desk.registry.upstream_with(|config| config.cache_control = CacheControl::Ignore);
        let upstreams = RegistryClients::new(vec![(upstream, Vec::new())]);
        let (policy, on_divergence) = (config::Cache::default(), OnDivergence::Quarantine);
        desk.documents.reload(LiveSettings { policy, on_divergence, max_document: 1 << 20, upstreams });
        assert!(given(&desk).await.0.contains("stored"));
        assert_eq!(given(&desk).await.0, "scriptorium; hit; ttl=300");
    }
}

#[tokio::test]
async fn refusals_keep_their_own_ttl() {
    let desk = Desk::of([answer(404, &[("cache-control", "no-store, max-age=0")], NOT_FOUND)]);
    assert_eq!(desk.outcome().await, "scriptorium; fwd=uri-miss; fwd-status=404", "in memory alone");
    assert_eq!(desk.outcome().await, "scriptorium; hit; detail=\"negative\"");
}

#[tokio::test]
async fn an_absurd_age_is_long_and_never_none() {
    for (field, age) in [
        (&[("age", "18446744073709551615")] as Fields, 1 << 31),
        (&[("age", "99999999999999999999999")], 1 << 31),
        (&[("age", "2147483647")], (1 << 31) - 1),
        (&[("age", "-1")], 0),
    ] {
        let desk = Desk::of([says(field)]);
        assert_eq!(given(&desk).await.1, age, "{field:?}");
        desk.wait(100);
        assert_eq!(given(&desk).await.1, (age + 100).min(1 << 31), "{field:?}");
    }
}

#[tokio::test]
async fn who_takes_only_what_is_held_makes_nobody_be_asked() {
    let desk = Desk::of([says(&[])]);
    let held = || async {
        let context = FetchContext::foreground("id-1").held_only(true);
        desk.documents.get(&DocumentKey::Capabilities, context).await
    };
    assert!(matches!(held().await, Err(ReadFailure::HeldOnly)));
    assert_eq!(desk.asked().await, 0);
    desk.outcome().await;
    assert_eq!(held().await.unwrap().outcome.to_string(), "scriptorium; hit; ttl=300");
    desk.wait(310);
    let stale = "scriptorium; hit; ttl=-10; detail=\"stale-while-revalidate\"";
    assert_eq!(held().await.unwrap().outcome.to_string(), stale);
    desk.wait(30);
    assert!(matches!(held().await, Err(ReadFailure::HeldOnly)));
    assert_eq!(desk.asked().await, 1, "not behind an answer either");
}

fn unkept(body: &'static str) -> Step {
    answer(200, &[("cache-control", "no-store")], body)
}

/// A release that was held until an index that is not kept withdrew it.
async fn overruled() -> Desk {
    let desk = Desk::of([found(AVAILABLE), unkept(ROW)]);
    desk.get(&release()).await.unwrap();
    desk.wait(100);
    desk.registry.then([unkept(BLOCKED_ROW)]);
    desk.get(&index()).await.unwrap();
    assert!(desk.documents.shelf.remembered(&release()).is_none());
    desk
}

#[tokio::test]
async fn a_block_in_an_index_that_is_not_kept_stands() {
    let desk = overruled().await;
    desk.registry.then([gone()]);
    assert!(is_blocked(&desk.get(&release()).await.unwrap_err()));
    let offline = Desk::over(desk.store.clone(), Registry::default(), |policy| policy.offline = true);
    assert!(matches!(offline.get(&release()).await, Err(ReadFailure::Offline)));
    let restarted = Desk::over(desk.store.clone(), Registry::of([gone()]), |_| {});
    assert!(matches!(restarted.get(&release()).await, Err(ReadFailure::CouldNotAsk(_))));
}

#[tokio::test]
async fn it_stands_until_the_registry_gives_another_index() {
    let desk = overruled().await;
    for silence in [gone(), answer(404, &[], "a gateway's page")] {
        desk.registry.then([found(AVAILABLE), silence]);
        assert!(is_blocked(&desk.get(&release()).await.unwrap_err()));
        assert!(desk.documents.held(&release()).await.is_none(), "nor does it come back later");
        desk.wait(100);
    }
    desk.registry.then([found(AVAILABLE), unkept(ROW)]);
    assert_eq!(desk.get(&release()).await.unwrap().document.meta.status, 200);
    desk.wait(400);
    desk.registry.then([gone()]);
    assert_eq!(desk.get(&release()).await.unwrap().document.meta.status, 200, "it is held again");
}
