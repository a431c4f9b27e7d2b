//! What an operator asks of a running or a stopped proxy: open divergences, invalidations, explanations.

use std::process::{Output, Stdio};

use serde_json::Value;

use super::proxy::scriptorium;
use super::{Answer, Proxy, eventually};

impl Proxy {
    /// The open divergences as the admin port lists them.
    #[track_caller]
    pub(crate) fn divergences(&self) -> Vec<Value> {
        let listed = self.admin().get("/admin/v1/divergences").ok();
        assert_eq!(listed.header("content-type"), Some("application/json"));
        listed.json()["items"].as_array().unwrap_or_else(|| panic!("no items in {}", listed.text())).clone()
    }

    /// How many divergences the metric says are open.
    #[track_caller]
    pub(crate) fn open_divergences(&self) -> f64 {
        let metrics = self.admin().get("/metrics").ok().text();
        let sample = metrics.lines().find_map(|line| line.strip_prefix("scriptorium_divergences_open "));
        sample.unwrap_or_else(|| panic!("no scriptorium_divergences_open in\n{metrics}")).parse().unwrap()
    }

    /// Waits until nothing diverges any more, by the list and by the metric.
    pub(crate) fn agrees_again(&self) {
        eventually("no open divergence", || self.divergences().is_empty().then_some(()));
        assert_eq!(self.open_divergences(), 0.0);
    }

    pub(crate) fn invalidate(&self, what: &Value) -> Answer {
        self.admin().post("/admin/v1/invalidate", &what.to_string())
    }

    /// Asks for a reload on the admin port.
    pub(crate) fn reload(&self) -> Answer {
        self.admin().send("POST", "/admin/v1/reload", &[])
    }

    /// What the admin port says of a release.
    #[track_caller]
    pub(crate) fn explain(&self, volume: &str, version: &str) -> Value {
        let answer = self.admin().get(&format!("/admin/v1/explain?volume={volume}&version={version}")).ok();
        assert_eq!(answer.header("content-type"), Some("application/json"));
        answer.json()
    }

    /// `scriptorium explain` with this proxy's configuration.
    pub(crate) fn explain_by_command(&self, arguments: &[&str]) -> Output {
        let mut command = scriptorium();
        command.arg("explain").args(arguments).arg("--config").arg(self.config());
        command.stdin(Stdio::null()).output().unwrap()
    }
}
