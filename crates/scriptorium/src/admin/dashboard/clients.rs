//! Requests by rate class.
//!
//! Owns this table. Must not know who is in which class.

use maud::{Markup, html};

use super::words::count;
use crate::telemetry::{Counted, Samples, SpanCounts};

pub(super) fn clients(hour: &[SpanCounts], samples: &Samples) -> Markup {
    let hour = SpanCounts::sum(hour);
    let (requests, limited) =
        (samples.by_label("requests_total", "class"), samples.by_label("rate_limited_total", "class"));
    html! {
        section.card {
            h2 { "Clients" }
            table.short {
                thead { tr { th { "Class" } th.number { "Last hour" } th.number { "Since the start" } th.number { "Too many" } } }
                tbody {
                    @for class in Counted::CLASSES {
                        @let of = |all: &std::collections::BTreeMap<&str, u64>| all.get(class.as_str()).copied().unwrap_or_default();
                        tr {
                            td { (class.as_str()) }
                            td.number { (count(hour.of(class))) }
                            td.number { (count(of(&requests))) }
                            td.number { (count(of(&limited))) }
                        }
                    }
                }
            }
            p.quiet { "Too many: requests since the start that were over their rate and got 429." }
        }
    }
}
