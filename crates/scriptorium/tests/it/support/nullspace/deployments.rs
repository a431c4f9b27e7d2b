//! Deployments and their versions, and the state of a version once its bundle has arrived.

use serde_json::{Value, json};

use super::bundle::{compare, digest};
use super::{State, page, refusal, unknown};
use crate::support::{Reply, Seen};

const MOMENT: &str = "2026-01-01T00:00:00Z";

impl State {
    pub(super) fn create_deployment(&mut self, body: &Value) -> Reply {
        let deployment = json!({
            "id": format!("dep-{}", self.deployments.len() + 1),
            "name": body["name"],
            "description": body["description"],
            "mode": body["mode"],
            "status": "active",
            "active_version_id": null,
            "metadata": body.get("metadata").cloned().unwrap_or_else(|| json!({})),
            "created_at": MOMENT,
            "updated_at": MOMENT,
        });
        self.deployments.push(deployment.clone());
        Reply::answer(201, &deployment)
    }

    pub(super) fn deployment(&mut self, method: &str, id: &str, rest: &[&str], seen: &Seen) -> Reply {
        let Some(deployment) = self.deployments.iter().find(|known| known["id"] == id) else {
            return unknown();
        };
        match (method, rest) {
            ("GET", []) => Reply::answer(200, deployment),
            ("GET", ["versions"]) => {
                let own: Vec<_> =
                    self.versions.iter().filter(|known| known["deployment_id"] == id).cloned().collect();
                page(&own)
            }
            ("POST", ["versions"]) => self.create_version(id, &seen.json()),
            ("GET", ["versions", version]) => match self.find(id, version) {
                Some(found) => {
                    // The first look finds it building, every later one ready.
                    let now = found.clone();
                    if found["status"] == "building" {
                        found["status"] = "ready".into();
                        found["ready_at"] = MOMENT.into();
                    }
                    Reply::answer(200, &now)
                }
                None => unknown(),
            },
            ("PUT", ["versions", version, "bundle"]) => self.take_bundle(id, version, seen),
            _ => unknown(),
        }
    }

    fn find(&mut self, deployment: &str, version: &str) -> Option<&mut Value> {
        let mut versions = self.versions.iter_mut();
        versions.find(|known| known["id"] == version && known["deployment_id"] == deployment)
    }

    fn create_version(&mut self, deployment: &str, body: &Value) -> Reply {
        let (manifest, config) = (&body["bundle_manifest"], &body["config"]);
        if body["bundle_digest"] != digest(manifest) {
            return refusal(400, "invalid_request", "bundle_digest is not the manifest's.");
        }
        let number = self.versions.len() + 1;
        let version = json!({
            "id": format!("ver-{number}"),
            "deployment_id": deployment,
            "version_number": number,
            "bundle_digest": body["bundle_digest"],
            "bundle_manifest": manifest,
            "config": config,
            "template": config["template"],
            "workdir": config["workdir"],
            "install_command": config["install"],
            "entrypoint_command": config["entrypoint"],
            "env_spec": config["env"],
            "resource_config": config["resources"],
            "debug_config": config["debug"],
            "status": "created",
            "cache_policy": "auto",
            "created_at": MOMENT,
        });
        self.versions.push(version.clone());
        Reply::answer(201, &version)
    }

    fn take_bundle(&mut self, deployment: &str, id: &str, seen: &Seen) -> Reply {
        let claimed = seen.header("x-nullspace-bundle-digest").map(str::to_owned);
        let Some(version) = self.find(deployment, id) else { return unknown() };
        if seen.header("content-type") != Some("application/x-tar") {
            return refusal(415, "invalid_request", "A bundle is an application/x-tar.");
        }
        if claimed.is_none() || version["bundle_digest"].as_str() != claimed.as_deref() {
            return refusal(400, "invalid_request", "X-Nullspace-Bundle-Digest is not the version's.");
        }
        if let Err(difference) = compare(&version["bundle_manifest"], &seen.body) {
            return refusal(400, "invalid_request", &difference);
        }
        version["status"] = "building".into();
        let version = version.clone();
        self.bundles.insert(id.to_owned(), seen.body.clone());
        Reply::answer(200, &version)
    }
}
