//! What the upstream is told to do with a request: which reply a target has, what befalls a request on
//! its way, and which answers are kept back. It decides, and reads and writes nothing.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use super::reply::{Gate, Reply};
use super::seen::Seen;

/// Makes the reply to a request that was read whole; nothing where it knows none.
pub(super) type Handler = Arc<dyn Fn(&Seen) -> Option<Reply> + Send + Sync>;

/// What happens to a request instead of being read whole and answered.
#[derive(Clone)]
pub(crate) enum Accident {
    /// The connection is closed when the request's head was read.
    Unread,
    /// The connection is closed when so many bytes of the request's body were read.
    BodyCut(u64),
    /// All is done that is done for the request, then the connection is closed without an answer.
    AnswerLost,
    /// This is said before the body is read; what then comes of the body is read and counted.
    Early(Reply),
    /// The body is read, this is said, and nothing else is done.
    Instead(Reply),
}

#[derive(Default)]
pub(super) struct Script {
    pub(super) replies: HashMap<String, Reply>,
    pub(super) handlers: HashMap<(String, String), Handler>,
    pub(super) handler: Option<Handler>,
    pub(super) gates: HashMap<String, Arc<Gate>>,
    pub(super) otherwise: Option<Reply>,
    pub(super) spoilt: Option<fn(Reply) -> Reply>,
    accidents: HashMap<(String, String), Accidents>,
}

#[derive(Default)]
struct Accidents {
    next: VecDeque<Accident>,
    /// What befalls those for whom nothing else is left.
    then: Option<Accident>,
}

impl Script {
    pub(super) fn befall(&mut self, method: &str, target: &str, accident: Accident) {
        self.accidents(method, target).next.push_back(accident);
    }

    pub(super) fn always(&mut self, method: &str, target: &str, accident: Option<Accident>) {
        self.accidents(method, target).then = accident;
    }

    fn accidents(&mut self, method: &str, target: &str) -> &mut Accidents {
        self.accidents.entry((method.to_owned(), target.to_owned())).or_default()
    }

    /// What befalls this request; it befalls no other.
    pub(super) fn accident(&mut self, seen: &Seen) -> Option<Accident> {
        [seen.target.as_str(), seen.path()].iter().find_map(|target| {
            let accidents = self.accidents.get_mut(&(seen.method.clone(), (*target).to_owned()))?;
            accidents.next.pop_front().or_else(|| accidents.then.clone())
        })
    }

    /// Who may know a reply to this request, the most particular first.
    pub(super) fn handlers(&self, seen: &Seen) -> Vec<Handler> {
        let own = [seen.target.as_str(), seen.path()]
            .into_iter()
            .find_map(|target| self.handlers.get(&(seen.method.clone(), target.to_owned())));
        own.into_iter().chain(&self.handler).cloned().collect()
    }

    /// The reply that was written down for this request, whatever its method.
    pub(super) fn reply(&self, seen: &Seen) -> Reply {
        let reply = self.replies.get(&seen.target).or_else(|| self.replies.get(seen.path()));
        reply.or(self.otherwise.as_ref()).cloned().unwrap_or_else(Reply::not_found)
    }

    pub(super) fn spoil(&self, reply: Reply) -> Reply {
        match self.spoilt {
            Some(spoil) => spoil(reply),
            None => reply,
        }
    }
}
