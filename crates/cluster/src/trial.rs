//! A trial connection to the engine, made step by step, so that a failure has the name of its step.
//!
//! The library does not tell at which step it failed. The name is looked up, one of its addresses connected to, TLS begun if it
//! was asked for, and the engine greeted with the password and the database, as the library does. Owns these steps. Must not
//! know when a trial is made; no operation uses its connection.

use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use connect_failure::{ConnectFailure, MissingIdentity, find, of_connecting, of_handshake, of_request};
use futures_util::future::{Either, pending, select, select_ok};
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, ConnectionAddr, ConnectionInfo, RedisConnectionInfo, RedisError};
use rustls::crypto::ring;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, lookup_host};
use tokio::time::{Instant, sleep, timeout_at};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::fault::{DEADLINE, EngineFault};
use crate::first_answer::{FirstAnswer, Unwelcome};
use crate::refusal::{fault, of_selecting};

/// So long a TLS handshake is unanswered before the engine is asked whether it speaks TLS at all.
const QUIET: Duration = Duration::from_millis(150);
/// Addresses of a name that are tried.
const MOST_ADDRESSES: usize = 16;

/// How the engine is reached.
pub(crate) struct ConnectTrial {
    host: String,
    port: u16,
    speaks_tls: bool,
    database: u16,
    login: RedisConnectionInfo,
}

impl ConnectTrial {
    pub(crate) fn new(info: &ConnectionInfo) -> Result<Self, EngineFault> {
        let (host, port, speaks_tls) = match info.addr() {
            ConnectionAddr::Tcp(host, port) => (host.clone(), *port, false),
            ConnectionAddr::TcpTls { host, port, .. } => (host.clone(), *port, true),
            _ => return Err(EngineFault::Address),
        };
        let login = info.redis_settings().clone();
        let database = u16::try_from(login.db()).map_err(|_| EngineFault::Address)?;
        // Chosen after the greeting, so that a refusal says why.
        Ok(Self { host, port, speaks_tls, database, login: login.set_db(0) })
    }

    /// Why no connection can be made, if that has a name, in less than the deadline of an operation.
    pub(crate) async fn run(&self) -> Option<EngineFault> {
        // An engine that is only slow may yet answer whoever waits longer.
        self.connect().await.err().filter(|fault| *fault != EngineFault::Slow)
    }

    /// Makes a connection and drops it.
    async fn connect(&self) -> Result<(), EngineFault> {
        let due = Instant::now() + DEADLINE * 9 / 10;
        let looked_up = lookup_host((&*self.host, self.port));
        let found = step(due, ConnectFailure::Name, looked_up, |_| ConnectFailure::Name.into()).await?;
        let found: Vec<_> =
            found.take(MOST_ADDRESSES).map(|address| Box::pin(TcpStream::connect(address))).collect();
        if found.is_empty() {
            return Err(ConnectFailure::Name.into());
        }
        let failed = |error: std::io::Error| of_connecting(&error).into();
        let (tcp, _others) = step(due, ConnectFailure::Filtered, select_ok(found), failed).await?;
        let _ = tcp.set_nodelay(true);
        if self.speaks_tls {
            let encrypted = self.encrypt_unless_plain(tcp);
            let (stream, identity) = step(due, EngineFault::Slow, encrypted, |fault| fault).await?;
            // A server may close before its alert is read.
            let closed =
                if identity.is_missed() { ConnectFailure::TlsClient } else { ConnectFailure::Closed };
            return step(due, EngineFault::Slow, self.greet(stream, closed), |fault| fault).await;
        }
        let address = tcp.peer_addr();
        let closed = ConnectFailure::Closed;
        match step(due, EngineFault::Slow, self.greet(tcp, closed), |fault| fault).await {
            // A server of TLS may close without a word where none was asked.
            Err(EngineFault::Unconnected(ConnectFailure::Closed)) => {
                let is_tls = async { Ok::<_, EngineFault>(self.is_tls(address.ok()).await) };
                let is_tls = step(due, closed, is_tls, |fault| fault).await?;
                Err(if is_tls { ConnectFailure::OnlyTls } else { closed }.into())
            }
            greeted => greeted,
        }
    }

