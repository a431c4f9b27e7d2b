//! Makes a connection, step by step, and says which step failed.
//!
//! ```text
//!  direct          name → addresses → the guard → TCP ─────────────────── (https) TLS
//!  through a proxy the guard, by name → the proxy's name → TCP → (https proxy) TLS ─ (https) CONNECT → TLS
//! ```
//! `connect_timeout` covers all steps together. Owns their order and the cause of each failure. Must not know what is
//! sent over a connection, nor when one is made.

use std::error::Error;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use ::http::{HeaderValue, Uri};
use data_encoding::BASE64;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioIo;
use secrecy::ExposeSecret;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};
use tower_service::Service;
use url::Url;

use super::super::ConnectFailure;
use super::super::guard::{Guard, GuardRule};
use super::NoTransport;
use super::connection::{Bytestream, PooledConnection};
use super::resolve::{self, KnownAddresses};
use super::tls::{self, NoHandshake, TlsClient};
use super::tunnel::{self, NoTunnel};
use crate::config::address::{self, Listeners};
use crate::config::{self, Credential, Egress};

/// TCP keep-alive: an idle connection is given up after a minute without an answer.
const KEEPALIVE: Duration = Duration::from_secs(15);
const KEEPALIVE_LOOKS: u32 = 3;
#[cfg(target_os = "linux")]
const KERNEL_PATIENCE: Duration = Duration::from_secs(30);

/// Makes connections to a registry and to the hosts that it points to.
#[derive(Clone)]
pub(super) struct Dialler(Arc<DialSettings>);

struct DialSettings {
    guard: Guard,
    egress: Egress,
    credential: Option<HeaderValue>,
    tls: TlsClient,
    proxy_tls: TlsClient,
    connect_timeout: Duration,
    #[cfg(target_os = "linux")]
    user_timeout: Duration,
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub(super) enum NotDialled {
    /// The guard forbids the address.
    #[error("{host} is forbidden: {rule}")]
    Forbidden { host: String, rule: GuardRule },
    /// A step failed.
    #[error("{step} {place} failed")]
    Failed {
        step: &'static str,
        /// Host and port.
        place: String,
        cause: ConnectFailure,
        /// The error of the system or a library.
        #[source]
        error: Box<dyn Error + Send + Sync>,
    },
}

impl NotDialled {
    /// A failure on the way to a proxy is not the registry's.
    fn at_proxy(self) -> Self {
        match self {
            Self::Failed { step, place, error, .. } => {
                Self::Failed { step, place, cause: ConnectFailure::ProxyUnreachable, error }
            }
            Self::Forbidden { .. } => self,
        }
    }
}

/// A host and port to connect to, and a deadline.
#[derive(Clone, Copy)]
struct DialTarget<'a> {
    host: &'a str,
    port: u16,
    due: Instant,
}

impl DialTarget<'_> {
    /// One step towards it.
    async fn step<T, E: Into<Box<dyn Error + Send + Sync>>>(
        &self,
        step: &'static str,
        late: ConnectFailure,
        work: impl Future<Output = Result<T, E>>,
        cause: impl FnOnce(&E) -> ConnectFailure,
    ) -> Result<T, NotDialled> {
        let failed = |cause, error| NotDialled::Failed { step, place: self.to_string(), cause, error };
        match timeout_at(self.due, work).await {
            Ok(Ok(done)) => Ok(done),
            Ok(Err(error)) => Err(failed(cause(&error), error.into())),
            Err(elapsed) => Err(failed(late, elapsed.into())),
        }
    }
}

impl std::fmt::Display for DialTarget<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

impl Dialler {
    pub(super) fn new(config: &config::Upstream, listeners: Listeners) -> Result<Self, NoTransport> {
        let tls = TlsClient::new(&config.egress)?;
        Ok(Self(Arc::new(DialSettings {
            guard: Guard::new(config, listeners),
            credential: config.egress.proxy_auth_env.as_ref().and_then(basic),
            egress: config.egress.clone(),
            proxy_tls: tls.with_proxy(),
            tls,
            connect_timeout: config.connect_timeout,
            // The kernel must not give up on a slow receiver sooner than `read_timeout` does.
            #[cfg(target_os = "linux")]
            user_timeout: config.read_timeout.max(KERNEL_PATIENCE),
        })))
    }

    /// The credential that a request to `url` must carry for an HTTP proxy that reads it.
    pub(super) fn credential_for(&self, url: &Url) -> Option<&HeaderValue> {
        self.0.credential.as_ref().filter(|_| self.is_read_by_proxy(url))
    }

    /// Whether an HTTP proxy reads requests to `url`, rather than passing on encrypted bytes.
    pub(super) fn is_read_by_proxy(&self, url: &Url) -> bool {
        url.scheme() == "http" && url.host_str().is_some_and(|host| self.0.egress.proxy_for(host).is_some())
    }
}

impl Service<Uri> for Dialler {
    type Response = TokioIo<PooledConnection>;
    type Error = NotDialled;
    type Future = Pin<Box<dyn Future<Output = Result<TokioIo<PooledConnection>, NotDialled>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), NotDialled>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let settings = Arc::clone(&self.0);
        Box::pin(async move { settings.dial(&uri).await.map(TokioIo::new) })
    }
}

