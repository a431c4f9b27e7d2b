//! What is published goes on to the registry as it is, so it must be framed as every reader reads it.

use super::{Blocks, gz, record};
use crate::support::publisher::announcement;
use crate::support::tarball::Entry;
use crate::support::{Publisher, Publishing, Release, Setup, hex_digest};

fn lamp() -> Release {
    Release::new("@acme/lamp", "1.1.0")
}

/// What the proxy says to an upload of these bytes, and whether the registry saw any.
fn upload(bytes: &[u8]) -> (crate::support::Answer, bool) {
    let registry = Publishing::start();
    let proxy = Setup::before(&registry).set("upstream.writes", true).start();
    let publisher = Publisher::at(proxy.client());
    let mut body = announcement(&lamp());
    body["declaredDigest"] = format!("sha256:{}", hex_digest(bytes)).into();
    body["declaredSize"] = bytes.len().into();
    let granted = publisher.ask("POST", "/api/v1/volumes/@acme/lamp", Some(&body));
    assert_eq!(granted.status, 201, "{}", granted.text());
    let answer = publisher.send(&granted.json(), bytes);
    let seen = registry.uploads().seen().iter().any(|seen| seen.path().starts_with("/take/"));
    (answer, seen)
}

#[test]
fn an_upload_that_readers_unpack_differently_is_refused_with_how_to_pack_it() {
    let odd = Blocks::default().extension(b'x', &record("path", "docs/guide.md")).files(&lamp()).ended();
    let (first, rest) =
        lamp().entries.split_first().map(|(first, rest)| (first.clone(), rest.to_vec())).unwrap();
    let rest = rest.iter().fold(Blocks::default(), Blocks::file).ended();
    let members = [gz(&Blocks::default().file(&first).0), gz(&rest)].concat();
    for (bytes, reason) in [(gz(&odd), "pax records"), (members, "more than one gzip member")] {
        let (answer, seen) = upload(&bytes);
        let problem = answer.problem(400, "invalid-archive");
        let detail = problem["detail"].as_str().unwrap();
        for part in [reason, "tar --format=gnu --sort=name", "gzip -n", "nothing was sent"] {
            assert!(detail.contains(part), "no {part} in {detail}");
        }
        assert!(!seen, "the registry saw some of it");
    }
}

#[test]
fn a_permission_escalation_cannot_hide_in_a_second_reading() {
    // Readers that look into the padding take the second manifest for `volume.toml`, and so does the registry.
    let wild = "[volume]\nname = \"@acme/lamp\"\nversion = \"1.1.0\"\n[[components]]\nname = \"c\"\npermissions.shell = \"allow\"\n";
    let mut hidden = Blocks::default().extension(b'x', &record("mtime", "1"));
    let path = record("path", "volume.toml");
    hidden.0[512 + 11..512 + 11 + path.len()].copy_from_slice(&path);
    let hidden = hidden.file(&Entry::file("docs/aside.md", wild)).files(&lamp()).ended();
    let (answer, seen) = upload(&gz(&hidden));
    answer.problem(400, "invalid-archive");
    assert!(!seen);
}

#[test]
fn what_the_advice_says_is_accepted() {
    let folder = tempfile::tempdir().unwrap();
    let long = format!("docs/{}/{}.md", "d".repeat(120), "n".repeat(120));
    for Entry { path, content, .. } in lamp().adding(Entry::file(&long, "x")).entries {
        let file = folder.path().join(path);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(file, content).unwrap();
    }
    let (refused, _) = upload(&gz(&Blocks::default().files(&lamp()).0));
    let problem = refused.problem(400, "invalid-archive");
    let detail = problem["detail"].as_str().unwrap().to_owned();
    let advice = detail.split('`').nth(1).unwrap();
    let packed = std::process::Command::new("sh").args(["-c", advice]).current_dir(&folder).output().unwrap();
    assert!(packed.status.success(), "{}", String::from_utf8_lossy(&packed.stderr));
    let (answer, seen) = upload(&packed.stdout);
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert!(seen);
}
