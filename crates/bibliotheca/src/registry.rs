//! The registry without a socket: what it publishes, its script, and the record of what it was asked.
//!
//! Owns the programming of a test. Must not know connections; `server` has them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::{Mutex, MutexGuard};
use serde_json::{Value, json};

use crate::release::{PublishedRelease, index_path};
use crate::reply::{ReplyHold, ScriptedReply};
use crate::request::ReceivedRequest;
use crate::script::{Accident, Script};

/// A registry that answers as scripted and records every request.
pub struct ScriptedRegistry {
    base: String,
    script: Mutex<Script>,
    rows: Mutex<BTreeMap<String, Vec<Value>>>,
    recorded: Mutex<Vec<Arc<Mutex<ReceivedRequest>>>>,
    forgets: AtomicBool,
}

impl ScriptedRegistry {
    /// A registry whose links begin with `base`, which has no slash at its end.
    pub fn at(base: &str) -> Self {
        Self {
            base: base.to_owned(),
            script: Mutex::default(),
            rows: Mutex::default(),
            recorded: Mutex::default(),
            forgets: AtomicBool::new(false),
        }
    }

    /// What its links begin with.
    pub fn url(&self) -> String {
        self.base.clone()
    }

    /// Offers a release on its exact route, its archive route and in the index of its volume.
    pub fn publish(&self, release: &PublishedRelease) {
        self.publish_with(release, ScriptedReply::archive(release.archive()));
    }

    /// The same, with ranges of the archive.
    pub fn publish_ranged(&self, release: &PublishedRelease) {
        self.publish_with(release, ScriptedReply::archive(release.archive()).ranged());
    }

    /// The same, with these bytes as the archive, which may be no valid archive.
    pub fn publish_as(&self, release: &PublishedRelease, archive: Vec<u8>) {
        self.publish_with(release, ScriptedReply::archive(archive));
    }

    /// The same, with this reply on the archive route.
    pub fn publish_with(&self, release: &PublishedRelease, archive: ScriptedReply) {
        self.reply(&release.source(), archive);
        let exact = ScriptedReply::json(&release.metadata(&self.base));
        self.say(release, [release.row(&self.base)], exact);
    }

    /// Changes the index rows and the exact reply of a release, both at one moment.
    pub fn say(
        &self,
        release: &PublishedRelease,
        rows: impl IntoIterator<Item = Value>,
        exact: ScriptedReply,
    ) {
        let index = self.index(&release.name, &release.version, rows);
        let mut script = self.script();
        script.replies.insert(release.index(), index);
        script.replies.insert(release.exact(), exact);
    }

    /// Puts a row into the index of a volume, in place of the row of the same version.
    pub fn list(&self, name: &str, row: Value) {
        let version = row["version"].as_str().unwrap_or_default().to_owned();
        let index = self.index(name, &version, [row]);
        self.reply(&index_path(name), index);
    }

    /// The index of a volume with these rows in place of those of the version.
    fn index(&self, name: &str, version: &str, rows: impl IntoIterator<Item = Value>) -> ScriptedReply {
        let mut volumes = self.rows.lock();
        let held = volumes.entry(name.to_owned()).or_default();
        held.retain(|row| row["version"] != version);
        held.extend(rows);
        ScriptedReply::json(&json!({ "items": held }))
    }

    /// Scripts the reply of a target to every method; a target without a query replies to every query.
    pub fn reply(&self, target: &str, reply: ScriptedReply) {
        self.script().replies.insert(target.to_owned(), reply);
    }

    /// Scripts the reply of a target to one method. It comes before the reply to every method.
    pub fn reply_to(&self, method: &str, target: &str, reply: ScriptedReply) {
        self.compute(method, target, move |_| reply.clone());
    }

    /// Computes the reply to one method of a target from the request, once that was read whole.
    pub fn compute(
        &self,
        method: &str,
        target: &str,
        reply: impl Fn(&ReceivedRequest) -> ScriptedReply + Send + Sync + 'static,
    ) {
        let handler = Arc::new(move |request: &ReceivedRequest| Some(reply(request)));
        self.script().handlers.insert((method.to_owned(), target.to_owned()), handler);
    }

