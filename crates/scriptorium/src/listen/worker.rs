//! A thread with a runtime of its own.
//!
//! Owns the thread. Must not know what its tasks do. A task, its timers and its sockets stay on the thread that they were
//! started on, so that no event of a connection crosses threads.

use std::io;
use std::thread;

use tokio::runtime::{Builder, Handle};
use tokio::sync::watch;

/// The thread ends when this is dropped, and its tasks are cut off.
#[derive(Debug)]
pub(super) struct Worker {
    /// Where tasks of this thread are started.
    pub(super) runtime: Handle,
    alive: watch::Sender<()>,
}

impl Worker {
    /// Starts the thread. Not to be called in a runtime.
    pub(super) fn start(name: String) -> io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().thread_name("blocking").build()?;
        let (alive, mut dropped) = watch::channel(());
        let worker = Self { runtime: runtime.handle().clone(), alive };
        thread::Builder::new().name(name).spawn(move || {
            // Nothing is ever sent: this ends when the worker is dropped.
            let _ = runtime.block_on(dropped.changed());
            runtime.shutdown_background();
        })?;
        Ok(worker)
    }

    /// Waits for the end of the thread, even if that is a panic.
    pub(super) async fn ended(&self) {
        self.alive.closed().await;
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;

    #[test]
    fn the_end_of_a_thread_is_noticed_and_ends_its_tasks() {
        let worker = Worker::start("worker".to_owned()).unwrap();
        let task = worker.runtime.spawn(async {
            assert_eq!(thread::current().name(), Some("worker"));
            pending::<()>().await;
        });
        let runtime = Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(async {
            assert!(timeout(Duration::ZERO, worker.ended()).await.is_err());
            // The thread takes it for the end.
            worker.alive.send_replace(());
            worker.ended().await;
            assert!(task.await.unwrap_err().is_cancelled());
        });
    }
}
