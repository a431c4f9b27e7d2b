//! The routes of the admin port, and the methods that each takes.
//!
//! Owns the table. Must not know who may use a route, nor what it answers.

use std::borrow::Cow;

use http::Method;

use crate::domain::percent;
use crate::mirror::RunKind;

/// The route of a path on the admin port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum AdminRoute {
    Livez,
    Readyz,
    View(AdminView),
    Act(AdminAction),
    Unknown,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum AdminView {
    Status,
    Metrics,
    Divergences,
    Explain,
    Mirrors,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum AdminAction {
    Invalidate,
    Reload,
    /// Another process wrote to the storage.
    Reread,
    /// Of the upstream with this name.
    Resume(String),
    /// A run of the mirror with this name.
    Mirror(String, RunKind),
}

impl AdminRoute {
    pub(super) fn of(path: &str) -> Self {
        match path {
            "/livez" => Self::Livez,
            "/readyz" => Self::Readyz,
            "/metrics" => Self::View(AdminView::Metrics),
            "/admin/v1/status" => Self::View(AdminView::Status),
            "/admin/v1/divergences" => Self::View(AdminView::Divergences),
            "/admin/v1/explain" => Self::View(AdminView::Explain),
            "/admin/v1/mirrors" => Self::View(AdminView::Mirrors),
            "/admin/v1/invalidate" => Self::Act(AdminAction::Invalidate),
            "/admin/v1/reload" => Self::Act(AdminAction::Reload),
            "/admin/v1/reread" => Self::Act(AdminAction::Reread),
            path => act(path).map_or(Self::Unknown, Self::Act),
        }
    }

    /// Whether the route only says that the process is there. Load balancers and monitors use it under any name.
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

impl AdminAction {
    pub(super) fn as_str(&self) -> &'static str {
        match self {
            Self::Invalidate => "invalidate",
            Self::Reload => "reload",
            Self::Reread => "reread",
            Self::Resume(_) => "resume",
            Self::Mirror(_, RunKind::Plan) => "plan",
            Self::Mirror(_, RunKind::Sync) => "sync",
        }
    }
}

/// The action on what `path` names.
fn act(path: &str) -> Option<AdminAction> {
    let mirrored = || {
        let (name, action) = path.strip_prefix("/admin/v1/mirrors/")?.split_once('/')?;
        let kind = match action {
            "plan" => RunKind::Plan,
            "sync" => RunKind::Sync,
            _ => return None,
        };
        let name = percent::decode(name).filter(|name| !name.is_empty())?;
        Some(AdminAction::Mirror(name.into_owned(), kind))
    };
    resumed(path).map(AdminAction::Resume).or_else(mirrored)
}

/// The upstream whose pauses `path` ends.
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
            assert_eq!(AdminRoute::of(other), AdminRoute::Unknown, "{other}");
        }
    }

    #[test]
    fn a_path_names_the_mirror_and_its_run() {
        let run = |kind| AdminRoute::Act(AdminAction::Mirror("ci".to_owned(), kind));
        assert_eq!(AdminRoute::of("/admin/v1/mirrors/ci/sync"), run(RunKind::Sync));
        assert_eq!(AdminRoute::of("/admin/v1/mirrors/ci/plan"), run(RunKind::Plan));
        assert_eq!(AdminRoute::of("/admin/v1/mirrors"), AdminRoute::View(AdminView::Mirrors));
        for other in [
            "/admin/v1/mirrors/",
            "/admin/v1/mirrors//sync",
            "/admin/v1/mirrors/ci",
            "/admin/v1/mirrors/ci/x",
        ] {
            assert_eq!(AdminRoute::of(other), AdminRoute::Unknown, "{other}");
        }
    }

    #[test]
    fn only_actions_change_anything_and_they_take_nothing_but_post() {
        for path in ["/livez", "/readyz", "/metrics", "/admin/v1/status", "/admin/v1/explain", "/other"] {
            assert!(
                AdminRoute::of(path).takes(&Method::GET) && !AdminRoute::of(path).takes(&Method::POST),
                "{path}"
            );
        }
        for path in [
            "/admin/v1/invalidate",
            "/admin/v1/reload",
            "/admin/v1/upstreams/x/resume",
            "/admin/v1/mirrors/ci/sync",
        ] {
            let takes = |method| AdminRoute::of(path).takes(&method);
            assert!(takes(Method::POST) && !takes(Method::GET) && !takes(Method::PUT), "{path}");
        }
    }
}
