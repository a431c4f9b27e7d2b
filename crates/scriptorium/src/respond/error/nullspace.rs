//! The table's part for the Nullspace API.
//!
//! Owns the codes, which are those that the API's clients know.

use ::nullspace::{NullspaceFacets, NullspaceRefusal};
use http::StatusCode;

use super::{ErrorResponse, SOON, blank};

/// The member of a problem that is passed on to clients of Nullspace.
pub(in crate::respond) const DETAIL: &str = "error_detail";

impl From<&NullspaceRefusal> for ErrorResponse {
    fn from(refused: &NullspaceRefusal) -> Self {
        let NullspaceFacets { status, code, .. } = refused.facets();
        let mut response = blank(status, refused.to_string());
        response.retry_after = (status == StatusCode::TOO_MANY_REQUESTS).then_some(SOON);
        response.code = code;
        if let Some(detail) = refused.detail() {
            response.problem.extra.insert(DETAIL.to_owned(), detail);
        }
        response
    }
}
