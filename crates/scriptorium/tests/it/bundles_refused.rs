//! A bundle that is not what its receiver trusts: nothing of it is written, or it is left out and named.

use std::fs;

use serde_json::Value;

use crate::support::catalogue::attachment;
use crate::support::crossing::{Luggage, command, contents, export, mirror, receiver, seen};
use crate::support::tarball::Entry;
use crate::support::{Proxy, Release, Reply, Upstream, each, eventually, hex_digest, noise};

fn release(version: &str) -> Release {
    Release::new("lamp", version).adding(Entry::file("big", noise(5, 300_000)))
}

/// An export at another time.
fn dated_export(proxy: &Proxy, luggage: &Luggage, to: &str, at: &str, more: &[&str]) {
    let (to, key) = (luggage.at(to), luggage.at("corp.key"));
    let mut arguments = vec!["export", "ci", "--to", &to, "--key", &key];
    arguments.extend(more);
    let made = command(proxy, &arguments).env("SOURCE_DATE_EPOCH", at).output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
}

/// A stopped receiver, and a bundle for it.
fn sites(luggage: &Luggage, trusted: &str) -> (Upstream, Proxy, Proxy) {
    let upstream = Upstream::start();
    let near = seen(&upstream, &[&release("1.0.0"), &release("1.1.0")]);
    export(&near, luggage, "bundle", &[]);
    let mut far = receiver(&upstream, trusted).start();
    far.stop();
    (upstream, near, far)
}

#[track_caller]
fn refused(far: &Proxy, luggage: &Luggage, more: &[&str]) -> Value {
    let before = contents(&far.data());
    let bundle = luggage.at("bundle");
    let mut arguments = vec!["import", &bundle, "--json"];
    arguments.extend(more);
    let said = mirror(far, &arguments).exits(3).json();
    assert_eq!(said["outcome"], "refused", "{said}");
    assert!(said["reason"].as_str().is_some_and(|reason| !reason.is_empty()), "{said}");
    assert!(contents(&far.data()) == before, "something was written");
    said
}

/// From now on the receiver, which is stopped, trusts these keys.
fn trust(far: &Proxy, keys: &[&str]) {
    let keys = keys.iter().map(|key| (*key).into()).collect();
    far.reconfigure(|setup| setup.set("bundles.trusted_keys", toml::Value::Array(keys)));
}

#[test]
fn without_a_trusted_signature_nothing_is_written() {
    let luggage = Luggage::new();
    let key = luggage.key("corp");
    let (_upstream, _near, far) = sites(&luggage, &luggage.key("other"));
    refused(&far, &luggage, &[]);
    trust(&far, &[]);
    refused(&far, &luggage, &["--partial"]);
    trust(&far, &[&key]);
    let (manifest, signature) =
        (luggage.path("bundle/manifest.json"), luggage.path("bundle/manifest.json.minisig"));
    let (text, signed) = (fs::read_to_string(&manifest).unwrap(), fs::read(&signature).unwrap());
    fs::write(&manifest, text.replace("\"sequence\":1", "\"sequence\":2")).unwrap();
    refused(&far, &luggage, &[]);
    refused(&far, &luggage, &["--allow-unsigned"]);
    fs::write(&manifest, text).unwrap();
    fs::remove_file(&signature).unwrap();
    refused(&far, &luggage, &[]);
    let taken =
        mirror(&far, &["import", &luggage.at("bundle"), "--allow-unsigned", "--json"]).exits(0).json();
    assert_eq!(taken["outcome"], "imported", "{taken}");
    // One that nobody signed has no place in the order of the key.
    fs::write(&signature, signed).unwrap();
    let taken = mirror(&far, &["import", &luggage.at("bundle"), "--json"]).exits(0).json();
    assert_eq!(taken["outcome"], "imported", "{taken}");
}

#[test]
fn an_older_bundle_of_a_key_and_an_expired_one_are_refused() {
    let luggage = Luggage::new();
    let key = luggage.key("corp");
    let (_upstream, near, far) = sites(&luggage, &key);
    export(&near, &luggage, "later", &[]);
    mirror(&far, &["import", &luggage.at("later")]).exits(0);
    let said = refused(&far, &luggage, &[]);
    assert!(said["reason"].as_str().unwrap().contains("sequence 2"), "{said}");
    mirror(&far, &["import", &luggage.at("bundle"), "--any-sequence"]).exits(0);
    mirror(&far, &["import", &luggage.at("later")]).exits(0);
    dated_export(&near, &luggage, "bundle", "1700000000", &["--expires", "1d"]);
    let said = refused(&far, &luggage, &[]);
    assert!(said["reason"].as_str().unwrap().contains("expired"), "{said}");
}

