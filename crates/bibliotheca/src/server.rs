//! The registry behind a socket: a blocking HTTP/1.1 server that carries out the script, counts connections and
//! bytes, and can stop and start again on the same port.
//!
//! Owns connections. Must not know what is replied; that is `registry`.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::io::{self, BufReader};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use parking_lot::Mutex;

use crate::registry::ScriptedRegistry;
use crate::request::{BodyEnding, ReceivedRequest};
use crate::script::Accident;
use crate::wire::{read_body, read_head};

/// The most connections that are open at once. Further ones are closed.
const MOST_CONNECTIONS: usize = 20_000;
/// A registry that listens on a port of this machine. It stops when dropped.
pub struct RegistryServer {
    shared: Arc<Shared>,
    address: SocketAddr,
    acceptor: Mutex<Option<JoinHandle<()>>>,
}

struct Shared {
    registry: ScriptedRegistry,
    listening: AtomicBool,
    connections: AtomicUsize,
    unwelcome: AtomicUsize,
    open: Mutex<HashMap<usize, TcpStream>>,
    sent: AtomicU64,
}

impl Deref for RegistryServer {
    type Target = ScriptedRegistry;

    fn deref(&self) -> &ScriptedRegistry {
        &self.shared.registry
    }
}

impl RegistryServer {
    /// Listens on a free port that no outgoing connection is given, so that it can be taken again after
    /// [`Self::down`]. Tries ports until one is free.
    pub fn start() -> Self {
        loop {
            // Linux gives outgoing connections ports from 32768.
            let port = 10_000 + (RandomState::new().hash_one(()) % 20_000) as u16;
            if let Ok(server) = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).and_then(Self::over) {
                return server;
            }
        }
    }

    /// The same at this address. Waits until it is free.
    pub fn start_at(address: SocketAddr) -> Self {
        loop {
            if let Ok(server) = Self::over(bind(address)) {
                return server;
            }
        }
    }

    /// A registry that answers on `listener`.
    ///
    /// # Errors
    /// When the listener has no local address.
    pub fn over(listener: TcpListener) -> io::Result<Self> {
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared {
            registry: ScriptedRegistry::at(&format!("http://{address}")),
            listening: AtomicBool::new(false),
            connections: AtomicUsize::new(0),
            unwelcome: AtomicUsize::new(0),
            open: Mutex::default(),
            sent: AtomicU64::new(0),
        });
        let server = Self { shared, address, acceptor: Mutex::default() };
        server.listen(listener);
        Ok(server)
    }

    /// Host and port.
    pub fn authority(&self) -> String {
        self.address.to_string()
    }

    /// The port.
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// Closes the next connections as they are accepted, before anything is read.
    pub fn hang_up_on(&self, connections: usize) {
        self.shared.unwelcome.store(connections, Ordering::SeqCst);
    }

    /// How many connections were ever accepted.
    pub fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::SeqCst)
    }

    /// How many bytes of bodies were written.
    pub fn sent(&self) -> u64 {
        self.shared.sent.load(Ordering::Relaxed)
    }

    /// Stops listening and cuts every connection.
    pub fn down(&self) {
        let Some(acceptor) = self.acceptor.lock().take() else { return };
        self.shared.listening.store(false, Ordering::SeqCst);
        TcpStream::connect(self.address).ok();
        acceptor.join().ok();
        for (_, stream) in self.shared.open.lock().drain() {
            stream.shutdown(Shutdown::Both).ok();
        }
    }

    /// Listens again on the same port. Waits until it is free.
    pub fn up(&self) {
        self.listen(bind(self.address));
    }

    fn listen(&self, listener: TcpListener) {
        self.shared.listening.store(true, Ordering::SeqCst);
        let shared = Arc::clone(&self.shared);
        *self.acceptor.lock() = Some(thread::spawn(move || accept(&listener, &shared)));
    }
}

impl Drop for RegistryServer {
    fn drop(&mut self) {
        self.down();
    }
}

/// Waits until `address` is free.
fn bind(address: SocketAddr) -> TcpListener {
    loop {
        match TcpListener::bind(address) {
            Ok(listener) => return listener,
            Err(_) => thread::sleep(Duration::from_millis(20)),
        }
    }
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    for stream in listener.incoming().map_while(Result::ok) {
        if !shared.listening.load(Ordering::SeqCst) {
            return;
        }
        let number = shared.connections.fetch_add(1, Ordering::SeqCst);
        let one_less = |left: usize| left.checked_sub(1);
        let unwelcome = shared.unwelcome.fetch_update(Ordering::SeqCst, Ordering::SeqCst, one_less).is_ok();
        if unwelcome || shared.open.lock().len() >= MOST_CONNECTIONS {
            continue;
        }
        shared.open.lock().extend(stream.try_clone().map(|stream| (number, stream)));
        let shared = Arc::clone(shared);
        thread::spawn(move || {
            converse(stream, &shared);
            // The last handle closes the socket, so that a peer that still sends gets an error.
            shared.open.lock().remove(&number);
        });
    }
}

/// Answers one request after the other until one of them ends the connection.
fn converse(mut stream: TcpStream, shared: &Shared) {
    stream.set_nodelay(true).ok();
    let Ok(reading) = stream.try_clone() else { return };
    let mut reading = BufReader::new(reading);
    while let Ok(Some((start, fields))) = read_head(&mut reading) {
        let mut words = start.split(' ');
        let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        let head = ReceivedRequest::new(method, target, fields);
        let recorded = shared.registry.record(head.clone());
        let accident = shared.registry.script().accident(&head);
        let most = match &accident {
            Some(Accident::Unread) => break,
            Some(Accident::BodyCut(most)) => *most,
            Some(Accident::Early(reply)) => {
                reply.write(&head, &mut stream, &shared.sent).ok();
                read(&recorded, &mut reading, u64::MAX);
                break;
            }
            _ => u64::MAX,
        };
        let whole = read(&recorded, &mut reading, most);
        let Some(request) = whole.filter(|_| !matches!(accident, Some(Accident::BodyCut(_)))) else { break };
        let gate = shared.registry.script().gates.get(&request.target).cloned();
        let reply = match &accident {
            Some(Accident::Instead(reply)) => reply.clone(),
            _ => shared.registry.respond(&request),
        };
        if let Some(gate) = gate {
            gate.wait();
        }
        let lost = matches!(accident, Some(Accident::AnswerLost));
        if lost || !matches!(reply.write(&request, &mut stream, &shared.sent), Ok(true)) {
            break;
        }
    }
    stream.shutdown(Shutdown::Both).ok();
}

/// Reads at most this much of the body; returns the request when its body arrived whole.
fn read(
    recorded: &Mutex<ReceivedRequest>,
    from: &mut BufReader<TcpStream>,
    most: u64,
) -> Option<ReceivedRequest> {
    let framing = recorded.lock().framing;
    let whole = read_body(from, framing, |piece| {
        let mut request = recorded.lock();
        let room = usize::try_from(most - request.length).unwrap_or(usize::MAX);
        request.extend(&piece[..piece.len().min(room)]);
        request.length < most
    });
    let mut request = recorded.lock();
    request.ending = if whole { BodyEnding::Whole } else { BodyEnding::Short };
    whole.then(|| request.clone())
}
