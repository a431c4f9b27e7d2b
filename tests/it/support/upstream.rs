//! The programmable registry: a blocking HTTP/1.1 server that answers from a script, counts what it
//! is asked, holds answers back, and can vanish and return on the same port.

use std::collections::{BTreeMap, HashMap};
use std::io::BufReader;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::{self, JoinHandle};

use serde_json::{Value, json};

use super::catalogue::{Release, index_path};
use super::reply::{Gate, Hold, Reply};
use super::wire::{Fields, read_head};
use super::{eventually, free_port};

/// One request as it arrived.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) target: String,
    pub(crate) fields: Fields,
}

/// The registry; it stops when dropped.
pub(crate) struct Upstream {
    shared: Arc<Shared>,
    address: SocketAddr,
    acceptor: Mutex<Option<JoinHandle<()>>>,
    rows: Mutex<BTreeMap<String, Vec<Value>>>,
}

#[derive(Default)]
struct Shared {
    listening: AtomicBool,
    connections: AtomicUsize,
    open: Mutex<Vec<TcpStream>>,
    sent: AtomicU64,
    script: Mutex<Script>,
    seen: Mutex<Vec<Seen>>,
}

#[derive(Default)]
struct Script {
    replies: HashMap<String, Reply>,
    gates: HashMap<String, Arc<Gate>>,
    otherwise: Option<Reply>,
    spoilt: Option<fn(Reply) -> Reply>,
}

impl Upstream {
    pub(crate) fn start() -> Self {
        Self::start_at(SocketAddr::from(([127, 0, 0, 1], free_port())))
    }

    pub(crate) fn start_at(address: SocketAddr) -> Self {
        let upstream =
            Self { shared: Arc::default(), address, acceptor: Mutex::default(), rows: Mutex::default() };
        upstream.up();
        upstream
    }

    pub(crate) fn authority(&self) -> String {
        self.address.to_string()
    }

    pub(crate) fn port(&self) -> u16 {
        self.address.port()
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Offers a release on its exact route, its archive route and in its volume's index.
    pub(crate) fn publish(&self, release: &Release) {
        self.offer(release, Reply::archive(release.archive()));
    }

    /// The same from a registry that sends ranges of archives.
    pub(crate) fn publish_ranged(&self, release: &Release) {
        self.offer(release, Reply::archive(release.archive()).ranged());
    }

    fn offer(&self, release: &Release, archive: Reply) {
        self.reply(&release.source(), archive);
        self.say(release, [release.row(&self.url())], Reply::json(&release.metadata(&self.url())));
    }

    /// Changes what the index and the exact route say of a release, both at one moment.
    pub(crate) fn say(&self, release: &Release, rows: impl IntoIterator<Item = Value>, exact: Reply) {
        let index = self.index(&release.name, &release.version, rows);
        let mut script = self.script();
        script.replies.insert(release.index(), index);
        script.replies.insert(release.exact(), exact);
    }

    /// Puts a row into a volume's index, in place of the one of the same version.
    pub(crate) fn list(&self, name: &str, row: Value) {
        let version = row["version"].as_str().unwrap().to_owned();
        let index = self.index(name, &version, [row]);
        self.reply(&index_path(name), index);
    }

    /// A volume's index with these rows in place of those of the version.
    fn index(&self, name: &str, version: &str, rows: impl IntoIterator<Item = Value>) -> Reply {
        let mut volumes = self.rows.lock().unwrap();
        let held = volumes.entry(name.to_owned()).or_default();
        held.retain(|row| row["version"] != version);
        held.extend(rows);
        Reply::json(&json!({ "items": held }))
    }

    /// Scripts the answer of a target; one without its query answers every query.
    pub(crate) fn reply(&self, target: &str, reply: Reply) {
        self.script().replies.insert(target.to_owned(), reply);
    }

    /// Scripts the answer of every target that has none of its own.
    pub(crate) fn otherwise(&self, reply: Reply) {
        self.script().otherwise = Some(reply);
    }

    /// Makes something else of every answer, or nothing any more.
    pub(crate) fn spoil(&self, how: Option<fn(Reply) -> Reply>) {
        self.script().spoilt = how;
    }

    /// Keeps the answers of a target back from now on; requests are counted as they arrive.
    pub(crate) fn hold(&self, target: &str) -> Hold {
        let hold = Hold::default();
        self.script().gates.insert(target.to_owned(), Arc::clone(&hold.0));
        hold
    }

    /// How often a target was asked for; one without its query counts every query.
    pub(crate) fn requests(&self, target: &str) -> usize {
        self.seen().iter().filter(|seen| seen.target == target || path(&seen.target) == target).count()
    }

    /// The `Range` of every request for a target that had one, in the order they came.
    pub(crate) fn ranges(&self, target: &str) -> Vec<String> {
        let asked = self.seen().into_iter().filter(|seen| seen.target == target);
        asked.filter_map(|seen| seen.fields.get("range").map(str::to_owned)).collect()
    }

    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.shared.seen.lock().unwrap().clone()
    }

