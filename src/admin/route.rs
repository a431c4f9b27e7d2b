//! The routes of the admin port: what each is, and which methods it takes.
//!
//! Owns the table. Must not know who may use a route, nor what comes of it.

use std::borrow::Cow;

use http::Method;

use crate::domain::percent;

/// What a path of the admin port stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Route {
    /// Is the process up?
    Livez,
    /// Can it serve?
    Readyz,
    /// What is there to see.
    View(View),
    /// What an operator does.
    Act(Action),
    /// Nothing.
    Unknown,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum View {
    Status,
    Metrics,
    Divergences,
    Explain,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Action {
    Invalidate,
    Reload,
    /// Of the upstream with this name.
    Resume(String),
}

impl Route {
    pub(super) fn of(path: &str) -> Self {
        match path {
            "/livez" => Self::Livez,
            "/readyz" => Self::Readyz,
            "/metrics" => Self::View(View::Metrics),
            "/admin/v1/status" => Self::View(View::Status),
            "/admin/v1/divergences" => Self::View(View::Divergences),
            "/admin/v1/explain" => Self::View(View::Explain),
            "/admin/v1/invalidate" => Self::Act(Action::Invalidate),
            "/admin/v1/reload" => Self::Act(Action::Reload),
            path => resumed(path).map_or(Self::Unknown, |name| Self::Act(Action::Resume(name))),
        }
    }

    /// Whether it says nothing but that the process is there: for whoever balances and watches, by any name.
    pub(super) fn is_probe(&self) -> bool {
        match self {
            Self::Livez | Self::Readyz => true,
            Self::View(_) | Self::Act(_) | Self::Unknown => false,
        }
    }

    pub(super) fn takes(&self, method: &Method) -> bool {
        match self {
            Self::Act(_) => method == Method::POST,
            Self::Livez | Self::Readyz | Self::View(_) | Self::Unknown => {
                method == Method::GET || method == Method::HEAD
            }
        }
    }
}

impl Action {
    /// As the log calls it.
    pub(super) fn as_str(&self) -> &'static str {
        match self {
            Self::Invalidate => "invalidate",
            Self::Reload => "reload",
            Self::Resume(_) => "resume",
        }
    }
}

/// The upstream that is to be asked again, where that is what a path stands for.
fn resumed(path: &str) -> Option<String> {
    let name = path.strip_prefix("/admin/v1/upstreams/")?.strip_suffix("/resume")?;
    percent::decode(name).map(Cow::into_owned).filter(|name| !name.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_names_the_upstream_that_is_resumed() {
        assert_eq!(resumed("/admin/v1/upstreams/public/resume").as_deref(), Some("public"));
        assert_eq!(resumed("/admin/v1/upstreams/a%20b/resume").as_deref(), Some("a b"));
        for other in
            ["/admin/v1/upstreams/resume", "/admin/v1/upstreams//resume", "/admin/v1/upstreams/x", "/"]
        {
            assert_eq!(Route::of(other), Route::Unknown, "{other}");
        }
    }

    #[test]
    fn only_actions_change_anything_and_they_take_nothing_but_post() {
        for path in ["/livez", "/readyz", "/metrics", "/admin/v1/status", "/admin/v1/explain", "/other"] {
            assert!(Route::of(path).takes(&Method::GET) && !Route::of(path).takes(&Method::POST), "{path}");
        }
        for path in ["/admin/v1/invalidate", "/admin/v1/reload", "/admin/v1/upstreams/x/resume"] {
            let takes = |method| Route::of(path).takes(&method);
            assert!(takes(Method::POST) && !takes(Method::GET) && !takes(Method::PUT), "{path}");
        }
    }
}
