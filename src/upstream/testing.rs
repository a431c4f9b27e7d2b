//! A registry without sockets: answers as scripted, remembers what it was asked and what was told of it.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ::http::{HeaderMap, Method, StatusCode};
use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream::{self, BoxStream};
use futures_util::{StreamExt, TryStreamExt};

use super::{
    Cause, Failed, Observer, Outgoing, OutgoingBody, Response, State, Transport, TransportError, Upstream,
};
use crate::clock::{Clock, ManualClock};
use crate::config;

/// What a transport says of a registry that lets nobody in.
pub(crate) const REFUSED: TransportError = TransportError::Unreachable(Cause::Refused);
pub(crate) const HOME: &str = "https://registry.example/base";

/// What happens to one request.
pub(crate) enum Step {
    Answer(u16, &'static [(&'static str, &'static str)], Vec<Result<&'static str, TransportError>>),
    Fail(TransportError),
    Hang,
}

pub(crate) fn answer(
    status: u16,
    headers: &'static [(&'static str, &'static str)],
    body: &'static str,
) -> Step {
    Step::Answer(status, headers, vec![Ok(body)])
}

pub(crate) fn ok() -> Step {
    answer(200, &[], "{}")
}

pub(crate) struct Asked {
    pub(crate) method: Method,
    pub(crate) url: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

pub(crate) struct Registry {
    pub(crate) clock: Arc<ManualClock>,
    stage: Arc<Stage>,
}

#[derive(Default)]
struct Stage {
    script: Mutex<VecDeque<Step>>,
    /// What is found at each path once the script is over.
    places: Mutex<HashMap<&'static str, &'static str>>,
    asked: Mutex<Vec<Asked>>,
    told: Mutex<Vec<(&'static str, &'static str)>>,
    ups: Mutex<Vec<bool>>,
    states: Mutex<Vec<State>>,
    left: Mutex<Option<u32>>,
}

impl Default for Registry {
    fn default() -> Self {
        Self { clock: Arc::new(ManualClock::at(0)), stage: Arc::default() }
    }
}

impl Registry {
    pub(crate) fn of(steps: impl IntoIterator<Item = Step>) -> Self {
        let registry = Self::default();
        registry.then(steps);
        registry
    }

    pub(crate) fn then(&self, steps: impl IntoIterator<Item = Step>) {
        self.stage.script.lock().unwrap().extend(steps);
    }

    /// Once the script is over, answers at `path` with `body`, however often and in whatever order it is asked.
    pub(crate) fn place(&self, path: &'static str, body: &'static str) {
        self.stage.places.lock().unwrap().insert(path, body);
    }

    pub(crate) fn upstream(&self) -> Arc<Upstream> {
        self.upstream_with(|_| {})
    }

    pub(crate) fn upstream_with(&self, adjust: impl Fn(&mut config::Upstream)) -> Arc<Upstream> {
        let mut config = config::Upstream::new("public", HOME.parse().unwrap());
        config.archive_hosts = vec!["cdn.example".parse().unwrap()];
        adjust(&mut config);
        Arc::new(Upstream::new(&config, self.stage.clone(), self.clock.clone(), self.stage.clone()))
    }

    /// The requests since the last call.
    pub(crate) fn asked(&self) -> Vec<Asked> {
        std::mem::take(&mut self.stage.asked.lock().unwrap())
    }

    /// Resource and status of every exchange so far.
    pub(crate) fn told(&self) -> Vec<(&'static str, &'static str)> {
        self.stage.told.lock().unwrap().clone()
    }

    /// Every change of standing so far.
    pub(crate) fn ups(&self) -> Vec<bool> {
        self.stage.ups.lock().unwrap().clone()
    }

    /// Every state so far, from the first to the present one.
    pub(crate) fn states(&self) -> Vec<State> {
        self.stage.states.lock().unwrap().clone()
    }

