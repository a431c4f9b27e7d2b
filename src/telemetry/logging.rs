//! The log of the process: which records are written, in which form, and by whom.
//!
//! Owns the levels and the thread that writes. Must not know what is worth a record.

use std::io::{self, BufWriter};

use tracing::level_filters::LevelFilter;
use tracing_appender::non_blocking::{NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, Registry as Records, fmt};

use super::{AccessLog, TelemetryError};
use crate::config::{LogFormat, LogLevel};

/// Libraries whose records are of interest only when something is wrong.
const QUIET: [&str; 6] = ["pingora", "hyper", "h2", "reqwest", "rustls", "object_store"];

/// Written records reach standard error no later than when this is dropped.
#[must_use = "records still in flight are lost unless this lives as long as the process"]
#[derive(Debug)]
pub struct LogGuard {
    _worker: WorkerGuard,
}

/// Starts the log of this process, `log` records of libraries included; also says where access records go.
///
/// Records are written by a thread of their own, many to a system call, so that no request waits for a slow terminal.
pub fn logging(format: LogFormat, level: LogLevel) -> Result<(LogGuard, AccessLog), TelemetryError> {
    let (writer, worker) =
        NonBlockingBuilder::default().thread_name("log").finish(BufWriter::new(io::stderr()));
    let access = match wanted(level).default_level() {
        Some(level) if level >= LevelFilter::INFO => AccessLog::to(writer.clone(), format),
        _ => AccessLog::default(),
    };
    let records = fmt::layer().with_writer(writer);
    let layer: Box<dyn Layer<Records> + Send + Sync> = match format {
        LogFormat::Text => records.with_ansi(false).boxed(),
        LogFormat::Json => records.json().flatten_event(true).with_span_list(false).boxed(),
    };
    tracing_subscriber::registry().with(layer.with_filter(wanted(level))).try_init()?;
    Ok((LogGuard { _worker: worker }, access))
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
        assert!(records.would_enable("pingora_core::server", &Level::WARN));
        assert!(!records.would_enable("pingora_core::server", &Level::INFO));
        assert!(!wanted(LogLevel::Error).would_enable("hyper::proto", &Level::WARN));
    }
}
