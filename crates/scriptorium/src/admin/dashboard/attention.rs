//! What an operator should look at, the most urgent first.
//!
//! Owns what counts as that, and its words. Must not know how a page looks otherwise.

use maud::{Markup, html};

use super::release_path;
use super::words::{count, counted, span};
use crate::admin::Admin;
use crate::bundles::ImportLine;
use crate::clock::Timestamp;
use crate::mirror::report::MirrorStatus;
use crate::telemetry::{CERTIFICATE_ENDS_SOON, Counted, Samples, SpanCounts};

/// Single cases of one kind that are named.
const NAMED: usize = 5;

/// Something to look at.
pub(super) struct Concern {
    pub(super) text: String,
    /// Where more is said.
    pub(super) more: Option<String>,
}

impl Concern {
    fn new(text: impl Into<String>) -> Self {
        Self { text: text.into(), more: None }
    }

    fn about(text: impl Into<String>, more: impl Into<String>) -> Self {
        Self { text: text.into(), more: Some(more.into()) }
    }
}

impl Admin {
    /// Everything to look at. The store is not walked for it.
    pub(super) async fn concerns(
        &self,
        samples: &Samples,
        hour: &SpanCounts,
        mirrors: &[MirrorStatus],
    ) -> Vec<Concern> {
        let mut concerns = Vec::new();
        if let Some(trouble) = self.store.trouble() {
            let (kind, since) = (trouble.kind.as_str(), trouble.since);
            concerns.push(Concern::new(format!("The storage is {kind} since {since}: {}", trouble.detail)));
        }
        concerns.extend(self.cluster_of_concern());
        self.releases_of_concern(&mut concerns).await;
        self.upstreams_of_concern(&mut concerns);
        self.mirrors_of_concern(mirrors, &mut concerns);
        concerns.extend(self.overdue().map(Concern::new));
        concerns.extend(self.certificate_of_concern(samples));
        let lost = samples.total("audit_record_lost_total");
        if lost > 0 {
            let lines = counted(lost, "line", "lines");
            concerns.push(Concern::new(format!("The audit record lacks {lines}: they are in the log.")));
        }
        let damage = hour.of(Counted::Damage);
        if damage > 0 {
            let stages = samples.by_label("integrity_failures_total", "stage");
            let stages: Vec<_> =
                stages.iter().map(|(stage, many)| format!("{stage} {}", count(*many))).collect();
            let (failures, stages) =
                (counted(damage, "integrity failure", "integrity failures"), stages.join(", "));
            concerns.push(Concern::new(format!(
                "{failures} in the last hour. Since the start, by where each was noticed: {stages}."
            )));
        }
        concerns
    }

    /// A cluster of which this proxy sees less than there is meant to be.
    fn cluster_of_concern(&self) -> Option<Concern> {
        let cluster = self.cluster.as_ref()?;
        let (seen, meant) = (u64::from(cluster.nodes()), u64::from(cluster.meant()));
        let text = match cluster.is_together() {
            false => {
                let cause = cluster
                    .fault()
                    .map_or_else(String::new, |fault| format!(" The cause: {}.", fault.advised()));
                format!("The engine of the cluster is away: this proxy works alone, on its share.{cause}")
            }
            true if seen < meant => format!("Of {meant} proxies of the cluster {seen} are seen."),
            true => return None,
        };
        Some(Concern::new(text))
    }

    /// A certificate of the public port that ended, or does so soon.
    fn certificate_of_concern(&self, samples: &Samples) -> Option<Concern> {
        let (now, seconds) = (self.documents.now(), samples.total("certificate_expires_timestamp_seconds"));
        let ends = Timestamp(seconds.saturating_mul(1000));
        let text = match ends.since(now) {
            _ if seconds == 0 => return None,
            None => format!("The certificate of the public port has expired: it held until {ends}."),
            Some(left) if left < CERTIFICATE_ENDS_SOON => {
                format!("The certificate of the public port ends in {}, at {ends}.", span(left))
            }
            Some(_) => return None,
        };
        Some(Concern::new(text))
    }

