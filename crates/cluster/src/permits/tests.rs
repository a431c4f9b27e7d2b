//! Permits of one node: what is counted, and what a successor takes over.

use super::*;

fn at(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn unentered(limit: u32) -> Permits {
    let (pool, node, cool) = ("p".to_owned(), "n".to_owned(), at(60));
    Permits::new(PermitSettings { pool, node, limit, nodes: 3, cool }, at(0))
}

fn entered(age: Option<Duration>) -> Permits {
    let mut permits = unentered(9);
    permits.enter(age, at(0));
    permits
}

fn told(permits: &mut Permits, now: Duration) {
    let call = permits.call(0, now).unwrap();
    permits.answered(call.turn, &PoolReply { now_ms: 5_000, grant: None }, now);
}

#[test]
fn alone_a_node_has_its_share_until_ended_requests_are_cool() {
    let mut permits = entered(None);
    let now = Duration::from_secs(1);
    let used: Vec<PermitUse> = (0..9).filter_map(|_| permits.take(0, now)).collect();
    assert_eq!(used.len(), 3);
    permits.ended(used[0], now);
    assert_eq!(permits.take(0, now + Duration::from_millis(59_999)), None);
    assert!(permits.take(0, now + Duration::from_secs(60)).is_some());
}

#[test]
fn a_part_is_left_for_those_whom_a_client_waits_for() {
    let (mut permits, now) = (entered(None), Duration::from_secs(1));
    assert_eq!((0..9).filter_map(|_| permits.take(3, now)).count(), 2);
    assert!(permits.take(0, now).is_some());
    assert_eq!(permits.wanted_by(3), 4);
}

#[test]
fn another_limit_leaves_what_is_in_use() {
    let (mut permits, now) = (entered(None), Duration::from_secs(1));
    assert!(permits.take(0, now).and(permits.take(0, now)).is_some());
    permits.limit_to(3, now);
    assert_eq!((permits.left(now), permits.take(0, now)), (0, None));
    permits.limit_to(15, now);
    assert_eq!(permits.left(now), 3);
}

#[test]
fn who_leaves_takes_nothing_and_says_so_once_it_knows_the_time() {
    let (mut permits, now) = (entered(None), at(1));
    assert_eq!(permits.clone().leave(true, now).0, None);
    told(&mut permits, now);
    assert_eq!(permits.clone().leave(false, now).0, None, "the engine is away");
    let turn = permits.call(0, now).unwrap().turn;
    let last = permits.leave(true, now).0.unwrap();
    assert!(last.claim == 0 && last.want == 0 && last.turn > turn);
    assert_eq!((permits.take(0, now), permits.call(5, at(9))), (None, None));
}

#[test]
fn a_process_without_a_place_asks_for_nothing() {
    let mut permits = unentered(9);
    assert_eq!((permits.call(5, at(999)), permits.left(at(999))), (None, 0));
}

#[test]
fn a_process_waits_for_what_one_that_was_killed_may_have_used() {
    let mut permits = entered(Some(at(0)));
    assert_eq!(permits.left(at(70)), 0);
    assert_eq!(permits.next(0, at(70)), Some(at(72)));
    assert_eq!(permits.left(at(72)), 3);
    assert_eq!(entered(Some(at(70))).left(at(2)), 3);
}

#[test]
fn a_successor_counts_what_the_one_before_it_used() {
    let mut before = entered(None);
    let used = before.take(0, at(10)).unwrap();
    before.take(0, at(10)).unwrap();
    before.ended(used, at(10));
    let (_, left) = before.leave(false, at(40));
    let mut after = unentered(9);
    after.succeed(None, &left, at(100));
    assert_eq!((after.left(at(100)), after.left(at(129))), (1, 1), "it has its share at once");
    assert_eq!(
        (after.left(at(130)), after.left(at(173))),
        (2, 3),
        "nobody knows when the other request ended"
    );
}

#[test]
fn a_successor_has_what_was_lent_when_it_would_have_come_back() {
    let mut before = entered(None);
    told(&mut before, at(1));
    before.call(0, at(2)).unwrap();
    let (call, left) = before.leave(true, at(3));
    let mut after = unentered(9);
    after.succeed(None, &left, at(5));
    let first = after.call(0, at(5)).unwrap();
    assert!(first.turn > call.unwrap().turn && !first.young && first.node == "n");
    assert_eq!((after.left(at(76)), after.next(0, at(76))), (0, Some(at(77))));
    assert_eq!(after.left(at(77)), 3);
}

#[test]
fn a_successor_of_a_process_that_had_no_share_yet_waits_for_the_rest() {
    let (_, left) = entered(Some(at(0))).leave(false, at(10));
    let mut after = unentered(9);
    after.succeed(Some(at(10)), &left, at(20));
    assert_eq!((after.left(at(81)), after.left(at(82))), (0, 3));
}

#[test]
fn more_in_use_than_the_share_is_told_to_the_pool_and_cools() {
    let cooling = [(at(20), 5)].into_iter();
    let left = PermitLegacy::new("n", 7, at(0), cooling, Vec::new(), false);
    let mut after = unentered(9);
    after.succeed(None, &left, at(0));
    assert_eq!((after.left(at(0)), after.next(0, at(0))), (0, Some(at(20))));
    told(&mut after, at(0));
    assert_eq!(after.call(0, at(1)).unwrap().claim, 5);
    assert_eq!(after.left(at(20)), 3);
}

#[test]
fn nothing_is_left_of_a_loan_that_ends_before_a_permit_is_cool() {
    let mut permits = entered(Some(at(0)));
    told(&mut permits, at(0));
    let call = permits.call(3, at(1)).unwrap();
    let grant = |expires| PoolGrant {
        held: 5,
        room: Some(5),
        expires_ms: Some(expires),
        wanted: false,
        wait_ms: Some(30_000),
        memory: "m".to_owned(),
    };
    let reply = PoolReply { now_ms: 6_000, grant: Some(grant(70_000)) };
    permits.answered(call.turn, &reply, at(1));
    assert_eq!((permits.left(at(1)), permits.left(at(9)), permits.left(at(10))), (5, 5, 0));
    assert_eq!(permits.next(0, at(9)), Some(at(9)));
    assert_eq!(permits.next(0, at(10)), Some(at(31)), "what the pool said");
    assert_eq!(permits.next(0, at(32)), Some(at(72)), "its own share");
}
