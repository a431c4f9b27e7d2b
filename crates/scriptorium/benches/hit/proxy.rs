//! The measured proxy: wired as in production, with a warm cache, and called in the calling thread without a socket.
//!
//! Owns the requests. Must not know what is counted.

use std::fmt::Debug;
use std::str::FromStr;

use bibliotheca::RegistryServer;
use bytes::Buf;
use futures_util::FutureExt;
use http::header::{ACCEPT, ETAG, HOST, HeaderValue, IF_NONE_MATCH, USER_AGENT};
use http::{Method, Request, Response, StatusCode, Version};
use http_body::Body;
use http_body_util::BodyExt;
use scriptorium::facade::{ArrivedRequest, LoadedConfig, PortlessProxy};
use tokio::runtime::Runtime;

const VERSION: &str = "1.0.0";

/// A policy that takes valgrind seconds to load, not minutes.
const RULES: usize = 100;
const WAIVERS: usize = 500;

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
    _registry: RegistryServer,
}

impl Proxy {
    /// A proxy that logs to standard error and has an empty cache; with a long policy or none.
    pub(crate) fn start(with_rules: bool) -> Self {
        let registry = RegistryServer::start();
        for (name, size) in [("index-2k", 2_000), ("index-50k", 50_000)] {
            registry.publish_index_of_size(name, size);
        }
        for (name, size) in [("archive-1m", 1_000_000), ("archive-3m", 3_000_000)] {
            registry.publish_release_of_size(name, VERSION, size);
        }
        let config = format!(
            "upstreams = [{{ name = \"origin\", url = \"{}\" }}]\n\
             storage.url = \"memory:///\"\n\
             cache = {{ index_ttl = \"1d\", release_ttl = \"1d\", negative_ttl = \"1d\" }}\n\
             rate_limits.anonymous = \"1000000000/s\"\n\
             {}",
            registry.url(),
            if with_rules { policy() } else { String::new() }
        );
        let (proxy, background) =
            PortlessProxy::new(&LoadedConfig::parse(config.as_bytes()).unwrap(), true).unwrap();
        // Everything runs in this thread; while a hit is measured, nothing else does.
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.spawn(background);
        Self { proxy, runtime, _registry: registry }
    }

    /// Sends the request of `case` so many times. `measure` runs each hit; the requests are built before.
    pub(crate) fn drive(&self, case: Case, hits: u32, mut measure: impl FnMut(&mut dyn FnMut())) {
        let etag = self.warm(case);
        let _context = self.runtime.enter();
        for _ in 0..hits {
            let mut arrival = Some(case.arrival(&etag));
            measure(&mut || {
                let arrival = arrival.take().unwrap();
                let hit = async { drain(self.proxy.answer(&arrival).await).await };
                hit.now_or_never().expect("a hit that waits for nothing");
            });
        }
    }

    /// Caches the target of `case`, checks that it is a hit from then on, and returns its entity tag.
    fn warm(&self, case: Case) -> HeaderValue {
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

/// Rules that look at everything that is known of a release and lower none of these, rules about others, and waivers.
fn policy() -> String {
    let mut policy = "[policy]\nmode = \"enforce\"\nadvisories = \"open\"\n".to_owned();
    let of_all = [
        r#"younger_than = "7d", not_volumes = ["index-*", "archive-*"]"#,
        r#"advisory = "low""#,
        r#"resembles = ["review-agent"]"#,
        r#"permissions = { shell = "allow" }"#,
        r#"delivery = "git""#,
    ];
    let of_others = (0..RULES).map(|rule| format!(r#"volumes = ["@v{rule}/*"]"#));
    for (rule, matches) in of_all.map(str::to_owned).into_iter().chain(of_others).enumerate() {
        let action = ["hold", "deny", "discourage"][rule % 3];
        policy +=
            &format!("[[policy.rules]]\nid = \"r{rule}\"\naction = \"{action}\"\nmatch = {{ {matches} }}\n");
    }
    for waiver in 0..WAIVERS {
        let release = format!("@v{waiver}/x@1.0.0");
        policy += &format!(
            "[[policy.waivers]]\nrule = \"r{}\"\nrelease = \"{release}\"\nuntil = \"9999-12-31\"\nby = \"a\"\nwhy = \"b\"\n",
            waiver % RULES
        );
    }
    policy
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
