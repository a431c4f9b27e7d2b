//! The routes of the admin port, and the methods that each takes.
//!
//! Owns the table. Must not know who may use a route, nor what it answers.

use std::borrow::Cow;

use http::Method;

use crate::domain::{Purl, percent};
use crate::mirror::RunKind;

/// The route of a path on the admin port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum AdminRoute {
    Livez,
    Readyz,
    View(AdminView),
    Act(AdminAction),
    /// A page for people.
    Page(AdminPage),
    /// What pages are made with, the same for everybody.
    Asset(AdminAsset),
    /// What a page sends.
    Form(AdminForm),
    /// A browser gives the token.
    Login,
    Logout,
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
pub(super) enum AdminPage {
    Overview,
    /// What is in the store under a name.
    Search,
    Release(Box<Purl>),
    /// Of no release: the name or the version is none.
    NoRelease,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum AdminAsset {
    Style,
    Icon,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum AdminForm {
    Invalidate,
    Reload,
    Resume,
    Sync,
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
            "/" => Self::Page(AdminPage::Overview),
            "/search" => Self::Page(AdminPage::Search),
            "/style.css" => Self::Asset(AdminAsset::Style),
            "/icon.svg" => Self::Asset(AdminAsset::Icon),
            "/login" => Self::Login,
            "/logout" => Self::Logout,
            "/act/invalidate" => Self::Form(AdminForm::Invalidate),
            "/act/reload" => Self::Form(AdminForm::Reload),
            "/act/resume" => Self::Form(AdminForm::Resume),
            "/act/sync" => Self::Form(AdminForm::Sync),
            "/metrics" => Self::View(AdminView::Metrics),
            "/admin/v1/status" => Self::View(AdminView::Status),
            "/admin/v1/divergences" => Self::View(AdminView::Divergences),
            "/admin/v1/explain" => Self::View(AdminView::Explain),
            "/admin/v1/mirrors" => Self::View(AdminView::Mirrors),
            "/admin/v1/invalidate" => Self::Act(AdminAction::Invalidate),
            "/admin/v1/reload" => Self::Act(AdminAction::Reload),
            "/admin/v1/reread" => Self::Act(AdminAction::Reread),
            path => match path.strip_prefix("/release/") {
                Some(release) => Self::Page(release_of(release)),
                None => act(path).map_or(Self::Unknown, Self::Act),
            },
        }
    }

    /// Whether the route only says that the process is there. Load balancers and monitors use it under any name.
    pub(super) fn is_probe(&self) -> bool {
        matches!(self, Self::Livez | Self::Readyz)
    }

    /// Whether no token is needed.
    pub(super) fn is_open(&self) -> bool {
        self.is_probe() || matches!(self, Self::Asset(_) | Self::Login)
    }

    /// Whether something changes.
    pub(super) fn acts(&self) -> bool {
        matches!(self, Self::Act(_) | Self::Form(_))
    }

    /// Whether a page sends it.
    pub(super) fn is_form(&self) -> bool {
        matches!(self, Self::Form(_) | Self::Login | Self::Logout)
    }

    /// Whether a browser's session counts. The actions of programs are not for browsers.
    pub(super) fn is_for_browsers(&self) -> bool {
        !matches!(self, Self::Act(_))
    }

    /// Whether its answer is a page for people, also when it is refused.
    pub(super) fn is_for_people(&self) -> bool {
        matches!(self, Self::Page(_)) || self.is_form()
    }

    pub(super) fn takes(&self, method: &Method) -> bool {
        let reads = method == Method::GET || method == Method::HEAD;
        match self {
            Self::Act(_) | Self::Form(_) | Self::Logout => method == Method::POST,
            Self::Login => reads || method == Method::POST,
            Self::Livez | Self::Readyz | Self::View(_) | Self::Page(_) | Self::Asset(_) => reads,
            // Nothing is there, whatever the method.
            Self::Unknown => true,
        }
    }
}

impl AdminForm {
    /// The name of its action.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Invalidate => "invalidate",
            Self::Reload => "reload",
            Self::Resume => "resume",
            Self::Sync => "sync",
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

/// The page of the release that `path` names: `name/version` or `@scope/name/version`.
fn release_of(path: &str) -> AdminPage {
    let named = || {
        let (name, version) = path.rsplit_once('/')?;
        let (name, version) = (percent::decode(name)?, percent::decode(version)?);
        Some(Purl { name: name.parse().ok()?, version: version.parse().ok()? })
    };
    named().map_or(AdminPage::NoRelease, |release| AdminPage::Release(Box::new(release)))
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
        for other in ["/admin/v1/upstreams/resume", "/admin/v1/upstreams//resume", "/admin/v1/upstreams/x"] {
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
    fn a_path_names_a_release() {
        let page = |path| match AdminRoute::of(path) {
            AdminRoute::Page(AdminPage::Release(release)) => format!("{}@{}", release.name, release.version),
            other => format!("{other:?}"),
        };
        assert_eq!(page("/release/lamp/1.0.0"), "lamp@1.0.0");
        assert_eq!(page("/release/@acme/lamp/1.0.0+b"), "@acme/lamp@1.0.0+b");
        assert_eq!(page("/release/%40acme/lamp/1.0.0%2Bb"), "@acme/lamp@1.0.0+b");
        for none in [
            "/release/",
            "/release/lamp",
            "/release/lamp/1",
            "/release/Lamp/1.0.0",
            "/release/../1.0.0",
            "/release/%ff/1.0.0",
        ] {
            assert_eq!(page(none), "Page(NoRelease)", "{none}");
        }
    }

    #[test]
    fn only_actions_change_anything_and_they_take_nothing_but_post() {
        for path in ["/livez", "/readyz", "/metrics", "/admin/v1/status", "/admin/v1/explain"] {
            assert!(
                AdminRoute::of(path).takes(&Method::GET) && !AdminRoute::of(path).takes(&Method::POST),
                "{path}"
            );
        }
        assert!(AdminRoute::of("/other").takes(&Method::POST), "404, not 405");
        for path in [
            "/act/invalidate",
            "/act/reload",
            "/act/resume",
            "/act/sync",
            "/logout",
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
