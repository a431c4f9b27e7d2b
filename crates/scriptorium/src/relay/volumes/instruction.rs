//! A registry's grant of an upload: its instruction, and the same answer with this proxy's upload URL in it.
//!
//! Owns which grants can be followed. A client must not receive any other grant, since it would then bypass this
//! proxy. Must not know where a grant is recorded.

use bytes::Bytes;
use http::header::{
    AUTHORIZATION, CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_ENCODING, CONTENT_LANGUAGE, CONTENT_LENGTH,
    CONTENT_TYPE, EXPIRES, HOST, IF_MATCH, IF_NONE_MATCH, IF_UNMODIFIED_SINCE,
};
use http::{HeaderName, HeaderValue, Method};
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value};
use tracing::warn;

use super::record::UploadInstruction;
use crate::clock::{Timestamp, rfc3339};
use crate::domain::UploadId;
use crate::domain::link::{Replacement, Template};
use crate::relay::WriteRefusal;

/// The most header fields of an instruction, and the most bytes of all of them.
const MOST_FIELDS: usize = 32;
const MOST_BYTES: usize = 16 << 10;
const LONGEST_URL: usize = 8 << 10;
const LONGEST_TYPE: usize = 256;

/// The fields that uploads need: about the content and its digest, about replacing and caching it, and the
/// credential. Other fields, about the connection or forwarding say, are not sent.
const NEEDED: [HeaderName; 15] = [
    AUTHORIZATION,
    CACHE_CONTROL,
    CONTENT_DISPOSITION,
    CONTENT_ENCODING,
    CONTENT_LANGUAGE,
    CONTENT_TYPE,
    EXPIRES,
    IF_MATCH,
    IF_NONE_MATCH,
    IF_UNMODIFIED_SINCE,
    HeaderName::from_static("content-digest"),
    HeaderName::from_static("content-md5"),
    HeaderName::from_static("digest"),
    HeaderName::from_static("idempotency-key"),
    HeaderName::from_static("repr-digest"),
];
/// Prefixes of the fields with which object stores sign and describe uploads.
const NEEDED_BELOW: [&str; 9] =
    ["x-amz-", "x-goog-", "x-ms-", "x-oss-", "x-cos-", "x-obs-", "x-bz-", "x-upload-", "upload-"];
/// Fields that this proxy sets itself.
const OURS: [HeaderName; 2] = [HOST, CONTENT_LENGTH];

/// The members of a grant that are read. A duplicate member makes the grant invalid.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct GrantDocument<'a> {
    upload_id: String,
    #[serde(borrow)]
    upload: InstructionDocument<'a>,
    #[serde(with = "rfc3339")]
    expires_at: Timestamp,
    #[serde(default)]
    media_type: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct InstructionDocument<'a> {
    #[serde(default)]
    instruction_type: Option<String>,
    #[serde(borrow)]
    url: &'a RawValue,
    #[serde(borrow, default, deserialize_with = "super::present")]
    method: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "super::present")]
    headers: Option<&'a RawValue>,
}

/// A grant that can be followed.
pub(super) struct RegistryGrant<'a> {
    body: &'a Bytes,
    written: GrantDocument<'a>,
    url: String,
    pub(super) upload_id: UploadId,
    method: Method,
    headers: Vec<(String, String)>,
}

impl<'a> RegistryGrant<'a> {
    /// Reads a registry's answer.
    ///
    /// # Errors
    /// [`WriteRefusal::Instruction`] when it cannot be followed.
    pub(super) fn read(body: &'a Bytes) -> Result<Self, WriteRefusal> {
        let no = WriteRefusal::Instruction;
        let shape = "expected a JSON object with uploadId, upload.url and expiresAt";
        let written: GrantDocument<'a> = serde_json::from_slice(body).map_err(|_| no(shape))?;
        let upload_id = written.upload_id.parse().map_err(|_| no("its uploadId is none"))?;
        if written.upload.instruction_type.as_deref().is_some_and(|kind| kind != "http-put") {
            return Err(no("its instructionType is not http-put"));
        }
        let url: String =
            serde_json::from_str(written.upload.url.get()).map_err(|_| no("its upload.url is no URL"))?;
        if url.len() > LONGEST_URL {
            return Err(no("its upload.url is too long"));
        }
        if written.media_type.as_ref().is_some_and(|kind| !is_media_type(kind)) {
            return Err(no("its mediaType is none"));
        }
        let method = method(written.upload.method)?;
        let headers = headers(written.upload.headers)?;
        Ok(Self { body, written, url, upload_id, method, headers })
    }

