//! What the registry does with a request: the reply to each target, the faults on the way to it, and the replies
//! that are held back.
//!
//! Owns these decisions. Must not know sockets.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use percent_encoding::percent_decode_str;

use crate::reply::{ReplyGate, ScriptedReply};
use crate::request::ReceivedRequest;

/// Makes the reply to a request that was read whole; `None` where it has no reply.
pub(crate) type Handler = Arc<dyn Fn(&ReceivedRequest) -> Option<ScriptedReply> + Send + Sync>;

/// What happens to a request instead of being read whole and answered.
#[derive(Clone)]
pub enum Accident {
    /// The connection is closed after the head of the request was read.
    Unread,
    /// The connection is closed after this many bytes of the body were read.
    BodyCut(u64),
    /// The request is carried out, then the connection is closed without an answer.
    AnswerLost,
    /// This reply is sent before the body is read; the body is then read and counted.
    Early(ScriptedReply),
    /// The body is read and this reply is sent. Nothing else is done.
    Instead(ScriptedReply),
}

#[derive(Default)]
pub(crate) struct Script {
    pub(crate) replies: HashMap<String, ScriptedReply>,
    pub(crate) handlers: HashMap<(String, String), Handler>,
    pub(crate) handler: Option<Handler>,
    pub(crate) gates: HashMap<String, Arc<ReplyGate>>,
    pub(crate) otherwise: Option<ScriptedReply>,
    pub(crate) spoilt: Option<fn(ScriptedReply) -> ScriptedReply>,
    accidents: HashMap<(String, String), Accidents>,
}

#[derive(Default)]
struct Accidents {
    next: VecDeque<Accident>,
    /// What happens to every request after those.
    then: Option<Accident>,
}

impl Script {
    pub(crate) fn befall(&mut self, method: &str, target: &str, accident: Accident) {
        self.accidents(method, target).next.push_back(accident);
    }

    pub(crate) fn always(&mut self, method: &str, target: &str, accident: Option<Accident>) {
        self.accidents(method, target).then = accident;
    }

    fn accidents(&mut self, method: &str, target: &str) -> &mut Accidents {
        self.accidents.entry((method.to_owned(), target.to_owned())).or_default()
    }

    /// Takes the accident of this request out of the script.
    pub(crate) fn accident(&mut self, request: &ReceivedRequest) -> Option<Accident> {
        [request.target.as_str(), request.path()].iter().find_map(|target| {
            let accidents = self.accidents.get_mut(&(request.method.clone(), (*target).to_owned()))?;
            accidents.next.pop_front().or_else(|| accidents.then.clone())
        })
    }

    /// The handlers that may know a reply to this request, the most specific first.
    pub(crate) fn handlers(&self, request: &ReceivedRequest) -> Vec<Handler> {
        let own = [request.target.as_str(), request.path()]
            .into_iter()
            .find_map(|target| self.handlers.get(&(request.method.clone(), target.to_owned())));
        own.into_iter().chain(&self.handler).cloned().collect()
    }

    /// The reply that is scripted for the target of this request, whatever its method.
    pub(crate) fn reply(&self, request: &ReceivedRequest) -> ScriptedReply {
        let reply = self.replies.get(&request.target).or_else(|| self.replies.get(request.path()));
        let reply = reply.or_else(|| self.replies.get(&decoded(request.path())?));
        reply.or(self.otherwise.as_ref()).cloned().unwrap_or_else(ScriptedReply::not_found)
    }

    pub(crate) fn spoil(&self, reply: ScriptedReply) -> ScriptedReply {
        match self.spoilt {
            Some(spoil) => spoil(reply),
            None => reply,
        }
    }
}

/// Decodes segment by segment, so that an encoded slash does not become a separator.
fn decoded(path: &str) -> Option<String> {
    let segment = |text| percent_decode_str(text).decode_utf8().ok().filter(|text| !text.contains('/'));
    Some(path.split('/').map(segment).collect::<Option<Vec<_>>>()?.join("/"))
}
