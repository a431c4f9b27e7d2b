//! The server library: a service for each port, started and stopped.
//!
//! Owns its settings, its threads, and knowing when the last connection is gone. Must not know why it is stopped, nor
//! what is said on a connection.

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use async_trait::async_trait;
use pingora_core::listeners::{L4BufferSettings, ListenerConfig, TcpSocketOptions};
use pingora_core::protocols::TcpKeepalive;
use pingora_core::server::configuration::ServerConf;
use pingora_core::server::{
    ExecutionPhase, ListenFds, RunArgs, ShutdownSignal, ShutdownSignalWatch, ShutdownWatch,
};
use pingora_core::services::{Service, listening};
use tokio::sync::{Mutex, Notify, broadcast, mpsc};
use tokio::time::error::Elapsed;
use tokio_rustls::TlsAcceptor;

use super::connection::Http;
use super::doorkeeper::Doorkeeper;
use super::socket::Socket;
use super::{Answer, ListenError, Observer, Settings, Terms, connections};

/// The ports before they are served.
pub(super) struct Server {
    library: pingora_core::server::Server,
    ports: Vec<Arc<connections::Port>>,
    ended: Arc<Notify>,
}

impl Server {
    pub(super) fn new(settings: &Settings) -> Self {
        let conf = ServerConf {
            // A connection stays on its thread: a tenth more requests than with work that moves.
            work_stealing: false,
            // Slept through in full, but on a thread that nobody waits for.
            grace_period_seconds: Some(settings.shutdown_grace.as_secs().saturating_add(1)),
            ..ServerConf::default()
        };
        Self {
            library: pingora_core::server::Server::new_with_opt_and_conf(None, conf),
            ports: Vec::new(),
            ended: Arc::default(),
        }
    }

    /// Serves a socket with threads of its own, on these terms.
    pub(super) fn add<A: Answer>(
        &mut self,
        name: &'static str,
        (socket, threads): (Socket, usize),
        terms: Terms,
        tls: Option<TlsAcceptor>,
        (doorkeeper, observer): (Doorkeeper, Arc<dyn Observer>),
        answer: Arc<A>,
    ) {
        let port = connections::Port::new(terms.places, observer);
        let http = Http::new(answer, port.clone(), terms, tls, doorkeeper);
        let mut service = listening::Service::new(name.to_owned(), http);
        service.threads = Some(threads);
        service.add_listener(endpoint(&socket));
        self.library.add_service(Port { service, socket, ended: self.ended.clone() });
        self.ports.push(port);
    }

    /// Starts serving on a thread that ends with the process: the library waits out every period in full.
    pub(super) fn start(self) -> Result<Running, ListenError> {
        let (orders, receiver) = mpsc::channel(1);
        let phase = self.library.watch_execution_phase();
        let library = self.library;
        let run = move || library.run(RunArgs { shutdown_signal: Box::new(Orders(Mutex::new(receiver))) });
        thread::Builder::new().name("server".to_owned()).spawn(run).map_err(ListenError::Start)?;
        Ok(Running { orders, phase, ports: self.ports, ended: self.ended })
    }
}

/// The ports while they are served. Dropped, they stop at once.
pub(super) struct Running {
    orders: mpsc::Sender<ShutdownSignal>,
    phase: broadcast::Receiver<ExecutionPhase>,
    ports: Vec<Arc<connections::Port>>,
    ended: Arc<Notify>,
}

impl Running {
    /// Waits until a port is no longer served.
    pub(super) async fn failed(&self) {
        self.ended.notified().await;
    }

    /// Asks for a stop; further calls change nothing.
    pub(super) fn stop(&self) {
        // Full or closed both mean that it is stopping already.
        let _ = self.orders.try_send(ShutdownSignal::GracefulTerminate);
    }

    /// Waits until the stop has begun and then, for as long as `grace`, until the last connection is closed.
    pub(super) async fn finished(&mut self, grace: Duration) -> Result<(), Elapsed> {
        while let Ok(phase) = self.phase.recv().await {
            if matches!(phase, ExecutionPhase::ShutdownStarted) {
                break;
            }
        }
        tokio::time::timeout(grace, async {
            for port in &self.ports {
                port.all_closed().await;
            }
        })
        .await
    }
}

/// A service that is given its socket, and reports its end even when that is a panic.
struct Port<A> {
    service: listening::Service<Http<A>>,
    socket: Socket,
    ended: Arc<Notify>,
}

#[async_trait]
impl<A: Answer> Service for Port<A> {
    async fn start_service(&mut self, fds: Option<ListenFds>, shutdown: ShutdownWatch, listeners: usize) {
        let _ended = NotifyOnDrop(self.ended.clone());
        if let Some(fds) = &fds {
            fds.lock().add(self.socket.name.clone(), self.socket.fd);
        }
        self.service.start_service(fds, shutdown, listeners).await;
    }

    fn name(&self) -> &str {
        self.service.name()
    }

    fn threads(&self) -> Option<usize> {
        self.service.threads()
    }
}

struct NotifyOnDrop(Arc<Notify>);

impl Drop for NotifyOnDrop {
    fn drop(&mut self) {
        self.0.notify_one();
    }
}

/// Hands orders to the library in place of the signals that it would watch for.
struct Orders(Mutex<mpsc::Receiver<ShutdownSignal>>);

#[async_trait]
impl ShutdownSignalWatch for Orders {
    async fn recv(&self) -> ShutdownSignal {
        self.0.lock().await.recv().await.unwrap_or(ShutdownSignal::FastShutdown)
    }
}

fn endpoint(socket: &Socket) -> ListenerConfig {
    let mut options = TcpSocketOptions::default();
    options.tcp_keepalive = Some(TcpKeepalive {
        idle: Duration::from_secs(60),
        interval: Duration::from_secs(10),
        count: 6,
        user_timeout: Duration::ZERO,
    });
    // What speaks HTTP on it has buffers already; a second pair costs 64 KiB a connection and a copy.
    ListenerConfig::tcp(socket.name.clone())
        .tcp_socket_options(options)
        .l4_buffer(L4BufferSettings::unbuffered())
}
