//! The transport over real sockets: one request, one answer, and what became of it where there is none.
//!
//! `dial` makes connections under the guard's second line (over `resolve`, `tunnel` and `tls`), `pool` keeps them, `sending`
//! watches over bodies on their way out, `cause` tells failures apart. Owns the clocks around an exchange and which
//! connection is taken for dead. Must not know what is asked, nor why.

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

use self::dial::{Dialler, NotDialled};
use self::patience::Patience;
use self::pool::{Pool, Way};
use super::cause::Cause;
use super::notes::Notes;
use super::transport::{Outgoing, OutgoingBody, Response, Transport, TransportError};
use crate::config;
use crate::config::address::Listeners;

mod believing;
mod cause;
mod connection;
mod dial;
mod patience;
mod pool;
mod resolve;
mod sending;
mod tls;
mod tunnel;

const USER_AGENT: HeaderValue = HeaderValue::from_static(concat!("scriptorium/", env!("CARGO_PKG_VERSION")));

/// Asks one registry, and whom it points to, over HTTP/1.1 or HTTP/2.
pub struct HttpTransport {
    /// Once a connection in it turns out to be dead, the others are not to be trusted either.
    pool: ArcSwap<Pool>,
    dialler: Dialler,
    patience: Patience,
    read_timeout: Duration,
    max_concurrent: usize,
}

/// Why there is no transport.
#[derive(Debug, thiserror::Error)]
pub enum NoTransport {
    /// A certificate or a key cannot be used.
    #[error("TLS cannot be set up: {0}")]
    Tls(#[from] rustls::Error),
    /// A file that was there when the configuration was checked cannot be used.
    #[error("{} cannot be used: {why}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why not.
        why: String,
    },
    /// Nobody could be believed.
    #[error("certificates cannot be judged: {0}")]
    Judge(#[from] rustls::client::VerifierBuilderError),
}

impl HttpTransport {
    /// A transport with a connection pool of its own, which never dials our own `listeners`.
    ///
    /// # Errors
    /// When a file that the configuration names cannot be used.
    pub fn new(config: &config::Upstream, listeners: Listeners) -> Result<Self, NoTransport> {
        let dialler = Dialler::new(config, listeners)?;
        let pool = ArcSwap::from_pointee(Pool::new(dialler.clone(), config.max_concurrent));
        let (read_timeout, max_concurrent) = (config.read_timeout, config.max_concurrent);
        Ok(Self { pool, dialler, patience: Patience::default(), read_timeout, max_concurrent })
    }

    /// Leaves the pool `used` behind, unless another request did so already. What is under way goes on.
    fn drop_pool(&self, used: &Arc<Pool>) {
        if Arc::ptr_eq(&self.pool.load(), used) {
            let fresh = Arc::new(Pool::new(self.dialler.clone(), self.max_concurrent));
            drop(self.pool.compare_and_swap(used, fresh));
        }
    }

    /// Waits for `answer`, and for less where it should come on a connection that was used before.
    async fn unless_doubted<T>(
        &self,
        answer: impl Future<Output = Result<T, TransportError>>,
        mut way: Way,
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
    async fn send(&self, request: Outgoing<'_>) -> Result<Response, TransportError> {
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
            return Err(TransportError::Unreachable(Cause::ProxyCredential));
        }
        let body = response.into_body().into_data_stream();
        let body = body.map(move |chunk| chunk.map_err(|error| classify(&error, &notes)));
        let body = sending::receive(body.boxed(), self.read_timeout, watched);
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
    headers.entry(header::USER_AGENT).or_insert(USER_AGENT);
    headers.entry(header::ACCEPT).or_insert(HeaderValue::from_static("*/*"));
}

/// What an error comes to. Its words are for the log.
fn classify(error: &(dyn std::error::Error + 'static), notes: &Notes) -> TransportError {
    notes.failed(error);
    match cause::find::<NotDialled>(error) {
        Some(NotDialled::Forbidden { rule, .. }) => TransportError::Forbidden(*rule),
        Some(NotDialled::Failed { cause, .. }) => TransportError::Unreachable(*cause),
        None => cause::of_request(error).map_or(TransportError::Broken, TransportError::Unreachable),
    }
}

#[cfg(test)]
mod tests;
