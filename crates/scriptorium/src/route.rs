//! The route table: method, path and query become a [`ApiRoute`], which cannot hold an invalid name or version.
//!
//! Owns which routes exist. A pure function; a short name is parsed without allocating. Must not know what answers a
//! route.

use http::Method;

use crate::domain::advisories::InvalidAdvisoryQuery;
use crate::domain::search::InvalidSearch;
use crate::domain::{
    AdvisoryQuery, Change, DocumentKey, FileKey, SearchQuery, Sha256, UploadId, Version, VolumeName, percent,
};

/// A request for something that exists in the protocol.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ApiRoute {
    /// One of the bibliotheca's documents.
    Document(DocumentKey),
    /// An archive or a trust artifact.
    File(FileKey),
    Change(Change),
}

impl ApiRoute {
    /// The name used in metrics and logs.
    pub(crate) fn label(&self) -> &'static str {
        match self {
            Self::Document(key) => key.resource().as_str(),
            Self::File(key) => key.as_str(),
            Self::Change(change) => change.as_str(),
        }
    }
}

/// Why a request is no route of this proxy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum RouteError {
    #[error("there is nothing here: no such route, or a name or version that does not follow the grammar")]
    NotFound,
    #[error("this route takes {allow}")]
    MethodNotAllowed {
        /// The value of `Allow`.
        allow: &'static str,
    },
    #[error(transparent)]
    Search(#[from] InvalidSearch),
    #[error(transparent)]
    Advisories(#[from] InvalidAdvisoryQuery),
}

/// What a path leads to, before the method is known.
enum PathTarget {
    Read(ApiRoute),
    /// Can be read and unpublished.
    Release(VolumeName, Version),
    /// Takes this method only.
    Write(Method, Change),
}

impl PathTarget {
    fn with(self, method: &Method) -> Result<ApiRoute, RouteError> {
        let reads = *method == Method::GET || *method == Method::HEAD;
        match self {
            Self::Read(route) if reads => Ok(route),
            Self::Release(name, version) if reads => {
                Ok(ApiRoute::Document(DocumentKey::Release(name, version)))
            }
            Self::Release(name, version) if *method == Method::DELETE => {
                Ok(ApiRoute::Change(Change::Unpublish(name, version)))
            }
            Self::Write(by, change) if *method == by => Ok(ApiRoute::Change(change)),
            Self::Read(_) => Err(RouteError::MethodNotAllowed { allow: "GET, HEAD" }),
            Self::Release(..) => Err(RouteError::MethodNotAllowed { allow: "GET, HEAD, DELETE" }),
            Self::Write(Method::PUT, _) => Err(RouteError::MethodNotAllowed { allow: "PUT" }),
            Self::Write(..) => Err(RouteError::MethodNotAllowed { allow: "POST" }),
        }
    }
}

/// Parses a request line.
pub(crate) fn parse(method: &Method, path: &str, query: Option<&str>) -> Result<ApiRoute, RouteError> {
    let query = query.unwrap_or_default();
    let target = match path.strip_prefix("/api/v1/") {
        Some(rest) => api(rest, query)?,
        None => match path.strip_prefix("/archives/") {
            Some(rest) => archive(rest).map(PathTarget::Read),
            None => match path.strip_prefix("/trust-artifacts/") {
                Some(rest) => trust_artifact(rest).map(PathTarget::Read),
                None => path.strip_prefix("/uploads/").and_then(upload),
            },
        },
    };
    target.ok_or(RouteError::NotFound)?.with(method)
}

fn api(rest: &str, query: &str) -> Result<Option<PathTarget>, RouteError> {
    let mut segments = Segments(Some(rest));
    let read = |key| PathTarget::Read(ApiRoute::Document(key));
    let target = match segments.next() {
        Some("index") if segments.next() == Some("volumes") => {
            segments.volume().map(|name| read(DocumentKey::Index(name)))
        }
        Some("volumes") => volume(&mut segments),
        Some("search") => Some(read(DocumentKey::Search(SearchQuery::parse(query)?))),
        Some("advisories") => match segments.next() {
            Some(id) => {
                let id = percent::decode(id).and_then(|id| id.parse().ok());
                id.map(|id| read(DocumentKey::Advisory(id)))
            }
            None => Some(read(DocumentKey::Advisories(AdvisoryQuery::parse(query)?))),
        },
        Some("capabilities") => Some(read(DocumentKey::Capabilities)),
        _ => None,
    };
    Ok(target.filter(|_| segments.is_empty()))
}

fn volume(segments: &mut Segments<'_>) -> Option<PathTarget> {
    let name = segments.volume()?;
    let post = |change| PathTarget::Write(Method::POST, change);
    let version = match segments.next() {
        None => return Some(post(Change::Publish(name))),
        Some("uploads") => return Some(post(Change::Finalize(name, finalized(segments)?))),
        Some(segment) => version(segment)?,
    };
    let read = |key| Some(PathTarget::Read(ApiRoute::Document(key)));
    match (segments.next(), segments.next()) {
        (None, None) => Some(PathTarget::Release(name, version)),
        (Some("trust"), Some("summary")) => read(DocumentKey::TrustSummary(name, version)),
        (Some("trust"), Some("detail")) => read(DocumentKey::TrustDetail(name, version)),
        (Some("trust"), Some("uploads")) if segments.is_empty() => Some(post(Change::Attach(name, version))),
        (Some("trust"), Some("uploads")) => {
            Some(post(Change::FinalizeAttachment(name, version, finalized(segments)?)))
        }
        _ => None,
    }
}

/// The upload that a path ending in `{id}/finalize` names.
fn finalized(segments: &mut Segments<'_>) -> Option<UploadId> {
    let id = percent::decode(segments.next()?)?.parse().ok()?;
    (segments.next() == Some("finalize")).then_some(id)
}

fn upload(rest: &str) -> Option<PathTarget> {
    Some(PathTarget::Write(Method::PUT, Change::Upload(rest.parse().ok()?)))
}

fn archive(rest: &str) -> Option<ApiRoute> {
    let mut segments = Segments(Some(rest));
    let name = segments.volume()?;
    let version = version(segments.next()?.strip_suffix(".tar.gz")?)?;
    segments.is_empty().then_some(ApiRoute::File(FileKey::Archive(name, version)))
}

fn trust_artifact(rest: &str) -> Option<ApiRoute> {
    let mut segments = Segments(Some(rest));
    let name = segments.volume()?;
    let version = version(segments.next()?)?;
    let digest = Sha256::from_hex(segments.next()?).ok()?;
    segments.is_empty().then_some(ApiRoute::File(FileKey::TrustArtifact(name, version, digest)))
}

fn version(segment: &str) -> Option<Version> {
    percent::decode(segment)?.parse().ok()
}

/// The rest of a path; `None` after its last segment.
struct Segments<'a>(Option<&'a str>);

