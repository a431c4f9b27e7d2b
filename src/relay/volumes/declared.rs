//! What a client's request for an upload says.
//!
//! Owns the shape of both requests, and that one request has one idempotency key. Must not know what the registry makes
//! of it.

use http::HeaderMap;
use http::header::CONTENT_TYPE;
use serde::Deserialize;
use serde_json::Value;

use super::record::Declared;
use super::refused::Refused as Ours;
use crate::domain::digest::InvalidDigest;
use crate::domain::{Integrity, Purl, Sha256, Version};
use crate::relay::Refused;

const GZIP: &str = "application/gzip";
const JSON: &str = "application/json";

/// A request for an upload, as far as it is understood. A member that is there twice makes none.
#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Body {
    version: Option<Value>,
    media_type: Option<Value>,
    declared_digest: Option<Value>,
    declared_size: Option<Value>,
    idempotency_key: Option<Value>,
    subject: Option<Value>,
    attachment: Option<Value>,
}

/// What a request for the upload of a release says.
#[derive(Debug)]
pub(super) struct Publication {
    pub(super) version: Option<Version>,
    pub(super) media_type: Option<String>,
    pub(super) declared: Declared,
}

/// What a request for the upload of an attachment says.
#[derive(Debug)]
pub(super) struct Attachment {
    pub(super) subject: Option<(Purl, Integrity)>,
    pub(super) media_type: Option<String>,
    pub(super) declared: Declared,
}

/// Whether the request can be told from a new one: it has a key, and only one.
///
/// # Errors
/// [`Refused::TwoKeys`] when header and body name two.
pub(super) fn has_key(headers: &HeaderMap, body: &[u8]) -> Result<bool, Refused> {
    let in_body = serde_json::from_slice::<Body>(body).ok().and_then(|body| body.idempotency_key);
    let in_body = in_body.as_ref().and_then(Value::as_str);
    let mut in_header = headers.get_all("idempotency-key").iter();
    match (in_header.next(), in_header.next(), in_body) {
        (Some(_), Some(_), _) => Err(Refused::TwoKeys),
        (Some(header), None, Some(body)) if header.as_bytes() != body.as_bytes() => Err(Refused::TwoKeys),
        // An empty one tells no request from another.
        (header, _, body) => {
            Ok(header.is_some_and(|key| !key.is_empty()) || body.is_some_and(|key| !key.is_empty()))
        }
    }
}

/// Whether the body is sent as JSON.
///
/// # Errors
/// [`Refused::MediaType`] when it is not.
pub(super) fn is_json(headers: &HeaderMap) -> Result<(), Refused> {
    if is_sent_as(headers, JSON) { Ok(()) } else { Err(Refused::MediaType { expected: JSON }) }
}

/// Whether the body is sent as `expected`, whatever the parameters.
pub(super) fn is_sent_as(headers: &HeaderMap, expected: &str) -> bool {
    let mut sent = headers.get_all(CONTENT_TYPE).iter();
    let (Some(sent), None) = (sent.next(), sent.next()) else { return false };
    sent.to_str().is_ok_and(|sent| essence(sent).eq_ignore_ascii_case(essence(expected)))
}

/// A media type without its parameters.
fn essence(media_type: &str) -> &str {
    media_type.split(';').next().unwrap_or_default().trim()
}

impl Publication {
    /// Reads a body that must be understood.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(super) fn strict(body: &[u8]) -> Result<Self, Refused> {
        let body = Body::strict(body)?;
        let version = text("version", body.version.as_ref())?;
        let version = version.parse().map_err(|error| Refused::Invalid(format!("version: {error}")))?;
        if text("mediaType", body.media_type.as_ref())? != GZIP {
            return Err(Ours::NotGzip.into());
        }
        let declared = body.declared()?;
        Ok(Self { version: Some(version), media_type: Some(GZIP.to_owned()), declared })
    }

    /// Reads what can be understood of a body.
    pub(super) fn lenient(body: &[u8]) -> Self {
        let body = Body::lenient(body);
        let version = string(body.version.as_ref()).and_then(|version| version.parse().ok());
        let media_type = string(body.media_type.as_ref()).map(str::to_owned);
        Self { version, media_type, declared: body.understood() }
    }
}

