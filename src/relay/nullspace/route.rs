//! What a path of the API asks for, as far as this proxy understands more of it than that it is relayed.
//!
//! Owns the understood routes, and which paths go nowhere because they could leave the API's own. Must not know what
//! is done at them.

use std::borrow::Cow;

use http::Method;

use super::Refused;
use crate::domain::percent;

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Route<'a> {
    /// A new version of a deployment.
    CreateVersion {
        /// The deployment.
        deployment: &'a str,
    },
    /// The content of a version.
    Bundle {
        /// The deployment.
        deployment: &'a str,
        /// The version.
        version: &'a str,
    },
    /// A new resumable upload; its requests go below this path.
    CreateUpload {
        /// The path.
        uploads: &'a str,
    },
    /// One part of a resumable upload.
    Part {
        /// The upload.
        upload: Upload<'a>,
        /// Which part, from zero.
        number: u32,
    },
    /// The end of a resumable upload.
    Complete(Upload<'a>),
    /// A resumable upload given up.
    Abort(Upload<'a>),
    /// Anything else.
    Other,
}

/// A resumable upload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Upload<'a> {
    /// The path that it was created at.
    pub(super) uploads: &'a str,
    /// What the registry calls it.
    pub(super) id: &'a str,
}

impl Upload<'_> {
    /// Its own path.
    pub(super) fn path(&self) -> String {
        format!("{}/{}", self.uploads, self.id)
    }
}

impl<'a> Route<'a> {
    /// What `method` on `path` asks for.
    ///
    /// # Errors
    /// [`Refused::Path`] when the path could mean another one to the registry.
    pub(super) fn of(method: &Method, path: &'a str) -> Result<Self, Refused> {
        let decoded = accept(path)?;
        // A registry may decode, and overlook a slash at the end.
        let mut words: Vec<&str> = decoded.iter().map(AsRef::as_ref).collect();
        words.pop_if(|last| last.is_empty());
        let literal: Vec<&str> = path.split('/').skip(1).collect();
        let id = |place: usize| literal.get(place).copied().unwrap_or_default();
        let uploads = || {
            let end = path.match_indices('/').nth(4).map_or(path.len(), |(end, _)| end);
            path.get(..end).unwrap_or_default()
        };
        let upload = || Upload { uploads: uploads(), id: id(4) };
        let whose = |scope: &str| matches!(scope, "sandboxes" | "volumes");
        let (put, post, delete) = (Method::PUT, Method::POST, Method::DELETE);
        Ok(match *words {
            ["v1", "agent-deployments", _, "versions"] if *method == post => {
                Self::CreateVersion { deployment: id(2) }
            }
            ["v1", "agent-deployments", _, "versions", _, "bundle"] if *method == put => {
                Self::Bundle { deployment: id(2), version: id(4) }
            }
            ["v1", scope, _, "uploads"] if whose(scope) && *method == post => {
                Self::CreateUpload { uploads: uploads() }
            }
            ["v1", scope, _, "uploads", _] if whose(scope) && *method == delete => Self::Abort(upload()),
            ["v1", scope, _, "uploads", _, "complete"] if whose(scope) && *method == post => {
                Self::Complete(upload())
            }
            ["v1", scope, _, "uploads", _, "parts", digits] if whose(scope) && *method == put => {
                number(digits).map_or(Self::Other, |number| Self::Part { upload: upload(), number })
            }
            _ => Self::Other,
        })
    }
}

/// A part's number, also where it has zeros or a sign in front, as a registry may read it.
fn number(digits: &str) -> Option<u32> {
    digits.parse().ok()
}

