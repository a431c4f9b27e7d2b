//! Why a Nullspace request is refused, and the form of the API's errors.
//!
//! A refusal's meaning is decided in one table, [`NullspaceRefusal::facets`]. Owns the reasons that only this API has, that
//! table, and the form of errors. Must not know headers.

use http::StatusCode;
use serde_json::{Map, Value, json};

/// Why a Nullspace request is not forwarded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NullspaceRefusal {
    /// The registry could read another path.
    #[error(
        "this path is not relayed: expected non-empty segments without `.`, `..`, backslashes or encoded slashes"
    )]
    Path,
    /// A header that the route needs is missing.
    #[error("this route needs the header {0}; nothing was sent")]
    Header(&'static str),
    /// The content would have to be decoded before it could be checked.
    #[error("this route takes content without Content-Encoding; nothing was sent")]
    Coded,
    /// There is no manifest to check the bundle against.
    #[error(
        "this proxy cannot verify the bundle: the registry gives no manifest for the version; create the version \
         through this proxy and upload again; nothing was sent"
    )]
    Unverifiable,
    /// No bundle can be checked against the manifest.
    #[error("the version's manifest cannot be used: {0}; nothing was sent")]
    Manifest(String),
    /// The bundle is not what its version's manifest says.
    #[error("the bundle is not what the version's manifest says: {0}; nothing was sent")]
    Bundle(String),
    /// The bundle is no tar, or one that could be read in two ways.
    #[error("the bundle cannot be read: {0}; nothing was sent")]
    Tar(String),
    /// All upload slots are taken.
    #[error("this proxy is checking as many uploads as it can; nothing was sent, try again shortly")]
    Busy,
    /// A step of a resumable upload is refused.
    #[error("{fault}")]
    Upload {
        /// The fault.
        fault: UploadFault,
        /// The upload.
        upload: String,
        /// The part, if the step is about one.
        part: Option<u32>,
    },
}

/// The fault of a step of a resumable upload.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UploadFault {
    /// The part's digest differs from the declared one.
    #[error("the part's bytes do not hash to x-nullspace-part-sha256: {0}; nothing was sent")]
    PartChecksum(String),
    /// The part's length differs from the length of the upload's parts.
    #[error("the part has {found} bytes, expected {expected}; nothing was sent")]
    PartSize {
        /// The required bytes.
        expected: u64,
        /// The bytes of the part, or `more` if they were not counted.
        found: String,
    },
    /// There is no such part.
    #[error("the upload has {count} parts, counted from 0; nothing was sent")]
    PartNumber {
        /// The number of parts.
        count: u32,
    },
    /// The part is larger than this proxy accepts.
    #[error("this proxy takes bodies of at most {limit} bytes; nothing was sent")]
    TooLarge {
        /// The most bytes that are accepted.
        limit: u64,
    },
    /// There is no disk space to check the part.
    #[error("this proxy has no room to check the part now; nothing was sent, try again later")]
    NoRoom,
    /// The hash of the whole differs from the declared one.
    #[error(
        "the parts that came hash to {found}, and whole_checksum_sha256 is {expected}; the upload was not completed"
    )]
    WholeChecksum {
        /// As declared.
        expected: String,
        /// As computed.
        found: String,
    },
}

/// What a refusal means, for everything that is decided about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NullspaceFacets {
    /// The API's status. Its clients try again after a 429 and after no other status.
    pub status: StatusCode,
    /// The API's code, if the code of the status does not fit.
    pub code: Option<&'static str>,
    /// Whether the content is complete and is not what was declared.
    pub is_about_content: bool,
}

impl NullspaceRefusal {
    /// What the refusal means.
    #[must_use]
    pub fn facets(&self) -> NullspaceFacets {
        let (status, code, is_about_content) = match self {
            Self::Path | Self::Header(_) => (StatusCode::BAD_REQUEST, None, false),
            Self::Coded => (StatusCode::UNSUPPORTED_MEDIA_TYPE, None, false),
            Self::Unverifiable | Self::Manifest(_) => (StatusCode::CONFLICT, None, false),
            Self::Bundle(_) => (StatusCode::BAD_REQUEST, Some("bundle_mismatch"), true),
            Self::Tar(_) => (StatusCode::BAD_REQUEST, Some("invalid_bundle"), true),
            Self::Busy => (StatusCode::TOO_MANY_REQUESTS, None, false),
            Self::Upload { fault, .. } => {
                let (status, is_about_content) = match fault {
                    UploadFault::PartChecksum(_) | UploadFault::WholeChecksum { .. } => {
                        (StatusCode::BAD_REQUEST, true)
                    }
                    UploadFault::PartSize { .. } | UploadFault::PartNumber { .. } => {
                        (StatusCode::BAD_REQUEST, false)
                    }
                    UploadFault::TooLarge { .. } => (StatusCode::PAYLOAD_TOO_LARGE, false),
                    UploadFault::NoRoom => (StatusCode::INSUFFICIENT_STORAGE, false),
                };
                (status, Some("file_upload_error"), is_about_content)
            }
        };
        NullspaceFacets { status, code, is_about_content }
    }

    /// The error detail of a refused upload. The API allows these members and no others.
    #[must_use]
    pub fn detail(&self) -> Option<Value> {
        let Self::Upload { fault, upload, part } = self else { return None };
        let mut detail = json!({
            "reason": fault.reason(),
            "message": fault.to_string(),
            "retryable": false,
            "upload_id": upload,
        });
        if let Some(part) = part {
            detail["part_number"] = (*part).into();
        }
        Some(detail)
    }
}

impl UploadFault {
    /// The API's own name for it.
    fn reason(&self) -> &'static str {
        match self {
            Self::PartChecksum(_) => "invalid_part_checksum",
            Self::PartSize { .. } => "part_size_mismatch",
            Self::PartNumber { .. } => "part_out_of_range",
            Self::TooLarge { .. } => "size_limit_exceeded",
            Self::NoRoom => "insufficient_staging_space",
            Self::WholeChecksum { .. } => "whole_checksum_mismatch",
        }
    }
}

/// An error in the API's form. Its code is `code`, or else that of the `status`.
#[must_use]
pub fn error_document(
    status: u16,
    code: Option<&str>,
    message: &str,
    detail: Option<&Value>,
    request_id: &str,
) -> String {
    let mut error = Map::new();
    error.insert("message".to_owned(), message.into());
    error.insert("code".to_owned(), code.unwrap_or_else(|| code_of(status)).into());
    if let Some(detail) = detail {
        error.insert("error_detail".to_owned(), detail.clone());
    }
    error.insert("request_id".to_owned(), request_id.into());
    error.insert("retryable".to_owned(), matches!(status, 429 | 502..=504).into());
    // `error` alone: a second code beside it would keep clients from trying again after a 429.
    json!({ "error": Value::Object(error) }).to_string()
}

/// The API's code for a status.
fn code_of(status: u16) -> &'static str {
    match status {
        401 => "unauthorized",
        403 => "forbidden",
        404 => "not_found",
        405 => "method_not_allowed",
        408 => "request_timeout",
        409 => "conflict",
        410 => "gone",
        413 => "payload_too_large",
        415 => "unsupported_media_type",
        429 => "rate_limit_exceeded",
        502 | 504 => "upstream_unavailable",
        503 => "temporarily_unavailable",
        507 => "insufficient_storage",
        400..=499 => "invalid_request",
        _ => "internal_error",
    }
}
