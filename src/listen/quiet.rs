//! HTTP/1.1 connections on which nothing is asked.
//!
//! Owns how long that may last, a request's head included. Must not know what is asked, nor how a connection ends.

use std::mem;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::{Instant, Sleep};

use super::standing::Standing;

/// How often in its patience a connection is looked at: a timer for every request would cost more than reading it.
const LOOKS: u32 = 4;

/// For how long nothing was asked.
pub(super) struct Quiet<'a> {
    look: Pin<&'a mut Sleep>,
    interval: Duration,
    /// Looks in a row that found nothing.
    looks: u32,
    /// What there was to see at the last look: how often something was asked, and whether all was said.
    seen: (u32, bool),
}

impl<'a> Quiet<'a> {
    /// Looks whenever `look` is over; whoever has a connection has room for it, too.
    pub(super) fn new(mut look: Pin<&'a mut Sleep>, patience: Duration) -> Self {
        let interval = patience / LOOKS;
        look.as_mut().reset(Instant::now() + interval);
        Self { look, interval, looks: 0, seen: (0, true) }
    }

    /// Ready when nothing was asked, and nothing left to be said, for as long as the patience, and at most a quarter more.
    pub(super) fn poll_over(&mut self, context: &mut Context<'_>, standing: &Standing) -> Poll<()> {
        while self.look.as_mut().poll(context).is_ready() {
            let sees = (standing.asked(), standing.is_quiet());
            let still = mem::replace(&mut self.seen, sees) == sees && standing.is_quiet();
            self.looks = if still { self.looks + 1 } else { 0 };
            if self.looks == LOOKS {
                return Poll::Ready(());
            }
            self.look.as_mut().reset(Instant::now() + self.interval);
        }
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::pin::pin;

    use tokio::time::{sleep, timeout};

    use super::super::connections::tests::place;
    use super::*;

    const PATIENCE: Duration = Duration::from_secs(60);

    #[tokio::test(start_paused = true)]
    async fn what_never_stirs_is_over_after_the_patience_and_a_quarter_more_at_most() {
        let (began, place) = (Instant::now(), place());
        let mut look = pin!(sleep(PATIENCE));
        let mut quiet = Quiet::new(look.as_mut(), PATIENCE);
        poll_fn(|context| quiet.poll_over(context, place.standing())).await;
        assert!((PATIENCE..=PATIENCE * 5 / 4).contains(&began.elapsed()), "after {:?}", began.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn what_stirs_now_and_then_is_not_over_and_then_has_all_of_the_patience() {
        let mut look = pin!(sleep(PATIENCE));
        let (mut quiet, place) = (Quiet::new(look.as_mut(), PATIENCE), place());
        for _ in 0..10 {
            let over = poll_fn(|context| quiet.poll_over(context, place.standing()));
            assert!(timeout(PATIENCE - Duration::from_secs(1), over).await.is_err());
            drop(place.standing().open());
        }
        let stirred_at = Instant::now();
        poll_fn(|context| quiet.poll_over(context, place.standing())).await;
        let lasted = stirred_at.elapsed();
        assert!((PATIENCE..=PATIENCE * 5 / 4).contains(&lasted), "after {lasted:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_that_is_open_is_waited_for_and_then_all_of_the_patience() {
        let mut look = pin!(sleep(PATIENCE));
        let (mut quiet, place) = (Quiet::new(look.as_mut(), PATIENCE), place());
        let open = place.standing().open();
        let over = poll_fn(|context| quiet.poll_over(context, place.standing()));
        assert!(timeout(PATIENCE * 5, over).await.is_err());
        drop(open);
        let over = poll_fn(|context| quiet.poll_over(context, place.standing()));
        assert!(timeout(PATIENCE - Duration::from_secs(1), over).await.is_err());
    }
}
