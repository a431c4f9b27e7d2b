//! The ports while they are served.
//!
//! Owns the threads, which of them serves a connection, and the wait for the last one. Must not know why they are
//! stopped, nor what is said on a connection. One thread accepts for both ports; each connection is then served by one
//! of its port's workers alone.

use std::io;
use std::net::TcpListener;
use std::sync::Arc;
use std::task::Context;
use std::time::Duration;

use futures_util::future::select_all;
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::error::Elapsed;
use tokio_rustls::TlsAcceptor;

use super::accept::{NewConnection, accept_all, poll_accept};
use super::connection::Http;
use super::connections::Connections;
use super::peer::PeerResolver;
use super::worker::Worker;
use super::{PortTerms, RequestHandler};
use crate::telemetry::Metrics;

/// One port, before it is served.
pub(super) struct Port<H> {
    pub(super) name: &'static str,
    pub(super) listener: TcpListener,
    pub(super) threads: usize,
    pub(super) terms: PortTerms,
    pub(super) tls: Option<TlsAcceptor>,
    pub(super) peers: PeerResolver,
    pub(super) metrics: Arc<Metrics>,
    pub(super) handler: Arc<H>,
}

/// The ports while they are served. Dropped, they stop at once.
pub(super) struct RunningServer {
    acceptor: Worker,
    accepting: JoinSet<()>,
    workers: Vec<Worker>,
    /// One for each worker: whoever waits for a channel writes to it.
    shutdowns: Vec<watch::Sender<bool>>,
    ports: Vec<Arc<Connections>>,
}

impl RunningServer {
    /// Starts the thread that accepts.
    pub(super) fn start() -> io::Result<Self> {
        let (acceptor, accepting) = (Worker::start("accept".to_owned())?, JoinSet::new());
        Ok(Self { acceptor, accepting, workers: Vec::new(), shutdowns: Vec::new(), ports: Vec::new() })
    }

    /// Serves a port with threads of its own.
    pub(super) fn serve<H: RequestHandler>(&mut self, port: Port<H>) -> io::Result<()> {
        let Port { name, listener, threads, terms, tls, peers, metrics, handler } = port;
        let connections = Connections::new(terms.connections, threads, name, metrics);
        let mut serving = Vec::with_capacity(threads);
        for number in 0..threads {
            let worker = Worker::start(format!("{name}-{number}"))?;
            let (shutdown, begun) = watch::channel(false);
            let (handler, connections) = (handler.clone(), connections.clone());
            // One for each worker: whoever holds a reference writes to its count.
            let http = Arc::new(Http::new(handler, connections, terms, tls.clone(), peers.clone(), begun));
            serving.push((worker.runtime.clone(), http));
            self.workers.push(worker);
            self.shutdowns.push(shutdown);
        }
        self.ports.push(connections.clone());
        let _registers_here = self.acceptor.runtime.enter();
        let listener = tokio::net::TcpListener::from_std(listener)?;
        let poll = move |context: &mut Context<'_>| poll_accept(&listener, context);
        self.accepting.spawn(accept_all(poll, move |new| assign(new, &connections, &serving)));
        Ok(())
    }

    /// The threads that accept and serve.
    pub(super) fn threads(&self) -> Vec<Handle> {
        self.workers.iter().chain([&self.acceptor]).map(|worker| worker.runtime.clone()).collect()
    }

    /// Waits until a thread has ended.
    pub(super) async fn failed(&mut self) {
        let threads = self.workers.iter().chain([&self.acceptor]);
        let ended = select_all(threads.map(|thread| Box::pin(thread.ended())));
        tokio::select! {
            _ = ended => {}
            _ = self.accepting.join_next() => {}
        }
    }

    /// Accepts no more, and tells every connection to finish.
    pub(super) async fn stop(&mut self) {
        // Waited for, so that no connection comes after all are closed.
        self.accepting.shutdown().await;
        for shutdown in &self.shutdowns {
            shutdown.send_replace(true);
        }
    }

    /// Waits at most `grace` until the last connection is closed.
    pub(super) async fn finished(&self, grace: Duration) -> Result<(), Elapsed> {
        tokio::time::timeout(grace, async {
            for port in &self.ports {
                port.all_closed().await;
            }
        })
        .await
    }
}

/// Gives a connection to the worker that has the fewest, if there is room for one more.
fn assign<H: RequestHandler>(
    new: NewConnection,
    port: &Arc<Connections>,
    serving: &[(Handle, Arc<Http<H>>)],
) {
    let slot = match port.open() {
        Ok(slot) => slot,
        Err(error) => return tracing::debug!(%error, "connection refused"),
    };
    let connection = slot.connection().clone();
    let Some((worker, http)) = serving.get(connection.worker) else { return };
    connection.runs(worker.spawn(http.clone().serve(new, slot)).abort_handle());
}

#[cfg(test)]
mod tests;