/// The segments of a path, decoded. Refuses what a registry that decodes, or tidies up, might take for another path.
fn accept(path: &str) -> Result<Vec<Cow<'_, str>>, Refused> {
    let below = path.strip_prefix('/').ok_or(Refused::Path)?;
    let last = below.split('/').count() - 1;
    let segment = |(place, segment)| {
        let decoded = percent::decode(segment).ok_or(Refused::Path)?;
        let empty = decoded.is_empty() && place != last;
        // Some cut off parameters before they look for dots.
        let name = decoded.split(';').next().unwrap_or_default();
        let away = matches!(name, "." | "..") || decoded.contains(['/', '\\', '\0', '?', '#']);
        if empty || away { Err(Refused::Path) } else { Ok(decoded) }
    };
    below.split('/').enumerate().map(segment).collect()
}

/// Text that the same path always has, however it is encoded.
pub(super) fn plainly(path: &str) -> Cow<'_, str> {
    percent::decode(path).unwrap_or(Cow::Borrowed(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn routes_are_understood_by_method_and_path() {
        let scope = "/v1/sandboxes/s 1/uploads";
        let upload = Upload { uploads: scope, id: "u1" };
        let volume = Upload { uploads: "/v1/volumes/v/uploads", id: "%41" };
        for (method, path, route) in [
            ("POST", "/v1/agent-deployments/d/versions", Route::CreateVersion { deployment: "d" }),
            ("GET", "/v1/agent-deployments/d/versions", Route::Other),
            (
                "PUT",
                "/v1/agent-deployments/d/versions/v/bundle",
                Route::Bundle { deployment: "d", version: "v" },
            ),
            ("POST", scope, Route::CreateUpload { uploads: scope }),
            ("PUT", "/v1/sandboxes/s 1/uploads/u1/parts/0", Route::Part { upload, number: 0 }),
            ("PUT", "/v1/volumes/v/uploads/%41/parts/12", Route::Part { upload: volume, number: 12 }),
            ("PUT", "/v1/volumes/v/uploads/%41/parts/012/", Route::Part { upload: volume, number: 12 }),
            ("PUT", "/v1/volumes/v/uploads/%41/%70arts/12", Route::Part { upload: volume, number: 12 }),
            ("POST", "/v1/sandboxes/s 1/uploads/", Route::CreateUpload { uploads: scope }),
            (
                "PUT",
                "/v1/agent-deployments/d/versions/v/%62undle/",
                Route::Bundle { deployment: "d", version: "v" },
            ),
            ("PUT", "/v1/volumes/v/uploads/u/parts/4294967296", Route::Other),
            ("PUT", "/v1/volumes/v/uploads/u/parts/-1", Route::Other),
            ("PUT", "/v1/templates/v/uploads/u/parts/1", Route::Other),
            ("POST", "/v1/volumes/v/uploads/%41/complete", Route::Complete(volume)),
            ("DELETE", "/v1/sandboxes/s 1/uploads/u1", Route::Abort(upload)),
            ("GET", "/v1/sandboxes/s 1/uploads/u1", Route::Other),
            ("GET", "/", Route::Other),
            ("GET", "/v1/a%20b/", Route::Other),
        ] {
            let method: Method = method.parse().unwrap();
            assert_eq!(Route::of(&method, path).unwrap(), route, "{method} {path}");
        }
        assert_eq!(upload.path(), "/v1/sandboxes/s 1/uploads/u1");
    }

    #[test]
    fn a_path_that_could_lead_elsewhere_goes_nowhere() {
        for path in [
            "",
            "v1",
            "//v1",
            "/v1//x",
            "/v1/../admin",
            "/v1/..",
            "/v1/./x",
            "/v1/%2e%2e/admin",
            "/v1/%2E./admin",
            "/v1/..;/admin",
            "/v1/%2e%2e%3bx=1/admin",
            "/v1/x%2f..%2fadmin",
            "/v1/x%2Fy",
            "/v1/x%5cy",
            "/v1/x\\..\\admin",
            "/v1/%00",
            "/v1/%3fx",
            "/v1/%zz",
            "/v1/%",
        ] {
            assert!(matches!(Route::of(&Method::GET, path), Err(Refused::Path)), "{path}");
        }
    }
}