    async fn releases_of_concern(&self, concerns: &mut Vec<Concern>) {
        let open = self.documents.divergences().await;
        for divergence in open.iter().take(NAMED) {
            let (name, version) = (&divergence.volume, &divergence.version);
            let (kind, since) = (divergence.kind.as_str(), divergence.since);
            let text = format!("{name}@{version} diverges ({kind}) since {since}: {divergence}");
            concerns.push(Concern::about(text, release_path(name, version)));
        }
        if open.len() > NAMED {
            let more =
                counted((open.len() - NAMED) as u64, "more release diverges.", "more releases diverge.");
            concerns.push(Concern::about(more, "/admin/v1/divergences"));
        }
        let refused = self.documents.refused_archives().await;
        // The latest is the last.
        for refusal in refused.iter().rev().take(NAMED) {
            let (name, version, since, why) =
                (&refusal.volume, &refusal.version, refusal.since, &refusal.why);
            let text = format!("The archive of {name}@{version} was refused at {since}: {why}");
            concerns.push(Concern::about(text, release_path(name, version)));
        }
        if refused.len() > NAMED {
            let more = counted((refused.len() - NAMED) as u64, "more archive was", "more archives were");
            concerns.push(Concern::new(format!("{more} refused.")));
        }
    }

    fn upstreams_of_concern(&self, concerns: &mut Vec<Concern>) {
        for upstream in self.documents.live().upstreams.iter() {
            let name = upstream.name();
            if !upstream.is_up() {
                let why = upstream.last_failure().map(|failure| format!(": {}", failure.why));
                let why = why.unwrap_or_default();
                concerns.push(Concern::new(format!(
                    "The upstream {name} fails and is left alone for a while{why}"
                )));
                continue;
            }
            for (concern, left) in upstream.pauses() {
                let left = span(left);
                concerns.push(Concern::new(format!(
                    "The upstream {name} asked for a pause of {concern}: {left} left."
                )));
            }
        }
    }

    fn mirrors_of_concern(&self, mirrors: &[MirrorStatus], concerns: &mut Vec<Concern>) {
        let late = self.mirrors.late(self.documents.now());
        for mirror in mirrors.iter().filter(|mirror| !mirror.running) {
            let (name, missing) = (&mirror.mirror, mirror.missing.len() + mirror.untold);
            if missing > 0 {
                let missing = counted(missing as u64, "thing", "things");
                concerns
                    .push(Concern::about(format!("The mirror {name} lacks {missing}."), "/admin/v1/mirrors"));
            } else if mirror.last_success.is_none() {
                concerns.push(Concern::new(format!("The mirror {name} was never synced as a whole.")));
            }
            if let Some((_, age)) = late.iter().find(|(late, _)| late == name) {
                let age = span(*age);
                concerns.push(Concern::new(format!(
                    "The mirror {name} is old: its last complete sync was {age} ago."
                )));
            }
        }
    }
}

/// What the last import did not take in.
pub(super) fn incomplete_import(import: &ImportLine) -> Option<Concern> {
    let ImportLine { at, origin, sequence, left_out, .. } = import;
    let what = counted(*left_out, "thing", "things");
    (*left_out > 0).then(|| {
        Concern::new(format!("The import of bundle {sequence} of {origin} at {at} left out {what}."))
    })
}

pub(super) fn attention(concerns: &[Concern]) -> Markup {
    if concerns.is_empty() {
        return html! { section.card.wide.calm { h2 { "Nothing needs attention" } } };
    }
    html! {
        section.card.wide.alarm {
            h2 { "Needs attention" }
            ul {
                @for Concern { text, more } in concerns {
                    li { (text) @if let Some(more) = more { " " a href=(more) { "Look" } } }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_text_stays_text() {
        let hostile = "<script>alert(1)</script>\"'&";
        let shown = attention(&[Concern::about(hostile, "/release/lamp/1.0.0")]).into_string();
        assert!(shown.contains("&lt;script&gt;") && !shown.contains("<script"), "{shown}");
        assert!(shown.contains(r#"<a href="/release/lamp/1.0.0">Look</a>"#), "{shown}");
    }
}