impl DialSettings {
    async fn dial(&self, uri: &Uri) -> Result<PooledConnection, NotDialled> {
        let is_https = uri.scheme_str() == Some("https");
        let port = uri.port_u16().unwrap_or(if is_https { 443 } else { 80 });
        let place = DialTarget {
            host: uri.host().unwrap_or_default(),
            port,
            due: Instant::now() + self.connect_timeout,
        };
        match self.egress.proxy_for(place.host) {
            None => {
                let tcp = self.direct(place).await?;
                if is_https {
                    self.encrypted(place, tcp).await
                } else {
                    Ok(PooledConnection::plain(tcp, false))
                }
            }
            Some(proxy) => self.through(proxy, place, is_https).await,
        }
    }

    async fn direct(&self, place: DialTarget<'_>) -> Result<TcpStream, NotDialled> {
        let looked_up = resolve::look_up(place.host, place.port);
        let found =
            place.step("the look-up of", ConnectFailure::Name, looked_up, |_| ConnectFailure::Name).await?;
        // One forbidden address among allowed ones is an attack as well.
        for address in &found {
            let judged = self.guard.judge(place.host, *address, resolve::is_ours);
            judged.map_err(|rule| NotDialled::Forbidden { host: place.host.to_owned(), rule })?;
        }
        self.connect(place, found).await
    }

    /// Through the `proxy`. The proxy resolves the name, so the target is judged by its name.
    async fn through(
        &self,
        proxy: &Url,
        place: DialTarget<'_>,
        is_https: bool,
    ) -> Result<PooledConnection, NotDialled> {
        let judged = self.guard.judge_by_name(place.host, place.port, resolve::is_ours);
        judged.map_err(|rule| NotDialled::Forbidden { host: place.host.to_owned(), rule })?;
        let by_proxy = self.to_proxy(proxy, place.due).await.map_err(NotDialled::at_proxy)?;
        if !is_https {
            return Ok(PooledConnection::plain(by_proxy, true));
        }
        let tunnel = tunnel::through(by_proxy, place.host, place.port, self.credential.as_ref());
        let tunnel = place.step("the tunnel to", ConnectFailure::ProxyRefused, tunnel, refused).await?;
        self.encrypted(place, tunnel).await
    }

    async fn to_proxy(&self, proxy: &Url, due: Instant) -> Result<Box<dyn Bytestream>, NotDialled> {
        let (host, port) =
            (proxy.host_str().unwrap_or_default(), proxy.port_or_known_default().unwrap_or(80));
        let place = DialTarget { host, port, due };
        let looked_up = resolve::look_up(host, port);
        let found = place
            .step("the look-up of the proxy", ConnectFailure::Name, looked_up, |_| ConnectFailure::Name)
            .await?;
        let tcp = self.connect(place, found).await?;
        if proxy.scheme() != "https" {
            return Ok(Box::new(tcp));
        }
        let shaken = self.proxy_tls.shake(address::unbracketed(host), tcp);
        let (step, late) = ("the TLS handshake with the proxy", ConnectFailure::Tls);
        Ok(Box::new(place.step(step, late, shaken, handshake).await?))
    }

    async fn connect(&self, place: DialTarget<'_>, found: Vec<SocketAddr>) -> Result<TcpStream, NotDialled> {
        let mut connector = HttpConnector::new_with_resolver(KnownAddresses(found));
        connector.enforce_http(false);
        connector.set_nodelay(true);
        connector.set_keepalive(Some(KEEPALIVE));
        connector.set_keepalive_interval(Some(KEEPALIVE));
        connector.set_keepalive_retries(Some(KEEPALIVE_LOOKS));
        connector.set_connect_timeout(Some(place.due.saturating_duration_since(Instant::now())));
        #[cfg(target_os = "linux")]
        connector.set_tcp_user_timeout(Some(self.user_timeout));
        let connected = async {
            let uri =
                Uri::builder().scheme("http").authority(place.to_string()).path_and_query("/").build()?;
            Ok::<_, Box<dyn Error + Send + Sync>>(connector.call(uri).await?)
        };
        let (step, late) = ("the connection to", ConnectFailure::Filtered);
        let stream =
            place.step(step, late, connected, |error| connect_failure::of_connecting(&**error)).await?;
        Ok(stream.into_inner())
    }

    async fn encrypted<S: Bytestream>(
        &self,
        place: DialTarget<'_>,
        stream: S,
    ) -> Result<PooledConnection, NotDialled> {
        let shaken = self.tls.shake(address::unbracketed(place.host), stream);
        let stream = place.step("the TLS handshake with", ConnectFailure::Tls, shaken, handshake).await?;
        let speaks_h2 = tls::speaks_h2(&stream);
        Ok(PooledConnection::encrypted(stream, speaks_h2))
    }
}

fn handshake(failed: &NoHandshake) -> ConnectFailure {
    connect_failure::of_handshake(&failed.error, failed.misses_identity)
}

fn refused(why: &NoTunnel) -> ConnectFailure {
    match why {
        NoTunnel::Credential => ConnectFailure::ProxyCredential,
        NoTunnel::Refused(_) | NoTunnel::Host => ConnectFailure::ProxyRefused,
        NoTunnel::Broken(_) => ConnectFailure::ProxyUnreachable,
    }
}

/// `Basic` authentication (RFC 7617).
fn basic(held: &Credential) -> Option<HeaderValue> {
    let pair = BASE64.encode(held.token.expose_secret().as_bytes());
    let mut value = HeaderValue::from_str(&format!("Basic {pair}")).ok()?;
    value.set_sensitive(true);
    Some(value)
}
