//! The route of a request, by its method and path.
//!
//! Owns the routes that are checked, and which paths are refused because a registry could read another path. Must not know
//! what is done for a route.

use std::borrow::Cow;

use http::Method;
use percent_encoding::percent_decode_str;

use super::NullspaceRefusal;

/// The route of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NullspaceRoute<'a> {
    /// The creation of a version of a deployment.
    CreateVersion {
        /// The deployment.
        deployment: &'a str,
    },
    /// The upload of a version's bundle.
    Bundle {
        /// The deployment.
        deployment: &'a str,
        /// The version.
        version: &'a str,
    },
    /// The creation of a resumable upload. The requests of the upload go below this path.
    CreateUpload {
        /// The path.
        uploads: &'a str,
    },
    /// One part of a resumable upload.
    Part {
        /// The upload.
        upload: UploadPath<'a>,
        /// Which part, from zero.
        number: u32,
    },
    /// The completion of a resumable upload.
    Complete(UploadPath<'a>),
    /// The abort of a resumable upload.
    Abort(UploadPath<'a>),
    /// Any other request.
    Other,
}

/// A resumable upload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UploadPath<'a> {
    /// The path that it was created at.
    pub uploads: &'a str,
    /// The registry's id of it.
    pub id: &'a str,
}

impl UploadPath<'_> {
    /// Its own path.
    pub fn path(&self) -> String {
        format!("{}/{}", self.uploads, self.id)
    }
}

impl<'a> NullspaceRoute<'a> {
    /// The route of `method` on `path`.
    ///
    /// # Errors
    /// [`NullspaceRefusal::Path`] if the registry could read another path.
    pub fn of(method: &Method, path: &'a str) -> Result<Self, NullspaceRefusal> {
        let decoded = accept(path)?;
        // A registry may decode the path, and ignore a slash at its end.
        let mut words: Vec<&str> = decoded.iter().map(AsRef::as_ref).collect();
        words.pop_if(|last| last.is_empty());
        let literal: Vec<&str> = path.split('/').skip(1).collect();
        let id = |place: usize| literal.get(place).copied().unwrap_or_default();
        let uploads = || {
            let end = path.match_indices('/').nth(4).map_or(path.len(), |(end, _)| end);
            path.get(..end).unwrap_or_default()
        };
        let upload = || UploadPath { uploads: uploads(), id: id(4) };
        let has_uploads = |scope: &str| matches!(scope, "sandboxes" | "volumes");
        let (put, post, delete) = (Method::PUT, Method::POST, Method::DELETE);
        Ok(match *words {
            ["v1", "agent-deployments", _, "versions"] if *method == post => {
                Self::CreateVersion { deployment: id(2) }
            }
            ["v1", "agent-deployments", _, "versions", _, "bundle"] if *method == put => {
                Self::Bundle { deployment: id(2), version: id(4) }
            }
            ["v1", scope, _, "uploads"] if has_uploads(scope) && *method == post => {
                Self::CreateUpload { uploads: uploads() }
            }
            ["v1", scope, _, "uploads", _] if has_uploads(scope) && *method == delete => {
                Self::Abort(upload())
            }
            ["v1", scope, _, "uploads", _, "complete"] if has_uploads(scope) && *method == post => {
                Self::Complete(upload())
            }
            ["v1", scope, _, "uploads", _, "parts", digits] if has_uploads(scope) && *method == put => {
                number(digits).map_or(Self::Other, |number| Self::Part { upload: upload(), number })
            }
            _ => Self::Other,
        })
    }
}

/// A part's number. Leading zeros and a sign are accepted, since a registry may accept them.
fn number(digits: &str) -> Option<u32> {
    digits.parse().ok()
}