    /// Where the content should go: absolute, or relative to the route that granted it.
    pub(super) fn locator(&self) -> &str {
        &self.url
    }

    /// The instruction to record. `url` is the resolved locator. The media type is the grant's, or else the one that was
    /// `asked` for.
    pub(super) fn instructed(&self, url: String, asked: Option<String>) -> UploadInstruction {
        let asked = asked.filter(|asked| is_media_type(asked));
        UploadInstruction {
            url,
            method: self.method.to_string(),
            headers: self.headers.clone(),
            media_type: self.written.media_type.clone().or(asked),
            expires_at: self.written.expires_at,
        }
    }

    /// The same answer, with `upload_url` instead of the registry's URL, and with the fields to send there.
    pub(super) fn rewritten(&self, upload_url: &str, fields: &[(&str, &str)]) -> Bytes {
        let InstructionDocument { url, method, headers, .. } = &self.written.upload;
        let fields: Map<String, Value> =
            fields.iter().map(|(name, value)| ((*name).to_owned(), (*value).into())).collect();
        let (upload_url, fields) = (Value::from(upload_url).to_string(), Value::from(fields).to_string());
        let mut edits = Vec::with_capacity(3);
        match headers {
            Some(headers) => {
                edits.push((*url, literal(upload_url)));
                edits.push((*headers, literal(fields)));
            }
            // A grant without fields gets some: the client must send them here.
            None => edits.push((*url, literal(format!("{upload_url},\"headers\":{fields}")))),
        }
        edits.extend(method.map(|method| (method, literal("\"PUT\"".to_owned()))));
        Template::new(self.body.clone(), edits).render("")
    }
}

fn literal(text: String) -> Replacement {
    Replacement::Literal(text.into())
}

fn is_media_type(text: &str) -> bool {
    text.len() <= LONGEST_TYPE && text.contains('/') && HeaderValue::from_str(text).is_ok()
}

fn method(value: Option<&RawValue>) -> Result<Method, WriteRefusal> {
    let refused = WriteRefusal::Instruction("its upload.method is neither PUT nor POST");
    let method = value.map_or(Ok(None), |value| serde_json::from_str::<Option<String>>(value.get()));
    match method.as_ref().map(Option::as_deref) {
        Ok(None | Some("PUT")) => Ok(Method::PUT),
        Ok(Some("POST")) => Ok(Method::POST),
        Ok(Some(_)) | Err(_) => Err(refused),
    }
}

/// Whether an upload may need the field.
pub(super) fn needs(name: &HeaderName) -> bool {
    NEEDED.contains(name) || NEEDED_BELOW.iter().any(|family| name.as_str().starts_with(family))
}

