//! Where the engine's clock is, by this node's.
//!
//! A call says what the engine's clock will show when it arrives, so that a late call has no effect. Owns what is known of that
//! clock, and whether it was set. Must not know what is called.

use std::time::Duration;

/// How far the engine's clock may be from where it was, besides half a thousandth of what passed.
const WANDER_MS: i64 = 1_000;

/// Where the engine's clock is.
#[derive(Debug, Clone, Default)]
pub(crate) struct EngineClock {
    offset: Option<(i64, Duration)>,
    /// Whether it was set, so that what the engine remembers counts no more.
    pub(crate) jumped: bool,
}

impl EngineClock {
    pub(crate) fn is_known(&self) -> bool {
        self.offset.is_some()
    }

    /// What it will show now.
    pub(crate) fn expected(&self, now: Duration) -> Option<u64> {
        let (offset, _) = self.offset?;
        u64::try_from(millis(now) + offset).ok()
    }

    /// Hears the time, in an answer to what was sent then. Whether it is what was expected.
    pub(crate) fn heard(&mut self, engine_ms: u64, sent: Duration, now: Duration) -> bool {
        let engine_ms = i64::try_from(engine_ms).unwrap_or(i64::MAX);
        let (low, high) = (engine_ms - millis(now), engine_ms - millis(sent));
        let Some((offset, at)) = self.offset else {
            self.offset = Some((high, now));
            return true;
        };
        // Clocks run at different speeds, but not by more than this.
        let drift = millis(now.saturating_sub(at)) / 2_000;
        if offset < low - WANDER_MS - drift || offset > high + WANDER_MS + drift {
            (self.offset, self.jumped) = (Some((high, now)), true);
            return false;
        }
        if drift > 0 {
            self.offset = Some((offset.clamp(low, high).clamp(offset - drift, offset + drift), now));
        }
        true
    }
}

fn millis(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX / 4)
}
