//! The programmable registry: a blocking HTTP/1.1 server that answers from a script, keeps what it was
//! asked and sent, holds answers back, and can vanish and return on the same port. What is to be said to
//! whom is `script`'s affair, how it goes over the wire `reply`'s.

use std::collections::{BTreeMap, HashMap};
use std::io::BufReader;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::{self, JoinHandle};

use serde_json::{Value, json};

use super::catalogue::{Release, index_path};
use super::reply::{Hold, Reply};
use super::script::{Accident, Script};
use super::seen::{Ending, Seen};
use super::wire::{read_body, read_head};
use super::{eventually, free_port};

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
    unwelcome: AtomicUsize,
    open: Mutex<HashMap<usize, TcpStream>>,
    sent: AtomicU64,
    script: Mutex<Script>,
    seen: Mutex<Vec<Seen>>,
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

    /// The same with these bytes for its archive, which no packer here need be able to write.
    pub(crate) fn publish_as(&self, release: &Release, archive: Vec<u8>) {
        self.offer(release, Reply::archive(archive));
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

    /// Scripts the answer of a target to every method; one without its query answers every query.
    pub(crate) fn reply(&self, target: &str, reply: Reply) {
        self.script().replies.insert(target.to_owned(), reply);
    }

    /// Scripts the answer of a target to one method only, before what it says to every method.
    pub(crate) fn reply_to(&self, method: &str, target: &str, reply: Reply) {
        self.compute(method, target, move |_| reply.clone());
    }

    /// Answers one method of a target with what is made of the request, once that was read whole.
    pub(crate) fn compute(
        &self,
        method: &str,
        target: &str,
        reply: impl Fn(&Seen) -> Reply + Send + Sync + 'static,
    ) {
        let handler = Arc::new(move |seen: &Seen| Some(reply(seen)));
        self.script().handlers.insert((method.to_owned(), target.to_owned()), handler);
    }

    /// Lets `handler` answer what nothing was scripted for by method, before the targets' own replies.
    pub(crate) fn handle(&self, handler: impl Fn(&Seen) -> Option<Reply> + Send + Sync + 'static) {
        self.script().handler = Some(Arc::new(handler));
    }

    /// What happens to the next request of this method for this target that nothing else awaits.
    pub(crate) fn befall(&self, method: &str, target: &str, accident: Accident) {
        self.script().befall(method, target, accident);
    }

    /// What happens to every such request after those, or nothing any more.
    pub(crate) fn befall_always(&self, method: &str, target: &str, accident: Option<Accident>) {
        self.script().always(method, target, accident);
    }

    /// Closes the next connections as they are accepted, before anything is read.
    pub(crate) fn hang_up_on(&self, connections: usize) {
        self.shared.unwelcome.store(connections, Ordering::SeqCst);
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

    /// How often a target was asked for, by any method; one without its query counts every query.
    pub(crate) fn requests(&self, target: &str) -> usize {
        self.shared.seen().iter().filter(|seen| seen.asks_for(target)).count()
    }

    /// How often a target was asked for by this method.
    pub(crate) fn count(&self, method: &str, target: &str) -> usize {
        self.shared.seen().iter().filter(|seen| seen.method == method && seen.asks_for(target)).count()
    }

    /// The requests of this method for a target, in the order they came.
    pub(crate) fn asked(&self, method: &str, target: &str) -> Vec<Seen> {
        let seen = self.shared.seen();
        seen.iter().filter(|seen| seen.method == method && seen.asks_for(target)).cloned().collect()
    }

    /// How many requests came by another method than GET and HEAD.
    pub(crate) fn writes(&self) -> usize {
        self.shared.seen().iter().filter(|seen| !matches!(seen.method.as_str(), "GET" | "HEAD")).count()
    }

    /// The `Range` of every request for a target that had one, in the order they came.
    pub(crate) fn ranges(&self, target: &str) -> Vec<String> {
        let asked = self.seen().into_iter().filter(|seen| seen.target == target);
        asked.filter_map(|seen| seen.fields.get("range").map(str::to_owned)).collect()
    }

    /// Every request, in the order they came, whether it was read whole or not.
    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.shared.seen().clone()
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
        for (_, stream) in self.shared.open.lock().unwrap().drain() {
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

fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    for stream in listener.incoming().map_while(Result::ok) {
        if !shared.listening.load(Ordering::SeqCst) {
            return;
        }
        let number = shared.connections.fetch_add(1, Ordering::SeqCst);
        if shared
            .unwelcome
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1))
            .is_ok()
        {
            continue;
        }
        shared.open.lock().unwrap().extend(stream.try_clone().map(|stream| (number, stream)));
        let shared = Arc::clone(shared);
        thread::spawn(move || {
            converse(stream, &shared);
            // With the last handle the socket is closed, so that whoever still sends is told.
            shared.open.lock().unwrap().remove(&number);
        });
    }
}

