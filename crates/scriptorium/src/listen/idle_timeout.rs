//! The end of HTTP/1.1 connections on which no request comes.
//!
//! Owns how long a client may take for a request's head and between two requests. Must not know what is asked, nor how
//! a connection ends.

use std::mem;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::{Instant, Sleep};

use super::activity::Activity;

/// How often within the timeout a connection is looked at. A timer for every request would cost more than reading it.
const LOOKS: u32 = 4;

/// Counts for how long no request has come.
pub(super) struct IdleTimeout<'a> {
    look: Pin<&'a mut Sleep>,
    interval: Duration,
    /// Looks in a row at which nothing had happened.
    looks: u32,
    /// What the last look saw.
    seen: Seen,
}

#[derive(Clone, Copy, PartialEq)]
struct Seen {
    requests: u32,
    idle: bool,
}

impl<'a> IdleTimeout<'a> {
    /// Uses the timer `look`, for which a connection has space in its own task.
    pub(super) fn new(mut look: Pin<&'a mut Sleep>, timeout: Duration) -> Self {
        let interval = timeout / LOOKS;
        look.as_mut().reset(Instant::now() + interval);
        Self { look, interval, looks: 0, seen: Seen { requests: 0, idle: true } }
    }

    /// Ready once the connection was idle without a new request for the timeout, and at most a quarter longer.
    pub(super) fn poll_over(&mut self, context: &mut Context<'_>, activity: &Activity) -> Poll<()> {
        while self.look.as_mut().poll(context).is_ready() {
            let sees = Seen { requests: activity.requests(), idle: activity.is_idle() };
            let still = mem::replace(&mut self.seen, sees) == sees && sees.idle;
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

    use super::super::connections::tests::slot;
    use super::*;

    const PATIENCE: Duration = Duration::from_secs(60);

    #[tokio::test(start_paused = true)]
    async fn what_never_stirs_is_over_after_the_patience_and_a_quarter_more_at_most() {
        let (began, slot) = (Instant::now(), slot());
        let mut look = pin!(sleep(PATIENCE));
        let mut idle = IdleTimeout::new(look.as_mut(), PATIENCE);
        poll_fn(|context| idle.poll_over(context, &slot.connection().activity)).await;
        assert!((PATIENCE..=PATIENCE * 5 / 4).contains(&began.elapsed()), "after {:?}", began.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn what_stirs_now_and_then_is_not_over_and_then_has_all_of_the_patience() {
        let mut look = pin!(sleep(PATIENCE));
        let (mut idle, slot) = (IdleTimeout::new(look.as_mut(), PATIENCE), slot());
        for _ in 0..10 {
            let over = poll_fn(|context| idle.poll_over(context, &slot.connection().activity));
            assert!(timeout(PATIENCE - Duration::from_secs(1), over).await.is_err());
            drop(slot.connection().open_answer());
        }
        let stirred_at = Instant::now();
        poll_fn(|context| idle.poll_over(context, &slot.connection().activity)).await;
        let lasted = stirred_at.elapsed();
        assert!((PATIENCE..=PATIENCE * 5 / 4).contains(&lasted), "after {lasted:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_that_is_open_is_waited_for_and_then_all_of_the_patience() {
        let mut look = pin!(sleep(PATIENCE));
        let (mut idle, slot) = (IdleTimeout::new(look.as_mut(), PATIENCE), slot());
        let open = slot.connection().open_answer();
        let over = poll_fn(|context| idle.poll_over(context, &slot.connection().activity));
        assert!(timeout(PATIENCE * 5, over).await.is_err());
        drop(open);
        let over = poll_fn(|context| idle.poll_over(context, &slot.connection().activity));
        assert!(timeout(PATIENCE - Duration::from_secs(1), over).await.is_err());
    }
}
