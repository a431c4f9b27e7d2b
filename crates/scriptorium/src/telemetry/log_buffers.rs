//! The lines of the log until they are written: a buffer for each thread.
//!
//! A thread appends whole lines to its own buffer, so its lines stay in order and no line is torn. It waits for nobody:
//! where there is no room, the line is dropped and counted. The writer is called when the first line comes, and at once
//! when a buffer is full; it is called no more often, so that hits wake no other thread. Owns the buffers, their bounds
//! and these calls. Must not know what a line says, nor where it is written (`log_writer`).

use std::mem;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use crossbeam_utils::CachePadded;
use parking_lot::{Condvar, Mutex};
use prometheus::IntCounter;
use thread_local::ThreadLocal;

/// A buffer of this length is written at once.
pub(super) const FULL: usize = 64 << 10;

/// Bytes of all threads that wait to be written. A thread may exceed its room by the line that does not fit.
pub(super) const MOST: usize = 4 << 20;

/// The same of one thread.
const SHARE: usize = 1 << 20;

/// The room that a thread takes first. It doubles its room whenever that is used up.
const STEP: usize = 4 << 10;

/// What the writer is asked to do; the later one counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Call {
    /// Nothing: no line waits.
    Rest,
    /// To write when the first line has its age.
    Soon,
    /// To write at once.
    Now,
    /// To write for the last time.
    Last,
}

/// The lines of all threads.
#[derive(Debug)]
pub(super) struct LogBuffers {
    threads: ThreadLocal<CachePadded<Mutex<LogBuffer>>>,
    /// The room that was given to all threads.
    room: AtomicUsize,
    /// Lines that were dropped.
    pub(super) dropped: IntCounter,
    call: Mutex<Call>,
    called: Condvar,
}

/// The lines of one thread.
#[derive(Debug, Default)]
struct LogBuffer {
    lines: Vec<u8>,
    /// What was given to this thread for them.
    room: usize,
}

impl LogBuffers {
    pub(super) fn new(dropped: IntCounter) -> Self {
        Self {
            threads: ThreadLocal::new(),
            room: AtomicUsize::new(0),
            dropped,
            call: Mutex::new(Call::Rest),
            called: Condvar::new(),
        }
    }

    /// Has `write` append one line to the lines of this thread, if there is room.
    pub(super) fn put(&self, write: impl FnOnce(&mut Vec<u8>)) {
        let mut buffer = self.threads.get_or_default().lock();
        let before = buffer.lines.len();
        if before >= buffer.room && !self.widen(&mut buffer) {
            drop(buffer);
            return self.dropped.inc();
        }
        write(&mut buffer.lines);
        let after = buffer.lines.len();
        drop(buffer);
        if before < FULL && after >= FULL {
            self.call(Call::Now);
        } else if before == 0 {
            self.call(Call::Soon);
        }
    }

