//! The real Nullspace client deploys an agent and uploads a file in parts, while parts, bundles and answers
//! get lost on the way. What is proven of the proxy is proven of the API alone first.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::support::{Accident, Ending, Nullspace, Proxy, Reply, Setup, Upstream, hex_digest};

const PARTS: u64 = 5;
const SIZE: u64 = (PARTS - 1) * Nullspace::PART + 1000;

/// The real client.
struct Sdk(PathBuf);

impl Sdk {
    /// `None` where no Python has it and none is required to.
    fn find() -> Option<Self> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let python = std::env::var_os("SCRIPTORIUM_SDK_PYTHON")
            .map_or_else(|| root.join("../../target/tools/nullspace/bin/python"), PathBuf::from);
        let probe = Command::new(&python).args(["-c", "import nullspace"]).stderr(Stdio::null()).status();
        if probe.is_ok_and(|status| status.success()) {
            return Some(Self(python));
        }
        let missing = "nullspace-sdk is neither with $SCRIPTORIUM_SDK_PYTHON nor in target/tools/nullspace";
        assert!(std::env::var_os("SCRIPTORIUM_REQUIRE_SDK").is_none(), "{missing}");
        eprintln!("skipped: {missing}");
        None
    }

    /// What it is told by the API at `url` when it deploys an agent and uploads a file.
    fn deploy_and_upload(&self, url: &str) -> Value {
        self.run(url, &[])
    }

    /// What it is told when it resumes an upload of the same file.
    fn resume(&self, url: &str, upload: &str) -> Value {
        self.run(url, &[upload])
    }

    fn run(&self, url: &str, more: &[&str]) -> Value {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/sdk/deploy_and_upload.py");
        let elsewhere = tempfile::tempdir().unwrap();
        let output = Command::new(&self.0)
            .arg(script)
            .args([Nullspace::SANDBOX, &SIZE.to_string()])
            .args(more)
            .env("NULLSPACE_API_URL", url)
            .env("NULLSPACE_API_KEY", Nullspace::KEY)
            // Settings of whoever runs the tests are not read, nor is a proxy of theirs asked.
            .env("HOME", elsewhere.path())
            .env("XDG_CONFIG_HOME", elsewhere.path())
            .env("NO_PROXY", "127.0.0.1")
            .current_dir(elsewhere.path())
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{said}\n{}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_str(said.trim()).unwrap()
    }
}

/// A proxy that relays to the API, and where the client finds the API there.
fn before(api: &Nullspace) -> (Upstream, Proxy) {
    let registry = Upstream::start();
    let proxy = Setup::before(&registry).relay("/nullspace", &api.url()).start();
    (registry, proxy)
}

fn below(proxy: &Proxy) -> String {
    format!("http://{}/nullspace", proxy.authority())
}

/// Loses what can be lost on the way to the API.
fn lose_things(api: &Nullspace) {
    api.lose_part_answer(1, 1);
    api.cut_part(1, 2, 1000);
    api.cut_part(1, 2, 0);
    api.lose_complete_answer(1);
    api.befall("PUT", &api.bundle(1), Accident::AnswerLost);
    api.befall("PUT", &api.bundle(1), Accident::BodyCut(4096));
}

/// Lets an upload fail for good in the middle, as far as the client can tell.
fn fail_a_part(api: &Nullspace) {
    api.befall_always("PUT", &api.part(1, 3), Some(Accident::Instead(Reply::failure(500))));
}

#[track_caller]
fn assert_deployed(api: &Nullspace, told: &Value) {
    let deployed = &told["deployed"];
    assert_eq!((&deployed["deployment"], &deployed["version"]), (&"dep-1".into(), &"ver-1".into()));
    assert_eq!(deployed["status"], "building", "{told}");
    assert_eq!(deployed["polled"], json!(["building", "ready"]), "{told}");
    assert_eq!(deployed["bundle_digest"], api.version("ver-1").unwrap()["bundle_digest"]);
    assert_eq!(deployed["files"], 7, "{told}");
    assert!(api.bundle_bytes("ver-1").is_some_and(|bundle| bundle.len() > 4096));
}

