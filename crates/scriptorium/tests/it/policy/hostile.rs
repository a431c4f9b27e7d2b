//! Advisories from files of strangers: whatever is among them, the others count, and the proxy goes on.

use std::fs::{self, File};
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use crate::support::{Release, Reply, Setup, Upstream, eventually};

const RULE: &str = "[[policy.rules]]\nid = \"bad\"\naction = \"deny\"\nmatch = { advisory = \"high\" }\n";

fn osv(id: &str, name: &str, affected: &Value) -> Value {
    let mut affected = affected.clone();
    affected["package"] = json!({ "purl": format!("pkg:volume/{name}") });
    json!({
        "id": id, "modified": "2026-01-01T00:00:00Z", "database_specific": {"severity": "HIGH"},
        "affected": [affected],
    })
}

fn every_version() -> Value {
    json!({"ranges": [{"type": "SEMVER", "events": [{"introduced": "0"}]}]})
}

/// Files that are none, or that are read for nothing but to be refused.
fn litter(folder: &Path) -> Vec<String> {
    let nested = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    for (name, bytes) in [
        ("noise.json", b"\xff\xfe\x00{".to_vec()),
        ("empty.json", Vec::new()),
        ("nested.json", nested.into_bytes()),
        ("cut.json", osv("OSV-9", "lamp", &every_version()).to_string().into_bytes()[..80].to_vec()),
        ("number.json", b"7".to_vec()),
    ] {
        fs::write(folder.join(name), bytes).unwrap();
    }
    // Longer than any file that is read, and it takes no room.
    File::create(folder.join("huge.json")).unwrap().set_len(1 << 40).unwrap();
    assert!(Command::new("mkfifo").arg(folder.join("pipe.json")).status().unwrap().success());
    fs::create_dir(folder.join("folder.json")).unwrap();
    symlink("/dev/zero", folder.join("zero.json")).unwrap();
    symlink("circle.json", folder.join("circle.json")).unwrap();
    symlink(folder, folder.join("itself")).unwrap();
    let refused = ["noise", "empty", "nested", "cut", "number", "huge", "pipe", "zero", "circle"];
    refused.map(|name| format!("{name}.json")).into()
}

#[test]
fn files_that_are_no_advisories_cost_the_others_nothing() {
    let (upstream, folder) = (Upstream::start(), tempfile::tempdir().unwrap());
    let refused = litter(folder.path());
    // Of what is odd in an entry, the strictest reading counts.
    let entries = [
        ("plain", every_version(), true),
        ("listed", json!({"versions": ["1.0.0"]}), true),
        ("other-version", json!({"versions": ["2.0.0"]}), false),
        (
            "fixed",
            json!({"ranges": [{"type": "SEMVER", "events": [{"introduced": "0"}, {"fixed": "1.0.0"}]}]}),
            false,
        ),
        (
            "last",
            json!({"ranges": [{"type": "SEMVER", "events": [{"introduced": "0"}, {"last_affected": "1.0.0"}]}]}),
            true,
        ),
        (
            "commits",
            json!({"ranges": [{"type": "GIT", "repo": "https://x", "events": [{"introduced": "0"}]}], "versions": ["2.0.0"]}),
            false,
        ),
        ("no-version", json!({"ranges": [{"type": "SEMVER", "events": [{"introduced": "latest"}]}]}), true),
    ];
    for (at, (name, affected, _)) in entries.iter().enumerate() {
        upstream.publish(&Release::new(name, "1.0.0"));
        fs::write(
            folder.path().join(format!("{at}.json")),
            osv(&format!("OSV-{at}"), name, affected).to_string(),
        )
        .unwrap();
    }
    upstream.reply("/api/v1/advisories", Reply::json(&json!({"items": []})));
    let setup = Setup::before(&upstream).set("policy.osv", vec![folder.path().display().to_string()]);
    let proxy = setup.policy("enforce", RULE).start();
    eventually("advisories that are in force", || {
        proxy.log().contains("advisories are in force").then_some(())
    });
    for (name, _, is_affected) in &entries {
        let exact = proxy.client().get(&Release::new(name, "1.0.0").exact());
        assert_eq!(exact.status, if *is_affected { 403 } else { 200 }, "{name}");
    }
    for name in refused {
        eventually(&name, || proxy.log().contains(&name).then_some(()));
    }
    // A reload reads all of them again.
    proxy.reload().ok();
    proxy.client().get(&Release::new("plain", "1.0.0").exact()).problem(403, "authorization-failed");
}