    /// What is left of the budget, as it was told last.
    pub(crate) fn left(&self) -> Option<u32> {
        *self.stage.left.lock().unwrap()
    }
}

/// An upstream named "public" at [`HOME`] that is asked through `transport` and never asked again for what
/// failed; nobody is told of its exchanges.
pub(crate) fn upstream_over(transport: Arc<dyn Transport>, clock: Arc<dyn Clock>) -> Arc<Upstream> {
    upstream_at(("public", HOME), transport, clock)
}

/// The same under another name, at another URL.
pub(crate) fn upstream_at(
    (name, home): (&str, &str),
    transport: Arc<dyn Transport>,
    clock: Arc<dyn Clock>,
) -> Arc<Upstream> {
    let mut config = config::Upstream::new(name, home.parse().unwrap());
    config.archive_hosts = vec!["cdn.example".parse().unwrap()];
    config.retries = 0;
    Arc::new(Upstream::new(&config, transport, clock, Arc::new(Nobody)))
}

/// Told of everything, and tells nobody.
struct Nobody;

impl Observer for Nobody {
    fn exchanged(
        &self,
        _: &str,
        _: &'static str,
        _: &'static str,
        _: Duration,
        _: &str,
        _: Option<Failed<'_>>,
    ) {
    }

    fn up(&self, _: &str, _: bool) {}

    fn state(&self, _: &str, _: State) {}

    fn budget_left(&self, _: &str, _: u32) {}
}

#[async_trait]
impl Transport for Stage {
    async fn send(&self, request: Outgoing<'_>) -> Result<Response, TransportError> {
        let Outgoing { method, url, headers, body: sent, notes: _ } = request;
        let sent = read(sent).await;
        let asked = Asked { method, url: url.to_string(), headers, body: sent.clone().unwrap_or_default() };
        self.asked.lock().unwrap().push(asked);
        sent?;
        let place = url.as_str().strip_prefix(HOME).unwrap_or_default();
        let found = || self.places.lock().unwrap().get(place).map(|body| answer(200, &[], body));
        let step = self.script.lock().unwrap().pop_front().or_else(found);
        let step = step.expect("asked more often than scripted");
        match step {
            Step::Fail(error) => Err(error),
            Step::Hang => std::future::pending().await,
            Step::Answer(status, headers, chunks) => Ok(Response {
                status: StatusCode::from_u16(status).unwrap(),
                headers: headers
                    .iter()
                    .map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()))
                    .collect(),
                body: body(chunks),
            }),
        }
    }
}

/// All that is sent, unless it breaks off.
async fn read(body: OutgoingBody) -> Result<Bytes, TransportError> {
    match body {
        OutgoingBody::Empty => Ok(Bytes::new()),
        OutgoingBody::Whole(bytes) => Ok(bytes),
        OutgoingBody::Stream { pieces, .. } => {
            let pieces = pieces.try_collect::<Vec<_>>().await.map_err(|_| TransportError::Unsent)?;
            Ok(pieces.concat().into())
        }
    }
}

fn body(
    chunks: Vec<Result<&'static str, TransportError>>,
) -> BoxStream<'static, Result<Bytes, TransportError>> {
    stream::iter(chunks).map(|chunk| chunk.map(|text| Bytes::from_static(text.as_bytes()))).boxed()
}

impl Observer for Stage {
    fn exchanged(
        &self,
        upstream: &str,
        resource: &'static str,
        status: &'static str,
        _elapsed: Duration,
        request_id: &str,
        error: Option<Failed<'_>>,
    ) {
        assert_eq!((upstream, request_id), ("public", "id-1"));
        assert!(error.is_some() || status.parse::<u16>().is_ok(), "a failure comes with its reason");
        self.told.lock().unwrap().push((resource, status));
    }

    fn up(&self, _upstream: &str, up: bool) {
        self.ups.lock().unwrap().push(up);
    }

    fn state(&self, _upstream: &str, state: State) {
        self.states.lock().unwrap().push(state);
    }

    fn budget_left(&self, _upstream: &str, left: u32) {
        *self.left.lock().unwrap() = Some(left);
    }
}