/// Asserts that client and API agree on an upload that came whole, and that no part ever came wrong.
#[track_caller]
fn assert_uploaded(api: &Nullspace, told: &Value) {
    let uploaded = &told["uploaded"];
    assert_eq!((&uploaded["status"], &uploaded["parts"]), (&"completed".into(), &PARTS.into()), "{told}");
    assert_eq!((&uploaded["bytes"], &uploaded["path"]), (&SIZE.into(), &"/workspace/data.bin".into()));
    assert_eq!(uploaded["sha256"], hex_digest(&api.uploaded(1).unwrap()));
    assert_eq!(api.parts(1).len() as u64, PARTS);
    for (number, part) in api.parts(1) {
        assert!(part.came.iter().all(|digest| *digest == part.came[0]), "part {number}: {:?}", part.came);
    }
}

/// Asserts that every request for the bundle and for completion had the key of the first.
#[track_caller]
fn assert_keys_stayed(api: &Nullspace) {
    for (method, target) in [("PUT", api.bundle(1)), ("POST", api.complete(1))] {
        let asked = api.asked(method, &target);
        assert!(asked[0].header("idempotency-key").is_some(), "{target}");
        for again in &asked[1..] {
            assert_eq!(again.header("idempotency-key"), asked[0].header("idempotency-key"), "{target}");
        }
    }
}

#[test]
fn the_ground_is_sound_when_nothing_gets_lost() {
    let (Some(sdk), api) = (Sdk::find(), Nullspace::start()) else { return };
    let told = sdk.deploy_and_upload(&api.url());
    assert_deployed(&api, &told);
    assert_uploaded(&api, &told);
    for (number, part) in api.parts(1) {
        assert_eq!(part.came.len(), 1, "part {number}");
    }
    assert_eq!((api.count("PUT", &api.bundle(1)), api.count("POST", &api.complete(1))), (1, 1));
}

#[test]
fn the_ground_is_sound_when_things_get_lost() {
    let (Some(sdk), api) = (Sdk::find(), Nullspace::start()) else { return };
    lose_things(&api);
    let told = sdk.deploy_and_upload(&api.url());
    assert_deployed(&api, &told);
    assert_uploaded(&api, &told);
    assert_keys_stayed(&api);
    assert_eq!(api.count("PUT", &api.bundle(1)), 3);
    assert_eq!(api.count("POST", &api.complete(1)), 2);
    assert_eq!(api.parts(1)[&1].came.len(), 2, "the part whose answer was lost came again");
    let cut = api.asked("PUT", &api.part(1, 2));
    let endings: Vec<_> = cut.iter().map(|seen| seen.ending).collect();
    assert_eq!(endings, [Ending::Short, Ending::Short, Ending::Whole]);
    assert_eq!((cut[0].length, cut[1].length, cut[2].length), (1000, 0, Nullspace::PART));
}

#[test]
fn the_ground_is_sound_when_an_upload_is_resumed() {
    let (Some(sdk), api) = (Sdk::find(), Nullspace::start()) else { return };
    fail_a_part(&api);
    let told = sdk.deploy_and_upload(&api.url());
    assert_eq!(told["uploaded"]["failed"], "upl-1", "{told}");
    api.befall_always("PUT", &api.part(1, 3), None);
    let resumed = sdk.resume(&api.url(), "upl-1");
    assert_uploaded(&api, &resumed);
    assert_eq!(resumed["uploaded"]["resumed"], true);
    for part in 0..3 {
        assert_eq!(api.parts(1)[&part].came.len(), 1, "part {part} came again");
    }
}

#[test]
fn the_real_client_deploys_and_uploads_through_the_proxy_with_parts_lost_on_the_way() {
    let (Some(sdk), api) = (Sdk::find(), Nullspace::start()) else { return };
    let (registry, proxy) = before(&api);
    lose_things(&api);
    let told = sdk.deploy_and_upload(&below(&proxy));
    assert_deployed(&api, &told);
    assert_uploaded(&api, &told);
    assert_keys_stayed(&api);
    assert!(api.seen().iter().all(|seen| seen.bearer() == Some(Nullspace::KEY)));
    assert_eq!(registry.seen().len(), 0, "the registry has nothing to do with it");
}

#[test]
fn the_real_client_resumes_an_upload_through_a_proxy_that_crashed_meanwhile() {
    let (Some(sdk), api) = (Sdk::find(), Nullspace::start()) else { return };
    let (_registry, mut proxy) = before(&api);
    fail_a_part(&api);
    let told = sdk.deploy_and_upload(&below(&proxy));
    assert_eq!(told["uploaded"]["failed"], "upl-1", "{told}");
    proxy.crash_and_restart();
    api.befall_always("PUT", &api.part(1, 3), None);
    let resumed = sdk.resume(&below(&proxy), "upl-1");
    assert_uploaded(&api, &resumed);
    assert_eq!(resumed["uploaded"]["resumed"], true);
}
