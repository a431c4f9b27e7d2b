//! What all pages share: the head, the bar with the search, the message about the last form, and the foot.
//!
//! Owns these. Must not know what a page shows.

use maud::{DOCTYPE, Markup, html};
use url::form_urlencoded;

use super::words::visible;
use crate::admin::token::{AdminCaller, AdminRole};
use crate::domain::Problem;

/// Seconds between two loads of a page that reloads itself.
const EVERY: u32 = 15;

/// Who looks at a page, and with which parameters.
pub(super) struct Visit {
    who: String,
    /// Whether the visitor has a token, and can give it back.
    has_token: bool,
    pub(super) may_act: bool,
    /// What the last form came to.
    said: Option<String>,
    /// Whether the page loads itself anew.
    pub(super) is_live: bool,
    /// The name that is searched.
    pub(super) sought: String,
}

impl Visit {
    /// The visit of `caller` with the parameters in `query`. Others are ignored.
    pub(super) fn new(caller: &AdminCaller, query: &str, notice: impl Fn(u64) -> Option<String>) -> Self {
        let mut visit = Self {
            who: caller.to_string(),
            has_token: matches!(caller, AdminCaller::Holder { .. }),
            may_act: caller.role() == AdminRole::Operate,
            said: None,
            is_live: false,
            sought: String::new(),
        };
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            match &*name {
                "said" => visit.said = value.parse().ok().and_then(&notice),
                "live" => visit.is_live = true,
                "q" => visit.sought = value.trim().to_owned(),
                _ => {}
            }
        }
        visit
    }
}

/// The page with this title and content.
pub(super) fn page(visit: &Visit, title: &str, content: &Markup) -> String {
    let bar = html! {
        header.bar {
            a.brand href="/" { "Scriptorium" }
            form.search action="/search" method="get" role="search" {
                input type="search" name="q" value=(visit.sought) placeholder="volume, or part of its name"
                    aria-label="Search the store" maxlength="200";
                button type="submit" { "Search" }
            }
            @if visit.has_token {
                form.who action="/logout" method="post" {
                    span { (visit.who) @if !visit.may_act { ", read only" } }
                    button type="submit" { "Log out" }
                }
            }
        }
    };
    let content = html! {
        (bar)
        main {
            @if let Some(said) = &visit.said { p.said role="status" { (said) } }
            (content)
        }
        footer {
            span { "Scriptorium " (env!("CARGO_PKG_VERSION")) }
            a href="/metrics" { "Metrics" }
            a href="/admin/v1/status" { "Status as JSON" }
            a href="/admin/v1/divergences" { "Divergences as JSON" }
        }
    };
    document(title, visit.is_live, &content)
}

/// A page that says one thing.
pub(super) fn message(visit: &Visit, title: &str, text: &str) -> String {
    page(
        visit,
        title,
        &html! { section.card { h1 { (title) } p { (text) } p { a href="/" { "To the overview" } } } },
    )
}

/// The page for a browser that brought no token, or a wrong one.
pub(in crate::admin) fn login(why: Option<&str>) -> String {
    let content = html! {
        main.narrow {
            section.card {
                h1 { "Scriptorium" }
                @if let Some(why) = why { p.said.bad role="alert" { (why) } }
                p { "This port needs a token. The browser keeps a session for twelve hours, not the token." }
                form.login action="/login" method="post" {
                    // Keepers of passwords want a name beside them.
                    input type="text" name="username" value="scriptorium" autocomplete="username" hidden;
                    label for="token" { "Token" }
                    input #token type="password" name="token" required maxlength="512" autocomplete="current-password";
                    button type="submit" { "Log in" }
                }
            }
        }
    };
    document("Log in", false, &content)
}

/// The page for a form that is not admitted.
pub(in crate::admin) fn refused(problem: &Problem) -> String {
    let detail = problem.detail.as_deref().unwrap_or_default();
    let content = html! {
        main.narrow {
            section.card { h1 { (problem.title) } p { (detail) } p { a href="/" { "To the overview" } } }
        }
    };
    document(&problem.title, false, &content)
}

fn document(title: &str, is_live: bool, body: &Markup) -> String {
    let document = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                @if is_live { meta http-equiv="refresh" content=(EVERY); }
                title { (title) }
                link rel="icon" href="/icon.svg" type="image/svg+xml";
                link rel="stylesheet" href="/style.css";
            }
            body { (body) }
        }
    };
    visible(document.into_string())
}

/// The link that lets a page load itself anew, or stops that.
pub(super) fn live_link(visit: &Visit) -> Markup {
    html! {
        @if visit.is_live {
            a href="/" { "Stop reloading" }
        } @else {
            a href="/" { "Reload" } " · " a href="/?live" { "Reload every " (EVERY) " s" }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOSTILE: &str = "\"><script>alert(1)</script>'&";

    #[test]
    fn hostile_text_stays_text() {
        let holder = AdminCaller::Holder { name: Some(HOSTILE.to_owned()), role: AdminRole::Read };
        let mut query = form_urlencoded::Serializer::new(String::new());
        let query = query.append_pair("q", HOSTILE).append_pair("said", "7").finish();
        let visit = Visit::new(&holder, &query, |number| (number == 7).then(|| HOSTILE.to_owned()));
        assert!(!visit.may_act && !visit.is_live);
        let shown = page(&visit, HOSTILE, &html! { p { (HOSTILE) } });
        assert_eq!(shown.matches("&lt;script&gt;").count(), 5, "{shown}");
        assert!(!shown.contains("<script"), "{shown}");
    }

    #[test]
    fn nothing_on_a_page_is_hidden_or_turns_round_what_stands_after_it() {
        let hidden = ['\u{202e}', '\u{2066}', '\u{200b}', '\u{feff}', '\x1b', '\0', '\x07', '\r'];
        let text: String = hidden.iter().flat_map(|one| [*one, 'x']).collect();
        let visit = Visit::new(&AdminCaller::Anybody, "", |_| None);
        let shown = page(&visit, &text, &html! { p { (text) } });
        assert!(!shown.contains(hidden), "{shown:?}");
        assert!(shown.contains("\u{fffd}x\u{fffd}x"), "{shown:?}");
    }

    #[test]
    fn a_page_reloads_itself_only_when_asked_to() {
        let visit = |query| Visit::new(&AdminCaller::Anybody, query, |_| None);
        assert!(page(&visit("live&other=1"), "x", &html! {}).contains("http-equiv=\"refresh\""));
        assert!(!page(&visit("said=notanumber"), "x", &html! {}).contains("refresh"));
    }
}
