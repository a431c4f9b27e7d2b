//! Reads a client's request for an upload.
//!
//! Owns the members of a request that are read, and that a request has at most one idempotency key. Must not know what
//! the registry does with it.

use std::fmt::Display;
use std::str::FromStr;

use http::HeaderMap;
use serde::Deserialize;
use serde_json::Value;

use super::record::DeclaredContent;
use crate::domain::{Integrity, Purl, Sha256, Version};
use crate::relay::WriteRefusal;
use crate::relay::forward::{IDEMPOTENCY_KEY, is_sent_as};
use archive::InvalidDigest;

const GZIP: &str = "application/gzip";
const JSON: &str = "application/json";

/// The members of a request that are understood. A duplicate member makes the body invalid.
#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct UploadRequestBody {
    version: Option<Value>,
    media_type: Option<Value>,
    declared_digest: Option<Value>,
    declared_size: Option<Value>,
    idempotency_key: Option<Value>,
    subject: Option<Value>,
    attachment: Option<Value>,
}

/// A request for an upload, as far as it is understood.
#[derive(Debug)]
pub(super) struct UploadRequest {
    /// The version to publish.
    pub(super) version: Option<Version>,
    /// The release that an attachment belongs to.
    pub(super) subject: Option<(Purl, Integrity)>,
    pub(super) media_type: Option<String>,
    pub(super) declared: DeclaredContent,
}

/// Whether the request has an idempotency key, so that it can be repeated.
///
/// # Errors
/// [`WriteRefusal::TwoKeys`] when header and body name two.
pub(super) fn has_key(headers: &HeaderMap, body: &[u8]) -> Result<bool, WriteRefusal> {
    let in_body =
        serde_json::from_slice::<UploadRequestBody>(body).ok().and_then(|body| body.idempotency_key);
    let in_body = in_body.as_ref().and_then(Value::as_str);
    let mut in_header = headers.get_all(IDEMPOTENCY_KEY).iter();
    match (in_header.next(), in_header.next(), in_body) {
        (Some(_), Some(_), _) => Err(WriteRefusal::TwoKeys),
        (Some(header), None, Some(body)) if header.as_bytes() != body.as_bytes() => {
            Err(WriteRefusal::TwoKeys)
        }
        // An empty key identifies no request.
        (header, _, body) => {
            Ok(header.is_some_and(|key| !key.is_empty()) || body.is_some_and(|key| !key.is_empty()))
        }
    }
}

/// Whether the body is sent as JSON.
///
/// # Errors
/// [`WriteRefusal::MediaType`] when it is not.
pub(super) fn is_json(headers: &HeaderMap) -> Result<(), WriteRefusal> {
    if is_sent_as(headers, JSON) { Ok(()) } else { Err(WriteRefusal::MediaType { expected: JSON.into() }) }
}

impl UploadRequest {
    /// Reads a request for the upload of a release, which must be valid.
    ///
    /// # Errors
    /// The first fault of the request.
    pub(super) fn publication(body: &[u8]) -> Result<Self, WriteRefusal> {
        let body = UploadRequestBody::strict(body)?;
        let version = parsed("version", body.version.as_ref())?;
        if text("mediaType", body.media_type.as_ref())? != GZIP {
            return Err(WriteRefusal::NotGzip);
        }
        let declared = body.declared()?;
        Ok(Self { version: Some(version), subject: None, media_type: Some(GZIP.to_owned()), declared })
    }

    /// Reads a request for the upload of an attachment, which must be valid.
    ///
    /// # Errors
    /// The first fault of the request.
    pub(super) fn attachment(body: &[u8]) -> Result<Self, WriteRefusal> {
        let body = UploadRequestBody::strict(body)?;
        let member = |name| body.subject.as_ref().and_then(|subject| subject.get(name));
        let purl = parsed("subject.purl", member("purl"))?;
        let integrity = parsed("subject.integrity", member("integrity"))?;
        if !body.attachment.as_ref().is_some_and(Value::is_object) {
            return Err(WriteRefusal::Invalid("attachment must be an object".to_owned()));
        }
        let declared = body.declared()?;
        if declared.sha256.is_none() {
            return Err(WriteRefusal::Invalid("declaredDigest is missing".to_owned()));
        }
        let media_type = body.attachment_type();
        Ok(Self { version: None, subject: Some((purl, integrity)), media_type, declared })
    }

