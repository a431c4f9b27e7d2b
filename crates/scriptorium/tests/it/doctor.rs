//! `scriptorium doctor`: every check that passes and fails, with what to do.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::process::Output;

use serde_json::Value;
use tempfile::TempDir;

use crate::support::authority::{self, Authority};
use crate::support::bucket::Bucket;
use crate::support::egress::Egress;
use crate::support::proxy::{ended, scriptorium};
use crate::support::{Setup, Upstream, free_port, free_ports};

/// A configuration on free ports and in a folder of its own.
pub(crate) struct Patient {
    folder: TempDir,
    setup: Setup,
}

impl Patient {
    pub(crate) fn new(setup: Setup) -> Self {
        let folder = TempDir::new().unwrap();
        let [public, admin] = free_ports().map(|port| format!("127.0.0.1:{port}"));
        let setup = setup.set("server.listen", public).set("server.admin_listen", admin);
        let setup =
            setup.set_unless("storage.url", format!("file://{}", folder.path().join("data").display()));
        Self { folder, setup }
    }

    fn doctor(&self, arguments: &[&str]) -> Output {
        let file = self.folder.path().join("scriptorium.toml");
        self.setup.write(&file);
        let mut command = scriptorium();
        command.args(["doctor", "--config"]).arg(&file).args(arguments).envs(self.setup.environment.clone());
        command.output().unwrap()
    }

    /// The exit code, and the findings as they are told to programs.
    pub(crate) fn found(&self) -> (Option<i32>, Vec<Value>) {
        let output = self.doctor(&["--json"]);
        let report: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{output:?}"));
        assert_eq!(report["good"], output.status.success());
        (output.status.code(), report["checks"].as_array().unwrap().clone())
    }
}

/// The one finding of a check.
pub(crate) fn one<'a>(found: &'a [Value], check: &str) -> &'a Value {
    let mut of_check = found.iter().filter(|finding| finding["check"] == check);
    let one = of_check.next().unwrap_or_else(|| panic!("{check}: {found:#?}"));
    assert!(of_check.next().is_none(), "{check}: {found:#?}");
    one
}

/// Fails with `check`, which says `found` and advises `advice`.
#[track_caller]
pub(crate) fn fails(setup: Setup, check: &str, words: &str, advice: &str) {
    let (code, found) = Patient::new(setup).found();
    let finding = one(&found, check);
    assert_eq!((code, &finding["outcome"]), (Some(1), &"bad".into()), "{found:#?}");
    assert!(finding["found"].as_str().unwrap().contains(words), "{finding}");
    assert!(finding["advice"].as_str().unwrap_or_default().contains(advice), "{finding}");
}

#[test]
fn a_sound_configuration_passes_and_nothing_is_left_behind() {
    let upstream = Upstream::start();
    let patient = Patient::new(Setup::before(&upstream));
    let (code, found) = patient.found();
    assert_eq!(code, Some(0), "{found:#?}");
    for check in
        ["configuration", "server.listen", "server.admin_listen", "open files", "dns", "connection", "clock"]
    {
        assert_ne!(one(&found, check)["outcome"], "bad", "{found:#?}");
    }
    assert!(found.iter().any(|finding| finding["check"] == "storage"), "{found:#?}");
    assert!(!patient.folder.path().join("data").exists(), "a doctor makes nothing");
    let lines = patient.doctor(&[]);
    let lines = String::from_utf8(lines.stdout).unwrap();
    assert_eq!(lines.lines().count(), found.len(), "one line a check:\n{lines}");
    assert!(lines.contains("ok       configuration"), "{lines}");
}

#[test]
fn a_bad_configuration_is_told_error_by_error() {
    let upstream = Upstream::start();
    let setup = Setup::before(&upstream).set("cache.index_ttl", "soon");
    let (code, found) = Patient::new(setup.set("upstream.token_env", "SURELY_UNSET_TOKEN")).found();
    assert_eq!((code, found.len()), (Some(1), 2), "{found:#?}");
    let text = format!("{found:?}");
    assert!(text.contains("cache.index_ttl") && text.contains("upstreams[0].token_env"), "{text}");
}

#[test]
fn a_registry_that_cannot_be_reached_is_told_step_by_step() {
    let at = |url: &str| Setup::before(&Upstream::start()).set("upstream.url", url);
    fails(at("http://no-such-name.invalid"), "dns", "cannot be resolved", "name servers");
    let closed = format!("http://127.0.0.1:{}", free_port());
    fails(at(&closed), "connection", "refuses connections", "port");
    let proxied = at("https://registry.test").set("upstream.proxy", closed.as_str());
    fails(proxied, "proxy", "cannot be reached", "`proxy`");
    let egress = Egress::start_with(Some("user:secret"));
    let proxied = at("https://registry.test").set("upstream.proxy", egress.url());
    fails(proxied, "proxy", "credential", "proxy_auth_env");
    // No proxy of Agent Volumes, but it answers.
    let upstream = Upstream::start();
    let elsewhere = Setup::before(&upstream).set("upstream.url", format!("{}/elsewhere", upstream.url()));
    let (_, found) = Patient::new(elsewhere).found();
    assert_ne!(one(&found, "registry")["outcome"], "good", "{found:#?}");
}

