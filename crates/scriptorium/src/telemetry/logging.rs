//! The log of the process: levels, form, and where it is written; and who takes spans.
//!
//! Owns these. Must not know which events are logged, nor when lines are written (`log_writer`).

use std::io::{self, Write};
use std::os::fd::AsFd;
use std::sync::Arc;

use prometheus::{IntCounter, IntCounterVec, Opts};
use tracing::level_filters::LevelFilter;
use tracing::{Level, Metadata, warn};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, Registry as Records, fmt};

use super::log_buffers::LogBuffers;
use super::log_writer::{self, LogGuard};
use super::{AccessLog, TelemetryError};
use crate::config::{Log, LogFormat, LogLevel, Telemetry};
use crate::spans::{self, Collector};

/// Libraries of which only warnings and errors are logged.
const QUIET: [&str; 8] =
    ["hyper", "h2", "reqwest", "rustls", "object_store", "tonic", "tower", "opentelemetry"];

/// What lives as long as the process. At its end the spans that wait are sent, and then all lines are written.
#[must_use = "lines and spans that wait are lost unless this lives as long as the process"]
#[derive(Debug)]
pub(crate) struct RecordGuard {
    _collector: Option<Collector>,
    _log: LogGuard,
}

/// One record, which the formatter writes in one piece, after what tells the journal its priority.
struct LogRecord {
    buffers: Arc<LogBuffers>,
    priority: &'static [u8],
    format: LogFormat,
    /// The trace that it belongs to.
    trace_id: Option<String>,
}

impl Write for LogRecord {
    fn write(&mut self, record: &[u8]) -> io::Result<usize> {
        let end: &[u8] = match self.format {
            LogFormat::Text => b"\n",
            LogFormat::Json => b"}\n",
        };
        self.buffers.put(|lines| {
            lines.extend_from_slice(self.priority);
            match (&self.trace_id, record.strip_suffix(end)) {
                (Some(trace_id), Some(fields)) => {
                    lines.extend_from_slice(fields);
                    lines.extend_from_slice(named(trace_id, self.format).as_bytes());
                    lines.extend_from_slice(end);
                }
                _ => lines.extend_from_slice(record),
            }
        });
        Ok(record.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The last field of a record.
fn named(trace_id: &str, format: LogFormat) -> String {
    match format {
        LogFormat::Text => format!(" trace_id={trace_id}"),
        LogFormat::Json => format!(",\"trace_id\":\"{trace_id}\""),
    }
}

/// Makes records, each with the priority of its level if the journal reads them, and with its trace if there are traces.
struct LogRecords {
    buffers: Arc<LogBuffers>,
    for_journal: bool,
    is_traced: bool,
    format: LogFormat,
}

impl<'a> MakeWriter<'a> for LogRecords {
    type Writer = LogRecord;

    fn make_writer(&'a self) -> LogRecord {
        let trace_id = if self.is_traced { spans::trace_id() } else { None };
        LogRecord { buffers: Arc::clone(&self.buffers), priority: b"", format: self.format, trace_id }
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

/// Starts the log of this process, including `log` records of libraries, and the sending of spans. Returns where access records go.
///
/// A thread of its own writes many records with one system call, so no request waits for a slow terminal.
pub(crate) fn logging(log: &Log, telemetry: &Telemetry) -> Result<(RecordGuard, AccessLog), TelemetryError> {
    let Log { format, level, .. } = *log;
    let dropped = "Lines that were not logged because the log was not written fast enough, or not at all.";
    let buffers = Arc::new(LogBuffers::new(IntCounter::new("log_lines_dropped_total", dropped)?));
    let report = |lines| warn!(lines, "lines are missing here: standard error did not take them");
    let guard = log_writer::start(Arc::clone(&buffers), io::stderr(), log_writer::AGE, report)
        .map_err(TelemetryError::Thread)?;
    let about = Opts::new("spans_total", "Spans that ended, by what became of them.");
    let counted = IntCounterVec::new(about, &["outcome"])?;
    let collector = Collector::start(telemetry, &counted)?;
    let counted = collector.is_some().then_some(counted);
    let has_access = wanted(level).default_level().is_some_and(|level| level >= LevelFilter::INFO);
    let access = AccessLog::new(Arc::clone(&buffers), has_access.then_some(format), counted);
    let for_journal = is_journal(io::stderr(), std::env::var("JOURNAL_STREAM").ok().as_deref());
    let is_traced = collector.is_some();
    let records = fmt::layer().with_writer(LogRecords { buffers, for_journal, is_traced, format });
    let layer: Box<dyn Layer<Records> + Send + Sync> = match format {
        LogFormat::Text => records.with_ansi(false).boxed(),
        LogFormat::Json => records.json().flatten_event(true).with_span_list(false).boxed(),
    };
    let layers = tracing_subscriber::registry().with(layer.with_filter(wanted(level)));
    layers.with(collector.as_ref().map(Collector::layer)).try_init()?;
    Ok((RecordGuard { _collector: collector, _log: guard }, access))
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
    let libraries = QUIET.map(|library| (library, quiet));
    Targets::new().with_default(level).with_targets(libraries).with_target(spans::TARGET, LevelFilter::OFF)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_names_its_trace_last() {
        for (format, record, expected) in [
            (LogFormat::Text, "INFO a b=1\n", "INFO a b=1 trace_id=0af7\n"),
            (LogFormat::Json, "{\"b\":{\"c\":1}}\n", "{\"b\":{\"c\":1},\"trace_id\":\"0af7\"}\n"),
        ] {
            let buffers = Arc::new(LogBuffers::new(IntCounter::new("dropped", "of a test").unwrap()));
            let mut written = Vec::new();
            for trace_id in [Some("0af7".to_owned()), None] {
                let mut into =
                    LogRecord { buffers: Arc::clone(&buffers), priority: b"<4>", format, trace_id };
                into.write_all(record.as_bytes()).unwrap();
            }
            buffers.take(&mut Vec::new(), |lines| written.extend_from_slice(lines));
            assert_eq!(String::from_utf8(written).unwrap(), format!("<4>{expected}<4>{record}"));
        }
    }

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
        assert!(!wanted(LogLevel::Trace).would_enable(spans::TARGET, &Level::ERROR));
    }
}
