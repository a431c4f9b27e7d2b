//! The connection that all operations share, as the library keeps it, and what to tell when there is none.
//!
//! The library makes the connection with the first operation and anew when it breaks. It does neither when a greeting was
//! refused, nor when nothing comes any longer: then its manager is replaced here. Owns that, and that every operation ends within
//! its deadline. Must not know how a trial is made, nor what operations ask.

use std::sync::{Mutex, MutexGuard, PoisonError};

use redis::aio::{ConnectionManager, ConnectionManagerConfig};
use redis::{Client, RedisError};
use tokio::time::{Instant, timeout_at};

use crate::address::EngineAddress;
use crate::fault::{DEADLINE, EngineFault};
use crate::last_trial::LastTrial;
use crate::refusal::fault;
use crate::trial::ConnectTrial;

/// The one connection, and why there is none.
pub(crate) struct RedisConnection {
    client: Client,
    trials: LastTrial,
    current: Mutex<Managed>,
}

/// The library's manager of the connection.
struct Managed {
    manager: ConnectionManager,
    /// How many there were before.
    number: u64,
    standing: Standing,
}

/// What is known of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    /// Nothing, as it is made.
    New,
    /// An operation waited for it in vain, and may have been the one that had it made.
    Doubted,
    /// The engine answered on it.
    Good,
}

impl RedisConnection {
    pub(crate) fn new(address: &EngineAddress) -> Result<Self, EngineFault> {
        let info = address.connection_info()?;
        let trials = LastTrial::new(ConnectTrial::new(&info)?);
        let client = Client::open(info).map_err(|_| EngineFault::Address)?;
        let manager = lazy(&client).map_err(|error| fault(&error))?;
        let current = Mutex::new(Managed { manager, number: 0, standing: Standing::New });
        Ok(Self { client, trials, current })
    }

    /// Does `work` on the connection, within the deadline. What a trial finds out later, the next failure tells.
    pub(crate) async fn with<T, F>(&self, work: impl FnOnce(ConnectionManager) -> F) -> Result<T, EngineFault>
    where
        F: Future<Output = Result<T, RedisError>>,
    {
        let begun = Instant::now();
        let due = begun + DEADLINE;
        let (manager, number, standing) = {
            let current = self.lock();
            (current.manager.clone(), current.number, current.standing)
        };
        if standing != Standing::Good
            && let Some(failure) = self.trials.failure()
        {
            return Err(failure);
        }
        let error = match timeout_at(due, work(manager)).await {
            Ok(Ok(done)) => {
                self.stands(number, Standing::Good);
                return Ok(done);
            }
            Ok(Err(error)) => Some(error).filter(|error| !error.is_timeout()),
            Err(_elapsed) => None,
        };
        let fault = error.as_ref().map_or(EngineFault::Slow, fault);
        let is_in_doubt = match &error {
            Some(error) => self.failed(number, error, fault),
            None => self.waited(number),
        };
        if !is_in_doubt {
            return Err(fault);
        }
        let (trial, is_another) = self.trials.begin(begun);
        if is_another && error.is_some() {
            // The library would give the same error again, for ever if the greeting was refused.
            self.replace(number);
        }
        let failure = timeout_at(due, trial).await.ok().and_then(|ended| ended.failure);
        Err(failure.unwrap_or(fault))
    }

    /// The same outcome, after what the trial under way finds out: for who tells why, and has time.
    pub(crate) async fn explained<T>(&self, outcome: Result<T, EngineFault>) -> Result<T, EngineFault> {
        match (outcome, self.trials.current(Instant::now())) {
            (Err(fault), Some(trial)) if !is_answer(fault) => Err(trial.await.failure.unwrap_or(fault)),
            (outcome, _) => outcome,
        }
    }

    /// An operation failed. Whether there may be no connection.
    fn failed(&self, number: u64, error: &RedisError, fault: EngineFault) -> bool {
        if is_answer(fault) {
            self.stands(number, Standing::Good);
            return false;
        }
        let was_good = self.lock().standing == Standing::Good;
        if was_good && (error.is_io_error() || error.is_unrecoverable_error()) {
            // The library makes it anew.
            self.stands(number, Standing::New);
        }
        !was_good
    }

    /// An operation waited in vain. Whether there may be no connection.
    fn waited(&self, number: u64) -> bool {
        let standing = self.lock().standing;
        match standing {
            // One that is only slow to be made is kept: far away, another would take as long again.
            Standing::New => self.stands(number, Standing::Doubted),
            // A firewall may have forgotten it, which the system notices after minutes, and the library never.
            Standing::Doubted | Standing::Good => self.replace(number),
        }
        standing != Standing::Good
    }

    /// What is known of the connection, if it is still this one.
    fn stands(&self, number: u64, standing: Standing) {
        let mut current = self.lock();
        if current.number == number {
            current.standing = standing;
        }
    }

    /// Has the next operation make another connection, if it is still this one.
    fn replace(&self, number: u64) {
        let mut current = self.lock();
        if current.number == number
            && let Ok(manager) = lazy(&self.client)
        {
            *current = Managed { manager, number: number + 1, standing: Standing::New };
        }
    }

    fn lock(&self) -> MutexGuard<'_, Managed> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A manager that connects with its first operation.
fn lazy(client: &Client) -> Result<ConnectionManager, RedisError> {
    // Sooner than the deadline, so that a failure may still be named.
    let late = Some(DEADLINE * 9 / 10);
    let config = ConnectionManagerConfig::new()
        .set_connection_timeout(late)
        .set_response_timeout(late)
        // Every operation tries again, and a failure is told at once.
        .set_number_of_retries(0);
    ConnectionManager::new_lazy_with_config(client.clone(), config)
}

/// Whether only an engine says so, so that there is a connection.
fn is_answer(fault: EngineFault) -> bool {
    match fault {
        EngineFault::ReadOnly
        | EngineFault::Full
        | EngineFault::Starting
        | EngineFault::Forbidden(_)
        | EngineFault::OtherType
        | EngineFault::Sharded
        | EngineFault::TooOld => true,
        EngineFault::Unconnected(_)
        | EngineFault::WebServer
        | EngineFault::Protected
        | EngineFault::Crowded
        | EngineFault::Broken
        | EngineFault::Slow
        | EngineFault::Password
        | EngineFault::Database(_)
        | EngineFault::Unreadable
        | EngineFault::Address => false,
    }
}