impl<'a> Segments<'a> {
    fn next(&mut self) -> Option<&'a str> {
        let rest = self.0?;
        let (segment, left) =
            rest.split_once('/').map_or((rest, None), |(segment, left)| (segment, Some(left)));
        self.0 = left;
        Some(segment)
    }

    /// One segment, or two when the first is a scope.
    fn volume(&mut self) -> Option<VolumeName> {
        let start = self.0?;
        let mut text = self.next()?;
        if text.starts_with('@') || text.starts_with("%40") {
            text = &start[..=text.len() + self.next()?.len()];
        }
        percent::decode(text)?.parse().ok()
    }

    fn is_empty(&self) -> bool {
        self.0.is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn get(target: &str) -> Result<ApiRoute, RouteError> {
        let (path, query) =
            target.split_once('?').map_or((target, None), |(path, query)| (path, Some(query)));
        parse(&Method::GET, path, query)
    }

    #[test]
    fn every_route_scoped_and_unscoped() {
        let digest = Sha256::of(b"x");
        for volume in ["x", "@acme/x", "%40acme/x"] {
            let name: VolumeName = volume.replace("%40", "@").parse().unwrap();
            let version: Version = "1.2.3-rc.1+b".parse().unwrap();
            let both = || (name.clone(), version.clone());
            let document = |key| Ok(ApiRoute::Document(key));
            let file = |key| Ok(ApiRoute::File(key));
            for encoded in ["1.2.3-rc.1+b", "1.2.3-rc.1%2Bb"] {
                let base = format!("/api/v1/volumes/{volume}/{encoded}");
                let (n, v) = both();
                assert_eq!(get(&base), document(DocumentKey::Release(n, v)));
                let (n, v) = both();
                assert_eq!(get(&format!("{base}/trust/summary")), document(DocumentKey::TrustSummary(n, v)));
                let (n, v) = both();
                assert_eq!(get(&format!("{base}/trust/detail")), document(DocumentKey::TrustDetail(n, v)));
                let (n, v) = both();
                assert_eq!(
                    get(&format!("/archives/{volume}/{encoded}.tar.gz")),
                    file(FileKey::Archive(n, v))
                );
                let (n, v) = both();
                assert_eq!(
                    get(&format!("/trust-artifacts/{volume}/{encoded}/{}", digest.hex())),
                    file(FileKey::TrustArtifact(n, v, digest))
                );
            }
            assert_eq!(
                get(&format!("/api/v1/index/volumes/{volume}")),
                document(DocumentKey::Index(name.clone()))
            );
            assert_eq!(
                get(&format!("/api/v1/advisories?volume={volume}")),
                document(DocumentKey::Advisories(AdvisoryQuery::about(name)))
            );
        }
        assert_eq!(get("/api/v1/capabilities"), Ok(ApiRoute::Document(DocumentKey::Capabilities)));
        assert!(matches!(get("/api/v1/search?q=x"), Ok(ApiRoute::Document(DocumentKey::Search(_)))));
        assert!(matches!(get("/api/v1/advisories/A-1"), Ok(ApiRoute::Document(DocumentKey::Advisory(_)))));
    }

    #[test]
    fn nothing_else_is_a_route() {
        let hex = Sha256::of(b"x").hex();
        for target in [
            "/",
            "",
            "/api/v1",
            "/api/v1/",
            "/api/v2/capabilities",
            "/api/v1/capabilities/",
            "/api/v1/index/volumes/",
            "/api/v1/index/volumes/X",
            "/api/v1/index/volumes/@acme",
            "/api/v1/index/volumes/@acme/x/y",
            "/api/v1/index/volumes/@acme%2Fx",
            "/api/v1/index/volumes/a%2Fb",
            "/api/v1/index/volumes/%zz",
            "/api/v1/volumes/x/1.0",
            "/api/v1/volumes/x/uploads",
            "/api/v1/volumes/x/uploads/u",
            "/api/v1/volumes/x/uploads/u/",
            "/api/v1/volumes/x/uploads//finalize",
            "/api/v1/volumes/x/uploads/../finalize",
            "/api/v1/volumes/x/uploads/u%2Fv/finalize",
            "/api/v1/volumes/x/uploads/u/finalize/",
            "/api/v1/volumes/x/1.0.0/trust/uploads/u",
            "/api/v1/volumes/x/1.0.0/trust/uploads/",
            "/uploads",
            "/uploads/",
            "/uploads/a/b",
            "/uploads/..",
            "/api/v1/volumes/x/latest",
            "/api/v1/volumes/x/1.0.0/",
            "/api/v1/volumes/x/1.0.0/trust",
            "/api/v1/volumes/x/1.0.0/trust/summary/x",
            "/api/v1/volumes/../1.0.0",
            "/archives/x/1.0.0",
            "/archives/x/1.0.0.zip",
            "/archives/x/..%2f1.0.0.tar.gz",
            "/trust-artifacts/x/1.0.0",
            "/trust-artifacts/x/1.0.0/",
            "/trust-artifacts/x/1.0.0/abc",
            &format!("/trust-artifacts/x/1.0.0/{}", &hex[1..]),
            &format!("/trust-artifacts/x/1.0.0/{}", hex.to_uppercase()),
            &format!("/trust-artifacts/x/1.0.0/sha256:{hex}"),
            &format!("/trust-artifacts/x/1.0.0/{hex}/"),
            &format!("/trust-artifacts/x/1.0/{hex}"),
            &format!("/trust-artifacts/X/1.0.0/{hex}"),
            &format!("/trust-artifacts/@acme/1.0.0/{hex}"),
            "/api/v1/advisories/..",
            "/metrics",
        ] {
            assert_eq!(get(target), Err(RouteError::NotFound), "{target}");
        }
    }

    #[test]
    fn every_write_and_the_methods_beside_it() {
        let (name, version): (VolumeName, Version) = ("@acme/x".parse().unwrap(), "1.0.0".parse().unwrap());
        let id = || "u-1".parse::<UploadId>().unwrap();
        let (publish, finalize) = (Change::Publish(name.clone()), Change::Finalize(name.clone(), id()));
        let attach = Change::Attach(name.clone(), version.clone());
        let attached = Change::FinalizeAttachment(name.clone(), version.clone(), id());
        for (method, path, change, allow) in [
            (Method::POST, "/api/v1/volumes/@acme/x", publish, "POST"),
            (Method::POST, "/api/v1/volumes/@acme/x/uploads/u-1/finalize", finalize, "POST"),
            (
                Method::DELETE,
                "/api/v1/volumes/@acme/x/1.0.0",
                Change::Unpublish(name, version),
                "GET, HEAD, DELETE",
            ),
            (Method::POST, "/api/v1/volumes/@acme/x/1.0.0/trust/uploads", attach, "POST"),
            (Method::POST, "/api/v1/volumes/@acme/x/1.0.0/trust/uploads/u%2D1/finalize", attached, "POST"),
            (Method::PUT, "/uploads/u-1", Change::Upload(id()), "PUT"),
        ] {
            assert_eq!(parse(&method, path, None), Ok(ApiRoute::Change(change)), "{path}");
            assert_eq!(
                parse(&Method::PATCH, path, None),
                Err(RouteError::MethodNotAllowed { allow }),
                "{path}"
            );
        }
    }

    #[test]
    fn wrong_methods_and_parameters() {
        let post = parse(&Method::POST, "/api/v1/capabilities", None);
        assert_eq!(post, Err(RouteError::MethodNotAllowed { allow: "GET, HEAD" }));
        assert!(matches!(get("/api/v1/search?limit=0"), Err(RouteError::Search(_))));
        for query in ["volume=X", "volume=x&volume=y", "VOLUME=x"] {
            let refused = get(&format!("/api/v1/advisories?{query}"));
            assert!(matches!(refused, Err(RouteError::Advisories(_))), "{query}");
        }
    }

    proptest! {
        #[test]
        fn never_panics(path in "(/?(api|v1|index|volumes|archives|trust-artifacts|@|%40|%|\\.\\.|x|1\\.0\\.0|\\PC|/)){0,12}", query in "\\PC*") {
            let _ = parse(&Method::GET, &path, Some(&query));
        }
    }
}