/// The segments of a path, decoded. Refuses a path that a registry which decodes or normalizes it could read as another.
fn accept(path: &str) -> Result<Vec<Cow<'_, str>>, NullspaceRefusal> {
    let below = path.strip_prefix('/').ok_or(NullspaceRefusal::Path)?;
    let last = below.split('/').count() - 1;
    let segment = |(place, segment)| {
        let decoded = decode(segment).ok_or(NullspaceRefusal::Path)?;
        let empty = decoded.is_empty() && place != last;
        // Some servers remove path parameters before they resolve dot segments.
        let name = decoded.split(';').next().unwrap_or_default();
        let away = matches!(name, "." | "..") || decoded.contains(['/', '\\', '\0', '?', '#']);
        if empty || away { Err(NullspaceRefusal::Path) } else { Ok(decoded) }
    };
    below.split('/').enumerate().map(segment).collect()
}

/// The same text for every encoding of a path.
#[must_use]
pub fn decoded(path: &str) -> Cow<'_, str> {
    decode(path).unwrap_or(Cow::Borrowed(path))
}

/// `None` for a broken escape, or bytes that are not UTF-8.
fn decode(text: &str) -> Option<Cow<'_, str>> {
    let is_escape = |rest: &str| rest.bytes().take(2).filter(u8::is_ascii_hexdigit).count() == 2;
    let whole = text.split('%').skip(1).all(is_escape);
    percent_decode_str(text).decode_utf8().ok().filter(|_| whole)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_route_follows_from_method_and_path() {
        let scope = "/v1/sandboxes/s 1/uploads";
        let upload = UploadPath { uploads: scope, id: "u1" };
        let volume = UploadPath { uploads: "/v1/volumes/v/uploads", id: "%41" };
        for (method, path, route) in [
            ("POST", "/v1/agent-deployments/d/versions", NullspaceRoute::CreateVersion { deployment: "d" }),
            ("GET", "/v1/agent-deployments/d/versions", NullspaceRoute::Other),
            (
                "PUT",
                "/v1/agent-deployments/d/versions/v/bundle",
                NullspaceRoute::Bundle { deployment: "d", version: "v" },
            ),
            ("POST", scope, NullspaceRoute::CreateUpload { uploads: scope }),
            ("PUT", "/v1/sandboxes/s 1/uploads/u1/parts/0", NullspaceRoute::Part { upload, number: 0 }),
            (
                "PUT",
                "/v1/volumes/v/uploads/%41/parts/12",
                NullspaceRoute::Part { upload: volume, number: 12 },
            ),
            (
                "PUT",
                "/v1/volumes/v/uploads/%41/parts/012/",
                NullspaceRoute::Part { upload: volume, number: 12 },
            ),
            (
                "PUT",
                "/v1/volumes/v/uploads/%41/%70arts/12",
                NullspaceRoute::Part { upload: volume, number: 12 },
            ),
            ("POST", "/v1/sandboxes/s 1/uploads/", NullspaceRoute::CreateUpload { uploads: scope }),
            (
                "PUT",
                "/v1/agent-deployments/d/versions/v/%62undle/",
                NullspaceRoute::Bundle { deployment: "d", version: "v" },
            ),
            ("PUT", "/v1/volumes/v/uploads/u/parts/4294967296", NullspaceRoute::Other),
            ("PUT", "/v1/volumes/v/uploads/u/parts/-1", NullspaceRoute::Other),
            ("PUT", "/v1/templates/v/uploads/u/parts/1", NullspaceRoute::Other),
            ("POST", "/v1/volumes/v/uploads/%41/complete", NullspaceRoute::Complete(volume)),
            ("DELETE", "/v1/sandboxes/s 1/uploads/u1", NullspaceRoute::Abort(upload)),
            ("GET", "/v1/sandboxes/s 1/uploads/u1", NullspaceRoute::Other),
            ("GET", "/", NullspaceRoute::Other),
            ("GET", "/v1/a%20b/", NullspaceRoute::Other),
        ] {
            let method: Method = method.parse().unwrap();
            assert_eq!(NullspaceRoute::of(&method, path).unwrap(), route, "{method} {path}");
        }
        assert_eq!(upload.path(), "/v1/sandboxes/s 1/uploads/u1");
    }

    #[test]
    fn a_path_that_a_registry_could_read_differently_is_refused() {
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
            assert!(matches!(NullspaceRoute::of(&Method::GET, path), Err(NullspaceRefusal::Path)), "{path}");
        }
    }
}
