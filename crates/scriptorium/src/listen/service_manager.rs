//! What the service manager is told: that the proxy serves, reloads, ends, has handed over, and still answers.
//!
//! The protocol of systemd, over the socket in `NOTIFY_SOCKET`; without that variable nobody is told. Owns the messages and
//! their order. Must not know why any of it happens.

use std::io;
use std::time::Duration;

use sd_notify::NotifyState;
use tokio::runtime::Handle;

/// The proxy serves.
pub(super) fn ready() {
    tell(&[NotifyState::Ready]);
}

/// Runs `reload`, and says when it begins and ends.
pub(super) fn reloading(reload: impl Fn()) {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => tell(&[NotifyState::Reloading, now]),
        Err(error) => untold(&error),
    }
    reload();
    ready();
}

/// The proxy ends.
pub(super) fn stopping() {
    tell(&[NotifyState::Stopping]);
}

/// Another process serves from now on. The service does not end.
pub(super) fn handed_over(to: u32) {
    tell(&[NotifyState::MainPid(to)]);
}

/// Says again and again that every one of `threads` still works off its tasks. Ends never; without a watchdog it waits.
pub(super) async fn watched(threads: &[Handle]) {
    let Some(patience) = sd_notify::watchdog_enabled() else { return std::future::pending().await };
    loop {
        for thread in threads {
            // One that is stuck never runs this, and the service manager ends the process.
            let _ = thread.spawn(async {}).await;
        }
        tell(&[NotifyState::Watchdog]);
        tokio::time::sleep(pace(patience)).await;
    }
}

/// Twice in the time that the service manager waits.
fn pace(patience: Duration) -> Duration {
    patience / 2
}

fn tell(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        untold(&error);
    }
}

fn untold(error: &io::Error) {
    tracing::warn!(%error, "the service manager could not be told what the proxy does");
}
