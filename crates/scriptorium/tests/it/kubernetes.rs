//! The manifests for Kubernetes: that they fit one another and the proxy, and that they refuse what must not run.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::yaml::{at, documents, text};
use crate::support::{Setup, Upstream};

/// The documents of the manifest, each of the kind that is asked for once.
fn manifests<const N: usize>(kinds: [(&str, &str); N]) -> [Value; N] {
    let documents = documents("kubernetes/scriptorium.yaml");
    let found: Vec<_> = documents.iter().map(|one| (text(one, "/apiVersion"), text(one, "/kind"))).collect();
    assert_eq!(found, kinds);
    documents.try_into().unwrap()
}

fn all() -> [Value; 5] {
    manifests([
        ("v1", "ConfigMap"),
        ("v1", "Service"),
        ("v1", "Service"),
        ("apps/v1", "StatefulSet"),
        ("policy/v1", "PodDisruptionBudget"),
    ])
}

/// What each element of a list has at a place.
fn each<'a>(list: &'a Value, place: &str) -> BTreeSet<&'a str> {
    list.as_array().unwrap().iter().map(|element| text(element, place)).collect()
}

/// Fails for a key that nobody reads: the API server drops a misspelt one with a warning.
fn only(value: &Value, known: &str) {
    let known: Vec<_> = known.split(' ').collect();
    let unknown = value.as_object().unwrap().keys().filter(|key| !known.contains(&&***key));
    assert_eq!(unknown.collect::<Vec<_>>(), [""; 0], "{value:#}");
}

#[test]
fn the_manifests_have_the_keys_of_their_kinds() {
    let [config, service, admin, set, budget] = all();
    only(&config, "apiVersion kind metadata data");
    [&service, &admin].into_iter().for_each(|one| only(at(one, "/spec"), "selector ports"));
    only(at(&budget, "/spec"), "maxUnavailable selector");
    only(at(&set, "/spec"), "serviceName replicas selector template volumeClaimTemplates");
    let pod = at(&set, "/spec/template/spec");
    only(
        pod,
        "automountServiceAccountToken terminationGracePeriodSeconds securityContext initContainers containers volumes",
    );
    for container in [at(pod, "/initContainers/0"), at(pod, "/containers/0")] {
        only(
            container,
            "name image command args env envFrom ports startupProbe livenessProbe readinessProbe resources securityContext volumeMounts",
        );
        let mounts = at(container, "/volumeMounts").as_array().unwrap();
        mounts.iter().for_each(|mount| only(mount, "name mountPath readOnly"));
    }
    for probe in ["startupProbe", "livenessProbe", "readinessProbe"] {
        let probe = at(pod, &format!("/containers/0/{probe}"));
        only(probe, "httpGet periodSeconds timeoutSeconds failureThreshold");
        only(at(probe, "/httpGet"), "path port");
    }
}

#[test]
fn the_manifests_fit_one_another() {
    let [config, service, admin, set, budget] = all();
    let pod = at(&set, "/spec/template/spec");
    let labels = at(&set, "/spec/template/metadata/labels");
    for selector in [
        at(&service, "/spec/selector"),
        at(&admin, "/spec/selector"),
        at(&set, "/spec/selector/matchLabels"),
        at(&budget, "/spec/selector/matchLabels"),
    ] {
        assert_eq!(selector, labels);
    }
    assert_eq!(at(&set, "/spec/serviceName"), at(&service, "/metadata/name"));
    assert_eq!(at(&set, "/spec/replicas"), 1);
    assert_eq!(at(&budget, "/spec/maxUnavailable"), 1, "none would keep a node from being drained");
    let volumes = [at(pod, "/volumes"), at(&set, "/spec/volumeClaimTemplates")];
    let mut names = each(volumes[0], "/name");
    names.extend(each(volumes[1], "/metadata/name"));
    for container in ["/initContainers/0", "/containers/0"] {
        let container = at(pod, container);
        assert!(each(at(container, "/volumeMounts"), "/name").is_subset(&names), "{container:#}");
        // Whatever the configuration names, both must see.
        assert_eq!(at(container, "/envFrom"), at(pod, "/containers/0/envFrom"));
        let closed = json!({
            "allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true, "capabilities": { "drop": ["ALL"] },
        });
        assert_eq!(at(container, "/securityContext"), &closed);
    }
    assert_eq!(at(pod, "/securityContext/runAsNonRoot"), true);
    assert_eq!(at(pod, "/volumes/0/configMap/name"), at(&config, "/metadata/name"));
    assert!(at(pod, "/containers/0/resources/limits").get("memory").is_some());
}

