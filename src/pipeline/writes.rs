//! The way of what is relayed: a write of Agent Volumes, or any request below a relay's mount.
//!
//! Owns how such a request leaves the reads' way and comes back to it. Must not know what is checked on it (`relay`).

use http::Method;
use http_body::Body;

use super::{Arrival, Pipeline};
use crate::base::BaseError;
use crate::cache::Errand;
use crate::domain::Change;
use crate::relay::{self, AnyBody, ClientBody, Nullspace};
use crate::respond::{self, Asked, Refusal, Response};

/// A request below a relay's mount.
#[derive(Clone, Copy)]
pub(super) struct Mounted<'a> {
    relay: &'a Nullspace,
    /// The rest of the path, beginning with a slash.
    path: &'a str,
}

impl Mounted<'_> {
    /// The name in metrics and logs.
    pub(super) const LABEL: &'static str = "nullspace";
}

impl Pipeline {
    /// The relay that `path` lies below, if it lies below one.
    pub(super) fn mounted<'a>(&'a self, path: &'a str) -> Option<Mounted<'a>> {
        self.relays.iter().find_map(|relay| Some(Mounted { relay, path: relay.below(path)? }))
    }

    /// What a client sends, as patiently read as everything of clients.
    pub(super) fn body(&self, body: AnyBody) -> ClientBody {
        let announced = body.size_hint().exact();
        ClientBody::new(body, announced, self.ground.sizes().patience)
    }

    /// Relays a write of Agent Volumes.
    pub(super) async fn change(
        &self,
        change: &Change,
        (arrival, body): (&Arrival, ClientBody),
        asked: Asked<'_>,
        errand: Errand<'_>,
    ) -> Response {
        let base = asked.base.concat();
        let request = request(arrival, arrival.uri.path(), &base, errand);
        match self.volumes.answer(change, request, body).await {
            Ok(answer) => respond::relayed(answer, asked.head),
            Err(refused) => respond::problem(&Refusal::from(&refused), asked),
        }
    }

    /// Relays a request below a mount. No link is made there, so that no host is needed.
    pub(super) async fn relay(
        &self,
        mounted: Mounted<'_>,
        (arrival, tls): (&Arrival, bool),
        body: ClientBody,
        errand: Errand<'_>,
    ) -> Response {
        let base = self.base.of(&arrival.uri, &arrival.headers, (arrival.version, tls));
        if let Err(error @ BaseError::Misdirected) = base {
            return respond::nullspace(&Refusal::from(error), errand.id);
        }
        let request = request(arrival, mounted.path, "", errand);
        match mounted.relay.answer(request, body).await {
            Ok(answer) => respond::relayed(answer, arrival.method == Method::HEAD),
            Err(refused) => respond::nullspace(&Refusal::from(&refused), errand.id),
        }
    }
}

fn request<'a>(arrival: &'a Arrival, path: &'a str, base: &'a str, errand: Errand<'a>) -> relay::Request<'a> {
    let Arrival { method, uri, headers, .. } = arrival;
    relay::Request { method, path, query: uri.query(), headers, base, errand }
}
