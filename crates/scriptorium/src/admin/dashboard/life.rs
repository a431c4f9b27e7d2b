//! The life of a release as a line: what is known of it, in order of time.
//!
//! Owns which events there are, their words and the drawing. Must not look anything up.

use maud::{Markup, html};

use super::words::{ago, bounded};
use crate::clock::Timestamp;
use crate::consistency::{Divergence, Pin};
use crate::domain::LifecycleState;
use crate::domain::lifecycle::Status;
use crate::explain::{ExplainedRule, Explanation, HeldDocument};
use crate::read::LifecycleTurn;

/// Between two points of the drawing.
const STEP: usize = 40;

/// How an event looks; the class of its colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tone {
    Plain,
    Good,
    Warn,
    Bad,
}

impl Tone {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Good => "good",
            Self::Warn => "warn",
            Self::Bad => "bad",
        }
    }

    fn of(state: LifecycleState) -> Self {
        match state {
            LifecycleState::Available => Self::Good,
            LifecycleState::Yanked | LifecycleState::Unavailable => Self::Warn,
            LifecycleState::Tombstoned | LifecycleState::Blocked => Self::Bad,
        }
    }
}

/// Something that happened to a release.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct LifeEvent {
    pub(super) at: Timestamp,
    tone: Tone,
    what: String,
}

/// What happened to a release, the earliest first.
pub(super) fn events(known: &Explanation, first_seen: Option<Timestamp>) -> Vec<LifeEvent> {
    let mut events = Vec::new();
    let mut add = |at, tone, what: String| events.push(LifeEvent { at, tone, what: bounded(&what) });
    if let Some(at) = first_seen {
        add(at, Tone::Plain, "first seen here".to_owned());
    }
    if let Some(Pin { integrity, since, upstream, .. }) = &known.pin {
        add(*since, Tone::Good, format!("pinned to {integrity}, by the word of {upstream}"));
    }
    for pin in &known.other_pins {
        add(pin.since, Tone::Plain, format!("pinned to {} for {} only", pin.integrity, pin.whose()));
    }
    let documents = [
        ("the index", &known.index),
        ("exact metadata", &known.exact),
        ("the trust summary", &known.trust_summary),
        ("the trust detail", &known.trust_detail),
    ];
    for (name, held) in documents {
        if let Some(held) = held {
            if let Some(LifecycleTurn { from, until, to, since }) = held.turn.clone() {
                let upstream = &held.upstream;
                add(until, Tone::of(from), format!("{name} of {upstream} still said {from}"));
                add(since, Tone::of(to), format!("{name} of {upstream} said {to} for the first time"));
            }
            let (tone, what) = said(name, held);
            add(held.fetched_at, tone, what);
        }
    }
    if let Some(refusal) = &known.refusal {
        add(refusal.since, Tone::Bad, format!("the archive was refused: {}", refusal.why));
    }
    if let Some(open) = &known.divergence {
        let Divergence { kind, since, checked_at, .. } = open;
        let kind = kind.as_str();
        add(*since, Tone::Bad, format!("a divergence was found ({kind}): {open}"));
        if checked_at != since {
            add(*checked_at, Tone::Bad, format!("the divergence ({kind}) was found again"));
        }
    }
    // No time is kept of these two: they hold now.
    if known.archive.is_some() {
        add(known.at, Tone::Good, "the archive is here, verified as a whole".to_owned());
    }
    for ExplainedRule { rule, action, until, .. } in known.policy.iter().filter(|rule| rule.applies) {
        let until = until.as_ref().map(|until| format!(" until {until}")).unwrap_or_default();
        add(known.at, Tone::Bad, format!("the rule {rule} of the policy applies ({action}){until}"));
    }
    events.sort_by_key(|event| event.at);
    events
}

/// What a document said when it was last fetched or confirmed.
fn said(name: &str, held: &HeldDocument) -> (Tone, String) {
    let upstream = &held.upstream;
    match (&held.says.status, held.says.rows) {
        (_, Some(0)) => (Tone::Warn, format!("{name} of {upstream} had no row of it")),
        (Some(Status { state, reason }), _) => {
            let reason = reason.as_ref().map(|reason| format!(" ({reason})")).unwrap_or_default();
            (Tone::of(*state), format!("{name} of {upstream} said {state}{reason}"))
        }
        (None, _) if held.status == 200 => {
            (Tone::Plain, format!("{name} of {upstream} was fetched or confirmed"))
        }
        (None, _) => (Tone::Warn, format!("{upstream} answered {} for {name}", held.status)),
    }
}

/// The line with a numbered point for each event, and what each was.
pub(super) fn line(events: &[LifeEvent], now: Timestamp) -> Markup {
    let end = events.len() * STEP + STEP;
    html! {
        @if events.is_empty() {
            p.quiet { "Nothing is known of this release here." }
        } @else {
            svg.life role="img" aria-label={ (events.len()) " events in order of time, listed below" }
                viewBox={ "0 0 " (end) " 40" } {
                line class="axis" x1="0" y1="20" x2=(end) y2="20" {}
                @for (number, LifeEvent { at, tone, what }) in (1..).zip(events) {
                    g {
                        title { (at) ": " (what) }
                        circle class=(tone.as_str()) cx=(number * STEP) cy="20" r="12" {}
                        text x=(number * STEP) y="24" { (number) }
                    }
                }
            }
            ol.events {
                @for LifeEvent { at, tone, what } in events {
                    li.(tone.as_str()) { (ago(now, *at)) " " span.quiet { (at) } br; (what) }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_of_any_length_is_a_line() {
        let long = "ä".repeat(1_000_000);
        assert_eq!(bounded(&long).chars().count(), 301);
        assert_eq!(bounded("short"), "short");
    }

    #[test]
    fn an_event_is_a_point_and_a_line_of_text() {
        let hostile = "<script>alert(1)</script>".to_owned();
        let event = |at, tone, what: &str| LifeEvent { at: Timestamp(at), tone, what: what.to_owned() };
        let events = [event(0, Tone::Good, "pinned"), event(60_000, Tone::Bad, &hostile)];
        let shown = line(&events, Timestamp(120_000)).into_string();
        assert!(
            shown.contains(r#"class="good" cx="40""#) && shown.contains(r#"class="bad" cx="80""#),
            "{shown}"
        );
        assert!(shown.contains("1m ago") && !shown.contains("<script"), "{shown}");
        assert!(line(&[], Timestamp(0)).into_string().contains("Nothing is known"));
    }
}