    /// How many connections were ever accepted.
    pub(crate) fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::SeqCst)
    }

    /// How many bytes of bodies were written.
    pub(crate) fn sent(&self) -> u64 {
        self.shared.sent.load(Ordering::Relaxed)
    }

    /// Stops listening and cuts every connection.
    pub(crate) fn down(&self) {
        let Some(acceptor) = self.acceptor.lock().unwrap().take() else { return };
        self.shared.listening.store(false, Ordering::SeqCst);
        TcpStream::connect(self.address).ok();
        acceptor.join().unwrap();
        for stream in self.shared.open.lock().unwrap().drain(..) {
            stream.shutdown(Shutdown::Both).ok();
        }
    }

    /// Listens again on the same port.
    pub(crate) fn up(&self) {
        let listener = eventually("the upstream's port", || TcpListener::bind(self.address).ok());
        self.shared.listening.store(true, Ordering::SeqCst);
        let shared = Arc::clone(&self.shared);
        *self.acceptor.lock().unwrap() = Some(thread::spawn(move || accept(&listener, &shared)));
    }

    fn script(&self) -> MutexGuard<'_, Script> {
        self.shared.script.lock().unwrap()
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.down();
    }
}

fn path(target: &str) -> &str {
    target.split('?').next().unwrap_or_default()
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    for stream in listener.incoming().map_while(Result::ok) {
        if !shared.listening.load(Ordering::SeqCst) {
            return;
        }
        shared.connections.fetch_add(1, Ordering::SeqCst);
        shared.open.lock().unwrap().extend(stream.try_clone());
        let shared = Arc::clone(shared);
        thread::spawn(move || converse(stream, &shared));
    }
}

fn converse(mut stream: TcpStream, shared: &Shared) {
    stream.set_nodelay(true).ok();
    let Ok(reading) = stream.try_clone() else { return };
    let mut reading = BufReader::new(reading);
    while let Ok(Some((start, fields))) = read_head(&mut reading) {
        let mut words = start.split(' ');
        let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        let target = target.replace("%40", "@");
        shared.seen.lock().unwrap().push(Seen { target: target.clone(), fields: fields.clone() });
        let (gate, reply) = shared.scripted(&target);
        if let Some(gate) = gate {
            gate.wait();
        }
        if !matches!(reply.write(method, &fields, &mut stream, &shared.sent), Ok(true)) {
            break;
        }
    }
    stream.shutdown(Shutdown::Both).ok();
}

impl Shared {
    fn scripted(&self, target: &str) -> (Option<Arc<Gate>>, Reply) {
        let script = self.script.lock().unwrap();
        let reply = script.replies.get(target).or_else(|| script.replies.get(path(target)));
        let reply = reply.or(script.otherwise.as_ref()).cloned();
        let reply = reply.unwrap_or_else(Reply::not_found);
        let reply = match script.spoilt {
            Some(spoil) => spoil(reply),
            None => reply,
        };
        (script.gates.get(target).cloned(), reply)
    }
}
