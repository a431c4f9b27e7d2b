//! The signals that the process obeys.
//!
//! Owns the meaning of each. Must not know how anything is stopped or reloaded.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::task::block_in_place;

/// How to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stop {
    /// After the requests in flight.
    Finish,
    /// The same; the next process, of this number, has the listening sockets.
    HandedOver(u32),
}

/// The signals that end the process, which no longer do so by themselves.
pub(super) struct Signals {
    terminate: Signal,
    interrupt: Signal,
    quit: Signal,
}

impl Signals {
    /// Calls `reload` on every SIGHUP. Needs a multi-threaded runtime.
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

    /// Waits for a signal to stop. SIGQUIT calls `hand_over`; if that fails, the process goes on, since stopping would end
    /// the service.
    pub(super) async fn stop(&mut self, hand_over: impl Fn() -> Result<u32, String>) -> Stop {
        loop {
            tokio::select! {
                _ = self.terminate.recv() => return Stop::Finish,
                _ = self.interrupt.recv() => return Stop::Finish,
                _ = self.quit.recv() => match block_in_place(&hand_over) {
                    Ok(next) => return Stop::HandedOver(next),
                    Err(reason) => tracing::warn!(reason, "SIGQUIT is ignored: the sockets were not handed over"),
                },
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
