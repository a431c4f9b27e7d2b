//! The budget at its boundaries, and over schedules that nobody thought of.

use super::*;
use Urgency::{Background, Foreground};

fn at(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// One request that is over as soon as it was sent.
fn ask(budget: &mut Budget, urgency: Urgency, now: Duration) -> Result<(), Duration> {
    budget.spend(urgency, now).inspect(|()| budget.over(now))
}

#[test]
fn no_budget_is_no_bound() {
    let mut budget = Budget::new(0);
    assert!((0..10_000).all(|_| ask(&mut budget, Background, at(0)).is_ok()));
    assert_eq!((budget.left(at(0)), budget.pause(Background, at(0))), (None, None));
    assert!(budget.over.is_empty(), "and nothing is kept");
}

#[test]
fn the_oldest_frees_its_place_after_sixty_seconds_and_not_before() {
    let mut budget = Budget::new(2);
    assert_eq!(budget.left(at(1000)), Some(2));
    ask(&mut budget, Foreground, at(1000)).unwrap();
    ask(&mut budget, Foreground, at(5000)).unwrap();
    assert_eq!(budget.left(at(5000)), Some(0));
    assert_eq!(ask(&mut budget, Foreground, at(5000)), Err(at(56_000)));
    assert_eq!(ask(&mut budget, Foreground, at(60_999)), Err(at(1)));
    assert_eq!(budget.left(at(61_000)), Some(1));
    assert_eq!(ask(&mut budget, Foreground, at(61_000)), Ok(()));
    assert_eq!(ask(&mut budget, Foreground, at(61_000)), Err(at(4000)), "the second one is the oldest now");
}

#[test]
fn a_refusal_spends_nothing() {
    let mut budget = Budget::new(1);
    ask(&mut budget, Foreground, at(0)).unwrap();
    for millis in 0..100 {
        assert!(ask(&mut budget, Foreground, at(millis)).is_err());
    }
    assert_eq!(ask(&mut budget, Foreground, at(60_000)), Ok(()));
}

#[test]
fn a_request_under_way_counts_until_a_minute_after_it_was_over() {
    let mut budget = Budget::new(1);
    budget.spend(Foreground, at(0)).unwrap();
    assert_eq!(budget.pause(Foreground, at(90_000)), Some(WINDOW), "it may have been sent just now");
    assert_eq!(budget.left(at(90_000)), Some(0));
    budget.over(at(90_000));
    assert_eq!(budget.pause(Foreground, at(149_999)), Some(at(1)));
    assert_eq!(budget.pause(Foreground, at(150_000)), None);
}

#[test]
fn a_fifth_rounded_up_is_kept_from_the_background() {
    for (limit, background) in [(1, 1), (2, 1), (3, 2), (4, 3), (5, 4), (6, 4), (10, 8), (11, 8), (100, 80)] {
        let mut budget = Budget::new(limit);
        let behind = (0..limit).take_while(|_| ask(&mut budget, Background, at(0)).is_ok()).count();
        assert_eq!(behind, background, "of {limit}");
        let first = (0..=limit).take_while(|_| ask(&mut budget, Foreground, at(0)).is_ok()).count();
        assert_eq!(behind + first, limit as usize, "clients get the rest");
    }
}

#[test]
fn the_background_waits_for_as_many_as_it_needs() {
    let mut budget = Budget::new(5);
    (0..5).for_each(|second| ask(&mut budget, Foreground, at(1000 * second)).unwrap());
    assert_eq!(budget.pause(Foreground, at(4000)), Some(at(56_000)));
    assert_eq!(budget.pause(Background, at(4000)), Some(at(57_000)), "one must be left after it");
    assert_eq!(budget.pause(Background, at(60_999)), Some(at(1)));
    assert_eq!(ask(&mut budget, Background, at(61_000)), Ok(()));
}

#[test]
fn another_limit_forgets_nothing() {
    let mut budget = Budget::new(4);
    (0..4).for_each(|second| ask(&mut budget, Foreground, at(1000 * second)).unwrap());
    budget.limit_to(2);
    assert_eq!(budget.left(at(4000)), Some(0));
    assert_eq!(budget.pause(Foreground, at(4000)), Some(at(58_000)), "three must be gone");
    budget.limit_to(5);
    assert_eq!(budget.left(at(4000)), Some(1));
}

/// A generator of its own, so that a failure can be told by its seed.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }
}

#[test]
fn no_window_ever_holds_more_than_the_limit() {
    for seed in 1..=200 {
        let mut dice = Dice(0x9e37_79b9_7f4a_7c15 ^ seed);
        let limit = 1 + dice.below(12) as u32;
        let (mut budget, mut now) = (Budget::new(limit), at(dice.below(100_000)));
        // When each request that is under way was let through, and when each other reached the registry.
        let (mut under_way, mut sent): (Vec<Duration>, Vec<Duration>) = Default::default();
        for _ in 0..600 {
            now += at([0, 1, 700, 20_000, 60_000][dice.below(5) as usize] * dice.below(3));
            if !under_way.is_empty() && dice.below(2) == 0 {
                let since = under_way.swap_remove(dice.below(under_way.len() as u64) as usize);
                budget.over(now);
                let took = (now - since).as_millis() as u64;
                sent.push(since + at(dice.below(took + 1)));
                continue;
            }
            let urgency = if dice.below(3) == 0 { Background } else { Foreground };
            match budget.spend(urgency, now) {
                Ok(()) => under_way.push(now),
                Err(wait) if under_way.is_empty() => {
                    let told = now + wait;
                    assert!(
                        budget.pause(urgency, told - at(1)).is_some(),
                        "seed {seed}: told to wait too long"
                    );
                    assert_eq!(budget.pause(urgency, told), None, "seed {seed}: told to come too early");
                }
                Err(wait) => assert!(!wait.is_zero() && wait <= WINDOW, "seed {seed}"),
            }
        }
        sent.extend(under_way);
        sent.sort_unstable();
        for crowd in sent.windows(limit as usize + 1) {
            assert!(crowd[limit as usize] - crowd[0] >= WINDOW, "seed {seed}: more than {limit} a minute");
        }
    }
}
