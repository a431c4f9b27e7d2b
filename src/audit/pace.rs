//! Reading no faster than an operator allows.
//!
//! Owns how long to rest after so many bytes. Must not know what is read, nor which clock a rest is taken by.

use std::num::NonZeroU64;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;

/// What reading any value costs at least: a page of the medium.
const PAGE: u64 = 4096;

/// Rests that are shorter wait for the next: a timer is no finer.
const SHORTEST: Duration = Duration::from_millis(10);

/// How a rest is taken.
pub trait Rest: Send + Sync {
    /// Over after `time`.
    fn rest(&self, time: Duration) -> BoxFuture<'static, ()>;
}

/// Rests by the runtime's timer.
#[derive(Debug, Clone, Copy)]
pub struct Sleep;

impl Rest for Sleep {
    fn rest(&self, time: Duration) -> BoxFuture<'static, ()> {
        Box::pin(tokio::time::sleep(time))
    }
}

/// How fast to read.
pub struct Pace {
    limit: Option<(NonZeroU64, Arc<dyn Rest>)>,
    owed: Duration,
}

impl Pace {
    /// As fast as the medium.
    #[must_use]
    pub fn unlimited() -> Self {
        Self { limit: None, owed: Duration::ZERO }
    }

    /// No more than so many bytes a second.
    #[must_use]
    pub fn limited(bytes_per_second: NonZeroU64, rest: Arc<dyn Rest>) -> Self {
        Self { limit: Some((bytes_per_second, rest)), owed: Duration::ZERO }
    }

    /// Rests for as long as reading `bytes` may take.
    pub async fn after(&mut self, bytes: u64) {
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

    impl Rest for Recorded {
        fn rest(&self, time: Duration) -> BoxFuture<'static, ()> {
            self.0.lock().unwrap().push(time);
            Box::pin(std::future::ready(()))
        }
    }

    #[tokio::test]
    async fn rests_add_up_to_what_the_bytes_may_take() {
        let rests = Arc::new(Recorded::default());
        let mut pace = Pace::limited(NonZeroU64::new(1 << 20).unwrap(), rests.clone());
        for bytes in [1 << 20, 3 << 20, 1 << 19] {
            pace.after(bytes).await;
        }
        assert_eq!(*rests.0.lock().unwrap(), [1000, 3000, 500].map(Duration::from_millis));
    }

    #[tokio::test]
    async fn small_values_cost_a_page_and_share_a_rest() {
        let rests = Arc::new(Recorded::default());
        let mut pace = Pace::limited(NonZeroU64::new(PAGE * 1000).unwrap(), rests.clone());
        for _ in 0..25 {
            pace.after(1).await;
        }
        assert_eq!(*rests.0.lock().unwrap(), [SHORTEST; 2]);
    }
}
