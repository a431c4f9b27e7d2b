//! The thread that writes the log, in few and long writes.
//!
//! What cannot be written is dropped and counted, and the thread goes on. Once it writes again, it reports how many lines
//! were dropped. Owns these, and the end of the log. Must not know what a line says, nor who put it there (`log_buffers`).

use std::io::{self, ErrorKind, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::Duration;

use super::log_buffers::{FULL, LogBuffers};

/// How long a line waits for others, so that they are written together.
pub(super) const AGE: Duration = Duration::from_millis(50);

/// How long the end of the log is waited for while no write succeeds.
const PATIENCE: Duration = Duration::from_secs(1);

/// Everything that was logged is written at the latest when this is dropped.
#[must_use = "lines that wait are lost unless this lives as long as the process"]
#[derive(Debug)]
pub(crate) struct LogGuard {
    buffers: Arc<LogBuffers>,
    /// Writes that succeeded.
    writes: Arc<AtomicU64>,
    ended: Receiver<()>,
}

impl Drop for LogGuard {
    fn drop(&mut self) {
        self.buffers.end();
        let mut writes = None;
        // The writer sends nothing: its end is waited for, as long as the log is taken.
        while self.ended.recv_timeout(PATIENCE) == Err(RecvTimeoutError::Timeout) {
            let now = Some(self.writes.load(Ordering::Relaxed));
            if now == writes {
                break;
            }
            writes = now;
        }
    }
}

/// The most bytes of one write. A buffer that is taken when it is full is a little longer than [`FULL`].
const PIECE: usize = 2 * FULL;

struct LogWriter<W, R> {
    buffers: Arc<LogBuffers>,
    out: W,
    writes: Arc<AtomicU64>,
    age: Duration,
    /// Is told how many lines were dropped; logs that.
    report: R,
    reported: u64,
    /// Whether the last write ended within a line.
    is_torn: bool,
    spare: Vec<u8>,
}

/// Starts the thread that writes to `out` what is put into `buffers`.
///
/// # Errors
/// When there is no thread.
pub(super) fn start(
    buffers: Arc<LogBuffers>,
    out: impl Write + Send + 'static,
    age: Duration,
    report: impl Fn(u64) + Send + 'static,
) -> io::Result<LogGuard> {
    let (ending, ended) = channel();
    let writes = Arc::default();
    let guard = LogGuard { buffers: Arc::clone(&buffers), writes: Arc::clone(&writes), ended };
    let spare = Vec::new();
    let writer = LogWriter { buffers, out, writes, age, report, reported: 0, is_torn: false, spare };
    thread::Builder::new().name("log".to_owned()).spawn(move || writer.run(ending))?;
    Ok(guard)
}

impl<W: Write, R: Fn(u64)> LogWriter<W, R> {
    /// Writes until the end of the log, and then drops `_ending`.
    fn run(mut self, _ending: Sender<()>) {
        loop {
            let is_last = self.buffers.wait(self.age);
            if self.write() && self.report() {
                self.write();
            }
            if is_last {
                return;
            }
        }
    }

    /// Writes what waits. True if some of it was written.
    fn write(&mut self) -> bool {
        let Self { buffers, out, writes, age, is_torn, spare, .. } = self;
        let mut is_written = false;
        buffers.take(spare, |lines| {
            if *is_torn {
                *is_torn = write_all(out, b"\n", writes, *age).is_err();
            }
            let unwritten = match *is_torn {
                true => lines,
                false => write_all(out, lines, writes, *age).err().unwrap_or_default(),
            };
            let written = &lines[..lines.len() - unwritten.len()];
            is_written |= !written.is_empty();
            *is_torn = written.last().map_or(*is_torn, |last| *last != b'\n');
            let lost = unwritten.iter().filter(|byte| **byte == b'\n').count();
            buffers.dropped.inc_by(lost as u64);
        });
        is_written
    }

    /// Reports the lines that were dropped since the last report. True if there are any.
    fn report(&mut self) -> bool {
        let dropped = self.buffers.dropped.get();
        let new = dropped - self.reported;
        self.reported = dropped;
        if new > 0 {
            (self.report)(new);
        }
        new > 0
    }
}

/// Writes all `bytes`, in pieces that a slow reader takes in less than [`PATIENCE`]. Where another process made the terminal or pipe non-blocking, a full one is tried again every `pause`.
///
/// # Errors
/// What could not be written.
fn write_all<'a>(
    out: &mut impl Write,
    mut bytes: &'a [u8],
    writes: &AtomicU64,
    pause: Duration,
) -> Result<(), &'a [u8]> {
    while !bytes.is_empty() {
        match out.write(&bytes[..bytes.len().min(PIECE)]) {
            Ok(0) => return Err(bytes),
            Ok(written) => {
                writes.fetch_add(1, Ordering::Relaxed);
                bytes = &bytes[written..];
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => thread::sleep(pause),
            Err(_) => return Err(bytes),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{SyncSender, sync_channel};

    use prometheus::IntCounter;

    use super::*;
    use crate::telemetry::log_buffers::MOST;

    const NEVER: Duration = Duration::from_secs(24 * 60 * 60);

    /// Sends what is written, and waits where nobody takes it.
    struct Pipe(SyncSender<Vec<u8>>);

    impl Write for Pipe {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let sent = self.0.send(bytes.to_vec());
            sent.map(|()| bytes.len()).map_err(|_| ErrorKind::BrokenPipe.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// Takes so many bytes at once, or fails, by turns as told, and then all.
    struct Failing(Vec<Result<usize, ErrorKind>>, SyncSender<Vec<u8>>);

    impl Write for Failing {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let length = if self.0.is_empty() { bytes.len() } else { self.0.remove(0)?.min(bytes.len()) };
            self.1.send(bytes[..length].to_vec()).unwrap();
            Ok(length)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn log(out: impl Write + Send + 'static, age: Duration) -> (Arc<LogBuffers>, LogGuard) {
        let buffers = Arc::new(LogBuffers::new(IntCounter::new("dropped", "of a test").unwrap()));
        let into = Arc::clone(&buffers);
        let report = move |lines| put(&into, &format!("{lines} dropped\n"));
        let guard = start(Arc::clone(&buffers), out, age, report).unwrap();
        (buffers, guard)
    }

    fn put(buffers: &LogBuffers, line: &str) {
        buffers.put(|lines| lines.extend_from_slice(line.as_bytes()));
    }

    fn rest(written: &Receiver<Vec<u8>>) -> String {
        String::from_utf8(written.iter().collect::<Vec<_>>().concat()).unwrap()
    }

    #[test]
    fn a_line_is_written_when_it_has_its_age_and_a_full_buffer_at_once() {
        let (pipe, written) = sync_channel(9);
        let (buffers, _guard) = log(Pipe(pipe), Duration::ZERO);
        put(&buffers, "one\n");
        assert_eq!(written.recv().unwrap(), b"one\n");
        let (pipe, written) = sync_channel(9);
        let (buffers, _guard) = log(Pipe(pipe), NEVER);
        let line = "x".repeat(FULL);
        put(&buffers, &line);
        assert_eq!(written.recv().unwrap(), line.as_bytes());
    }

    #[test]
    fn nothing_is_lost_at_the_end() {
        let (pipe, written) = sync_channel(9);
        let (buffers, guard) = log(Pipe(pipe), NEVER);
        put(&buffers, "one\n");
        thread::scope(|scope| drop(scope.spawn(|| put(&buffers, "two\n"))));
        assert!(written.try_recv().is_err(), "neither is old or long enough");
        drop(guard);
        let mut lines = written.iter().collect::<Vec<_>>();
        lines.sort();
        assert_eq!(lines, [b"one\n", b"two\n"]);
    }

    #[test]
    fn a_blocked_log_blocks_nobody_and_says_what_it_dropped() {
        const LINES: usize = 2 * MOST / 1024;
        let (pipe, written) = sync_channel(0);
        let (buffers, guard) = log(Pipe(pipe), Duration::ZERO);
        let line = format!("{}\n", "x".repeat(1023));
        for _ in 0..LINES {
            put(&buffers, &line);
        }
        let dropped = buffers.dropped.get();
        assert!(dropped as usize > LINES / 2, "{dropped}");
        let reads = thread::spawn(move || rest(&written));
        drop(guard);
        let written = reads.join().unwrap();
        assert_eq!(buffers.dropped.get(), dropped);
        assert_eq!(written.matches(&line).count(), LINES - dropped as usize);
        assert_eq!(written.matches(&format!("\n{dropped} dropped\n")).count(), 1);
        assert_eq!(written.matches("dropped").count(), 1);
    }

    #[test]
    fn what_cannot_be_written_is_counted_and_the_next_line_is_whole() {
        let turns =
            vec![Err(ErrorKind::Interrupted), Err(ErrorKind::WouldBlock), Ok(5), Err(ErrorKind::StorageFull)];
        let (sender, written) = sync_channel(9);
        let (buffers, guard) = log(Failing(turns, sender), Duration::ZERO);
        buffers.put(|lines| lines.extend_from_slice(b"one\ntwo\nthree\n"));
        assert_eq!(written.recv().unwrap(), b"one\nt");
        put(&buffers, "four\n");
        drop(guard);
        let rest = rest(&written);
        let mut lines: Vec<_> = rest.split_terminator('\n').collect();
        lines[1..].sort_unstable();
        assert_eq!(lines, ["", "2 dropped", "four"]);
        assert_eq!(buffers.dropped.get(), 2);
    }

    #[test]
    fn a_closed_log_is_no_end_and_makes_no_work() {
        let (pipe, written) = sync_channel(9);
        drop(written);
        let (buffers, guard) = log(Pipe(pipe), Duration::ZERO);
        put(&buffers, "one\n");
        drop(guard);
        assert_eq!(
            buffers.dropped.get(),
            1,
            "a report that cannot be written would be dropped too, for ever"
        );
    }
}
