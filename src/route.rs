//! The route table: method, path and query become a [`Request`] that cannot hold a bad name or version.
//!
//! Owns which routes exist. A pure function; a hit on a short name does not touch the heap. Must not know
//! what answers a route.

use http::Method;

use crate::domain::advisories::InvalidAdvisoryQuery;
use crate::domain::search::InvalidSearch;
use crate::domain::{
    AdvisoryQuery, Change, DocumentKey, SearchQuery, Sha256, UploadId, Version, VolumeName, percent,
};

/// Everything a client can ask for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request {
    /// One of the bibliotheca's documents.
    Document(DocumentKey),
    /// A release's archive.
    Archive(VolumeName, Version),
    /// The bytes of a trust attachment of a release, by their digest.
    TrustArtifact(VolumeName, Version, Sha256),
    /// A write.
    Change(Change),
}

impl Request {
    /// The route's name in metrics and logs.
    #[must_use]
    pub fn label(&self) -> &'static str {
        match self {
            Self::Document(key) => key.resource().as_str(),
            Self::Archive(..) => "archive",
            Self::TrustArtifact(..) => "trust-artifact",
            Self::Change(change) => change.as_str(),
        }
    }
}

/// Why a request is answered without asking anybody.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RouteError {
    /// No such route, or a name or version that cannot exist.
    #[error("there is nothing here: no such route, or a name or version that does not follow the grammar")]
    NotFound,
    /// The route exists, for other methods.
    #[error("this route takes {allow}")]
    MethodNotAllowed {
        /// Those methods, as `Allow` names them.
        allow: &'static str,
    },
    /// A search parameter is wrong.
    #[error(transparent)]
    Search(#[from] InvalidSearch),
    /// A parameter of the advisory list is wrong.
    #[error(transparent)]
    Advisories(#[from] InvalidAdvisoryQuery),
}

/// What can be asked at a path.
enum Place {
    Read(Request),
    Release(VolumeName, Version),
    /// One that only this method makes sense for.
    Write(Method, Change),
}

impl Place {
    fn by(self, method: &Method) -> Result<Request, RouteError> {
        let reads = *method == Method::GET || *method == Method::HEAD;
        match self {
            Self::Read(request) if reads => Ok(request),
            Self::Release(name, version) if reads => {
                Ok(Request::Document(DocumentKey::Release(name, version)))
            }
            Self::Release(name, version) if *method == Method::DELETE => {
                Ok(Request::Change(Change::Unpublish(name, version)))
            }
            Self::Write(by, change) if *method == by => Ok(Request::Change(change)),
            Self::Read(_) => Err(RouteError::MethodNotAllowed { allow: "GET, HEAD" }),
            Self::Release(..) => Err(RouteError::MethodNotAllowed { allow: "GET, HEAD, DELETE" }),
            Self::Write(Method::PUT, _) => Err(RouteError::MethodNotAllowed { allow: "PUT" }),
            Self::Write(..) => Err(RouteError::MethodNotAllowed { allow: "POST" }),
        }
    }
}

/// Reads a request line.
///
/// # Errors
/// [`RouteError`] for anything that is not this proxy's.
pub fn parse(method: &Method, path: &str, query: Option<&str>) -> Result<Request, RouteError> {
    let query = query.unwrap_or_default();
    let place = match path.strip_prefix("/api/v1/") {
        Some(rest) => api(rest, query)?,
        None => match path.strip_prefix("/archives/") {
            Some(rest) => archive(rest).map(Place::Read),
            None => match path.strip_prefix("/trust-artifacts/") {
                Some(rest) => trust_artifact(rest).map(Place::Read),
                None => path.strip_prefix("/uploads/").and_then(upload),
            },
        },
    };
    place.ok_or(RouteError::NotFound)?.by(method)
}

fn api(rest: &str, query: &str) -> Result<Option<Place>, RouteError> {
    let mut segments = Segments(Some(rest));
    let read = |key| Place::Read(Request::Document(key));
    let place = match segments.next() {
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
    Ok(place.filter(|_| segments.is_empty()))
}

fn volume(segments: &mut Segments<'_>) -> Option<Place> {
    let name = segments.volume()?;
    let post = |change| Place::Write(Method::POST, change);
    let version = match segments.next() {
        None => return Some(post(Change::Publish(name))),
        Some("uploads") => return Some(post(Change::Finalize(name, finalized(segments)?))),
        Some(segment) => version(segment)?,
    };
    let read = |key| Some(Place::Read(Request::Document(key)));
    match (segments.next(), segments.next()) {
        (None, None) => Some(Place::Release(name, version)),
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

fn upload(rest: &str) -> Option<Place> {
    Some(Place::Write(Method::PUT, Change::Upload(rest.parse().ok()?)))
}

fn archive(rest: &str) -> Option<Request> {
    let mut segments = Segments(Some(rest));
    let name = segments.volume()?;
    let version = version(segments.next()?.strip_suffix(".tar.gz")?)?;
    segments.is_empty().then_some(Request::Archive(name, version))
}

fn trust_artifact(rest: &str) -> Option<Request> {
    let mut segments = Segments(Some(rest));
    let name = segments.volume()?;
    let version = version(segments.next()?)?;
    let digest = Sha256::from_hex(segments.next()?).ok()?;
    segments.is_empty().then_some(Request::TrustArtifact(name, version, digest))
}

fn version(segment: &str) -> Option<Version> {
    percent::decode(segment)?.parse().ok()
}

/// What is left of a path; `None` when its last segment was taken.
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

    fn get(target: &str) -> Result<Request, RouteError> {
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
            let document = |key| Ok(Request::Document(key));
            for encoded in ["1.2.3-rc.1+b", "1.2.3-rc.1%2Bb"] {
                let base = format!("/api/v1/volumes/{volume}/{encoded}");
                let (n, v) = both();
                assert_eq!(get(&base), document(DocumentKey::Release(n, v)));
                let (n, v) = both();
                assert_eq!(get(&format!("{base}/trust/summary")), document(DocumentKey::TrustSummary(n, v)));
                let (n, v) = both();
                assert_eq!(get(&format!("{base}/trust/detail")), document(DocumentKey::TrustDetail(n, v)));
                let (n, v) = both();
                assert_eq!(get(&format!("/archives/{volume}/{encoded}.tar.gz")), Ok(Request::Archive(n, v)));
                let (n, v) = both();
                assert_eq!(
                    get(&format!("/trust-artifacts/{volume}/{encoded}/{}", digest.hex())),
                    Ok(Request::TrustArtifact(n, v, digest))
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
        assert_eq!(get("/api/v1/capabilities"), Ok(Request::Document(DocumentKey::Capabilities)));
        assert!(matches!(get("/api/v1/search?q=x"), Ok(Request::Document(DocumentKey::Search(_)))));
        assert!(matches!(get("/api/v1/advisories/A-1"), Ok(Request::Document(DocumentKey::Advisory(_)))));
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
            assert_eq!(parse(&method, path, None), Ok(Request::Change(change)), "{path}");
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