    /// Gives a thread more room, if there is more.
    fn widen(&self, buffer: &mut LogBuffer) -> bool {
        let more = buffer.lines.len().max(STEP).min(SHARE.saturating_sub(buffer.room));
        let fits = |given: usize| Some(given + more).filter(|given| *given <= MOST);
        let given = more > 0 && self.room.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits).is_ok();
        buffer.room += if given { more } else { 0 };
        given
    }

    fn call(&self, call: Call) {
        let mut held = self.call.lock();
        if *held < call {
            *held = call;
            self.called.notify_one();
        }
    }

    /// Asks for everything to be written a last time.
    pub(super) fn end(&self) {
        self.call(Call::Last);
    }

    /// Waits until there is something to write: a full buffer, or a line that is `age` old. True if it is the last time.
    pub(super) fn wait(&self, age: Duration) -> bool {
        let mut call = self.call.lock();
        self.called.wait_while(&mut call, |call| *call == Call::Rest);
        self.called.wait_while_for(&mut call, |call| *call == Call::Soon, age);
        // A line that comes from now on calls again.
        mem::replace(&mut *call, Call::Rest) == Call::Last
    }

    /// Gives `write` the lines of each thread. A busy thread goes on in `spare`, which keeps its memory.
    pub(super) fn take(&self, spare: &mut Vec<u8>, mut write: impl FnMut(&[u8])) {
        for thread in &self.threads {
            let mut taken = {
                let mut buffer = thread.lock();
                let next = if buffer.lines.len() < FULL / 2 { Vec::new() } else { mem::take(spare) };
                mem::replace(&mut *buffer, LogBuffer { lines: next, room: 0 })
            };
            if !taken.lines.is_empty() {
                write(&taken.lines);
            }
            // Only now, so that what is being written counts as well.
            self.room.fetch_sub(taken.room, Ordering::Relaxed);
            if spare.capacity() < taken.lines.capacity() {
                taken.lines.clear();
                taken.lines.shrink_to(2 * FULL);
                *spare = taken.lines;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;
    use std::thread;

    use super::*;

    fn buffers() -> LogBuffers {
        LogBuffers::new(IntCounter::new("dropped", "of a test").unwrap())
    }

    fn taken(buffers: &LogBuffers) -> Vec<Vec<u8>> {
        let mut taken = Vec::new();
        buffers.take(&mut Vec::new(), |lines| taken.push(lines.to_vec()));
        taken
    }

    /// Puts lines of 1 KiB until one is dropped, and says how many were not.
    fn fill(buffers: &LogBuffers) -> usize {
        let mut is_put = true;
        let puts = (0..).take_while(|_| {
            is_put = false;
            buffers.put(|lines| {
                lines.resize(lines.len() + 1024, b'x');
                is_put = true;
            });
            is_put
        });
        puts.count()
    }

    #[test]
    fn the_lines_of_a_thread_are_whole_and_in_order_however_many_threads_there_are() {
        const THREADS: usize = 8;
        const LINES: usize = 2000;
        let (buffers, start) = (buffers(), Barrier::new(THREADS + 1));
        let mut written = Vec::new();
        thread::scope(|scope| {
            let (buffers, start) = (&buffers, &start);
            let threads = (0..THREADS).map(|thread| {
                scope.spawn(move || {
                    start.wait();
                    for line in 0..LINES {
                        let end = "x".repeat(line % 97);
                        let text = format!("{thread} {line} {end}\n");
                        buffers.put(|lines| lines.extend_from_slice(text.as_bytes()));
                    }
                })
            });
            let threads: Vec<_> = threads.collect();
            start.wait();
            let mut spare = Vec::new();
            while !threads.iter().all(thread::ScopedJoinHandle::is_finished) {
                buffers.take(&mut spare, |lines| written.extend_from_slice(lines));
            }
            buffers.take(&mut spare, |lines| written.extend_from_slice(lines));
        });
        let mut next = [0; THREADS];
        for line in String::from_utf8(written).unwrap().lines() {
            let words: Vec<_> = line.split(' ').collect();
            let thread: usize = words[0].parse().unwrap();
            assert_eq!((words[1], words[2].len()), (next[thread].to_string().as_str(), next[thread] % 97));
            next[thread] += 1;
        }
        assert_eq!((next, buffers.dropped.get()), ([LINES; THREADS], 0));
    }

    #[test]
    fn what_waits_is_bounded_and_one_thread_leaves_room_to_others() {
        let buffers = buffers();
        assert_eq!(fill(&buffers), SHARE / 1024);
        thread::scope(|scope| {
            let others: Vec<_> = (0..6).map(|_| scope.spawn(|| fill(&buffers))).collect();
            let lines: usize = others.into_iter().map(|other| other.join().unwrap()).sum();
            assert!(lines >= SHARE / 1024, "{lines}");
        });
        assert!(buffers.room.load(Ordering::Relaxed) <= MOST);
        let waiting: usize = taken(&buffers).iter().map(Vec::len).sum();
        assert!(waiting <= MOST + 7 * 1024, "{waiting}");
        assert_eq!((buffers.dropped.get(), buffers.room.load(Ordering::Relaxed)), (7, 0));
        assert_eq!(fill(&buffers), SHARE / 1024, "there is room again once they were written");
    }

    #[test]
    fn a_long_line_is_taken_as_a_whole() {
        let buffers = buffers();
        let long = vec![b'x'; 3 * STEP];
        buffers.put(|lines| lines.extend_from_slice(&long));
        buffers.put(|lines| lines.extend_from_slice(b"next\n"));
        assert_eq!(taken(&buffers), [[&long[..], b"next\n"].concat()]);
    }

    #[test]
    fn the_writer_is_called_for_the_first_line_and_for_a_full_buffer_alone() {
        let buffers = buffers();
        let called = |length: usize| {
            buffers.put(|lines| lines.resize(lines.len() + length, b'x'));
            mem::replace(&mut *buffers.call.lock(), Call::Rest)
        };
        assert_eq!([called(1), called(1), called(FULL - 3)], [Call::Soon, Call::Rest, Call::Rest]);
        assert_eq!([called(1), called(1), called(1)], [Call::Now, Call::Rest, Call::Rest]);
        taken(&buffers);
        buffers.end();
        buffers.put(|lines| lines.push(b'\n'));
        assert!(buffers.wait(Duration::ZERO), "the end is not forgotten");
    }

    #[test]
    fn a_line_is_due_when_it_has_its_age_and_a_full_buffer_at_once() {
        let buffers = buffers();
        buffers.put(|lines| lines.push(b'\n'));
        assert!(!buffers.wait(Duration::ZERO));
        assert_eq!(taken(&buffers), [b"\n"]);
        buffers.put(|lines| lines.resize(FULL, b'x'));
        // Without the call for the full buffer this would take a day.
        assert!(!buffers.wait(Duration::from_secs(24 * 60 * 60)));
    }
}