    /// Asks `handler` for the reply to every request that has none by method, before the replies of targets.
    pub fn handle(
        &self,
        handler: impl Fn(&ReceivedRequest) -> Option<ScriptedReply> + Send + Sync + 'static,
    ) {
        self.script().handler = Some(Arc::new(handler));
    }

    /// Adds an accident for the next request of this method and target that has none yet.
    pub fn befall(&self, method: &str, target: &str, accident: Accident) {
        self.script().befall(method, target, accident);
    }

    /// The accident of every such request after those; `None` ends it.
    pub fn befall_always(&self, method: &str, target: &str, accident: Option<Accident>) {
        self.script().always(method, target, accident);
    }

    /// Scripts the reply of every target that has none of its own.
    pub fn otherwise(&self, reply: ScriptedReply) {
        self.script().otherwise = Some(reply);
    }

    /// Changes every reply; `None` ends it.
    pub fn spoil(&self, how: Option<fn(ScriptedReply) -> ScriptedReply>) {
        self.script().spoilt = how;
    }

    /// Holds back the replies of a target from now on. Requests are recorded as they arrive.
    pub fn hold(&self, target: &str) -> ReplyHold {
        let hold = ReplyHold::default();
        self.script().gates.insert(target.to_owned(), Arc::clone(&hold.0));
        hold
    }

    /// Stops recording, so that the registry can serve for any length of time.
    pub fn forget_requests(&self) {
        self.forgets.store(true, Ordering::Relaxed);
    }

    /// How many requests a target had, by any method; a target without a query counts every query.
    pub fn requests(&self, target: &str) -> usize {
        self.recorded.lock().iter().filter(|request| request.lock().asks_for(target)).count()
    }

    /// How many requests a target had by this method.
    pub fn count(&self, method: &str, target: &str) -> usize {
        let is_meant = |request: &ReceivedRequest| request.method == method && request.asks_for(target);
        self.recorded.lock().iter().filter(|request| is_meant(&request.lock())).count()
    }

    /// The requests of this method for a target, in the order of their arrival.
    pub fn asked(&self, method: &str, target: &str) -> Vec<ReceivedRequest> {
        let recorded = self.recorded.lock();
        let requests = recorded.iter().map(|request| request.lock());
        let meant = requests.filter(|request| request.method == method && request.asks_for(target));
        meant.map(|request| request.clone()).collect()
    }

    /// How many requests had another method than GET and HEAD.
    pub fn writes(&self) -> usize {
        self.recorded.lock().iter().filter(|request| !request.lock().is_read()).count()
    }

    /// The `Range` of every request for a target that had one, in the order of their arrival.
    pub fn ranges(&self, target: &str) -> Vec<String> {
        let asked = self.seen().into_iter().filter(|request| request.target == target);
        asked.filter_map(|request| request.header("range").map(str::to_owned)).collect()
    }

    /// Every request, in the order of their arrival, whether it was read whole or not.
    pub fn seen(&self) -> Vec<ReceivedRequest> {
        self.recorded.lock().iter().map(|request| request.lock().clone()).collect()
    }

    /// Every request since the last call, in the order of their arrival.
    pub fn take_seen(&self) -> Vec<ReceivedRequest> {
        std::mem::take(&mut *self.recorded.lock()).iter().map(|request| request.lock().clone()).collect()
    }

    /// Answers a request that arrived whole, without a socket: the reply, its condition and its range considered.
    pub fn ask(&self, request: ReceivedRequest) -> ScriptedReply {
        let reply = self.respond(&request).to(&request);
        self.record(request);
        reply
    }

    /// Records a request whose body may still arrive.
    pub(crate) fn record(&self, request: ReceivedRequest) -> Arc<Mutex<ReceivedRequest>> {
        let request = Arc::new(Mutex::new(request));
        if !self.forgets.load(Ordering::Relaxed) {
            self.recorded.lock().push(Arc::clone(&request));
        }
        request
    }

    pub(crate) fn respond(&self, request: &ReceivedRequest) -> ScriptedReply {
        let handlers = self.script().handlers(request);
        let made = handlers.iter().find_map(|handler| handler(request));
        let script = self.script();
        script.spoil(made.unwrap_or_else(|| script.reply(request)))
    }

    pub(crate) fn script(&self) -> MutexGuard<'_, Script> {
        self.script.lock()
    }
}