#[test]
fn a_damaged_blob_is_named_and_the_rest_goes_in_when_asked() {
    let luggage = Luggage::new();
    let key = luggage.key("corp");
    let (_upstream, _near, mut far) = sites(&luggage, &key);
    let manifest: Value =
        serde_json::from_str(&fs::read_to_string(luggage.path("bundle/manifest.json")).unwrap()).unwrap();
    let file = manifest["files"].as_array().unwrap().iter().find(|file| file["version"] == "1.0.0").unwrap();
    let blob = file["sha256"].as_str().unwrap();
    let path = luggage.path(&format!("bundle/blobs/sha256/{blob}"));
    let whole = fs::read(&path).unwrap();
    let mut damaged = whole.clone();
    damaged[1000] ^= 1;
    fs::write(&path, damaged).unwrap();
    let said = refused(&far, &luggage, &[]);
    assert_eq!(said["left_out"][0]["blob"], blob, "{said}");
    let inspected = mirror(&far, &["inspect", &luggage.at("bundle"), "--json"]).exits(1).json();
    assert_eq!(
        (inspected["intact"].as_bool(), inspected["problems"][0]["blob"].as_str()),
        (Some(false), Some(blob))
    );
    let said = mirror(&far, &["import", &luggage.at("bundle"), "--partial", "--json"]).exits(1).json();
    assert_eq!(
        (said["outcome"].as_str(), said["left_out"][0]["blob"].as_str()),
        (Some("partial"), Some(blob))
    );
    far.revive();
    assert_eq!(far.client().get(&release("1.1.0").download()).status, 200);
    let index = far.client().get(&release("1.0.0").index()).ok().json();
    let row = index["items"].as_array().unwrap().iter().find(|row| row["version"] == "1.0.0").unwrap();
    assert!(row["status"]["reason"].as_str().unwrap().starts_with("not-held:"), "{index}");
    // The same bundle, whole, completes what was left out.
    fs::write(&path, whole).unwrap();
    mirror(&far, &["import", &luggage.at("bundle")]).exits(0);
    assert!(far.client().get(&release("1.0.0").download()).ok().body == release("1.0.0").archive());
}

