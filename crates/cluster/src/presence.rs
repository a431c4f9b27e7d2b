//! Whether this node works together with the others, by how its beats ended.
//!
//! A beat is a write to the engine, so an engine that refuses writes is away. Owns that decision, with the time passed in.
//! Must not know what a beat is made of, and decides nothing about what others do meanwhile.

use std::time::Duration;

/// Between beats while the engine answers.
const PACE: Duration = Duration::from_millis(500);
/// Without an answer for so long this node is alone: within 2 s, and not because of one lost answer.
const SILENCE: Duration = Duration::from_millis(1_700);
/// Between beats while it is away, at most: with the beat itself, its return is used within 5 s.
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// How a node works.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PresenceState {
    /// The engine answers.
    Together,
    /// It does not.
    Alone,
}

/// What this node knows of the engine.
#[derive(Debug, Clone, Default)]
pub struct Presence {
    answered: Option<Duration>,
    failures: u32,
}

impl Presence {
    /// How this node works now. It begins alone.
    pub fn state(&self, now: Duration) -> PresenceState {
        match self.answered {
            Some(answered) if now.saturating_sub(answered) < SILENCE => PresenceState::Together,
            _ => PresenceState::Alone,
        }
    }

    /// Whether it works together with the others now.
    pub fn is_together(&self, now: Duration) -> bool {
        self.state(now) == PresenceState::Together
    }

    /// A beat that was sent then was answered. The answer counts from when it was asked for.
    pub fn answered(&mut self, sent: Duration) {
        self.answered = self.answered.max(Some(sent));
        self.failures = 0;
    }

    /// A beat failed, or had no answer in time.
    pub fn failed(&mut self) {
        self.failures = self.failures.saturating_add(1);
    }

    /// How long to wait from the end of one beat to the next.
    pub fn pause(&self) -> Duration {
        // The first failures are looked at again at once: one lost answer is no absence.
        match self.failures {
            0 => PACE,
            failures => (PACE / 4 * 2_u32.saturating_pow((failures - 1).min(8))).min(LONGEST_PAUSE),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    #[test]
    fn begins_alone_and_is_together_with_the_first_answer() {
        let mut presence = Presence::default();
        assert_eq!(presence.state(at(0)), PresenceState::Alone);
        presence.answered(at(10));
        assert!(presence.is_together(at(10)));
        assert!(presence.is_together(at(1_709)));
        assert!(!presence.is_together(at(1_710)));
    }

    #[test]
    fn silence_is_noticed_within_two_seconds_and_a_return_within_five() {
        let beat = at(500);
        let mut presence = Presence::default();
        presence.answered(at(0));
        let mut now = presence.pause();
        // Every beat takes its whole deadline and fails.
        while presence.is_together(now) {
            now += at(100);
        }
        assert!(now <= at(2_000), "{now:?}");
        let mut longest = Duration::ZERO;
        for _ in 0..20 {
            presence.failed();
            longest = longest.max(presence.pause() + beat);
        }
        assert!(longest * 2 <= at(5_000), "{longest:?}");
    }

    #[test]
    fn a_late_answer_is_as_old_as_its_question() {
        let mut presence = Presence::default();
        presence.answered(at(500));
        presence.answered(at(0));
        assert!(presence.is_together(at(2_100)));
    }
}
