//! What Nullspace's own reasons are answered with.
//!
//! Owns this part of the table. The names are those that the API's clients know.

use http::StatusCode;
use serde_json::json;

use super::{Refusal, SOON, blank};
use crate::relay::{NullspaceRefused as Refused, UploadFault};

/// The member of a problem that clients of Nullspace read, whatever it is about.
pub(in crate::respond) const DETAIL: &str = "error_detail";

impl From<&Refused> for Refusal {
    fn from(refused: &Refused) -> Self {
        let text = refused.to_string();
        let (status, code) = match refused {
            Refused::Path | Refused::Header(_) => (StatusCode::BAD_REQUEST, "invalid_request"),
            Refused::Coded => (StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type"),
            Refused::Unverifiable | Refused::Manifest(_) => (StatusCode::CONFLICT, "conflict"),
            Refused::Bundle(_) => (StatusCode::BAD_REQUEST, "bundle_mismatch"),
            Refused::Tar(_) => (StatusCode::BAD_REQUEST, "invalid_bundle"),
            Refused::Busy => {
                return Self { retry_after: Some(SOON), ..blank(StatusCode::TOO_MANY_REQUESTS, text) };
            }
            Refused::Upload { fault, upload, part } => return of_upload(fault, upload, *part, text),
        };
        Self { code: Some(code), ..blank(status, text) }
    }
}

/// Clients read the reason from a document that may have these members and no others.
fn of_upload(fault: &UploadFault, upload: &str, part: Option<u32>, text: String) -> Refusal {
    let status = match fault {
        UploadFault::PartChecksum(_)
        | UploadFault::PartSize { .. }
        | UploadFault::PartNumber { .. }
        | UploadFault::WholeChecksum { .. } => StatusCode::BAD_REQUEST,
        UploadFault::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
        UploadFault::NoRoom => StatusCode::INSUFFICIENT_STORAGE,
    };
    let mut detail = json!({
        "reason": fault.reason(),
        "message": text,
        "retryable": false,
        "upload_id": upload,
    });
    if let Some(part) = part {
        detail["part_number"] = part.into();
    }
    let mut refusal = Refusal { code: Some("file_upload_error"), ..blank(status, text) };
    refusal.problem.extra.insert(DETAIL.to_owned(), detail);
    refusal
}
