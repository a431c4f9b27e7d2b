//! Reads of a proxy whose registries not everybody may read.
//!
//! ```text
//! 1. the registry that the name is routed to, and what the client may read of it        (access)
//! 2. 401 or 403, before anything is looked up; of search and lists, only what it may read
//! 3. the answer, as everybody gets it; `Cache-Control: private`
//! 4. again from 1, if the configuration changed meanwhile or the answer is another registry's
//! ```
//! Owns that order. Must not know who may read what, nor how an answer comes about.

use std::sync::Arc;

use http::HeaderMap;
use http::header::AUTHORIZATION;

use super::{Pipeline, SentFile, Unsent};
use crate::access::{AccessRefusal, ReadScope, readable};
use crate::domain::{DocumentKey, FileKey, Registry};
use crate::limit::Client;
use crate::read::documents::LiveSettings;
use crate::read::{CachedAnswer, FetchContext, ReadFailure};
use crate::respond::{self, ErrorResponse, Response, ResponseContext};
use crate::route::ApiRoute;

/// A read starts over if the configuration changed meanwhile; at most so often.
const ROUNDS: u32 = 4;

/// What may be read in answer to a question.
enum Permission {
    /// The answer of this registry, or whatever says that there is none.
    Whole(Option<Arc<Registry>>),
    /// What is within this scope, of a question about no volume.
    Within(ReadScope),
}

impl Pipeline {
    /// Answers a read, for a client that may not be allowed to.
    pub(super) async fn guarded(
        &self,
        route: &ApiRoute,
        asked: ResponseContext<'_>,
        context: FetchContext<'_>,
    ) -> Response {
        for _ in 0..ROUNDS {
            let live = self.documents.live_full();
            let permission = match permission(&live, route, context.client) {
                Ok(permission) => permission,
                Err(refusal) => {
                    self.metrics.access.refused(reason(refusal, asked.headers));
                    return respond::problem(&ErrorResponse::from(refusal), asked);
                }
            };
            let is_public = is_public(&live, route);
            let is_expected = |answer: &CachedAnswer| match &permission {
                Permission::Whole(Some(expected)) => answer.document.meta.is_of(expected),
                // A question about no volume, or a name without a registry.
                Permission::Whole(None) | Permission::Within(_) => true,
            };
            let (mut response, is_expected) = match (route, &permission) {
                (ApiRoute::Document(key), Permission::Within(scope)) => {
                    let answer = self.documents.get_within(key, scope, context).await;
                    (self.show_document(key, answer, asked, context), true)
                }
                (ApiRoute::Document(key), Permission::Whole(_)) => {
                    let answer = self.documents.get(key, context).await;
                    let is_expected = answer.as_ref().map_or(true, is_expected);
                    (self.show_document(key, answer, asked, context), is_expected)
                }
                (ApiRoute::File(key), _) => {
                    let sent = self.sent(key, asked, context).await;
                    let is_expected = gate_of(&sent).is_none_or(is_expected);
                    (self.show_file(key, sent, asked), is_expected)
                }
                (ApiRoute::Change(_), _) => break,
            };
            if is_expected && Arc::ptr_eq(&live, &self.documents.live()) {
                if !is_public {
                    respond::keep_private(response.headers_mut());
                }
                return response;
            }
        }
        respond::problem(&ErrorResponse::from(&ReadFailure::Lost), asked)
    }
}

/// What `client` may read in answer to `route`.
fn permission(
    live: &LiveSettings,
    route: &ApiRoute,
    client: Option<&Client>,
) -> Result<Permission, AccessRefusal> {
    let holder = client.and_then(Client::holder);
    let volume = match route {
        ApiRoute::Document(key) => key.volume(),
        ApiRoute::File(FileKey::Archive(volume, _) | FileKey::TrustArtifact(volume, ..)) => Some(volume),
        ApiRoute::Change(_) => return Ok(Permission::Whole(None)),
    };
    if let Some(volume) = volume {
        // A name that is routed to no registry has none to protect it.
        let Some(upstream) = live.upstreams.for_volume(volume) else { return Ok(Permission::Whole(None)) };
        readable(upstream.readers(), holder).admits(volume)?;
        return Ok(Permission::Whole(Some(Arc::clone(upstream.registry()))));
    }
    let mut scope =
        ReadScope::new(live.upstreams.iter().map(|upstream| readable(upstream.readers(), holder)));
    match (route, scope.refusal()) {
        // Search is for discovery: it finds nothing.
        (ApiRoute::Document(DocumentKey::Search(_)), _) | (_, None) => {}
        (_, Some(refusal)) => return Err(refusal),
    }
    if matches!(route, ApiRoute::Document(DocumentKey::Capabilities)) {
        scope = scope.about_no_volume();
    }
    Ok(if scope.is_all() { Permission::Whole(None) } else { Permission::Within(scope) })
}

/// Whether the answer is the same for everybody.
fn is_public(live: &LiveSettings, route: &ApiRoute) -> bool {
    let volume = match route {
        ApiRoute::Document(key) => key.volume(),
        ApiRoute::File(FileKey::Archive(volume, _) | FileKey::TrustArtifact(volume, ..)) => Some(volume),
        ApiRoute::Change(_) => None,
    };
    let upstream = volume.map(|volume| live.upstreams.for_volume(volume));
    match upstream {
        Some(upstream) => upstream.is_none_or(|upstream| !upstream.readers().are_restricted()),
        None => false,
    }
}

/// The document that permitted a file, or that did not.
fn gate_of(sent: &SentFile) -> Option<&CachedAnswer> {
    match sent {
        Ok((file, ..)) => Some(&file.gate),
        Err(Unsent::Failed(ReadFailure::Gated { gate, .. })) => Some(gate),
        Err(_) => None,
    }
}

/// The reason of a refusal, for metrics.
fn reason(refusal: AccessRefusal, headers: &HeaderMap) -> &'static str {
    match refusal {
        AccessRefusal::NoToken if headers.contains_key(AUTHORIZATION) => "unknown-token",
        AccessRefusal::NoToken => "no-token",
        AccessRefusal::NotAllowed => "not-allowed",
    }
}
