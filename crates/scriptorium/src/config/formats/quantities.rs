//! The formats of sizes and durations, and which of them are probably not meant.
//!
//! A number without a unit is a number of bytes, and `M` is a month: both are valid, and rarely what somebody wanted. So the notes
//! say what was understood. Owns what is accepted. Must not know any key.

use std::ops::RangeInclusive;
use std::time::Duration;

use bytesize::ByteSize;
use toml::Value;

use super::super::format::{Scope, ValueFormat};

const EXBIBYTE: u64 = 1 << 60;
const SIZE: &str = "a size from 1 byte to 1 EiB such as \"64MiB\"";
/// Up to here a number of bytes may be a number of something larger whose unit was forgotten.
const MOST_UNITS: u64 = 10_000;

/// What `M` stands for, in seconds.
const MONTH: u64 = 2_630_016;
/// A wait that is shorter ends before an ordinary network or disk had a chance.
const SHORT_WAIT: Duration = Duration::from_millis(100);

/// A duration of days, in which something is kept.
pub(in crate::config) fn period() -> ValueFormat<Duration> {
    let longest = Duration::from_secs(10 * 31_557_600);
    duration("a duration of at most 10 years such as \"90s\" or \"7d\"", Duration::ZERO..=longest)
        .doubted(in_months)
}

/// How often something is done.
pub(in crate::config) fn interval() -> ValueFormat<Duration> {
    let bounds = Duration::from_secs(60)..=Duration::from_secs(365 * 86_400);
    duration("a duration from \"1m\" to \"365d\" such as \"6h\"", bounds).doubted(in_months)
}

/// How long something is waited for.
pub(in crate::config) fn timeout() -> ValueFormat<Duration> {
    let bounds = Duration::from_millis(1)..=Duration::from_secs(3600);
    duration("a duration from \"1ms\" to \"1h\" such as \"5s\"", bounds).doubted(|wait| {
        let millis = wait.as_millis();
        (*wait < SHORT_WAIT).then(|| format!("{millis} milliseconds; did you mean \"{millis}s\"?"))
    })
}

fn duration(expected: &str, bounds: RangeInclusive<Duration>) -> ValueFormat<Duration> {
    let parse = move |text: &str, _: &Scope<'_>| {
        humantime::parse_duration(text).ok().filter(|period| bounds.contains(period))
    };
    ValueFormat::text(expected, parse, print_duration)
}

fn in_months(period: &Duration) -> Option<String> {
    let seconds = period.as_secs();
    let months = (seconds.is_multiple_of(MONTH) && period.subsec_nanos() == 0).then_some(seconds / MONTH)?;
    let said = || format!("{months} months of 30.44 days; did you mean \"{months}m\", which is minutes?");
    (months > 0).then(said)
}

/// One unit if it says the duration exactly, so that it reads as it would be written.
fn print_duration(period: &Duration) -> String {
    let units = [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)];
    let millis = period.as_millis();
    match units.into_iter().find(|(_, unit)| millis >= *unit && millis.is_multiple_of(*unit)) {
        Some((name, unit)) if period.subsec_nanos().is_multiple_of(1_000_000) => {
            format!("{}{name}", millis / unit)
        }
        _ => humantime::format_duration(*period).to_string(),
    }
}

/// A number of bytes, one at least. Below `doubtful` it is probably not meant; `unit` is the usual one.
pub(in crate::config) fn size(doubtful: u64, unit: &'static str) -> ValueFormat<u64> {
    bytes(SIZE, 1).doubted(move |bytes| too_few(*bytes, doubtful, unit))
}

/// A number of bytes from `least` on, as `expected` says.
pub(in crate::config) fn bytes(expected: &str, least: u64) -> ValueFormat<u64> {
    let parse = move |value: &Value, _: &Scope<'_>| {
        let size = match value.as_integer() {
            Some(bytes) => bytes.try_into().ok(),
            None => bytes_of(value.as_str()?),
        };
        size.filter(|bytes| (least..=EXBIBYTE).contains(bytes))
    };
    ValueFormat::plain(expected, parse, |bytes| Value::String(print_size(*bytes)))
}

/// What was understood, where it is less than `doubtful` and not nothing.
pub(in crate::config) fn too_few(bytes: u64, doubtful: u64, unit: &str) -> Option<String> {
    let asked = || match bytes < MOST_UNITS && !bytes.is_multiple_of(1024) {
        true => format!("{bytes} bytes; did you mean \"{bytes}{unit}\"?"),
        false => format!("{}, which is next to nothing; the usual unit is {unit}", print_size(bytes)),
    };
    (0 < bytes && bytes < doubtful).then(asked)
}

fn bytes_of(text: &str) -> Option<u64> {
    text.parse::<ByteSize>().ok().map(|size| size.0)
}

/// The largest unit that leaves nothing over, so that the printed size reads back exactly.
fn print_size(bytes: u64) -> String {
    let units = [("GiB", bytesize::GIB), ("MiB", bytesize::MIB), ("KiB", bytesize::KIB)];
    let exact = units.into_iter().find(|(_, unit)| bytes >= *unit && bytes.is_multiple_of(*unit));
    exact.map_or_else(|| format!("{bytes}B"), |(name, unit)| format!("{}{name}", bytes / unit))
}

/// Text that is no size on a command line.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum InvalidSize {
    #[error("expected {SIZE}")]
    NoSize,
    /// What is asked for here is done at once, so nothing is understood that may not be meant.
    #[error("expected a unit, such as \"{0}GiB\"; \"{0}B\" is {0} bytes")]
    NoUnit(u64),
}

/// Reads a size as the configuration does, but not without a unit.
pub(crate) fn parse_size(text: &str) -> Result<u64, InvalidSize> {
    let bytes = bytes_of(text).filter(|bytes| (1..=EXBIBYTE).contains(bytes)).ok_or(InvalidSize::NoSize)?;
    let has_unit = text.bytes().any(|byte| byte.is_ascii_alphabetic());
    if has_unit { Ok(bytes) } else { Err(InvalidSize::NoUnit(bytes)) }
}
