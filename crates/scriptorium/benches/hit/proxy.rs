//! The measured proxy: wired as in production, with a warm cache, and called in the calling thread without a socket.
//!
//! Owns the requests. Must not know what is counted.

use std::fmt::Debug;
use std::pin::pin;
use std::str::FromStr;
use std::sync::Arc;
use std::task::{Context, Wake, Waker};
use std::time::Duration;

use bibliotheca::RegistryServer;
use bytes::Buf;
use http::header::{ACCEPT, ETAG, HOST, HeaderValue, IF_NONE_MATCH, USER_AGENT};
use http::{Method, Request, Response, StatusCode, Version};
use http_body::Body;
use http_body_util::BodyExt;
use scriptorium::facade::{ArrivedRequest, LoadedConfig, PortlessProxy};
use tempfile::TempDir;
use tokio::runtime::Runtime;
use tokio::sync::Notify;

use crate::wiring::Wiring;

const VERSION: &str = "1.0.0";

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

/// A running proxy, and the registry that it caches.
pub(crate) struct Proxy {
    proxy: PortlessProxy,
    runtime: Runtime,
    wiring: Wiring,
    _registry: RegistryServer,
    /// For copies of a bucket's files.
    _folder: TempDir,
}

/// Whether a hit that waited can go on.
#[derive(Default)]
struct Woken(Notify);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.notify_one();
    }
}

impl Proxy {
    /// A proxy that logs to standard error and has an empty cache.
    pub(crate) fn start(wiring: Wiring) -> Self {
        let registry = RegistryServer::start();
        for (name, size) in [("index-2k", 2_000), ("index-50k", 50_000)] {
            registry.publish_index_of_size(name, size);
        }
        for (name, size) in [("archive-1m", 1_000_000), ("archive-3m", 3_000_000)] {
            registry.publish_release_of_size(name, VERSION, size);
        }
        let folder = tempfile::tempdir().unwrap();
        let config = wiring.config(&registry.url(), folder.path());
        let (proxy, background) =
            PortlessProxy::new(&LoadedConfig::parse(config.as_bytes()).unwrap(), true).unwrap();
        // Everything but the cluster's own work runs in this thread; while a hit is measured, nothing else does.
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.spawn(background);
        Self { proxy, runtime, wiring, _registry: registry, _folder: folder }
    }

    /// Sends the request of `case` so many times. `measure` runs each hit; the requests are built before. A hit that waits
    /// for a file is measured in parts, without the wait.
    pub(crate) fn drive(&self, case: Case, hits: u32, mut measure: impl FnMut(&mut dyn FnMut())) {
        let etag = self.warm(case);
        let _context = self.runtime.enter();
        let woken = Arc::new(Woken::default());
        let waker = Waker::from(Arc::clone(&woken));
        for _ in 0..hits {
            self.wait_for_others();
            let arrival = case.arrival(&etag);
            let mut hit = pin!(async { drain(self.proxy.answer(&arrival).await).await });
            let mut is_over = false;
            loop {
                measure(&mut || is_over = hit.as_mut().poll(&mut Context::from_waker(&waker)).is_ready());
                if is_over {
                    break;
                }
                assert!(self.wiring.is_shared() && case.is_file(), "a hit that waits for nothing");
                self.runtime.block_on(woken.0.notified());
            }
        }
    }

    /// Waits until the proxy works together with the others, where it is meant to.
    fn wait_for_others(&self) {
        let is_meant = self.wiring == Wiring::Cluster;
        while is_meant && self.proxy.cluster() != Some("together") {
            self.runtime.block_on(tokio::time::sleep(Duration::from_millis(10)));
        }
    }

    /// Caches the target of `case`, checks that it is a hit from then on, and returns its entity tag.
    fn warm(&self, case: Case) -> HeaderValue {
        self.wait_for_others();
        let ask = |etag: &HeaderValue| {
            self.runtime.block_on(async {
                let response = self.proxy.answer(&case.arrival(etag)).await;
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

    /// Writes the rest of the log.
    pub(crate) fn stop(self) {
        drop(self.proxy);
    }
}

impl Case {
    /// How many hits are measured: caches do their maintenance after every 64th.
    pub(crate) fn hits(self) -> u32 {
        match self.what {
            What::Archive(_) => 640,
            What::Get(..) | What::Head(_) | What::NotModified(_) => 6400,
        }
    }

    fn is_file(self) -> bool {
        matches!(self.what, What::Archive(_))
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

    fn arrival(self, etag: &HeaderValue) -> ArrivedRequest {
        let (method, path) = match self.what {
            What::Get(name, _) | What::NotModified(name) => {
                (Method::GET, format!("/api/v1/index/volumes/{name}"))
            }
            What::Head(name) => (Method::HEAD, format!("/api/v1/index/volumes/{name}")),
            What::Archive(name) => (Method::GET, format!("/archives/{name}/{VERSION}.tar.gz")),
        };
        let mut request =
            Request::builder().method(method).uri(path).version(Version::HTTP_11).body(()).unwrap();
        let headers = request.headers_mut();
        headers.insert(HOST, HeaderValue::from_static("proxy.example.com:8080"));
        headers.insert(USER_AGENT, HeaderValue::from_static("av/1.0"));
        headers.insert(ACCEPT, HeaderValue::from_static("*/*"));
        if let What::NotModified(_) = self.what {
            headers.insert(IF_NONE_MATCH, etag.clone());
        }
        ArrivedRequest::new(request, ([192, 0, 2, 1], 50_000).into())
    }
}

/// Reads the whole body as a server does, and counts its bytes.
async fn drain(response: Response<impl Body<Error: Debug> + Unpin>) -> usize {
    let (mut body, mut length) = (response.into_body(), 0);
    while !body.is_end_stream() {
        match body.frame().await {
            Some(frame) => length += frame.unwrap().into_data().map_or(0, |data| data.remaining()),
            None => break,
        }
    }
    length
}