    /// Reads the valid members of a request. Nothing is refused.
    pub(super) fn lenient(body: &[u8]) -> Self {
        let body: UploadRequestBody = serde_json::from_slice(body).unwrap_or_default();
        let string = |value: &Option<Value>| value.as_ref().and_then(Value::as_str).map(str::to_owned);
        let version = string(&body.version).and_then(|version| version.parse().ok());
        let media_type = string(&body.media_type).or_else(|| body.attachment_type());
        let sha256 = string(&body.declared_digest).and_then(|declared| digest(&declared).ok());
        let size = body.declared_size.as_ref().and_then(Value::as_u64);
        Self { version, subject: None, media_type, declared: DeclaredContent { sha256, size } }
    }
}

/// A digest. The specification allows it with or without the name of its algorithm.
fn digest(declared: &str) -> Result<Sha256, InvalidDigest> {
    Sha256::from_hex(declared).or_else(|_| declared.parse())
}

impl UploadRequestBody {
    fn strict(body: &[u8]) -> Result<Self, WriteRefusal> {
        let object = body.trim_ascii_start().first() == Some(&b'{');
        let body = serde_json::from_slice(body).ok().filter(|_| object);
        body.ok_or_else(|| {
            let what = "the body must be one JSON object, in UTF-8, with each member once";
            WriteRefusal::Invalid(what.to_owned())
        })
    }

    fn declared(&self) -> Result<DeclaredContent, WriteRefusal> {
        let sha256 = self.declared_digest.as_ref().map(|value| {
            digest(text("declaredDigest", Some(value))?).map_err(|error| invalid("declaredDigest", error))
        });
        let size = self.declared_size.as_ref().map(|value| {
            let not = || WriteRefusal::Invalid("declaredSize must be a number of bytes".to_owned());
            value.as_u64().ok_or_else(not)
        });
        if self.idempotency_key.as_ref().is_some_and(|key| !key.is_string()) {
            return Err(WriteRefusal::Invalid("idempotencyKey must be a string".to_owned()));
        }
        Ok(DeclaredContent { sha256: sha256.transpose()?, size: size.transpose()? })
    }

    /// The media type of an attachment.
    fn attachment_type(&self) -> Option<String> {
        let format = self.attachment.as_ref()?.get("format")?;
        format.get("mediaType")?.as_str().map(str::to_owned)
    }
}

fn text<'a>(name: &'static str, value: Option<&'a Value>) -> Result<&'a str, WriteRefusal> {
    match value {
        Some(Value::String(text)) => Ok(text),
        Some(_) => Err(WriteRefusal::Invalid(format!("{name} must be a string"))),
        None => Err(WriteRefusal::Invalid(format!("{name} is missing"))),
    }
}

fn parsed<T: FromStr<Err: Display>>(name: &'static str, value: Option<&Value>) -> Result<T, WriteRefusal> {
    text(name, value)?.parse().map_err(|error| invalid(name, error))
}

fn invalid(name: &str, error: impl Display) -> WriteRefusal {
    WriteRefusal::Invalid(format!("{name}: {error}"))
}

#[cfg(test)]
mod tests {
    use http::header::CONTENT_TYPE;

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
            assert!(matches!(has_key(&headers, body), Err(WriteRefusal::TwoKeys)));
        }
    }

    #[test]
    fn a_publication_says_what_it_is() {
        let digest = Sha256::of(b"x");
        let body = format!(
            r#" {{"version":"1.0.0+b","mediaType":"application/gzip","declaredDigest":"{digest}","declaredSize":7,"later":[]}}"#
        );
        let read = UploadRequest::publication(body.as_bytes()).unwrap();
        assert_eq!(read.version, Some("1.0.0+b".parse().unwrap()));
        assert_eq!(read.declared, DeclaredContent { sha256: Some(digest), size: Some(7) });
        assert_eq!(UploadRequest::lenient(body.as_bytes()).declared, read.declared);
        let bare = body.replace("sha256:", "");
        assert_eq!(UploadRequest::publication(bare.as_bytes()).unwrap().declared, read.declared);
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
            let refused = UploadRequest::publication(body.as_bytes()).unwrap_err().to_string();
            assert!(refused.contains(why), "{body}: {refused}");
            let _ = UploadRequest::lenient(body.as_bytes());
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
        let read = UploadRequest::attachment(body("pkg:volume/x@1.0.0", &declared).as_bytes()).unwrap();
        assert_eq!(read.subject, Some(("pkg:volume/x@1.0.0".parse().unwrap(), Integrity::new(digest))));
        assert_eq!(read.media_type.as_deref(), Some("text/x"));
        for (body, why) in [
            (body("pkg:volume/x@1.0.0", ""), "declaredDigest is missing"),
            (body("x", &declared), "subject.purl: expected"),
            ("{}".to_owned(), "subject.purl is missing"),
            (r#"{"subject":"x"}"#.to_owned(), "subject.purl is missing"),
        ] {
            let refused = UploadRequest::attachment(body.as_bytes()).unwrap_err().to_string();
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
