//! The parts of the Nullspace API that a proxy must understand to check uploads.
//!
//! Owns which requests are uploads ([`NullspaceRoute`]), the checks of a version's bundle ([`BundleDescription`]), the checks
//! of a resumable upload's parts ([`PartDescription`]) and of their whole ([`UploadProgress`]), and the form of refusals
//! ([`NullspaceRefusal`]). Everything here is a function of its input. Must not know sockets, storage, time, or how a
//! request is forwarded.
//!
//! ```
//! use http::Method;
//! use nullspace::NullspaceRoute;
//!
//! let route = NullspaceRoute::of(&Method::PUT, "/v1/agent-deployments/d/versions/v/bundle");
//! assert_eq!(route, Ok(NullspaceRoute::Bundle { deployment: "d", version: "v" }));
//! assert!(NullspaceRoute::of(&Method::GET, "/v1/../admin").is_err());
//! ```

mod bundle;
mod headers;
mod manifest;
mod part;
mod progress;
mod refusal;
mod route;
mod upload;

pub use bundle::{BundleDescription, BundleError};
pub use headers::declared_bundle;
pub use manifest::{BundleManifest, version_id};
pub use part::PartDescription;
pub use progress::{PartHasher, UploadProgress};
pub use refusal::{NullspaceFacets, NullspaceRefusal, UploadFault, error_document};
pub use route::{NullspaceRoute, UploadPath, decoded};
pub use upload::{NewUpload, UploadFacts, declared_whole, holds_part};