impl Attachment {
    /// Reads a body that must be understood.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(super) fn strict(body: &[u8]) -> Result<Self, Refused> {
        let body = Body::strict(body)?;
        let member = |name| body.subject.as_ref().and_then(|subject| subject.get(name));
        let purl = text("subject.purl", member("purl"))?;
        let purl = purl.parse().map_err(|error| Refused::Invalid(format!("subject.purl: {error}")))?;
        let integrity = text("subject.integrity", member("integrity"))?;
        let integrity =
            integrity.parse().map_err(|error| Refused::Invalid(format!("subject.integrity: {error}")))?;
        if !body.attachment.as_ref().is_some_and(Value::is_object) {
            return Err(Refused::Invalid("attachment must be an object".to_owned()));
        }
        let declared = body.declared()?;
        if declared.sha256.is_none() {
            return Err(Refused::Invalid("declaredDigest is missing".to_owned()));
        }
        Ok(Self { subject: Some((purl, integrity)), media_type: body.format(), declared })
    }

    /// Reads what can be understood of a body.
    pub(super) fn lenient(body: &[u8]) -> Self {
        let body = Body::lenient(body);
        Self { subject: None, media_type: body.format(), declared: body.understood() }
    }
}

/// A digest of bytes, which the specification leaves to be written with its algorithm or without.
fn digest(declared: &str) -> Result<Sha256, InvalidDigest> {
    Sha256::from_hex(declared).or_else(|_| declared.parse())
}

impl Body {
    fn strict(body: &[u8]) -> Result<Self, Refused> {
        let object = body.trim_ascii_start().first() == Some(&b'{');
        let body = serde_json::from_slice(body).ok().filter(|_| object);
        body.ok_or_else(|| {
            let what = "the body must be one JSON object, in UTF-8, with each member once";
            Refused::Invalid(what.to_owned())
        })
    }

    fn lenient(body: &[u8]) -> Self {
        serde_json::from_slice(body).unwrap_or_default()
    }

    fn declared(&self) -> Result<Declared, Refused> {
        let sha256 = self.declared_digest.as_ref().map(|value| text("declaredDigest", Some(value)));
        let sha256 = sha256.transpose()?.map(digest).transpose();
        let sha256 = sha256.map_err(|error| Refused::Invalid(format!("declaredDigest: {error}")))?;
        let size = self.declared_size.as_ref().map(|value| {
            let not = || Refused::Invalid("declaredSize must be a number of bytes".to_owned());
            value.as_u64().ok_or_else(not)
        });
        if self.idempotency_key.as_ref().is_some_and(|key| !key.is_string()) {
            return Err(Refused::Invalid("idempotencyKey must be a string".to_owned()));
        }
        Ok(Declared { sha256, size: size.transpose()? })
    }

    fn understood(&self) -> Declared {
        let sha256: Option<Sha256> =
            string(self.declared_digest.as_ref()).and_then(|declared| digest(declared).ok());
        Declared { sha256, size: self.declared_size.as_ref().and_then(Value::as_u64) }
    }

    fn format(&self) -> Option<String> {
        let format = self.attachment.as_ref().and_then(|attachment| attachment.get("format"));
        string(format.and_then(|format| format.get("mediaType"))).map(str::to_owned)
    }
}

fn string(value: Option<&Value>) -> Option<&str> {
    value.and_then(Value::as_str)
}

