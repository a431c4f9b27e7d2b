//! One lane for each upstream: whether it is asked, what it answers, and what is left of its budget.
//!
//! Owns these. Must not know how a state comes about.

use std::time::Duration;

use maud::{Markup, html};

use super::frame::Visit;
use super::picture;
use super::words::{ago, count, counted, latency, span};
use crate::clock::Timestamp;
use crate::read::documents::LiveSettings;
use crate::telemetry::{Metrics, Samples};

/// An upstream as it is shown.
pub(super) struct UpstreamLane {
    name: String,
    origin: String,
    /// The state of its gate, as metrics call it.
    state: String,
    /// What is left of its budget, and the budget.
    budget: Option<(u64, u64)>,
    pauses: Vec<(&'static str, Duration)>,
    latency: Option<Duration>,
    /// Exchanges since the start by their status.
    answers: Vec<(String, u64)>,
    failure: Option<LaneFailure>,
}

struct LaneFailure {
    at: Timestamp,
    why: String,
    causes: Option<String>,
}

impl UpstreamLane {
    pub(super) fn all(live: &LiveSettings, samples: &Samples, metrics: &Metrics) -> Vec<Self> {
        let lanes = live.upstreams.iter().map(|upstream| {
            let name = upstream.name();
            let own = ("upstream", name);
            let states = samples.of("upstream_state", own, "state");
            let left = samples.of("upstream_budget_left", own, "upstream").values().next().copied();
            let budget = u64::from(upstream.requests_per_minute());
            let answers = samples.of("upstream_requests_total", own, "status");
            Self {
                name: name.to_owned(),
                origin: upstream.origin().to_owned(),
                state: states.iter().find(|(_, is)| **is > 0).map_or("closed", |(state, _)| state).to_owned(),
                budget: left.filter(|_| budget > 0).map(|left| (left, budget)),
                pauses: upstream.pauses().collect(),
                latency: metrics.recent.latency.of(name),
                answers: answers.into_iter().map(|(status, many)| (status.to_owned(), many)).collect(),
                failure: upstream.last_failure().map(|failure| LaneFailure {
                    at: failure.at,
                    why: failure.why,
                    causes: failure.causes,
                }),
            }
        });
        lanes.collect()
    }

    /// Whether it can be asked again at once by somebody who knows better.
    fn is_resumable(&self) -> bool {
        self.state != "closed" || !self.pauses.is_empty()
    }
}

pub(super) fn upstreams(visit: &Visit, lanes: &[UpstreamLane], now: Timestamp) -> Markup {
    html! {
        section.card {
            h2 { "Upstreams" }
            @for lane in lanes { (shown(visit, lane, now)) }
            @if lanes.is_empty() { p.quiet { "None is configured." } }
        }
    }
}

fn shown(visit: &Visit, lane: &UpstreamLane, now: Timestamp) -> Markup {
    let (tone, state) = match lane.state.as_str() {
        "closed" => ("good", "up"),
        "held" => ("warn", "paused"),
        "half-open" => ("warn", "being tried"),
        _ => ("bad", "failing"),
    };
    html! {
        article.lane {
            h3 { (lane.name) " " span.badge.(tone) { (state) } }
            p.quiet { (lane.origin) }
            dl.facts {
                dt { "Latency" }
                dd { @if let Some(took) = lane.latency { (latency(took)) } @else { "no answer yet" } }
                dt { "Answers" }
                dd { (answers(&lane.answers)) }
                @if let Some((left, budget)) = lane.budget {
                    dt { "Budget" }
                    dd {
                        (count(left)) " of " (count(budget)) " requests a minute left"
                        (picture::filled(&[("left", left)], budget, &format!("{left} of {budget} left")))
                    }
                }
                @for (concern, left) in &lane.pauses {
                    dt { "Pause" }
                    dd { (concern) ", " (span(*left)) " left, until " (now.after(*left)) }
                }
                @if let Some(failure) = &lane.failure {
                    dt { "Last failure" }
                    dd {
                        (ago(now, failure.at)) ": " (failure.why)
                        @if let Some(causes) = &failure.causes { " (" (causes) ")" }
                    }
                }
            }
            @if visit.may_act && lane.is_resumable() {
                form action="/act/resume" method="post" {
                    input type="hidden" name="upstream" value=(lane.name);
                    button type="submit" { "Ask it again now" }
                }
            }
        }
    }
}

fn answers(answers: &[(String, u64)]) -> Markup {
    let all = answers.iter().map(|(_, many)| many).sum();
    html! {
        (counted(all, "exchange", "exchanges"))
        @for (status, many) in answers { " · " (status) ": " (count(*many)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admin::token::AdminCaller;

    fn lane(state: &str) -> UpstreamLane {
        let hostile = "<script>alert(1)</script>".to_owned();
        UpstreamLane {
            name: "public".to_owned(),
            origin: "https://registry.example.com".to_owned(),
            state: state.to_owned(),
            budget: Some((3, 60)),
            pauses: vec![("search", Duration::from_secs(90))],
            latency: Some(Duration::from_millis(12)),
            answers: vec![("200".to_owned(), 1), ("503".to_owned(), 2)],
            failure: Some(LaneFailure { at: Timestamp(0), why: hostile.clone(), causes: Some(hostile) }),
        }
    }

    #[test]
    fn a_lane_says_how_its_upstream_stands() {
        let visit = Visit::new(&AdminCaller::Anybody, "", |_| None);
        let shown = upstreams(&visit, &[lane("open")], Timestamp(60_000)).into_string();
        for part in [
            "failing",
            "12 ms",
            "3 exchanges · 200: 1 · 503: 2",
            "3 of 60 requests",
            "search, 1m 30s left, until 1970-01-01T00:02:30Z",
            "1m ago",
            "Ask it again now",
        ] {
            assert!(shown.contains(part), "no {part:?} in {shown}");
        }
        assert!(!shown.contains("<script"), "{shown}");
    }
}