#[test]
fn a_release_that_contradicts_its_pin_is_left_out_and_quarantined() {
    let luggage = Luggage::new();
    let key = luggage.key("corp");
    let upstream = Upstream::start();
    let first = seen(&upstream, &[&release("1.0.0"), &release("1.1.0")]);
    export(&first, &luggage, "bundle", &[]);
    let far = receiver(&upstream, &key).start();
    mirror(&far, &["import", &luggage.at("bundle")]).exits(0);

    let replaced = release("1.0.0").adding(Entry::file("late.txt", "not there at first"));
    let late = release("1.2.0");
    let second = seen(&upstream, &[&replaced, &release("1.1.0"), &late]);
    // The second site of the same sender signs with the same key, and counts for itself.
    export(&second, &luggage, "other", &[]);
    dated_export(&second, &luggage, "other", "1700000000", &[]);
    let said = mirror(&far, &["import", &luggage.at("other"), "--json"]).exits(1).json();
    assert_eq!(said["left_out"].as_array().unwrap().len(), 1, "{said}");
    assert_eq!(said["left_out"][0]["release"], "lamp@1.0.0", "{said}");
    assert!(far.client().get(&late.download()).ok().body == late.archive(), "the rest is in");
    far.client().get(&replaced.exact()).problem(409, "inconsistent-registry-state");
    far.client().get(&replaced.download()).problem(409, "inconsistent-registry-state");
    let divergences = far.admin().get("/admin/v1/divergences").ok().json();
    assert_eq!(divergences["items"][0]["kind"], "integrity-changed", "{divergences}");
    let index = far.client().get(&replaced.index()).ok().json();
    let row = index["items"].as_array().unwrap().iter().find(|row| row["version"] == "1.0.0").unwrap();
    assert_eq!(row["status"]["state"], "unavailable", "{index}");

    // The registry says again what it said first, and a later bundle brings that.
    upstream.publish(&release("1.0.0"));
    first.admin().post("/admin/v1/invalidate", r#"{"volume":"lamp"}"#).ok();
    for target in [release("1.0.0").index(), release("1.0.0").exact()] {
        first.client().get(&target).ok();
    }
    for _ in 0..2 {
        export(&first, &luggage, "again", &[]);
    }
    mirror(&far, &["import", &luggage.at("again")]).exits(0);
    assert!(far.client().get(&release("1.0.0").download()).ok().body == release("1.0.0").archive());
    let divergences = far.admin().get("/admin/v1/divergences").ok().json();
    assert_eq!(divergences["items"], serde_json::json!([]));
}

#[test]
fn a_document_of_another_registry_is_left_out() {
    let luggage = Luggage::new();
    let key = luggage.key("corp");
    let upstream = Upstream::start();
    let near = seen(&upstream, &[&release("1.0.0")]);
    export(&near, &luggage, "bundle", &[]);
    let other = Upstream::start();
    each([("public", other.url()), ("private", upstream.url())], |(name, url)| {
        let mut setup = receiver(&upstream, &key);
        setup.table.remove("upstreams");
        let far = setup.upstream(name, &url).start();
        let said = mirror(&far, &["import", &luggage.at("bundle"), "--json"]).exits(1).json();
        assert_eq!(
            (said["outcome"].as_str(), said["releases"].as_u64()),
            (Some("partial"), Some(0)),
            "{said}"
        );
        assert_eq!(far.client().get(&release("1.0.0").exact()).status, 504);
        assert_eq!(far.files("archives").len(), 0);
    });
}

#[test]
fn what_is_not_what_the_manifest_says_is_left_out_even_when_the_manifest_is_believed() {
    let luggage = Luggage::new();
    let key = luggage.key("corp");
    let (_upstream, _near, mut far) = sites(&luggage, &key);
    let path = luggage.path("bundle/manifest.json");
    let mut manifest: Value = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
    // The archive of another release, under a digest that is right; and a page in the place of exact metadata.
    let other = manifest["files"][1].clone();
    manifest["files"][0]["sha256"] = other["sha256"].clone();
    manifest["files"][0]["size"] = other["size"].clone();
    let page = b"<html>sign in</html>";
    fs::write(luggage.path(&format!("bundle/blobs/sha256/{}", hex_digest(page))), page).unwrap();
    let documents = manifest["documents"].as_array_mut().unwrap();
    let exact = documents.iter_mut().find(|one| one["route"] == release("1.1.0").exact()).unwrap();
    exact["sha256"] = hex_digest(page).into();
    exact["size"] = page.len().into();
    fs::write(&path, manifest.to_string()).unwrap();
    fs::remove_file(luggage.path("bundle/manifest.json.minisig")).unwrap();

    let said = mirror(&far, &["import", &luggage.at("bundle"), "--allow-unsigned", "--json"]).exits(1).json();
    let left_out: Vec<_> =
        said["left_out"].as_array().unwrap().iter().map(|one| one["release"].as_str().unwrap()).collect();
    assert_eq!(left_out, ["lamp@1.0.0", "lamp@1.1.0"], "{said}");
    far.revive();
    far.client().get(&release("1.0.0").download()).problem(409, "inconsistent-registry-state");
    assert_eq!(far.client().get(&release("1.1.0").exact()).status, 504);
    assert_eq!(far.files("archives").len(), 1);
    eventually("no staged file", || far.files("staging").is_empty().then_some(()));
}

#[test]
fn a_folder_that_is_no_bundle_is_refused_and_a_path_without_a_folder_is_a_mistake() {
    let luggage = Luggage::new();
    let (_upstream, _near, far) = sites(&luggage, &luggage.key("corp"));
    mirror(&far, &["import", &luggage.at("nowhere")]).exits(2);
    mirror(&far, &["inspect", &luggage.at("nowhere")]).exits(2);
    fs::remove_file(luggage.path("bundle/manifest.json")).unwrap();
    refused(&far, &luggage, &["--allow-unsigned"]);
    mirror(&far, &["inspect", &luggage.at("bundle")]).exits(1);
    let said = mirror(&far, &["inspect", &luggage.at("bundle"), "--json"]).exits(1).json();
    assert_eq!(
        (said["signature"].as_str(), said["intact"].as_bool()),
        (Some("missing"), Some(false)),
        "{said}"
    );
    assert!(said["problems"][0]["reason"].as_str().unwrap().contains("manifest.json"), "{said}");
    fs::write(luggage.path("bundle/manifest.json"), "{\"format\":\"something else\"}").unwrap();
    let said = mirror(&far, &["inspect", &luggage.at("bundle"), "--json"]).exits(1).json();
    assert_eq!((said["signature"].as_str(), said["sequence"].as_u64()), (Some("bad"), None), "{said}");
    assert_eq!(said["problems"].as_array().unwrap().len(), 1, "{said}");
}

#[test]
fn a_trust_view_about_something_else_or_that_takes_something_back_is_left_out() {
    let luggage = Luggage::new();
    let key = luggage.key("corp");
    let upstream = Upstream::start();
    let (lamp, detail) = (release("1.0.0"), release("1.0.0").trust("detail"));
    upstream.reply(&detail, Reply::json(&lamp.attested(&[attachment("one", "first", "active")])));
    let near = seen(&upstream, &[&lamp]);
    near.client().get(&detail).ok();
    export(&near, &luggage, "bundle", &[]);
    let far = receiver(&upstream, &key).start();
    mirror(&far, &["import", &luggage.at("bundle")]).exits(0);
    let held = far.client().get(&detail).ok().body;

    let path = luggage.path("bundle/manifest.json");
    let manifest: Value = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
    fs::remove_file(luggage.path("bundle/manifest.json.minisig")).unwrap();
    let mut other = lamp.attested(&[attachment("one", "first", "active")]);
    other["subject"]["integrity"] = format!("sha256:{}", "1".repeat(64)).into();
    // A statement that was verified against another release.
    let mut strange = attachment("one", "first", "active");
    strange["verification"] = serde_json::json!({ "subjectDigest": format!("sha256:{}", "1".repeat(64)) });
    for view in [other, lamp.attested(&[strange]), lamp.attested(&[])] {
        let view = view.to_string();
        let mut manifest = manifest.clone();
        let documents = manifest["documents"].as_array_mut().unwrap();
        let listed = documents.iter_mut().find(|one| one["route"] == *detail).unwrap();
        listed["sha256"] = hex_digest(view.as_bytes()).into();
        listed["size"] = view.len().into();
        fs::write(luggage.path(&format!("bundle/blobs/sha256/{}", hex_digest(view.as_bytes()))), &view)
            .unwrap();
        fs::write(&path, manifest.to_string()).unwrap();
        let said = mirror(&far, &["import", &luggage.at("bundle"), "--allow-unsigned", "--json"]);
        let said = said.exits(1).json();
        assert_eq!(said["left_out"][0]["release"], "lamp@1.0.0", "{said}");
        assert!(said["left_out"][0]["reason"].as_str().unwrap().contains("its trust view"), "{said}");
        assert!(far.client().get(&detail).ok().body == held, "what is here stays");
    }
}

#[test]
fn a_bundle_and_a_storage_are_apart() {
    let luggage = Luggage::new();
    let (_upstream, near, far) = sites(&luggage, &luggage.key("corp"));
    let before = contents(&near.data());
    let link = luggage.path("link");
    std::os::unix::fs::symlink(near.data(), &link).unwrap();
    let key = luggage.at("corp.key");
    let data = near.data();
    for to in
        [&data, &data.join("bundle"), &data.join("new/deep"), data.parent().unwrap(), &link.join("bundle")]
    {
        let said =
            mirror(&near, &["export", "ci", "--to", &to.display().to_string(), "--key", &key]).exits(2);
        assert!(said.err.contains("not in the storage's"), "{}", said.err);
    }
    assert!(contents(&data) == before, "something was written");
    // A neighbour whose name begins alike is another folder.
    let beside = format!("{}-bundle", data.display());
    mirror(&near, &["export", "ci", "--to", &beside, "--key", &key]).exits(0);
    let said = mirror(&far, &["import", &far.data().display().to_string()]).exits(2);
    assert!(said.err.contains("not in the storage's"), "{}", said.err);
    // A folder with other things in it is not taken over.
    fs::create_dir(luggage.path("papers")).unwrap();
    fs::write(luggage.path("papers/letter.txt"), "dear").unwrap();
    let said = mirror(&near, &["export", "ci", "--to", &luggage.at("papers"), "--key", &key]).exits(1);
    assert!(said.err.contains("letter.txt") && said.err.contains("a new folder"), "{}", said.err);
    assert_eq!(contents(&luggage.path("papers")).len(), 1);
}
