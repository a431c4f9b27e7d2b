//! A scripted transport in place of sockets. It records the requests, and what the observer of the exchanges was told.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ::http::{HeaderMap, Method, StatusCode};
use async_trait::async_trait;
use bibliotheca::{ReceivedRequest, ScriptedRegistry, ScriptedReply};
use bytes::Bytes;
use futures_util::stream::{self, BoxStream};
use futures_util::{StreamExt, TryStreamExt};

use super::{
    ConnectFailure, ExchangeFailure, GateState, Outgoing, OutgoingBody, RegistryClient, RegistryResponse,
    Transport, TransportError, UpstreamObserver,
};
use crate::clock::{Clock, ManualClock};
use crate::config;

/// The error of a transport whose registry refuses connections.
pub(crate) const REFUSED: TransportError = TransportError::Unreachable(ConnectFailure::Refused);
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
    /// The body at each path, for requests after the last step.
    places: Mutex<HashMap<&'static str, &'static str>>,
    asked: Mutex<Vec<Asked>>,
    told: Mutex<Vec<(&'static str, &'static str)>>,
    ups: Mutex<Vec<bool>>,
    states: Mutex<Vec<GateState>>,
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

    /// Answers every request for `path` with `body` after the last step of the script.
    pub(crate) fn place(&self, path: &'static str, body: &'static str) {
        self.stage.places.lock().unwrap().insert(path, body);
    }

    pub(crate) fn upstream(&self) -> Arc<RegistryClient> {
        self.upstream_with(|_| {})
    }

    pub(crate) fn upstream_with(&self, adjust: impl Fn(&mut config::Upstream)) -> Arc<RegistryClient> {
        let mut config = config::Upstream::new("public", HOME.parse().unwrap());
        config.archive_hosts = vec!["cdn.example".parse().unwrap()];
        adjust(&mut config);
        Arc::new(RegistryClient::new(
            &config,
            self.stage.clone(),
            self.clock.clone(),
            self.stage.clone(),
            None,
        ))
    }

    /// The requests since the last call.
    pub(crate) fn asked(&self) -> Vec<Asked> {
        std::mem::take(&mut self.stage.asked.lock().unwrap())
    }

    /// Resource and status of every exchange so far.
    pub(crate) fn told(&self) -> Vec<(&'static str, &'static str)> {
        self.stage.told.lock().unwrap().clone()
    }

    /// Every change between up and down so far.
    pub(crate) fn ups(&self) -> Vec<bool> {
        self.stage.ups.lock().unwrap().clone()
    }

    /// Every state so far, from the first to the present one.
    pub(crate) fn states(&self) -> Vec<GateState> {
        self.stage.states.lock().unwrap().clone()
    }

    /// The rest of the budget, as the observer was told last.
    pub(crate) fn left(&self) -> Option<u32> {
        *self.stage.left.lock().unwrap()
    }
}

/// An upstream named "public" at [`HOME`] that is asked through `transport` and never asked again for what
/// failed; nobody is told of its exchanges.
pub(crate) fn upstream_over(transport: Arc<dyn Transport>, clock: Arc<dyn Clock>) -> Arc<RegistryClient> {
    upstream_at(("public", HOME), transport, clock)
}

/// The same under another name, at another URL.
pub(crate) fn upstream_at(
    (name, home): (&str, &str),
    transport: Arc<dyn Transport>,
    clock: Arc<dyn Clock>,
) -> Arc<RegistryClient> {
    let mut config = config::Upstream::new(name, home.parse().unwrap());
    config.archive_hosts = vec!["cdn.example".parse().unwrap()];
    config.retries = 0;
    Arc::new(RegistryClient::new(&config, transport, clock, Arc::new(Nobody), None))
}

/// Asks `registry` for `path` without a socket.
pub(crate) fn ask(registry: &ScriptedRegistry, path: &str, request: &Outgoing<'_>) -> RegistryResponse {
    response(&registry.ask(received(path, request)))
}

/// The request as a registry receives it.
pub(crate) fn received(path: &str, request: &Outgoing<'_>) -> ReceivedRequest {
    let fields = request.headers.iter().map(|(name, value)| (name.as_str(), value.to_str().unwrap()));
    ReceivedRequest::new(request.method.as_str(), path, fields.collect())
}

/// A reply as a transport gives it, its body in pieces.
pub(crate) fn response(reply: &ScriptedReply) -> RegistryResponse {
    let headers = reply.fields().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()));
    let pieces: Vec<_> = reply.body().chunks(50_000).map(|piece| Ok(Bytes::copy_from_slice(piece))).collect();
    RegistryResponse {
        status: StatusCode::from_u16(reply.status()).unwrap(),
        headers: headers.collect(),
        body: stream::iter(pieces).boxed(),
    }
}

/// An observer that ignores everything.
struct Nobody;

impl UpstreamObserver for Nobody {
    fn exchanged(
        &self,
        _: &str,
        _: &'static str,
        _: &'static str,
        _: Duration,
        _: &str,
        _: Option<ExchangeFailure<'_>>,
    ) {
    }

    fn up(&self, _: &str, _: bool) {}

    fn state(&self, _: &str, _: GateState) {}

    fn budget_left(&self, _: &str, _: u32) {}
}

#[async_trait]
impl Transport for Stage {
    async fn send(&self, request: Outgoing<'_>) -> Result<RegistryResponse, TransportError> {
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
            Step::Answer(status, headers, chunks) => Ok(RegistryResponse {
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

/// The whole body of a request, unless it breaks off.
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

impl UpstreamObserver for Stage {
    fn exchanged(
        &self,
        upstream: &str,
        resource: &'static str,
        status: &'static str,
        _elapsed: Duration,
        request_id: &str,
        error: Option<ExchangeFailure<'_>>,
    ) {
        assert_eq!((upstream, request_id), ("public", "id-1"));
        assert!(error.is_some() || status.parse::<u16>().is_ok(), "a failure comes with its reason");
        self.told.lock().unwrap().push((resource, status));
    }

    fn up(&self, _upstream: &str, up: bool) {
        self.ups.lock().unwrap().push(up);
    }

    fn state(&self, _upstream: &str, state: GateState) {
        self.states.lock().unwrap().push(state);
    }

    fn budget_left(&self, _upstream: &str, left: u32) {
        *self.left.lock().unwrap() = Some(left);
    }
}
