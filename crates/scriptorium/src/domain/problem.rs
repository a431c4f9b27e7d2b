//! Problem documents (RFC 9457) and the closed set of types of the specification.
//!
//! Owns the set, its statuses and the JSON form. Must not know which failure becomes which problem; that table is
//! `respond::error`.

use std::borrow::Cow;

use serde::Serialize;
use serde_json::{Map, Value};

const NAMESPACE: &str = "https://agentvolumes.org/problems/";
/// The type that says no more than the status.
const BLANK: &str = "about:blank";

/// Capacity that most documents fit in.
const USUAL: usize = 384;

macro_rules! kinds {
    ($($(#[$doc:meta])* $kind:ident = $slug:literal, $status:literal, $title:literal;)*) => {
        /// The problem types of the specification, section "Errors". The set is closed.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub(crate) enum ProblemKind { $($(#[$doc])* $kind,)* }

        impl ProblemKind {
            /// In the specification's order.
            pub(crate) const ALL: &'static [Self] = &[$(Self::$kind,)*];

            /// The last segment of the type's URI.
            pub(crate) fn slug(self) -> &'static str { match self { $(Self::$kind => $slug,)* } }

            /// The HTTP status that the specification gives the type.
            pub(crate) fn status(self) -> u16 { match self { $(Self::$kind => $status,)* } }

            pub(crate) fn title(self) -> &'static str { match self { $(Self::$kind => $title,)* } }
        }
    };
}

kinds! {
    AuthenticationRequired = "authentication-required", 401, "Authentication required";
    AuthorizationFailed = "authorization-failed", 403, "Not allowed";
    NotFound = "not-found", 404, "Not found";
    ValidationFailed = "validation-failed", 400, "Validation failed";
    InvalidManifest = "invalid-manifest", 400, "Invalid manifest";
    InvalidArchive = "invalid-archive", 400, "Invalid archive";
    IdentityMismatch = "identity-mismatch", 409, "Identity mismatch";
    VersionConflict = "version-conflict", 409, "Version conflict";
    DigestMismatch = "digest-mismatch", 400, "Digest mismatch";
    SubjectBindingMismatch = "subject-binding-mismatch", 400, "Subject binding mismatch";
    InconsistentRegistryState = "inconsistent-registry-state", 409, "Inconsistent registry state";
    UploadExpired = "upload-expired", 410, "Upload expired";
    MissingUploadedBytes = "missing-uploaded-bytes", 400, "Missing uploaded bytes";
    InvalidUploadState = "invalid-upload-state", 409, "Invalid upload state";
    IdempotencyConflict = "idempotency-conflict", 409, "Idempotency conflict";
    PayloadTooLarge = "payload-too-large", 413, "Payload too large";
    UnsupportedMediaType = "unsupported-media-type", 415, "Unsupported media type";
    PermissionEscalation = "permission-escalation", 400, "Permission escalation";
    RateLimited = "rate-limited", 429, "Rate limited";
}

impl ProblemKind {
    pub(crate) fn uri(self) -> String {
        format!("{NAMESPACE}{}", self.slug())
    }

    /// The kind with this type URI.
    pub(crate) fn from_uri(uri: &str) -> Option<Self> {
        let slug = uri.strip_prefix(NAMESPACE)?;
        Self::ALL.iter().copied().find(|kind| kind.slug() == slug)
    }
}

/// A problem, without the request that it answers.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Problem {
    /// A kind of the specification; `None` for any other type.
    pub(crate) kind: Option<ProblemKind>,
    /// A type outside the specification's namespace; otherwise it is `about:blank`.
    foreign: Option<String>,
    pub(crate) status: u16,
    /// A short text that is constant for the type.
    pub(crate) title: Cow<'static, str>,
    /// What happened and what to do.
    pub(crate) detail: Option<String>,
    /// Further members, in order.
    pub(crate) extra: Map<String, Value>,
}

impl Problem {
    /// A problem of the specification.
    pub(crate) fn new(kind: ProblemKind, detail: impl Into<String>) -> Self {
        Self {
            kind: Some(kind),
            foreign: None,
            status: kind.status(),
            title: kind.title().into(),
            detail: Some(detail.into()),
            extra: Map::new(),
        }
    }

    /// A failure that the specification has no type for: `about:blank` with the status' own title.
    pub(crate) fn blank(status: u16, title: &'static str, detail: impl Into<String>) -> Self {
        let (title, detail) = (title.into(), Some(detail.into()));
        Self { kind: None, foreign: None, status, title, detail, extra: Map::new() }
    }

    /// Reads a registry's problem that came with HTTP `status`. `None` when the body is not a problem or contradicts
    /// the status. A type outside the specification's namespace needs a title and a status. The specification has no
    /// type for "gone", so "not found" may come with 410.
    pub(crate) fn parse(status: u16, body: &[u8]) -> Option<Self> {
        let Ok(Value::Object(mut members)) = serde_json::from_slice(body) else { return None };
        let (uri, said) = (members.remove("type")?, members.remove("status"));
        let said = said.map(|said| said.as_u64() == Some(u64::from(status)));
        let uri = uri.as_str()?;
        let kind = match uri.starts_with(NAMESPACE) {
            true => Some(ProblemKind::from_uri(uri)?),
            false => None,
        };
        let fits = match kind {
            Some(kind) => {
                let is_gone = (kind, status) == (ProblemKind::NotFound, 410);
                (kind.status() == status || is_gone) && said.unwrap_or(true)
            }
            None => said == Some(true) && members.get("title").is_some_and(Value::is_string),
        };
        let foreign = (kind.is_none() && uri != BLANK).then(|| uri.to_owned());
        fits.then(|| Self::of(kind, foreign, status, members))
    }

    /// Reads a body whose content type is that of a problem document. A missing type counts as `about:blank` (RFC
    /// 9457, section 3.1.1), and so does a type that the specification's namespace does not have.
    pub(crate) fn labelled(status: u16, body: &[u8]) -> Option<Self> {
        let Ok(Value::Object(mut members)) = serde_json::from_slice(body) else { return None };
        let said = members.remove("status");
        let is_unknown = match members.remove("type") {
            None => true,
            Some(uri) => uri
                .as_str()
                .is_some_and(|uri| uri.starts_with(NAMESPACE) && ProblemKind::from_uri(uri).is_none()),
        };
        let fits = said.is_none_or(|said| said.as_u64() == Some(u64::from(status)));
        (is_unknown && fits).then(|| Self::of(None, None, status, members))
    }

    /// A registry's problem, from the members that are left.
    fn of(
        kind: Option<ProblemKind>,
        foreign: Option<String>,
        status: u16,
        mut members: Map<String, Value>,
    ) -> Self {
        let mut text = |member: &str| match members.remove(member) {
            Some(Value::String(text)) => Some(text),
            _ => None,
        };
        let title = text("title").map_or(kind.map_or("", ProblemKind::title).into(), Cow::Owned);
        let detail = text("detail");
        text("instance");
        Self { kind, foreign, status, title, detail, extra: members }
    }

    /// The JSON document that answers a request for `instance`.
    pub(crate) fn to_json(&self, instance: &str) -> Vec<u8> {
        let document = ProblemDocument {
            kind: match (self.kind, &self.foreign) {
                (Some(kind), _) => kind.uri().into(),
                (None, Some(uri)) => Cow::Borrowed(uri),
                (None, None) => Cow::Borrowed(BLANK),
            },
            title: &self.title,
            status: self.status,
            detail: self.detail.as_deref(),
            instance,
            extra: &self.extra,
        };
        let mut json = Vec::with_capacity(USUAL);
        // Writing to memory does not fail.
        let _ = serde_json::to_writer(&mut json, &document);
        json
    }
}

/// A problem's members, in order.
#[derive(Serialize)]
struct ProblemDocument<'a> {
    #[serde(rename = "type")]
    kind: Cow<'a, str>,
    title: &'a str,
    status: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<&'a str>,
    instance: &'a str,
    #[serde(flatten)]
    extra: &'a Map<String, Value>,
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_a_registry_said_survives() {
        let body = r#"{"type":"https://agentvolumes.org/problems/not-found","title":"Gone fishing","status":404,"detail":"x","instance":"/theirs","retry":[1,2]}"#;
        let problem = Problem::parse(404, body.as_bytes()).unwrap();
        let ours: Value = serde_json::from_slice(&problem.to_json("/ours")).unwrap();
        assert_eq!(ours["title"], "Gone fishing");
        assert_eq!(ours["detail"], "x");
        assert_eq!(ours["instance"], "/ours");
        assert_eq!(ours["retry"], json!([1, 2]));
    }

    #[test]
    fn contradictions_and_strangers_are_not_problems() {
        let not_found = r#"{"type":"https://agentvolumes.org/problems/not-found","status":403}"#;
        for (status, body) in [
            (404, not_found),
            (403, not_found),
            (404, "{}"),
            (404, "<html>"),
            (404, r#"{"type":"https://agentvolumes.org/problems/invented","status":404}"#),
            (404, r#"{"type":404}"#),
            (404, r#"{"type":"about:blank","title":"Gone fishing"}"#),
            (404, r#"{"type":"about:blank","title":"Gone fishing","status":403}"#),
            (404, r#"{"title":"Gone fishing","status":404}"#),
            (404, r#"{"status":404,"error":"Not Found"}"#),
        ] {
            assert_eq!(Problem::parse(status, body.as_bytes()), None, "{status} {body}");
        }
    }

    #[test]
    fn a_type_of_another_namespace_is_kept() {
        for kind in ["about:blank", "https://errors.example/gone"] {
            let body = json!({ "type": kind, "title": "Gone", "status": 410, "detail": "x" }).to_string();
            let problem = Problem::parse(410, body.as_bytes()).unwrap();
            assert_eq!((problem.kind, &*problem.title), (None, "Gone"));
            let ours: Value = serde_json::from_slice(&problem.to_json("/ours")).unwrap();
            assert_eq!((&ours["type"], &ours["detail"]), (&json!(kind), &json!("x")));
        }
        let gone = r#"{"type":"https://agentvolumes.org/problems/not-found","status":410}"#;
        assert_eq!(Problem::parse(410, gone.as_bytes()).unwrap().status, 410);
    }

    #[test]
    fn what_is_labelled_as_a_problem_needs_no_type_that_is_known() {
        for body in [
            json!({ "title": "Forbidden", "status": 403, "detail": "malware" }),
            json!({ "detail": "malware" }),
            json!({ "type": "https://agentvolumes.org/problems/blocked", "status": 403, "detail": "malware" }),
        ] {
            let problem = Problem::labelled(403, body.to_string().as_bytes()).unwrap();
            assert_eq!(
                (problem.kind, problem.status, problem.detail.as_deref()),
                (None, 403, Some("malware"))
            );
            let ours = problem.to_json("");
            assert_eq!(Problem::parse(403, &ours), Some(problem), "what is stored of it is one");
        }
        for body in ["<html>", "[]", r#"{"status":404}"#, r#"{"type":7}"#] {
            assert_eq!(Problem::labelled(403, body.as_bytes()), None, "{body}");
        }
        let other = r#"{"type":"https://agentvolumes.org/problems/not-found"}"#;
        assert_eq!(Problem::labelled(403, other.as_bytes()), None, "it contradicts its status");
    }

    #[test]
    fn every_kind_is_found_by_its_uri() {
        for kind in ProblemKind::ALL {
            assert_eq!(ProblemKind::from_uri(&kind.uri()), Some(*kind));
        }
    }
}
