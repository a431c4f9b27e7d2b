//! The transport over real sockets: one request, and its response or the reason there is none.
//!
//! `dial` makes connections under the guard's second line (with `resolve`, `tunnel` and `tls`), `pool` keeps them,
//! `sending` sends bodies and watches their progress, `cause` classifies errors. Owns the timeouts of an exchange and
//! the decision that a connection is dead. Must not know what is asked, nor why.

use std::path::PathBuf;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use ::http::header::{self, CONTENT_LENGTH, PROXY_AUTHORIZATION, TRANSFER_ENCODING};
use ::http::{HeaderMap, HeaderValue, Method, Request, StatusCode};
use arc_swap::ArcSwap;
use async_trait::async_trait;
use futures_util::future::{self, Either};
use futures_util::{StreamExt, TryStreamExt};
use http_body_util::{BodyExt, Empty, StreamBody};
use hyper::body::Frame;
use tokio::time::Instant;
use tower_service::Service;
use url::Url;

use self::dial::{Dialler, NotDialled};
use self::patience::Patience;
use self::pool::{ConnectionPool, RequestConnection};
use super::ConnectFailure;
use super::notes::Notes;
use super::transport::{Outgoing, OutgoingBody, RegistryResponse, Transport, TransportError};
use crate::config;
use crate::config::address::Listeners;

mod connection;
mod dial;
mod listed_certificates;
mod patience;
mod pool;
mod resolve;
mod sending;
mod tls;
mod tunnel;

const USER_AGENT: HeaderValue = HeaderValue::from_static(concat!("scriptorium/", env!("CARGO_PKG_VERSION")));

/// Sends requests to one registry and the hosts it points to, over HTTP/1.1 or HTTP/2.
pub(crate) struct HttpTransport {
    /// Replaced once one of its connections turns out to be dead: the others may be dead as well.
    pool: ArcSwap<ConnectionPool>,
    dialler: Dialler,
    patience: Patience,
    read_timeout: Duration,
    max_concurrent: usize,
}