fn headers(value: Option<&RawValue>) -> Result<Vec<(String, String)>, WriteRefusal> {
    let Some(value) = value else { return Ok(Vec::new()) };
    let no = || WriteRefusal::Instruction("its upload.headers are no map of a few header fields");
    let map: Option<Map<String, Value>> = serde_json::from_str(value.get()).map_err(|_| no())?;
    let map = map.unwrap_or_default();
    if map.len() > MOST_FIELDS || value.get().len() > MOST_BYTES {
        return Err(no());
    }
    let mut headers = Vec::with_capacity(map.len());
    for (name, value) in map {
        let Value::String(value) = value else { return Err(no()) };
        let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| no())?;
        HeaderValue::from_str(&value).map_err(|_| no())?;
        if needs(&name) {
            headers.push((name.as_str().to_owned(), value));
        } else if !OURS.contains(&name) {
            warn!(
                field = name.as_str(),
                "a grant names a header field that uploads do not need; it is not sent"
            );
        }
    }
    Ok(headers)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grant(upload: &str) -> Bytes {
        let body = format!(
            r#"{{ "z":1.10, "uploadId":"u-1","upload":{upload},"expiresAt":"2026-01-02T03:04:05Z","later":[1e400] }}"#
        );
        body.into()
    }

    #[test]
    fn only_the_instruction_changes() {
        let fields = [("content-type", "application/gzip"), ("authorization", "Bearer \"x\"")];
        let sent = r#"{"content-type":"application/gzip","authorization":"Bearer \"x\""}"#;
        for (upload, rewritten) in [
            (r#"{"url":"x"}"#, format!(r#"{{"url":"http://here/p","headers":{sent}}}"#)),
            (
                r#"{"a":1, "headers" : {"x":"y"},"url":"\u0041","method":"POST", "b":{}}"#,
                format!(r#"{{"a":1, "headers" : {sent},"url":"http://here/p","method":"PUT", "b":{{}}}}"#),
            ),
            (
                r#"{"instructionType":"http-put","url":"x","headers":null,"method":null}"#,
                format!(
                    r#"{{"instructionType":"http-put","url":"http://here/p","headers":{sent},"method":"PUT"}}"#
                ),
            ),
        ] {
            let (body, expected) = (grant(upload), grant(&rewritten));
            let grant = RegistryGrant::read(&body).unwrap();
            assert_eq!(grant.rewritten("http://here/p", &fields), expected, "{upload}");
        }
    }

    #[test]
    fn the_recorded_instruction() {
        let body = grant(
            r#"{"url":"/put?s=1","method":"POST","headers":{"X-Amz-Sign":"a","Host":"evil","Authorization":"Basic b","Cookie":"c","X-Forwarded-For":"d","Connection":"x-amz-sign","Transfer-Encoding":"chunked","Proxy-Authorization":"e","X-HTTP-Method-Override":"DELETE"}}"#,
        );
        let read = RegistryGrant::read(&body).unwrap();
        assert_eq!((read.locator(), read.upload_id.as_str()), ("/put?s=1", "u-1"));
        let kept = read.instructed("https://up/put?s=1".to_owned(), Some("application/gzip".to_owned()));
        assert_eq!((kept.method.as_str(), kept.expires_at), ("POST", Timestamp(1_767_323_045_000)));
        assert_eq!(kept.media_type.as_deref(), Some("application/gzip"));
        let own = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(kept.headers, [own("x-amz-sign", "a"), own("authorization", "Basic b")]);
    }

    #[test]
    fn a_grant_that_cannot_be_followed_is_refused() {
        let many: Vec<String> = (0..33).map(|of| format!(r#""x-{of}":"y""#)).collect();
        for upload in [
            "null",
            "{}",
            r#"{"url":7}"#,
            r#"{"url":"x","url":"y"}"#,
            r#"{"url":"x","method":"DELETE"}"#,
            r#"{"url":"x","method":7}"#,
            r#"{"url":"x","instructionType":"multipart"}"#,
            r#"{"url":"x","headers":[]}"#,
            r#"{"url":"x","headers":{"a b":"c"}}"#,
            r#"{"url":"x","headers":{"a":"b\r\nc: d"}}"#,
            r#"{"url":"x","headers":{"a":1}}"#,
            &format!(r#"{{"url":"x","headers":{{{}}}}}"#, many.join(",")),
            &format!(r#"{{"url":"x","headers":{{"x":"{}"}}}}"#, "y".repeat(MOST_BYTES)),
            &format!(r#"{{"url":"{}"}}"#, "y".repeat(LONGEST_URL + 1)),
        ] {
            assert!(
                matches!(RegistryGrant::read(&grant(upload)), Err(WriteRefusal::Instruction(_))),
                "{upload}"
            );
        }
        for body in [
            "",
            "[]",
            r#"{"uploadId":"u","upload":{"url":"x"}}"#,
            r#"{"uploadId":"../u","upload":{"url":"x"},"expiresAt":"2026-01-02T03:04:05Z"}"#,
            r#"{"uploadId":"u","upload":{"url":"x"},"expiresAt":"soon"}"#,
            r#"{"uploadId":"u","upload":{"url":"x"},"expiresAt":"2026-01-02T03:04:05Z","mediaType":"a\nb/c"}"#,
        ] {
            assert!(RegistryGrant::read(&Bytes::from(body)).is_err(), "{body}");
        }
    }
}
