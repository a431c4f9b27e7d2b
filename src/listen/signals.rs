//! What the process is told from outside while it runs.
//!
//! Owns the meaning of each signal. Must not know how anything is stopped or reloaded.

use std::io;
use std::path::Path;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::task::block_in_place;

/// How to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stop {
    /// Finish what is in flight.
    Finish,
    /// The same, after handing the listening sockets to the next process.
    HandOver,
}

/// The signals that end the process. From here on none of them does by itself.
pub(super) struct Signals {
    terminate: Signal,
    interrupt: Signal,
    quit: Signal,
}

impl Signals {
    /// Starts listening, and calls `reload` on every SIGHUP from now on. Needs a multi-threaded runtime.
    pub(super) fn new(reload: impl Fn() + Send + 'static) -> io::Result<Self> {
        let mut hangup = signal(SignalKind::hangup())?;
        tokio::spawn(async move {
            while hangup.recv().await.is_some() {
                block_in_place(&reload);
            }
        });
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            quit: signal(SignalKind::quit())?,
        })
    }

    /// Waits until told to stop. SIGQUIT without a next process at `upgrade_sock` would stop the service: it is refused.
    pub(super) async fn stop(&mut self, upgrade_sock: &Path) -> Stop {
        loop {
            tokio::select! {
                _ = self.terminate.recv() => return Stop::Finish,
                _ = self.interrupt.recv() => return Stop::Finish,
                _ = self.quit.recv() => {
                    if upgrade_sock.exists() {
                        return Stop::HandOver;
                    }
                    tracing::warn!(
                        path = %upgrade_sock.display(),
                        "SIGQUIT is ignored: no process waits for the sockets; start it first, with an upgrade asked for"
                    );
                }
            }
        }
    }

    /// Waits for SIGTERM or SIGINT.
    pub(super) async fn terminate(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}
