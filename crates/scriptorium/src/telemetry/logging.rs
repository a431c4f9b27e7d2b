//! The log of the process: levels, form, and where it is written.
//!
//! Owns these. Must not know which events are logged, nor when lines are written (`log_writer`).

use std::io::{self, Write};
use std::sync::Arc;

use prometheus::IntCounter;
use tracing::level_filters::LevelFilter;
use tracing::warn;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, Registry as Records, fmt};

use super::log_buffers::LogBuffers;
use super::{AccessLog, LogGuard, TelemetryError, log_writer};
use crate::config::{LogFormat, LogLevel};

/// Libraries of which only warnings and errors are logged.
const QUIET: [&str; 5] = ["hyper", "h2", "reqwest", "rustls", "object_store"];

/// One record, which the formatter writes in one piece.
struct LogRecord(Arc<LogBuffers>);

impl Write for LogRecord {
    fn write(&mut self, record: &[u8]) -> io::Result<usize> {
        self.0.put(|lines| lines.extend_from_slice(record));
        Ok(record.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
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
    let records = fmt::layer().with_writer(move || LogRecord(Arc::clone(&buffers)));
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
    fn libraries_are_quiet_however_much_is_asked_for() {
        use tracing::Level;
        let records = wanted(LogLevel::Debug);
        assert!(records.would_enable("scriptorium::pipeline", &Level::DEBUG));
        assert!(records.would_enable("hyper::proto", &Level::WARN));
        assert!(!records.would_enable("hyper::proto", &Level::INFO));
        assert!(!wanted(LogLevel::Error).would_enable("hyper::proto", &Level::WARN));
    }
}
