//! The measured proxy: wired as in production, warm, and asked in the calling thread without a socket.
//!
//! Owns what is asked. Must not know what is counted.

use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use http::header::{ACCEPT, ETAG, HOST, HeaderMap, HeaderValue, IF_NONE_MATCH, USER_AGENT};
use http::{Method, StatusCode, Version};
use http_body::Body as _;
use http_body_util::BodyExt;
use scriptorium::app::App;
use scriptorium::config::{Config, Location, Upstream};
use scriptorium::pipeline::{Arrival, Pipeline};
use scriptorium::relay::any_body;
use scriptorium::respond::{Body, Response};
use scriptorium::telemetry::{self, LogGuard};
use tokio::runtime::Runtime;

use crate::bibliotheca::{self, VERSION};

/// A kind of hit.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Case {
    pub(crate) name: &'static str,
    what: What,
}

#[derive(Debug, Clone, Copy)]
enum What {
    Get(&'static str, StatusCode),
    Head(&'static str),
    NotModified(&'static str),
    Archive(&'static str),
}

/// Every kind of hit with a budget.
pub(crate) const CASES: [Case; 7] = [
    Case { name: "index-2k", what: What::Get("index-2k", StatusCode::OK) },
    Case { name: "not-modified", what: What::NotModified("index-2k") },
    Case { name: "head", what: What::Head("index-2k") },
    Case { name: "index-50k", what: What::Get("index-50k", StatusCode::OK) },
    Case { name: "not-found", what: What::Get("nobody", StatusCode::NOT_FOUND) },
    Case { name: "archive-1m", what: What::Archive("archive-1m") },
    Case { name: "archive-3m", what: What::Archive("archive-3m") },
];

impl FromStr for Case {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let known = || CASES.map(|case| case.name).join(", ");
        CASES.into_iter().find(|case| case.name == name).ok_or_else(|| format!("expected one of {}", known()))
    }
}

/// A running proxy that holds what a case asks for.
pub(crate) struct Proxy {
    pipeline: Arc<Pipeline>,
    runtime: Runtime,
    log: LogGuard,
}

impl Proxy {
    /// One that logs to standard error and has everything to fetch.
    pub(crate) fn start() -> Self {
        const DAY: Duration = Duration::from_secs(24 * 60 * 60);
        let registry = bibliotheca::serve(
            &[("index-2k", 2_000), ("index-50k", 50_000)],
            &[("archive-1m", 1_000_000), ("archive-3m", 3_000_000)],
        );
        let mut config = Config::default();
        config.upstreams.push(Upstream::new("origin", format!("http://{registry}").parse().unwrap()));
        config.storage.url = Location::Memory;
        (config.cache.index_ttl, config.cache.release_ttl, config.cache.negative_ttl) = (DAY, DAY, DAY);
        config.rate_limits.anonymous = "1000000000/s".parse().unwrap();
        let (log, access) = telemetry::logging(config.log.format, config.log.level).unwrap();
        let (pipeline, background) = App::new(&config, access, false, None).unwrap().without_ports();
        // Everything runs in this thread, and nothing beside while a hit is measured.
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.spawn(background);
        Self { pipeline, runtime, log }
    }

    /// Asks `hits` times for what `case` asks for. Each hit goes through `measure`; the requests are made
    /// outside.
    pub(crate) fn drive(&self, case: Case, hits: u32, mut measure: impl FnMut(&mut dyn FnMut())) {
        let etag = self.warm(case);
        let _context = self.runtime.enter();
        for _ in 0..hits {
            let mut arrival = Some(case.arrival(&etag));
            measure(&mut || {
                let arrival = arrival.take().unwrap();
                let hit =
                    async { drain(self.pipeline.answer(&arrival, any_body(Body::empty())).await).await };
                hit.now_or_never().expect("a hit that waits for nothing");
            });
        }
    }

    /// Fetches what `case` asks for, makes sure that it is a hit from then on, and gives its entity tag.
    fn warm(&self, case: Case) -> HeaderValue {
        let ask = |etag: &HeaderValue| {
            self.runtime.block_on(async {
                let response = self.pipeline.answer(&case.arrival(etag), any_body(Body::empty())).await;
                let (status, headers) = (response.status(), response.headers().clone());
                (status, headers, drain(response).await)
            })
        };
        let none = HeaderValue::from_static("\"none\"");
        let (_, headers, _) = ask(&none);
        let etag = headers.get(ETAG).cloned().unwrap_or(none);
        for _ in 0..256 {
            let (status, headers, length) = ask(&etag);
            let said = headers.get("cache-status").and_then(|said| said.to_str().ok()).unwrap_or_default();
            assert!(said.contains("hit"), "{}: {status}, {said}", case.name);
            assert_eq!((status, length > 0), case.expected(), "{}", case.name);
        }
        etag
    }

    /// Writes what is logged and not written yet.
    pub(crate) fn stop(self) {
        drop(self.log);
    }
}

impl Case {
    /// How many hits say what one costs: caches tidy up after every 64th.
    pub(crate) fn hits(self) -> u32 {
        match self.what {
            What::Archive(_) => 640,
            What::Get(..) | What::Head(_) | What::NotModified(_) => 6400,
        }
    }

    /// Its status, and whether there is a body.
    fn expected(self) -> (StatusCode, bool) {
        match self.what {
            What::Get(_, status) => (status, true),
            What::Head(_) => (StatusCode::OK, false),
            What::NotModified(_) => (StatusCode::NOT_MODIFIED, false),
            What::Archive(_) => (StatusCode::OK, true),
        }
    }

    fn arrival(self, etag: &HeaderValue) -> Arrival {
        let (method, path) = match self.what {
            What::Get(name, _) | What::NotModified(name) => {
                (Method::GET, format!("/api/v1/index/volumes/{name}"))
            }
            What::Head(name) => (Method::HEAD, format!("/api/v1/index/volumes/{name}")),
            What::Archive(name) => (Method::GET, format!("/archives/{name}/{VERSION}.tar.gz")),
        };
        let mut headers = HeaderMap::new();
        headers.insert(HOST, HeaderValue::from_static("proxy.example.com:8080"));
        headers.insert(USER_AGENT, HeaderValue::from_static("av/1.0"));
        headers.insert(ACCEPT, HeaderValue::from_static("*/*"));
        if let What::NotModified(_) = self.what {
            headers.insert(IF_NONE_MATCH, etag.clone());
        }
        let peer = Some(([192, 0, 2, 1], 50_000).into());
        Arrival { method, uri: path.parse().unwrap(), version: Version::HTTP_11, headers, peer, tls: false }
    }
}

/// Takes the whole body, as a server does that sends it, and counts its bytes.
async fn drain(response: Response) -> usize {
    let (mut body, mut length) = (response.into_body(), 0);
    while !body.is_end_stream() {
        match body.frame().await {
            Some(frame) => length += frame.unwrap().into_data().map_or(0, |data| data.len()),
            None => break,
        }
    }
    length
}
