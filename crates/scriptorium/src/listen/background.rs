//! The threads of work that can wait as long as clients want the processor: syncs and checks of what is stored.
//!
//! Such a thread runs when no other thread of this machine, or of this container, wants the core. The kernel takes the core
//! away from it at once when a thread wakes that serves a connection; a low `nice` value would let it finish its slice of
//! milliseconds first. Owns these threads and their priority. Must not know what the work is.

use std::io;

use tokio::runtime::{Builder, Runtime};

/// A runtime whose threads, the blocking ones too, give way to all others.
///
/// # Errors
/// If its threads cannot be started.
pub(super) fn idle_threads() -> io::Result<Runtime> {
    Builder::new_multi_thread()
        .worker_threads(2)
        .thread_name("idle")
        .on_thread_start(give_way)
        .enable_all()
        .build()
}

/// Other systems have no such class of threads.
fn give_way() {
    #[cfg(target_os = "linux")]
    {
        use thread_priority::unix::{
            NormalThreadSchedulePolicy, ThreadSchedulePolicy, set_thread_priority_and_policy,
            thread_native_id,
        };
        let idle = ThreadSchedulePolicy::Normal(NormalThreadSchedulePolicy::Idle);
        let lowest = thread_priority::ThreadPriority::Min;
        if let Err(error) = set_thread_priority_and_policy(thread_native_id(), lowest, idle) {
            tracing::debug!(?error, "a thread for work that can wait keeps its priority");
        }
    }
}

#[cfg(test)]
mod tests {
    #[cfg(target_os = "linux")]
    #[test]
    fn work_that_can_wait_gives_way_and_nothing_else_does() {
        use thread_priority::unix::{
            NormalThreadSchedulePolicy, ThreadSchedulePolicy, thread_schedule_policy,
        };
        use tokio::task::spawn_blocking;

        let idle = ThreadSchedulePolicy::Normal(NormalThreadSchedulePolicy::Idle);
        let runtime = super::idle_threads().unwrap();
        let found = runtime.block_on(async {
            let task = tokio::spawn(async { thread_schedule_policy().unwrap() }).await.unwrap();
            let blocking = spawn_blocking(|| thread_schedule_policy().unwrap()).await.unwrap();
            (task, blocking)
        });
        assert_eq!(found, (idle, idle));
        assert_ne!(thread_schedule_policy().unwrap(), idle);
    }
}
