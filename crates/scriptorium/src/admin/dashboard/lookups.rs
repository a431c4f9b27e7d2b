//! What was looked up over a time, as a picture with its totals.
//!
//! Owns these. Must not know where the counts come from.

use maud::{Markup, html};

use super::picture;
use super::words::{count, percent, time_of_day};
use crate::telemetry::{Counted, SpanCounts};

/// A time that is shown, in spans of equal length.
pub(super) struct Period<'a> {
    pub(super) title: &'static str,
    pub(super) spans: &'a [SpanCounts],
    /// Minutes in a span.
    pub(super) length: u64,
    /// The minute in which the last span ends, by its number since 1970.
    pub(super) until: u64,
}

pub(super) fn lookups(period: &Period<'_>) -> Markup {
    let sum = SpanCounts::sum(period.spans);
    let most = period.spans.iter().map(SpanCounts::lookups).max().unwrap_or_default();
    let text = spoken(&sum);
    let bars: Vec<_> = period.bars().collect();
    html! {
        section.card {
            h2 { (period.title) }
            @if sum.lookups() == 0 {
                p.quiet { "Nothing was looked up." }
            } @else {
                figure {
                    (picture::stacked(&bars, &format!("{}: {text}", period.title)))
                    figcaption.axis { span { (period.from()) } span { "highest bar: " (count(most)) } span { "now" } }
                }
            }
            p.legend {
                @for what in Counted::LOOKUPS {
                    span { span.swatch.(what.as_str()) {} (count(sum.of(what))) " " (what.as_str()) }
                }
                @if sum.lookups() > 0 {
                    span.quiet { (percent(sum.of(Counted::Hit), sum.lookups())) " % hits" }
                }
            }
        }
    }
}

/// "3 hit, 0 stale, 1 miss, 0 refused, 0 failed".
fn spoken(counts: &SpanCounts) -> String {
    let each = Counted::LOOKUPS.map(|what| format!("{} {}", count(counts.of(what)), what.as_str()));
    each.join(", ")
}

impl Period<'_> {
    fn bars(&self) -> impl Iterator<Item = (String, [picture::Piece; Counted::LOOKUPS.len()])> {
        let last = self.until / self.length;
        let first = (last + 1).saturating_sub(self.spans.len() as u64);
        self.spans.iter().zip(first..).map(|(span, number)| {
            let name = format!("{}: {}", time_of_day(number * self.length), spoken(span));
            (name, Counted::LOOKUPS.map(|what| (what.as_str(), span.of(what))))
        })
    }

    fn from(&self) -> String {
        let hours = self.spans.len() as u64 * self.length / 60;
        format!("{hours} h ago")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_period_says_its_totals_and_when_each_bar_was() {
        let mut busy = SpanCounts::default();
        busy.add(Counted::Hit, 3);
        busy.add(Counted::Miss, 1);
        let spans = [SpanCounts::default(), busy];
        let period = Period { title: "Last hour", spans: &spans, length: 1, until: 28_333_333 };
        let shown = lookups(&period).into_string();
        for part in [
            "Last hour: 3 hit, 0 stale, 1 miss, 0 refused, 0 failed",
            "22:13: 3 hit",
            "75 % hits",
            "</span>3 hit</span>",
        ] {
            assert!(shown.contains(part), "no {part:?} in {shown}");
        }
        let quiet = Period { spans: &spans[..1], ..period };
        assert!(lookups(&quiet).into_string().contains("Nothing was looked up."));
    }
}
