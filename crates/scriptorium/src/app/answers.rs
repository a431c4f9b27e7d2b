//! The handlers of the two ports: the pipeline on the public port, the admin API on the other.
//!
//! Owns the translation of requests as they arrive. Must not know what is answered.

use http::Request;
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;

use crate::admin::{self, Admin};
use crate::listen::{Peer, RequestHandler};
use crate::pipeline::{IncomingRequest, Pipeline};
use crate::relay::any_body;
use crate::respond::{Body, Response};

impl RequestHandler for Pipeline {
    type Body = Body;

    fn answer(&self, request: Request<Incoming>, peer: Peer) -> impl Future<Output = Response> + Send {
        let (parts, body) = request.into_parts();
        let Peer { address, tls } = peer;
        let arrival = IncomingRequest {
            method: parts.method,
            uri: parts.uri,
            version: parts.version,
            headers: parts.headers,
            peer: address,
            tls,
        };
        let body = any_body(body);
        // An `async fn` would hold its arguments twice, and the future of a hit is kept small.
        async move {
            match self.access.is_traced() {
                false => Self::answer(self, &arrival, body).await,
                true => Box::pin(self.answer_traced(&arrival, body)).await,
            }
        }
    }
}

impl RequestHandler for Admin {
    type Body = Body;

    async fn answer(&self, request: Request<Incoming>, peer: Peer) -> Response {
        let (parts, body) = request.into_parts();
        // It reads nothing before it is polled.
        let read = async move {
            let body =
                tokio::time::timeout(admin::BODY_TIMEOUT, Limited::new(body, admin::MAX_BODY).collect());
            body.await.ok().and_then(Result::ok).map(|body| body.to_bytes())
        };
        let arrival = admin::AdminRequest {
            method: &parts.method,
            uri: &parts.uri,
            headers: &parts.headers,
            peer: peer.address,
        };
        Self::answer(self, &arrival, read).await
    }
}
