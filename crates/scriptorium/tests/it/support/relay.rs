//! A proxy with a Nullspace behind its mount: both, and how to tell an error that the proxy made from one that the
//! API made.

use serde_json::Value;

use super::{Answer, Deployer, Nullspace, Proxy, Setup, Upstream, eventually};

/// Where the API is mounted.
pub(crate) const MOUNT: &str = "/nullspace";

/// The API, and the proxy that relays it.
pub(crate) struct Relay {
    pub(crate) api: Nullspace,
    pub(crate) proxy: Proxy,
    /// What the proxy is configured for besides, and has no business with here.
    pub(crate) registry: Upstream,
}

impl Relay {
    pub(crate) fn start() -> Self {
        Self::start_as(|setup| setup)
    }

    /// The same with a changed configuration.
    pub(crate) fn start_as(change: impl FnOnce(Setup) -> Setup) -> Self {
        let (api, registry) = (Nullspace::start(), Upstream::start());
        let proxy = change(Setup::before(&registry).relay(MOUNT, &api.url())).start();
        Self { api, proxy, registry }
    }

    /// Somebody with a key, who reaches the API through the proxy.
    pub(crate) fn deployer(&self) -> Deployer {
        Deployer::at(self.proxy.client(), MOUNT)
    }

    /// Waits until the proxy keeps nothing of uploads that are over.
    #[track_caller]
    pub(crate) fn assert_nothing_is_left(&self) {
        self.assert_nothing_is_staged();
        eventually("no upload remembered", || self.proxy.files("sessions").is_empty().then_some(()));
    }

    /// Waits until nothing is being checked.
    #[track_caller]
    pub(crate) fn assert_nothing_is_staged(&self) {
        eventually("nothing staged", || self.proxy.files("staging").is_empty().then_some(()));
    }

    /// Asserts that the API heard of this request not at all.
    #[track_caller]
    pub(crate) fn assert_unseen(&self, method: &str, target: &str) {
        assert_eq!(self.api.count(method, target), 0, "{method} {target} reached the API");
    }

    /// The sample of a metric with these labels, nought where there is none.
    pub(crate) fn sample(&self, name: &str, labels: &[&str]) -> f64 {
        let metrics = self.proxy.admin().get("/metrics").ok().text();
        let has = |line: &&str| {
            line.strip_prefix(name).is_some_and(|rest| rest.starts_with('{'))
                && labels.iter().all(|label| line.contains(label))
        };
        let value = |line: &str| line.rsplit(' ').next().and_then(|value| value.parse::<f64>().ok());
        metrics.lines().filter(has).filter_map(value).sum()
    }
}

impl Answer {
    /// Asserts an error that the proxy made, in the shape of the API's own that its client understands, and yields
    /// what is in it.
    #[track_caller]
    pub(crate) fn refused_here(&self, status: u16, code: &str) -> Value {
        assert_eq!(self.status, status, "{}", self.text());
        assert_eq!(self.header("content-type"), Some("application/json"), "{}", self.text());
        assert_eq!(self.header("cache-control"), Some("no-store"), "{self:?}");
        let body = self.json();
        let members: Vec<_> = body.as_object().unwrap().keys().collect();
        assert_eq!(members, ["error"], "a code beside it keeps the client from trying again: {body}");
        let error = body["error"].clone();
        assert_eq!(error["code"], code, "{body}");
        assert!(error["message"].as_str().is_some_and(|message| !message.is_empty()), "{body}");
        assert!(error["retryable"].is_boolean(), "{body}");
        let id = self.header("x-request-id").unwrap_or_else(|| panic!("no x-request-id on {self:?}"));
        assert_eq!(error["request_id"], id, "{body}");
        error
    }

    /// The same of a step of an upload, for this reason.
    #[track_caller]
    pub(crate) fn upload_refused_here(&self, status: u16, reason: &str) -> Value {
        let error = self.refused_here(status, "file_upload_error");
        let detail = &error["error_detail"];
        assert_eq!(detail["reason"], reason, "{error}");
        assert!(detail["message"].is_string() && detail["retryable"].is_boolean(), "{error}");
        let known =
            ["reason", "message", "retryable", "upload_id", "request_id", "path", "part_number", "details"];
        for member in detail.as_object().unwrap().keys() {
            assert!(known.contains(&member.as_str()), "the client stumbles over {member}: {error}");
        }
        detail.clone()
    }
}
