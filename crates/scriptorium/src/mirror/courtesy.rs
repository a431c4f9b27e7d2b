//! How a sync steps back for clients.
//!
//! On the threads that give way, work still costs clients something: the kernel changes threads late, and the disk and the
//! caches of a core are everybody's. So after each item a run rests, the longer the more clients asked meanwhile. Owns how
//! long. Must not know what an item is.

use std::time::Duration;

use tokio::time::{Instant, sleep};

/// Rest for each request of a client that was answered meanwhile.
const FOR_EACH_REQUEST: Duration = Duration::from_millis(1);
/// The longest rest, in times of what the item took. Six items are dealt with at once, so about a third of a core is left to them.
const LONGEST_SHARE: u32 = 16;
/// The longest rest after an item that took long because its registry did.
const LONGEST: Duration = Duration::from_millis(500);

/// Deals with an `item`, and rests afterwards for as long as clients asked meanwhile. `answered` counts their requests.
pub(super) async fn courteously<T>(answered: impl Fn() -> u64, item: impl Future<Output = T>) -> T {
    let (before, began) = (answered(), Instant::now());
    let got = item.await;
    let rest = rest(answered().saturating_sub(before), began.elapsed());
    if !rest.is_zero() {
        sleep(rest).await;
    }
    got
}

/// The rest after an item that took so long, while so many requests of clients were answered.
fn rest(answered: u64, took: Duration) -> Duration {
    let answered = u32::try_from(answered).unwrap_or(u32::MAX);
    FOR_EACH_REQUEST.saturating_mul(answered).min(took.saturating_mul(LONGEST_SHARE)).min(LONGEST)
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn an_item_beside_which_clients_asked_is_followed_by_a_rest_and_any_other_is_not() {
        for (asked, expected) in [(0, 10), (3, 13), (1_000_000, 170)] {
            let (answered, began) = (Cell::new(7), Instant::now());
            let item = async {
                sleep(Duration::from_millis(10)).await;
                answered.set(answered.get() + asked);
            };
            courteously(|| answered.get(), item).await;
            assert_eq!(began.elapsed().as_millis(), expected, "{asked} requests");
        }
    }

    #[test]
    fn a_run_rests_for_as_long_as_clients_ask_and_never_long() {
        let rested = |answered, took| rest(answered, Duration::from_millis(took)).as_millis();
        assert_eq!(rested(0, 10), 0, "nobody asks");
        assert_eq!(rested(3, 10), 3, "few ask");
        assert_eq!(rested(1000, 10), 160, "many ask");
        assert_eq!(rested(1_000_000, 60_000), 500, "the registry is slow");
        assert_eq!(rested(u64::MAX, 10), 160);
    }
}