/// Answers one request after the other until one of them ends the connection.
fn converse(mut stream: TcpStream, shared: &Shared) {
    stream.set_nodelay(true).ok();
    let Ok(reading) = stream.try_clone() else { return };
    let mut reading = BufReader::new(reading);
    while let Ok(Some((start, fields))) = read_head(&mut reading) {
        let seen = Seen::new(&start, fields);
        let number = shared.note(seen.clone());
        let accident = shared.script.lock().unwrap().accident(&seen);
        let most = match &accident {
            Some(Accident::Unread) => break,
            Some(Accident::BodyCut(most)) => *most,
            Some(Accident::Early(reply)) => {
                reply.write(&seen.method, &seen.fields, &mut stream, &shared.sent).ok();
                shared.read(number, &mut reading, u64::MAX);
                break;
            }
            _ => u64::MAX,
        };
        let whole = shared.read(number, &mut reading, most);
        let Some(seen) = whole.filter(|_| !matches!(accident, Some(Accident::BodyCut(_)))) else { break };
        let gate = shared.script.lock().unwrap().gates.get(&seen.target).cloned();
        let reply = match &accident {
            Some(Accident::Instead(reply)) => reply.clone(),
            _ => shared.reply(&seen),
        };
        if let Some(gate) = gate {
            gate.wait();
        }
        let lost = matches!(accident, Some(Accident::AnswerLost));
        if lost || !matches!(reply.write(&seen.method, &seen.fields, &mut stream, &shared.sent), Ok(true)) {
            break;
        }
    }
    stream.shutdown(Shutdown::Both).ok();
}

impl Shared {
    fn seen(&self) -> MutexGuard<'_, Vec<Seen>> {
        self.seen.lock().unwrap()
    }

    /// Counts a request, and says under which number.
    fn note(&self, seen: Seen) -> usize {
        let mut all = self.seen();
        all.push(seen);
        all.len() - 1
    }

    /// Reads at most so much of a request's body; the request, where its body came whole.
    fn read(&self, number: usize, from: &mut BufReader<TcpStream>, most: u64) -> Option<Seen> {
        let framing = self.seen()[number].framing;
        let whole = read_body(from, framing, |piece| {
            let mut all = self.seen();
            let seen = &mut all[number];
            let room = usize::try_from(most - seen.length).unwrap_or(usize::MAX);
            seen.take(&piece[..piece.len().min(room)]);
            seen.length < most
        });
        let mut all = self.seen();
        all[number].ending = if whole { Ending::Whole } else { Ending::Short };
        whole.then(|| all[number].clone())
    }

    fn reply(&self, seen: &Seen) -> Reply {
        let handlers = self.script.lock().unwrap().handlers(seen);
        let made = handlers.iter().find_map(|handler| handler(seen));
        let script = self.script.lock().unwrap();
        script.spoil(made.unwrap_or_else(|| script.reply(seen)))
    }
}