fn text<'a>(name: &'static str, value: Option<&'a Value>) -> Result<&'a str, Refused> {
    match value {
        Some(Value::String(text)) => Ok(text),
        Some(_) => Err(Refused::Invalid(format!("{name} must be a string"))),
        None => Err(Refused::Invalid(format!("{name} is missing"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(keys: &[&'static str]) -> HeaderMap {
        keys.iter().map(|key| ("idempotency-key".parse().unwrap(), key.parse().unwrap())).collect()
    }

    #[test]
    fn one_request_has_one_key() {
        let same = br#"{"idempotencyKey":"a"}"#;
        for (headers, body, has) in [
            (keys(&[]), &b""[..], false),
            (keys(&["a"]), b"", true),
            (keys(&[""]), br#"{"idempotencyKey":""}"#, false),
            (keys(&["a"]), b"not JSON", true),
            (keys(&[]), same, true),
            (keys(&["a"]), same, true),
            (keys(&[]), br#"{"idempotencyKey":null}"#, false),
        ] {
            assert_eq!(has_key(&headers, body).unwrap(), has);
        }
        for (headers, body) in
            [(keys(&["b"]), &same[..]), (keys(&["a", "b"]), b""), (keys(&["a", "a"]), same)]
        {
            assert!(matches!(has_key(&headers, body), Err(Refused::TwoKeys)));
        }
    }

    #[test]
    fn a_publication_says_what_it_is() {
        let digest = Sha256::of(b"x");
        let body = format!(
            r#" {{"version":"1.0.0+b","mediaType":"application/gzip","declaredDigest":"{digest}","declaredSize":7,"later":[]}}"#
        );
        let read = Publication::strict(body.as_bytes()).unwrap();
        assert_eq!(read.version, Some("1.0.0+b".parse().unwrap()));
        assert_eq!(read.declared, Declared { sha256: Some(digest), size: Some(7) });
        assert_eq!(Publication::lenient(body.as_bytes()).declared, read.declared);
        let bare = body.replace("sha256:", "");
        assert_eq!(Publication::strict(bare.as_bytes()).unwrap().declared, read.declared);
        for (body, why) in [
            ("", "the body must be one JSON object"),
            ("[]", "the body must be one JSON object"),
            ("{}", "version is missing"),
            (r#"{"version":"1.0"}"#, "version: expected a SemVer"),
            (r#"{"version":1}"#, "version must be a string"),
            (r#"{"version":"1.0.0","version":"2.0.0","mediaType":"application/gzip"}"#, "each member once"),
            (r#"{"version":"1.0.0"}"#, "mediaType is missing"),
            (r#"{"version":"1.0.0","mediaType":"application/zip"}"#, "mediaType must be application/gzip"),
            (
                r#"{"version":"1.0.0","mediaType":"application/gzip","declaredDigest":"md5:x"}"#,
                "declaredDigest: expected",
            ),
            (
                r#"{"version":"1.0.0","mediaType":"application/gzip","declaredSize":-1}"#,
                "declaredSize must be",
            ),
            (
                r#"{"version":"1.0.0","mediaType":"application/gzip","idempotencyKey":1}"#,
                "idempotencyKey must",
            ),
        ] {
            let refused = Publication::strict(body.as_bytes()).unwrap_err().to_string();
            assert!(refused.contains(why), "{body}: {refused}");
            let _ = Publication::lenient(body.as_bytes());
        }
    }

    #[test]
    fn an_attachment_names_its_subject() {
        let digest = Sha256::of(b"x");
        let body = |purl: &str, rest: &str| {
            format!(
                r#"{{"subject":{{"purl":"{purl}","integrity":"{digest}"}},"attachment":{{"category":"sbom","format":{{"mediaType":"text/x"}}}}{rest}}}"#
            )
        };
        let declared = format!(r#","declaredDigest":"{digest}""#);
        let read = Attachment::strict(body("pkg:volume/x@1.0.0", &declared).as_bytes()).unwrap();
        assert_eq!(read.subject, Some(("pkg:volume/x@1.0.0".parse().unwrap(), Integrity::new(digest))));
        assert_eq!(read.media_type.as_deref(), Some("text/x"));
        for (body, why) in [
            (body("pkg:volume/x@1.0.0", ""), "declaredDigest is missing"),
            (body("x", &declared), "subject.purl: expected"),
            ("{}".to_owned(), "subject.purl is missing"),
            (r#"{"subject":"x"}"#.to_owned(), "subject.purl is missing"),
        ] {
            let refused = Attachment::strict(body.as_bytes()).unwrap_err().to_string();
            assert!(refused.contains(why), "{body}: {refused}");
        }
    }

    #[test]
    fn a_media_type_is_compared_without_its_parameters() {
        let sent = |types: &[&'static str]| -> HeaderMap {
            types.iter().map(|sent| (CONTENT_TYPE, sent.parse().unwrap())).collect()
        };
        for (headers, is) in [
            (sent(&["application/json"]), true),
            (sent(&["Application/JSON ; charset=utf-8"]), true),
            (sent(&[]), false),
            (sent(&["text/plain"]), false),
            (sent(&["application/json", "text/plain"]), false),
        ] {
            assert_eq!(is_json(&headers).is_ok(), is, "{headers:?}");
        }
    }
}
