//! Reading no faster than an operator allows.
//!
//! Owns how long to pause after so many bytes. Must not know what is read, nor which clock measures a pause.

use std::num::NonZeroU64;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;

/// The least that reading a value costs: a page of a disk.
const PAGE: u64 = 4096;

/// Shorter pauses are added up: a timer is no finer.
const SHORTEST: Duration = Duration::from_millis(10);

/// How a pause is taken.
pub(crate) trait Pause: Send + Sync {
    fn rest(&self, time: Duration) -> BoxFuture<'static, ()>;
}

/// Pauses by the runtime's timer.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TimerPause;

impl Pause for TimerPause {
    fn rest(&self, time: Duration) -> BoxFuture<'static, ()> {
        Box::pin(tokio::time::sleep(time))
    }
}

/// A bound on the bytes that are read in a second.
pub(crate) struct ReadRate {
    limit: Option<(NonZeroU64, Arc<dyn Pause>)>,
    owed: Duration,
}

impl ReadRate {
    pub(crate) fn unlimited() -> Self {
        Self { limit: None, owed: Duration::ZERO }
    }

    /// At most so many bytes a second.
    pub(crate) fn limited(bytes_per_second: NonZeroU64, rest: Arc<dyn Pause>) -> Self {
        Self { limit: Some((bytes_per_second, rest)), owed: Duration::ZERO }
    }

    /// Pauses for as long as reading `bytes` may take.
    pub(crate) async fn after(&mut self, bytes: u64) {
        let Some((rate, rest)) = &self.limit else { return };
        let nanos = u128::from(bytes.max(PAGE)) * 1_000_000_000 / u128::from(rate.get());
        self.owed += Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX));
        if self.owed >= SHORTEST {
            rest.rest(std::mem::take(&mut self.owed)).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    #[derive(Default)]
    struct Recorded(Mutex<Vec<Duration>>);

    impl Pause for Recorded {
        fn rest(&self, time: Duration) -> BoxFuture<'static, ()> {
            self.0.lock().unwrap().push(time);
            Box::pin(std::future::ready(()))
        }
    }

    #[tokio::test]
    async fn rests_add_up_to_what_the_bytes_may_take() {
        let rests = Arc::new(Recorded::default());
        let mut pace = ReadRate::limited(NonZeroU64::new(1 << 20).unwrap(), rests.clone());
        for bytes in [1 << 20, 3 << 20, 1 << 19] {
            pace.after(bytes).await;
        }
        assert_eq!(*rests.0.lock().unwrap(), [1000, 3000, 500].map(Duration::from_millis));
    }

    #[tokio::test]
    async fn small_values_cost_a_page_and_share_a_rest() {
        let rests = Arc::new(Recorded::default());
        let mut pace = ReadRate::limited(NonZeroU64::new(PAGE * 1000).unwrap(), rests.clone());
        for _ in 0..25 {
            pace.after(1).await;
        }
        assert_eq!(*rests.0.lock().unwrap(), [SHORTEST; 2]);
    }
}
