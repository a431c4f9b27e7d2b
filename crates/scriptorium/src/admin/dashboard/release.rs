//! The page of a release: how it is answered now and why, its life, and everything that `explain` says of it.
//!
//! Owns the order. Must not decide how a release is answered.

use std::sync::Arc;

use http::StatusCode;
use maud::{Markup, html};

use super::frame::{Visit, message, page};
use super::life;
use super::words::{bounded, bytes};
use crate::admin::Admin;
use crate::domain::Purl;
use crate::explain::{ExplainedRule, Explanation, VerdictRule, explain};
use crate::respond::storage_failed;
use crate::store::Store;

impl Admin {
    pub(super) async fn release(&self, visit: &Visit, release: &Purl) -> (StatusCode, String) {
        let Purl { name, version } = release;
        let store: Arc<dyn Store> = self.store.clone();
        let known = match explain(&self.documents, &store, name, version).await {
            Ok(known) => known,
            Err(error) => {
                let problem = storage_failed(&error).problem;
                let status = StatusCode::from_u16(problem.status).unwrap_or(StatusCode::SERVICE_UNAVAILABLE);
                let why = problem.detail.as_deref().unwrap_or_default();
                return (status, message(visit, "The storage cannot be read", why));
            }
        };
        let pinned = known.pin.as_ref().map(|pin| pin.integrity);
        // It is one event of many: without it the page is still worth showing.
        let trial = self.documents.try_out(release, pinned, false).await.ok().flatten();
        let events = life::events(&known, trial.and_then(|trial| trial.first_seen));
        let title = format!("{name}@{version}");
        let content = html! {
            div.above { h1 { (title) } p { a href={ "/search?q=" (name) } { "Other releases of " (name) } } }
            div.cards {
                section.card.wide {
                    h2 { "Its life" }
                    (life::line(&events, known.at))
                }
                (answers(&known))
                (policy(&known.policy))
                section.card.wide {
                    h2 { "Everything that is known" }
                    pre { (known) }
                    p { a href={ "/admin/v1/explain?volume=" (name) "&version=" (escaped(&version.to_string())) } { "The same as JSON" } }
                }
                @if visit.may_act { (invalidation(release)) }
            }
        };
        (StatusCode::OK, page(visit, &title, &content))
    }
}

/// How the two requests about the release are answered now.
fn answers(known: &Explanation) -> Markup {
    html! {
        section.card {
            h2 { "What a request gets now" }
            @for (name, rule) in [("Exact metadata", &known.verdict.exact), ("Archive", &known.verdict.archive)] {
                @let VerdictRule { status, rule, why, .. } = rule;
                h3 { (name) " " (status_badge(*status)) }
                p { strong { (rule) } ": " (bounded(why)) }
            }
            @if let Some(archive) = &known.archive {
                p { "The archive is here and was verified as a whole: " (bytes(archive.length)) "." }
            }
        }
    }
}

/// A status that depends on the registry's answer is not known.
fn status_badge(status: Option<u16>) -> Markup {
    match status {
        Some(status @ 200..300) => html! { span.badge.good { (status) } },
        Some(status) => html! { span.badge.bad { (status) } },
        None => html! { span.badge.idle { "asks first" } },
    }
}

fn policy(rules: &[ExplainedRule]) -> Markup {
    html! {
        section.card {
            h2 { "Policy" }
            @if rules.is_empty() { p.quiet { "No rule concerns this release." } }
            @for ExplainedRule { rule, action, applies, because, waiver, until } in rules {
                h3 {
                    (rule) " "
                    @if *applies { span.badge.bad { (action) " applies" } } @else { span.badge.idle { (action) " does not apply" } }
                }
                ul {
                    @for why in because.iter().chain(waiver) { li { (bounded(why)) } }
                    @if let Some(until) = until { li { "ends by itself at " (until) } }
                }
            }
        }
    }
}

fn invalidation(Purl { name, version }: &Purl) -> Markup {
    html! {
        section.card {
            h2 { "Actions" }
            form action="/act/invalidate" method="post" {
                input type="hidden" name="volume" value=(name);
                input type="hidden" name="version" value=(version);
                p { "The next request asks the registry, and an archive that was refused is tried again." }
                button type="submit" { "Invalidate this release" }
            }
        }
    }
}

/// A version in a query, where a plus would be a space.
fn escaped(version: &str) -> String {
    url::form_urlencoded::byte_serialize(version.as_bytes()).collect()
}
