//! The connection that all operations share, made with the first of them and anew when it breaks or is stuck.
//!
//! Owns when a connection is made, and that every operation ends within its deadline. Must not know how one is made, nor what
//! operations ask.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::future::{BoxFuture, FutureExt, Shared};
use redis::RedisError;
use redis::aio::MultiplexedConnection;
use tokio::time::Instant;

use crate::dial::{Connected, Dial};
use crate::fault::{DEADLINE, EngineFault};
use crate::refusal::fault;

/// So long the failure of an attempt is the answer to everybody, before another attempt.
const PAUSE: Duration = Duration::from_millis(250);

/// The one connection, as it is now.
pub(crate) struct RedisConnection {
    dial: Arc<Dial>,
    current: Mutex<Option<Attempt>>,
}

/// A connection that is made or was made.
#[derive(Clone)]
struct Attempt {
    begun: Instant,
    connected: Shared<BoxFuture<'static, Result<Connected, EngineFault>>>,
}

impl RedisConnection {
    pub(crate) fn new(dial: Dial) -> Self {
        Self { dial: Arc::new(dial), current: Mutex::default() }
    }

    /// Does `work` on the connection, within the deadline.
    pub(crate) async fn with<T, F>(
        &self,
        work: impl FnOnce(MultiplexedConnection) -> F,
    ) -> Result<T, EngineFault>
    where
        F: Future<Output = Result<T, RedisError>>,
    {
        let attempt = self.attempt();
        let was_made = attempt.connected.peek().is_some();
        let worked = tokio::time::timeout(DEADLINE, async {
            let connected = attempt.connected.clone().await?;
            Ok::<_, EngineFault>(work(connected.connection.clone()).await)
        });
        let error = match worked.await {
            Ok(Ok(Ok(done))) => return Ok(done),
            Ok(Ok(Err(error))) => error,
            Ok(Err(unconnected)) => return Err(unconnected),
            Err(_elapsed) => {
                // A firewall may have forgotten the connection, which the system notices after minutes. One that was only made
                // meanwhile is kept: far away, another would take as long again.
                if was_made {
                    self.forget(&attempt);
                }
                return Err(EngineFault::Slow);
            }
        };
        if error.is_unrecoverable_error() || error.is_timeout() {
            self.forget(&attempt);
        }
        Err(fault(&error))
    }

    /// The connection as it is made or was made; a new attempt if there is none.
    fn attempt(&self) -> Attempt {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        let usable = current.take().filter(|attempt| {
            let has_failed = attempt.connected.peek().is_some_and(Result::is_err);
            !has_failed || attempt.begun.elapsed() < PAUSE
        });
        current.insert(usable.unwrap_or_else(|| Attempt::begin(&self.dial))).clone()
    }

    /// Has the next operation make another connection, if this is still the one.
    fn forget(&self, attempt: &Attempt) {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        if current.as_ref().is_some_and(|current| current.connected.ptr_eq(&attempt.connected)) {
            *current = None;
        }
    }
}

impl Attempt {
    /// In a task of its own, so that it goes on if nobody waits for it any longer.
    fn begin(dial: &Arc<Dial>) -> Self {
        let dial = Arc::clone(dial);
        let task = tokio::spawn(async move { dial.dial().await });
        let connected = task.map(|ended| ended.unwrap_or(Err(EngineFault::Broken)));
        Self { begun: Instant::now(), connected: connected.boxed().shared() }
    }
}