#[test]
fn a_certificate_is_told_with_how_to_trust_it() {
    let Some(authority) = Authority::new() else { return };
    let upstream = Upstream::start();
    let behind = upstream.authority().parse().unwrap();
    let at = |identity| {
        let door = authority::door(&identity, None, behind);
        Setup::before(&upstream).set("upstream.url", format!("https://registry.localhost:{}", door.port()))
    };
    let good = "DNS:registry.localhost";
    let trusted = |setup: Setup| setup.set("upstream.ca_file", authority.certificate());
    fails(at(authority.issue("unknown", good)), "tls", "authority", "`ca_file`");
    fails(trusted(at(authority.issue("other", "DNS:other.test"))), "tls", "other.test", "certificate names");
    fails(trusted(at(authority.issue_expired("old", good))), "tls", "expired", "renew");
    let (_, found) = Patient::new(trusted(at(authority.issue("good", good)))).found();
    assert_eq!(one(&found, "tls")["outcome"], "good", "{found:#?}");
}

#[test]
fn a_port_in_use_names_its_process_and_a_key_for_everybody_is_refused() {
    let upstream = Upstream::start();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let patient = Patient::new(Setup::before(&upstream));
    let setup = patient.setup.clone().set("server.listen", taken.local_addr().unwrap().to_string());
    let patient = Patient { setup, ..patient };
    let (code, found) = patient.found();
    let finding = one(&found, "server.listen");
    assert_eq!((code, &finding["outcome"]), (Some(1), &"bad".into()), "{found:#?}");
    let process = format!("process {}", std::process::id());
    assert!(finding["found"].as_str().unwrap().contains(&process), "{finding}");

    let mut proxy = Setup::before(&upstream).start();
    let config = proxy.config();
    let running = scriptorium().args(["doctor", "--json", "--config"]).arg(config).output().unwrap();
    assert!(running.status.success(), "beside the running proxy: {running:?}");
    proxy.stop();
}

/// Both refuse it: the doctor by `check`, and the server at its start.
#[track_caller]
fn both_refuse(patient: &Patient, check: &str, words: &str) {
    let (code, found) = patient.found();
    let finding = one(&found, check);
    assert_eq!((code, &finding["outcome"]), (Some(1), &"bad".into()), "{found:#?}");
    assert!(finding["found"].as_str().unwrap().contains(words), "{finding}");
    let config = patient.folder.path().join("scriptorium.toml");
    let mut serve = scriptorium();
    serve.arg("serve").arg("--config").arg(config).envs(patient.setup.environment.clone());
    let served = ended("serve, which should refuse this,", &mut serve);
    assert_eq!(served.status.code(), Some(1), "{served:?}");
}

#[test]
fn what_the_server_cannot_open_at_its_start_the_doctor_refuses() {
    let upstream = Upstream::start();
    let home = TempDir::new().unwrap();
    let at = |name: &str| home.path().join(name).display().to_string();
    fs::write(at("file"), "not a record").unwrap();
    symlink(at("nothing"), at("link")).unwrap();
    let with = |key: &str, value: String| Patient::new(Setup::before(&upstream).set(key, value));
    for audit in
        [at("missing/audit.jsonl"), at("file"), at("link"), at("file/audit.jsonl"), "/dev/null".into()]
    {
        both_refuse(&with("log.audit", audit), "audit record", "log.audit");
    }
    for storage in [at("file"), at("link"), at("file/below"), "/dev/null".into()] {
        both_refuse(&with("storage.url", format!("file://{storage}")), "storage", "is no folder");
    }
    let planted = TempDir::new().unwrap();
    fs::write(planted.path().join("git"), "").unwrap();
    let url = format!("file://{}", planted.path().display());
    both_refuse(&with("storage.url", url), "private folder", "git is a link or a file");
    assert_eq!(fs::read_dir(home.path()).unwrap().count(), 2, "nothing is made");
}

#[test]
fn an_audit_record_that_can_be_made_passes_and_is_not_made() {
    let patient = Patient::new(Setup::before(&Upstream::start()));
    // The storage, which is not there yet, and the folder above it.
    for audit in ["data/audit.jsonl", "audit.jsonl"].map(|name| patient.folder.path().join(name)) {
        let setup = patient.setup.clone().set("log.audit", audit.display().to_string());
        setup.write(&patient.folder.path().join("scriptorium.toml"));
        let file = patient.folder.path().join("scriptorium.toml");
        let output = scriptorium().args(["doctor", "--json", "--config"]).arg(file).output().unwrap();
        let report: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(
            one(report["checks"].as_array().unwrap(), "audit record")["outcome"],
            "good",
            "{report:#}"
        );
        assert!(!audit.exists());
    }
}

#[test]
fn a_bucket_is_written_read_and_left_as_it_was() {
    let Some(bucket) = Bucket::start() else { return };
    let upstream = Upstream::start();
    let tier = TempDir::new().unwrap();
    let setup = |setup: Setup| setup.set("storage.tier", tier.path().join("tier").display().to_string());
    let (_, found) = Patient::new(setup(bucket.below(Setup::before(&upstream)))).found();
    assert_eq!(one(&found, "bucket")["outcome"], "good", "{found:#?}");
    assert!(bucket.keys("staging").is_empty());
    fails(setup(bucket.named(Setup::before(&upstream), "no-such-bucket")), "bucket", "no-such-bucket", "");
}

#[test]
fn a_private_key_that_everybody_reads_is_refused() {
    let Some(authority) = Authority::new() else { return };
    let upstream = Upstream::start();
    let identity = authority.issue("own", "DNS:localhost");
    let key = &identity.key;
    let setup = Setup::before(&upstream).set("server.tls", identity.keys());
    fs::set_permissions(key, fs::Permissions::from_mode(0o644)).unwrap();
    fails(setup.clone(), "private key", "every user", "chmod 600");
    fs::set_permissions(key, fs::Permissions::from_mode(0o600)).unwrap();
    let (_, found) = Patient::new(setup).found();
    assert_eq!(one(&found, "private key")["outcome"], "good", "{found:#?}");
}