/// Why there is no transport.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NoTransport {
    /// A certificate or a key cannot be used.
    #[error("TLS cannot be set up: {0}")]
    Tls(#[from] rustls::Error),
    /// A file that the configuration names cannot be used.
    #[error("{} cannot be used: {why}", path.display())]
    File { path: PathBuf, why: String },
    /// There is no certificate authority to verify with.
    #[error("certificates cannot be verified: {0}")]
    Judge(#[from] rustls::client::VerifierBuilderError),
}

impl HttpTransport {
    /// A transport with its own connection pool. It never dials `listeners`, the addresses of this proxy.
    ///
    /// # Errors
    /// When a file that the configuration names cannot be used.
    pub(crate) fn new(config: &config::Upstream, listeners: Listeners) -> Result<Self, NoTransport> {
        let dialler = Dialler::new(config, listeners)?;
        let pool = ArcSwap::from_pointee(ConnectionPool::new(dialler.clone(), config.max_concurrent));
        let (read_timeout, max_concurrent) = (config.read_timeout, config.max_concurrent);
        Ok(Self { pool, dialler, patience: Patience::default(), read_timeout, max_concurrent })
    }

    /// Makes a connection over which `url` could be asked for, and closes it. Nothing is sent.
    ///
    /// # Errors
    /// Why there is none, and the texts of the causes.
    pub(crate) async fn reach(&self, url: &Url) -> Result<(), (TransportError, String)> {
        let notes = Notes::default();
        let reached = match url.as_str().parse() {
            Ok(uri) => self.dialler.clone().call(uri).await.map_err(|error| classify(&error, &notes)),
            Err(_) => Err(TransportError::Broken),
        };
        reached.map(drop).map_err(|error| (error, notes.causes().unwrap_or_default()))
    }

    /// Replaces the pool `used`, unless another request did so already. Requests under way go on.
    fn drop_pool(&self, used: &Arc<ConnectionPool>) {
        if Arc::ptr_eq(&self.pool.load(), used) {
            let fresh = Arc::new(ConnectionPool::new(self.dialler.clone(), self.max_concurrent));
            drop(self.pool.compare_and_swap(used, fresh));
        }
    }

    /// Waits for `answer`, less long on a connection that was used before.
    async fn unless_doubted<T>(
        &self,
        answer: impl Future<Output = Result<T, TransportError>>,
        mut way: RequestConnection,
    ) -> Result<T, TransportError> {
        let doubt = async {
            way.begun().await;
            if way.is_used() {
                tokio::time::sleep(self.patience.now(self.read_timeout)).await;
            } else {
                future::pending::<()>().await;
            }
        };
        match future::select(pin!(answer), pin!(doubt)).await {
            Either::Left((answered, _)) => answered,
            Either::Right(((), _)) => Err(TransportError::Timeout),
        }
    }
}

#[async_trait]
impl Transport for HttpTransport {
    async fn send(&self, request: Outgoing<'_>) -> Result<RegistryResponse, TransportError> {
        let Outgoing { method, url, mut headers, body, notes } = request;
        notes.begin();
        frame(&mut headers, &method, &body);
        if let Some(credential) = self.dialler.credential_for(url) {
            headers.insert(PROXY_AUTHORIZATION, credential.clone());
        }
        let (body, watched) = match sending::send(body) {
            None => (Empty::new().map_err(|never| match never {}).boxed_unsync(), None),
            Some((sending, pieces)) => {
                (StreamBody::new(pieces.map_ok(Frame::data)).boxed_unsync(), Some(sending))
            }
        };
        let (pool, is_read, began) = (self.pool.load_full(), method == Method::GET, Instant::now());
        let mut request = Request::new(body);
        *request.uri_mut() = url.as_str().parse().map_err(|_| TransportError::Broken)?;
        (*request.method_mut(), *request.headers_mut()) = (method, headers);
        let (answer, way) = pool.send(request);
        let answer = sending::within(self.read_timeout, watched.as_ref(), answer);
        let answered = if is_read { self.unless_doubted(answer, way.clone()).await } else { answer.await };
        let answered = answered.and_then(|response| {
            response.map_err(|error| {
                let error = classify(&error, &notes);
                watched.as_ref().map_or(error, |sending| sending.blame(error))
            })
        });
        let response = match answered {
            Err(TransportError::Timeout | TransportError::Broken) if is_read && way.is_used() => {
                self.drop_pool(&pool);
                return Err(TransportError::Stale { late: matches!(answered, Err(TransportError::Timeout)) });
            }
            answered => answered?,
        };
        self.patience.learn(began.elapsed());
        pool::note(&response);
        let (status, headers) = (response.status(), response.headers().clone());
        if status == StatusCode::PROXY_AUTHENTICATION_REQUIRED && self.dialler.is_read_by_proxy(url) {
            return Err(TransportError::Unreachable(ConnectFailure::ProxyCredential));
        }
        let body = response.into_body().into_data_stream();
        let body = body.map(move |chunk| chunk.map_err(|error| classify(&error, &notes)));
        let body = sending::receive(body.boxed(), self.read_timeout, watched);
        Ok(RegistryResponse { status, headers, body })
    }
}

/// Sets the length of the body, which the HTTP client does not know of a stream. Without a length it is sent in
/// chunks.
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
    headers.entry(header::USER_AGENT).or_insert(USER_AGENT);
    headers.entry(header::ACCEPT).or_insert(HeaderValue::from_static("*/*"));
}

/// Classifies an error. Its text goes to the log only.
fn classify(error: &(dyn std::error::Error + 'static), notes: &Notes) -> TransportError {
    notes.failed(error);
    match connect_failure::find::<NotDialled>(error) {
        Some(NotDialled::Forbidden { rule, .. }) => TransportError::Forbidden(*rule),
        Some(NotDialled::Failed { cause, .. }) => TransportError::Unreachable(*cause),
        None => {
            connect_failure::of_request(error).map_or(TransportError::Broken, TransportError::Unreachable)
        }
    }
}

#[cfg(test)]
mod tests;
