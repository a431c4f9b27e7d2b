//! The first page: what needs attention, then how everything stands.
//!
//! Owns the order. Must not know how a part looks.

use maud::{Markup, html};

use super::attention::{attention, incomplete_import};
use super::clients::clients;
use super::frame::{Visit, live_link, page};
use super::lookups::{Period, lookups};
use super::mirrors::mirrors;
use super::upstreams::{UpstreamLane, upstreams};
use super::words::minute;
use crate::admin::Admin;
use crate::telemetry::{MINUTES_IN_QUARTER, SpanCounts};

/// The last imports are shown.
const IMPORTS: usize = 3;

impl Admin {
    pub(super) async fn overview(&self, visit: &Visit) -> String {
        let now = self.documents.now();
        let minute = minute(now);
        // Pauses and budgets change as time passes.
        self.documents.live().upstreams.iter().for_each(|upstream| upstream.tell_standing());
        self.metrics.note_history(minute);
        let samples = self.metrics.samples();
        let (hour, day) = (self.metrics.recent.history.hour(minute), self.metrics.recent.history.day(minute));
        let mirrored = self.mirrors.statuses().await;
        let imports = self.last_imports(IMPORTS).await;
        let mut concerns = self.concerns(&samples, &SpanCounts::sum(&hour), &mirrored).await;
        concerns.extend(imports.first().and_then(incomplete_import));
        let live = self.documents.live_full();
        let lanes = UpstreamLane::all(&live, &samples, &self.metrics);
        let last_hour = Period { title: "Last hour, by minute", spans: &hour, length: 1, until: minute };
        let last_day = Period {
            title: "Last day, by quarter of an hour",
            spans: &day,
            length: MINUTES_IN_QUARTER,
            until: minute,
        };
        let title = match concerns.len() {
            0 => "Scriptorium".to_owned(),
            many => format!("({many}) Scriptorium"),
        };
        let content = html! {
            div.above {
                p { (live_link(visit)) }
                @if live.policy.offline { p.badge.warn { "offline: no registry is asked" } }
            }
            div.cards {
                (attention(&concerns))
            }
            div.cards.pair {
                (lookups(&last_hour))
                (lookups(&last_day))
            }
            div.columns {
                (upstreams(visit, &lanes, now))
                (self.storage_card().await)
                (clients(&hour, &samples))
                (mirrors(visit, &mirrored, &imports))
                @if visit.may_act { (actions()) }
            }
        };
        page(visit, &title, &content)
    }
}

fn actions() -> Markup {
    html! {
        section.card {
            h2 { "Actions" }
            form action="/act/invalidate" method="post" {
                label for="volume" { "Ask the registry anew about a volume, or a pattern" }
                div.row {
                    input #volume name="volume" required maxlength="200" placeholder="@acme/lamp or @acme/*";
                    button type="submit" { "Invalidate" }
                }
            }
            form action="/act/reload" method="post" {
                p { "Read the configuration again. One that is not valid changes nothing." }
                button type="submit" { "Reload the configuration" }
            }
        }
    }
}
