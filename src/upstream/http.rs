//! The transport over real sockets.
//!
//! Owns the HTTP client, its timeouts and its connections, and the guard's second line: what a name that the
//! operator did not give resolves to. Nothing else names reqwest. Must not know what is asked, nor why.

use std::error::Error;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use ::http::header::{CONTENT_LENGTH, TRANSFER_ENCODING};
use ::http::{HeaderMap, HeaderValue, Method};
use arc_swap::ArcSwap;
use async_trait::async_trait;
use futures_util::StreamExt;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::{Body, Client, ClientBuilder, redirect};

use self::dialled::Dials;
use super::guard::{self, Guard};
use super::transport::{Outgoing, OutgoingBody, Response, Transport, TransportError};
use crate::config;

mod dialled;
mod sending;

const MAX_IDLE: usize = 32;
#[cfg(target_os = "linux")]
const KERNEL_PATIENCE: Duration = Duration::from_secs(30);

/// Asks one registry, and whom it points to, over HTTP/1.1 or HTTP/2.
pub struct HttpTransport {
    /// With its pool. Once a connection of that turns out to be dead, the others are not to be trusted either.
    client: ArcSwap<Client>,
    config: config::Upstream,
    guard: Arc<Guard>,
    dials: Dials,
}

/// Why there is no transport.
#[derive(Debug, thiserror::Error)]
#[error("the HTTP client could not be set up: {0}")]
pub struct NoTransport(#[source] reqwest::Error);

impl HttpTransport {
    /// A transport with a connection pool of its own.
    ///
    /// # Errors
    /// When the machine gives the client nothing to work with.
    pub fn new(config: &config::Upstream) -> Result<Self, NoTransport> {
        // Whoever was here first installed the same one.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let guard = Arc::new(Guard::new(config));
        let dials = Dials::default();
        let client = ArcSwap::from_pointee(client(config, &guard, &dials).map_err(NoTransport)?);
        Ok(Self { client, config: config.clone(), guard, dials })
    }

    /// Leaves the pool of `used` behind, unless another request did so already. What is under way goes on.
    fn drop_pool(&self, used: &Arc<Client>) {
        if !Arc::ptr_eq(&self.client.load(), used) {
            return;
        }
        match client(&self.config, &self.guard, &self.dials) {
            Ok(fresh) => drop(self.client.compare_and_swap(used, Arc::new(fresh))),
            Err(error) => tracing::error!(%error, "the connections to an upstream cannot be made anew"),
        }
    }
}

fn client(config: &config::Upstream, guard: &Arc<Guard>, dials: &Dials) -> reqwest::Result<Client> {
    builder(config, guard, dials).build().or_else(|error| {
        tracing::warn!(%error, "no usable CA certificates on this machine: https upstreams will not be reached");
        builder(config, guard, dials).tls_certs_only([]).build()
    })
}

/// Without the client's own `read_timeout`, which runs from the start of a request and would cut a long upload.
fn builder(config: &config::Upstream, guard: &Arc<Guard>, dials: &Dials) -> ClientBuilder {
    let builder = Client::builder()
        .user_agent(concat!("scriptorium/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(config.connect_timeout)
        .pool_max_idle_per_host(config.max_concurrent.min(MAX_IDLE))
        .redirect(redirect::Policy::none())
        .connector_layer(dials.layer())
        .no_proxy()
        // No request goes out that the budget does not know of.
        .retry(reqwest::retry::never())
        .dns_resolver(GuardedResolver(Arc::clone(guard)));
    // The kernel's own patience with who takes no bytes must not be the shorter one.
    #[cfg(target_os = "linux")]
    let builder = builder.tcp_user_timeout(config.read_timeout.max(KERNEL_PATIENCE));
    builder
}

#[async_trait]
impl Transport for HttpTransport {
    async fn send(&self, request: Outgoing<'_>) -> Result<Response, TransportError> {
        let Outgoing { method, url, mut headers, body } = request;
        let allowed = |ip| guard::is_public(ip) || url.host_str().is_some_and(|host| self.guard.names(host));
        if guard::literal(url).is_some_and(|ip| !allowed(ip)) {
            return Err(TransportError::Forbidden);
        }
        frame(&mut headers, &method, &body);
        let (client, is_read) = (self.client.load_full(), method == Method::GET);
        let mut request = client.request(method, url.clone()).headers(headers);
        let mut watched = None;
        if let Some((sending, pieces)) = sending::send(body) {
            request = request.body(Body::wrap_stream(pieces));
            watched = Some(sending);
        }
        let answered = sending::within(self.config.read_timeout, watched.as_ref(), request.send());
        let (answered, dialled) = self.dials.noted(answered).await;
        let answered = answered.and_then(|response| {
            response.map_err(|error| {
                let error = classify(&error);
                watched.as_ref().map_or(error, |sending| sending.blame(error))
            })
        });
        let response = match answered {
            Err(TransportError::Timeout | TransportError::Broken) if is_read && !dialled => {
                self.drop_pool(&client);
                return Err(TransportError::Stale { late: matches!(answered, Err(TransportError::Timeout)) });
            }
            answered => answered?,
        };
        let (status, headers) = (response.status(), response.headers().clone());
        let body = response.bytes_stream().map(|chunk| chunk.map_err(|error| classify(&error)));
        let body = sending::receive(body.boxed(), self.config.read_timeout, watched);
        Ok(Response { status, headers, body })
    }
}

/// Says how long the body is, which the client cannot tell of a stream; chunks are for what nobody knows.
fn frame(headers: &mut HeaderMap, method: &Method, body: &OutgoingBody) {
    headers.remove(TRANSFER_ENCODING);
    headers.remove(CONTENT_LENGTH);
    let length = match body {
        OutgoingBody::Empty if !matches!(*method, Method::POST | Method::PUT | Method::PATCH) => None,
        OutgoingBody::Empty => Some(0),
        OutgoingBody::Whole(bytes) => Some(bytes.len() as u64),
        OutgoingBody::Stream { length, .. } => *length,
    };
    if let Some(length) = length {
        headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
    }
}

fn classify(error: &reqwest::Error) -> TransportError {
    if causes(error).any(|cause| cause.is::<NotPublic>()) {
        TransportError::Forbidden
    } else if error.is_timeout() {
        TransportError::Timeout
    } else if error.is_connect() {
        TransportError::Connect
    } else {
        TransportError::Broken
    }
}

fn causes<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |&error| error.source())
}

/// Resolves names, those that the operator gave to wherever they lead, all others to public addresses only.
struct GuardedResolver(Arc<Guard>);

#[derive(Debug, thiserror::Error)]
#[error("the name does not resolve to public addresses only")]
struct NotPublic;

impl Resolve for GuardedResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let named = self.0.names(name.as_str());
        Box::pin(async move {
            let found: Vec<SocketAddr> = tokio::net::lookup_host((name.as_str(), 0)).await?.collect();
            // One private address among public ones is an attack as well.
            if named || found.iter().all(|address| guard::is_public(address.ip())) {
                Ok(Box::new(found.into_iter()) as Addrs)
            } else {
                Err(NotPublic.into())
            }
        })
    }
}

#[cfg(test)]
mod tests;