    /// Begins TLS. An engine without TLS may wait for the rest of a command for ever.
    async fn encrypt_unless_plain(
        &self,
        tcp: TcpStream,
    ) -> Result<(TlsStream<TcpStream>, MissingIdentity), EngineFault> {
        let address = tcp.peer_addr();
        let is_plain = async {
            sleep(QUIET).await;
            match address {
                Ok(address) if is_plain(address).await => {}
                Ok(_) | Err(_) => pending().await,
            }
        };
        match select(pin!(self.encrypt(tcp)), pin!(is_plain)).await {
            Either::Left((encrypted, _)) => encrypted,
            Either::Right(((), _)) => Err(ConnectFailure::NotTls.into()),
        }
    }

    async fn encrypt(&self, tcp: TcpStream) -> Result<(TlsStream<TcpStream>, MissingIdentity), EngineFault> {
        let name = ServerName::try_from(self.host.clone()).map_err(|_| EngineFault::Address)?;
        // Authorities are read from files.
        let settings = tokio::task::spawn_blocking(tls_settings).await;
        let (settings, identity) = settings.map_err(|_| ConnectFailure::Tls)??;
        let shaken = TlsConnector::from(Arc::new(settings)).connect(name, tcp).await;
        let stream = shaken.map_err(|error| of_handshake(&error, identity.is_missed()))?;
        Ok((stream, identity))
    }

    /// Whether a server that closed a connection without TLS answers one with TLS.
    async fn is_tls(&self, address: Option<SocketAddr>) -> bool {
        let Some(address) = address else { return false };
        let Ok(tcp) = TcpStream::connect(address).await else { return false };
        match self.encrypt(tcp).await {
            Ok(_) => true,
            Err(EngineFault::Unconnected(why)) => {
                !matches!(why, ConnectFailure::NotTls | ConnectFailure::Closed)
            }
            Err(_) => false,
        }
    }

    /// Says who this is, and chooses the database. `closed`: what it means if the engine closes instead of an answer.
    async fn greet<S>(&self, stream: S, closed: ConnectFailure) -> Result<(), EngineFault>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        // The step has an end.
        let config = AsyncConnectionConfig::new().set_response_timeout(None);
        let stream = FirstAnswer::of(stream);
        let greeted = MultiplexedConnection::new_with_config(&self.login, stream, config).await;
        let (mut connection, serving) = greeted.map_err(|error| greeting(&error, closed))?;
        if self.database == 0 {
            return Ok(());
        }
        let select_database = redis::cmd("SELECT").arg(self.database).clone();
        let selected = match select(pin!(select_database.exec_async(&mut connection)), pin!(serving)).await {
            Either::Left((selected, _)) => selected,
            Either::Right(((), selecting)) => selecting.await,
        };
        selected.map_err(|error| of_selecting(self.database, &error))
    }
}

/// Whether a server that leaves a TLS handshake unanswered answers a command without TLS.
async fn is_plain(address: SocketAddr) -> bool {
    let asked = async {
        let mut tcp = TcpStream::connect(address).await?;
        tcp.write_all(b"PING\r\n").await?;
        tcp.read_u8().await
    };
    // A good answer, or an error such as a missing password.
    asked.await.is_ok_and(|first| matches!(first, b'+' | b'-'))
}

/// One step, which ends when the connection is `due`: then it failed as `late`.
async fn step<T, E>(
    due: Instant,
    late: impl Into<EngineFault>,
    work: impl Future<Output = Result<T, E>>,
    why: impl FnOnce(E) -> EngineFault,
) -> Result<T, EngineFault> {
    match timeout_at(due, work).await {
        Ok(done) => done.map_err(why),
        Err(_elapsed) => Err(late.into()),
    }
}

/// What a greeting failed of.
fn greeting(error: &RedisError, closed: ConnectFailure) -> EngineFault {
    if let Some(Unwelcome(fault)) = find(error) {
        return *fault;
    }
    if let Some(why) = of_request(error) {
        return why.into();
    }
    if error.is_connection_dropped() { closed.into() } else { fault(error) }
}

/// Whom this machine trusts now. An authority that cannot be read fails every connection of the library.
fn tls_settings() -> Result<(ClientConfig, MissingIdentity), EngineFault> {
    let mut roots = RootCertStore::empty();
    let found = rustls_native_certs::load_native_certs();
    let added = found.certs.into_iter().try_for_each(|authority| roots.add(authority));
    if added.is_err() || !found.errors.is_empty() {
        return Err(ConnectFailure::TlsAuthority.into());
    }
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
    let builder = builder.with_safe_default_protocol_versions().map_err(|_| ConnectFailure::Tls)?;
    let mut settings = builder.with_root_certificates(roots).with_no_client_auth();
    let identity = MissingIdentity::default();
    settings.client_auth_cert_resolver = Arc::new(identity.clone());
    Ok((settings, identity))
}
