//! The log of the process: levels, form, and where it is written.
//!
//! Owns these. Must not know which events are logged, nor when lines are written (`log_writer`).

use std::io::{self, Write};
use std::os::fd::AsFd;
use std::sync::Arc;

use prometheus::IntCounter;
use tracing::level_filters::LevelFilter;
use tracing::{Level, Metadata, warn};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, Registry as Records, fmt};

use super::log_buffers::LogBuffers;
use super::{AccessLog, LogGuard, TelemetryError, log_writer};
use crate::config::{LogFormat, LogLevel};

/// Libraries of which only warnings and errors are logged.
const QUIET: [&str; 5] = ["hyper", "h2", "reqwest", "rustls", "object_store"];

/// One record, which the formatter writes in one piece, after what tells the journal its priority.
struct LogRecord {
    buffers: Arc<LogBuffers>,
    priority: &'static [u8],
}

impl Write for LogRecord {
    fn write(&mut self, record: &[u8]) -> io::Result<usize> {
        self.buffers.put(|lines| {
            lines.extend_from_slice(self.priority);
            lines.extend_from_slice(record);
        });
        Ok(record.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Makes records, each with the priority of its level if the journal reads them.
struct LogRecords {
    buffers: Arc<LogBuffers>,
    for_journal: bool,
}

impl<'a> MakeWriter<'a> for LogRecords {
    type Writer = LogRecord;

    fn make_writer(&'a self) -> LogRecord {
        LogRecord { buffers: Arc::clone(&self.buffers), priority: b"" }
    }

    fn make_writer_for(&'a self, about: &Metadata<'_>) -> LogRecord {
        let priority = if self.for_journal { priority(*about.level()) } else { b"" };
        LogRecord { priority, ..self.make_writer() }
    }
}

/// What the journal takes for the priority of a line. It takes a line without one for information, as access records are.
fn priority(level: Level) -> &'static [u8] {
    match level {
        Level::ERROR => b"<3>",
        Level::WARN => b"<4>",
        Level::INFO => b"",
        Level::DEBUG | Level::TRACE => b"<7>",
    }
}

/// Whether the journal reads what is written to `stream`: it names the stream's file in `JOURNAL_STREAM`.
fn is_journal(stream: impl AsFd, named: Option<&str>) -> bool {
    let found = named.and_then(|named| {
        let (device, inode) = named.split_once(':')?;
        Some((device.parse().ok()?, inode.parse().ok()?))
    });
    let stat = rustix::fs::fstat(stream).ok();
    found.is_some() && found == stat.map(|stat| (stat.st_dev, stat.st_ino))
}

/// Starts the log of this process, including `log` records of libraries, and returns where access records go.
///
/// A thread of its own writes many records with one system call, so no request waits for a slow terminal.
pub(crate) fn logging(format: LogFormat, level: LogLevel) -> Result<(LogGuard, AccessLog), TelemetryError> {
    let dropped = "Lines that were not logged because the log was not written fast enough, or not at all.";
    let buffers = Arc::new(LogBuffers::new(IntCounter::new("log_lines_dropped_total", dropped)?));
    let report = |lines| warn!(lines, "lines are missing here: standard error did not take them");
    let guard = log_writer::start(Arc::clone(&buffers), io::stderr(), log_writer::AGE, report)
        .map_err(TelemetryError::Thread)?;
    let access = match wanted(level).default_level() {
        Some(level) if level >= LevelFilter::INFO => AccessLog::new(Arc::clone(&buffers), Some(format)),
        _ => AccessLog::new(Arc::clone(&buffers), None),
    };
    let for_journal = is_journal(io::stderr(), std::env::var("JOURNAL_STREAM").ok().as_deref());
    let records = fmt::layer().with_writer(LogRecords { buffers, for_journal });
    let layer: Box<dyn Layer<Records> + Send + Sync> = match format {
        LogFormat::Text => records.with_ansi(false).boxed(),
        LogFormat::Json => records.json().flatten_event(true).with_span_list(false).boxed(),
    };
    tracing_subscriber::registry().with(layer.with_filter(wanted(level))).try_init()?;
    Ok((guard, access))
}

fn wanted(level: LogLevel) -> Targets {
    let level = match level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Trace => LevelFilter::TRACE,
    };
    let quiet = level.min(LevelFilter::WARN);
    Targets::new().with_default(level).with_targets(QUIET.map(|library| (library, quiet)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_stream_that_the_journal_names_is_its_own() {
        let stream = tempfile::tempfile().unwrap();
        let stat = rustix::fs::fstat(&stream).unwrap();
        let named = format!("{}:{}", stat.st_dev, stat.st_ino);
        assert!(is_journal(&stream, Some(&named)));
        let other = format!("{}:{}", stat.st_dev, stat.st_ino + 1);
        for named in [None, Some(""), Some("8"), Some("x:y"), Some(&*other)] {
            assert!(!is_journal(&stream, named), "{named:?}");
        }
    }

    #[test]
    fn libraries_are_quiet_however_much_is_asked_for() {
        use tracing::Level;
        let records = wanted(LogLevel::Debug);
        assert!(records.would_enable("scriptorium::pipeline", &Level::DEBUG));
        assert!(records.would_enable("hyper::proto", &Level::WARN));
        assert!(!records.would_enable("hyper::proto", &Level::INFO));
        assert!(!wanted(LogLevel::Error).would_enable("hyper::proto", &Level::WARN));
    }
}