#[test]
fn the_probes_ask_what_a_proxy_answers_without_a_token() {
    let [config, service, admin, set, _] = all();
    let keys: toml::Table = text(&config, "/data/scriptorium.toml").parse().unwrap();
    let container = at(&set, "/spec/template/spec/containers/0");
    let ports = at(container, "/ports").as_array().unwrap();
    for (name, key) in [("http", "listen"), ("admin", "admin_listen")] {
        let port = ports.iter().find(|port| text(port, "/name") == name).unwrap();
        assert_eq!(keys["server"][key].as_str().unwrap(), format!("0.0.0.0:{}", at(port, "/containerPort")));
    }
    assert_eq!(text(&service, "/spec/ports/0/targetPort"), "http");
    let upstream = Upstream::start();
    let token = "0".repeat(64);
    let names = keys["server"]["admin_hosts"].clone();
    assert_eq!(names[0].as_str().unwrap(), text(&admin, "/metadata/name"));
    assert_eq!(text(&admin, "/spec/ports/0/targetPort"), "admin");
    let setup = Setup::before(&upstream).set("server.admin_token_sha256", &*token);
    let proxy = setup.set("server.admin_hosts", names).start();
    // Whoever scrapes the Service is asked for the token, and not sent away for its name.
    assert_eq!(proxy.admin().send("GET", "/metrics", &[("host", "scriptorium-admin:9090")]).status, 401);
    for probe in ["startupProbe", "livenessProbe", "readinessProbe"] {
        let asked = at(container, &format!("/{probe}/httpGet"));
        assert_eq!(text(asked, "/port"), "admin");
        proxy.admin().send("GET", text(asked, "/path"), &[("host", "10.1.2.3:9090")]).ok();
    }
    let grace = keys["server"].get("shutdown_grace").map_or("30s", |grace| grace.as_str().unwrap());
    let grace: i64 = grace.strip_suffix('s').unwrap().parse().unwrap();
    assert!(at(&set, "/spec/template/spec/terminationGracePeriodSeconds").as_i64().unwrap() > grace);
}

#[test]
fn a_second_replica_on_a_folder_is_refused() {
    let [_, _, _, set, _] = all();
    let guard = at(&set, "/spec/template/spec/initContainers/0");
    assert_eq!(at(guard, "/command"), &json!(["/bin/sh", "-ec"]));
    assert_eq!(at(guard, "/env/0/valueFrom/fieldRef/fieldPath"), "metadata.name");
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("scriptorium.toml");
    let script = text(guard, "/args/0").replace("/etc/scriptorium/scriptorium.toml", file.to_str().unwrap());
    let binaries = Path::new(env!("CARGO_BIN_EXE_scriptorium")).parent().unwrap();
    let path = format!("{}:{}", binaries.display(), std::env::var("PATH").unwrap());
    let starts = |pod: &str, storage: &str, environment: &[(&str, &str)]| {
        let upstreams = "upstreams = [{ name = \"public\", url = \"https://registry.example.com\" }]";
        fs::write(&file, format!("{upstreams}\n{storage}\n")).unwrap();
        let mut shell = Command::new("sh");
        shell.args(["-ec", &script]).env("PATH", &path).env("POD", pod).envs(environment.iter().copied());
        shell.output().unwrap().status.success()
    };
    let bucket = "storage = { url = \"s3://volumes/cache\" }";
    let keys = [("AWS_ACCESS_KEY_ID", "x"), ("AWS_SECRET_ACCESS_KEY", "y"), ("AWS_REGION", "z")];
    for on_a_folder in
        ["[storage]\nurl = \"file:///var/lib/x\"", "storage = { url = 'file:///var/lib/x' }", ""]
    {
        assert!(starts("scriptorium-0", on_a_folder, &[]));
        assert!(!starts("scriptorium-1", on_a_folder, &[]), "{on_a_folder}");
        assert!(!starts("scriptorium-10", on_a_folder, &[]), "{on_a_folder}");
    }
    assert!(starts("scriptorium-1", bucket, &keys));
    assert!(starts(
        "scriptorium-1",
        "",
        &[keys[0], keys[1], keys[2], ("SCRIPTORIUM_STORAGE__URL", "s3://volumes/cache")]
    ));
    assert!(!starts("scriptorium-1", "[storage", &[]), "what cannot be read is no bucket");
}
