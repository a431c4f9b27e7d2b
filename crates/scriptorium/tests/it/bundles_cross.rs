//! What befalls bundles on their way and at both ends, as operators of other mirrors complain of it.

use std::fs;
use std::process::Command;

use serde_json::{Value, json};

use crate::support::bucket::Bucket;
use crate::support::crossing::{Luggage, command, export, mirror, receiver, see, seen};
use crate::support::divergence::Lie;
use crate::support::mirror::list;
use crate::support::tarball::Entry;
use crate::support::{Proxy, Release, Reply, Setup, Upstream, each, eventually, hex_digest, noise};

fn lamp(version: &str) -> Release {
    Release::new("lamp", version).adding(Entry::file("big", noise(5, 100_000)))
}

/// The status of the row of `release`.
fn row(far: &Proxy, release: &Release) -> Value {
    let index = far.client().get(&release.index()).ok().json();
    let rows = index["items"].as_array().unwrap();
    rows.iter().find(|row| row["version"] == *release.version).unwrap()["status"].clone()
}

#[track_caller]
fn import(far: &Proxy, luggage: &Luggage, from: &str) -> Value {
    mirror(far, &["import", &luggage.at(from), "--json"]).exits(0).json()
}

#[test]
fn what_befalls_a_whole_volume_of_a_pattern_is_carried_over() {
    let refused = [("blocked", 403, "authorization-failed"), ("tombstoned", 404, "not-found")];
    let cases = refused.into_iter().flat_map(|refused| {
        [(refused, "--lifecycle-only", true), (refused, "--lifecycle-only", false), (refused, "--json", true)]
    });
    each(cases, |((state, status, slug), how, is_listed)| {
        let (luggage, upstream) = (Luggage::new(), Upstream::start());
        let (gone, stays) = (lamp("1.0.0"), Release::new("lantern", "1.0.0"));
        [&gone, &stays].into_iter().for_each(|release| upstream.publish(release));
        let never = Release::new("lamina", "1.0.0").state(state, "a reason");
        let refusal = || Reply::problem(status, slug, "Gone", "a reason");
        upstream.say(&never, [never.row(&upstream.url())], refusal());
        list(&upstream, &["lamina", "lamp", "lantern"]);
        let far = receiver(&upstream, &luggage.key("corp")).start();
        let near = Setup::before(&upstream).mirror("ci", "roots = [\"la*\"]").start();
        mirror(&near, &["sync", "ci"]).exits(0);
        export(&near, &luggage, "first", &[]);
        import(&far, &luggage, "first");
        assert_eq!(far.client().get(&gone.download()).status, 200);

        let changed = lamp("1.0.0").state(state, "a reason");
        upstream.say(&changed, [changed.row(&upstream.url())], refusal());
        if !is_listed {
            list(&upstream, &["lantern"]);
        }
        near.admin().post("/admin/v1/invalidate", r#"{"pattern":"*"}"#).ok();
        // Each sync of what did not change again says the same.
        for round in ["second", "third"] {
            let synced = mirror(&near, &["sync", "ci", "--json"]).exits(0).json();
            assert_eq!(synced["mirrors"][0]["complete"], true, "{synced}");
            mirror(&near, &["verify", "ci"]).exits(0);
            export(&near, &luggage, round, &[how]);
            import(&far, &luggage, round);
            for withheld in [&changed, &never] {
                assert_eq!(row(&far, withheld)["state"], state);
                for path in [withheld.exact(), withheld.download()] {
                    assert_eq!(far.client().get(&path).status, status, "{path}, {state}, {how}");
                }
            }
            far.client().get(&stays.download()).ok();
        }
    });
}

#[test]
fn a_block_a_deletion_and_a_yank_are_carried_over() {
    let cases = [
        ("blocked", Some((403, "authorization-failed"))),
        ("tombstoned", Some((404, "not-found"))),
        ("yanked", None),
    ];
    each(cases, |(state, refusal)| {
        let (luggage, upstream) = (Luggage::new(), Upstream::start());
        let (first, second) = (lamp("1.0.0"), lamp("1.1.0"));
        let far = receiver(&upstream, &luggage.key("corp")).start();
        let near = seen(&upstream, &[&first, &second]);
        export(&near, &luggage, "first", &[]);
        import(&far, &luggage, "first");
        assert_eq!(far.client().get(&first.download()).status, 200);

        let changed = lamp("1.0.0").state(state, "a reason");
        let answer = match refusal {
            Some((status, slug)) => Reply::problem(status, slug, "Gone", "a reason"),
            None => Reply::json(&changed.metadata(&upstream.url())),
        };
        upstream.say(&changed, [changed.row(&upstream.url())], answer);
        near.admin().post("/admin/v1/invalidate", r#"{"volume":"lamp"}"#).ok();
        near.client().get(&changed.index()).ok();
        near.client().get(&changed.exact());
        export(&near, &luggage, "second", &["--lifecycle-only"]);
        import(&far, &luggage, "second");
        assert_eq!(row(&far, &first)["state"], state);
        let expected = refusal.map_or(200, |(status, _)| status);
        assert_eq!(far.client().get(&first.exact()).status, expected);
        assert_eq!(far.client().get(&first.download()).status, expected);
        assert!(far.client().get(&second.download()).ok().body == second.archive());
    });
}

#[test]
fn an_empty_index_replaces_no_full_one() {
    let (luggage, upstream) = (Luggage::new(), Upstream::start());
    let (first, other) = (lamp("1.0.0"), Release::new("bulb", "1.0.0"));
    let far = receiver(&upstream, &luggage.key("corp")).start();
    let near = seen(&upstream, &[&first, &other]);
    export(&near, &luggage, "first", &[]);
    import(&far, &luggage, "first");
    upstream.reply(&first.index(), Reply::json(&json!({ "items": [] })));
    near.admin().post("/admin/v1/invalidate", r#"{"volume":"lamp"}"#).ok();
    near.client().get(&first.index());
    export(&near, &luggage, "second", &[]);
    let said = mirror(&far, &["import", &luggage.at("second"), "--json"]).exits(1).json();
    assert_eq!(said["left_out"].as_array().unwrap().len(), 1, "{said}");
    assert_eq!(said["left_out"][0]["release"], "lamp", "{said}");
    assert!(said["left_out"][0]["reason"].as_str().unwrap().contains("lists nothing"), "{said}");
    assert_eq!(row(&far, &first)["state"], "available");
    assert!(far.client().get(&first.download()).ok().body == first.archive());
}

#[test]
fn a_bundle_that_was_lost_costs_nothing_but_the_next_one() {
    let (luggage, upstream) = (Luggage::new(), Upstream::start());
    let [first, second, third] = ["1.0.0", "1.1.0", "1.2.0"].map(lamp);
    let far = receiver(&upstream, &luggage.key("corp")).start();
    let near = seen(&upstream, &[&first]);
    export(&near, &luggage, "first", &[]);
    import(&far, &luggage, "first");
    let receipt = || {
        fs::write(luggage.path("receipt.json"), mirror(&far, &["receipt"]).exits(0).out).unwrap();
        luggage.at("receipt.json")
    };
    let anew = |releases: &[&Release]| {
        releases.iter().for_each(|release| upstream.publish(release));
        near.admin().post("/admin/v1/invalidate", r#"{"volume":"lamp"}"#).ok();
        see(&near, &upstream, releases);
    };
    anew(&[&first, &second]);
    export(&near, &luggage, "lost", &["--for", &receipt()]);
    fs::remove_dir_all(luggage.path("lost")).unwrap();
    anew(&[&first, &second, &third]);
    export(&near, &luggage, "third", &["--for", &receipt()]);
    let manifest = fs::read_to_string(luggage.path("third/manifest.json")).unwrap();
    let manifest: Value = serde_json::from_str(&manifest).unwrap();
    assert_eq!(manifest["files"].as_array().unwrap().len(), 2, "what the lost one had, and what is new");
    import(&far, &luggage, "third");
    for release in [&first, &second, &third] {
        assert!(far.client().get(&release.download()).ok().body == release.archive(), "{}", release.version);
    }
}

/// Signs the manifest of a bundle again with `corp.key`, by Debian's minisign.
fn sign(luggage: &Luggage, bundle: &str) -> bool {
    let manifest = luggage.at(&format!("{bundle}/manifest.json"));
    let signed =
        Command::new("minisign").args(["-S", "-s", &luggage.at("corp.key"), "-m", &manifest, "-W"]).output();
    match signed {
        Ok(signed) => {
            assert!(signed.status.success(), "{}", String::from_utf8_lossy(&signed.stderr));
            true
        }
        Err(error) => {
            assert!(std::env::var_os("SCRIPTORIUM_REQUIRE_MINISIGN").is_none(), "{error}");
            eprintln!("skipped: no minisign here: {error}");
            false
        }
    }
}

#[test]
fn a_sequence_far_ahead_is_told_and_two_ways_lead_out() {
    let (luggage, upstream) = (Luggage::new(), Upstream::start());
    let far = receiver(&upstream, &luggage.key("corp")).start();
    let near = seen(&upstream, &[&lamp("1.0.0")]);
    export(&near, &luggage, "first", &[]);
    import(&far, &luggage, "first");
    export(&near, &luggage, "ahead", &[]);
    let path = luggage.path("ahead/manifest.json");
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, text.replace("\"sequence\":2,", "\"sequence\":9007199254740991,")).unwrap();
    if !sign(&luggage, "ahead") {
        return;
    }
    let said = mirror(&far, &["import", &luggage.at("ahead"), "--json"]).exits(0);
    let told = said.json()["warnings"][0].as_str().unwrap().to_owned();
    assert!(told.contains("--any-sequence") && told.contains("trust a new key"), "{told}");
    export(&near, &luggage, "third", &[]);
    let said = mirror(&far, &["import", &luggage.at("third"), "--json"]).exits(3).json();
    assert!(said["reason"].as_str().unwrap().contains("9007199254740991"), "{said}");

    // A new key begins anew.
    let other = luggage.key("other");
    far.reconfigure(|setup| setup.set("bundles.trusted_keys", toml::Value::Array(vec![other.into()])));
    let (to, key) = (luggage.at("fourth"), luggage.at("other.key"));
    mirror(&near, &["export", "ci", "--to", &to, "--key", &key]).exits(0);
    import(&far, &luggage, "fourth");
    // Or the operator sets the order of the old one back.
    let corp = fs::read_to_string(luggage.path("corp.pub")).unwrap().lines().nth(1).unwrap().to_owned();
    far.reconfigure(|setup| setup.set("bundles.trusted_keys", toml::Value::Array(vec![corp.into()])));
    mirror(&far, &["import", &luggage.at("third"), "--any-sequence"]).exits(0);
    export(&near, &luggage, "fifth", &[]);
    import(&far, &luggage, "fifth");
}

#[test]
fn an_archive_that_was_refused_is_told_by_row_exact_metadata_and_explain_until_a_right_one_comes() {
    let (luggage, upstream) = (Luggage::new(), Upstream::start());
    let (bad, good) = (lamp("1.0.0"), lamp("1.1.0"));
    let near = seen(&upstream, &[&bad, &good]);
    let mut far = receiver(&upstream, &luggage.key("corp")).start();
    export(&near, &luggage, "bundle", &[]);
    let path = luggage.path("bundle/manifest.json");
    let mut manifest: Value = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
    // Another tree under the integrity of the release.
    let other = lamp("1.0.0").adding(Entry::file("more", "x")).archive();
    let blob = hex_digest(&other);
    fs::write(luggage.path(&format!("bundle/blobs/sha256/{blob}")), &other).unwrap();
    let files = manifest["files"].as_array_mut().unwrap();
    let file = files.iter_mut().find(|file| file["version"] == "1.0.0").unwrap();
    (file["sha256"], file["size"]) = (blob.into(), other.len().into());
    fs::write(&path, manifest.to_string()).unwrap();
    if !sign(&luggage, "bundle") {
        return;
    }
    let said = mirror(&far, &["import", &luggage.at("bundle"), "--json"]).exits(1).json();
    assert_eq!(
        said["left_out"].as_array().unwrap().len(),
        1,
        "one bad archive costs the others nothing: {said}"
    );
    assert!(said["left_out"][0]["reason"].as_str().unwrap().contains("refused"), "{said}");
    for _ in 0..2 {
        assert!(far.client().get(&good.download()).ok().body == good.archive());
        far.client().get(&bad.exact()).problem(409, "inconsistent-registry-state");
        far.client().get(&bad.download()).problem(409, "inconsistent-registry-state");
        assert_eq!(row(&far, &bad)["state"], "unavailable");
        let explained = far.explain("lamp", "1.0.0");
        assert_eq!(explained["verdict"]["exact"]["rule"], "refused", "{explained}");
        assert_eq!(explained["refusal"]["integrity"], bad.integrity(), "{explained}");
        far.restart();
    }
    export(&near, &luggage, "later", &[]);
    import(&far, &luggage, "later");
    assert!(far.client().get(&bad.download()).ok().body == bad.archive());
    assert_eq!(row(&far, &bad)["state"], "available");
    assert_eq!(far.explain("lamp", "1.0.0")["refusal"], Value::Null);
}

#[test]
fn a_release_that_is_refused_here_stays_here_and_the_bundle_says_why_once() {
    let cases = [("contradicts itself", true), ("was refused", false)];
    each(cases, |(cause, is_contradicted)| {
        let (luggage, upstream) = (Luggage::new(), Upstream::start());
        let (bad, good) = (Release::new("@acme/lamp", "1.0.0"), lamp("1.1.0"));
        [&bad, &good].into_iter().for_each(|release| upstream.publish(release));
        let near = Setup::before(&upstream).mirror("ci", "roots = [\"lamp\", \"@acme/lamp\"]").start();
        if is_contradicted {
            // What came when all agreed is here; it must not cross.
            mirror(&near, &["sync", "ci"]).exits(0);
            Lie::RowIntegrity.tell(&upstream, &bad);
            near.admin().post("/admin/v1/invalidate", r#"{"pattern":"*"}"#).ok();
            near.client().get(&bad.download()).problem(409, "inconsistent-registry-state");
        } else {
            upstream.publish_as(&bad, lamp("9.9.9").archive());
            mirror(&near, &["sync", "ci"]).exits(1);
            near.client().get(&bad.download()).problem(409, "inconsistent-registry-state");
        }
        let _key = luggage.key("corp");
        export(&near, &luggage, "bundle", &[]);
        let manifest = fs::read_to_string(luggage.path("bundle/manifest.json")).unwrap();
        let manifest: Value = serde_json::from_str(&manifest).unwrap();
        let missing = manifest["missing"].as_array().unwrap();
        let of_bad: Vec<_> = missing.iter().filter(|gap| gap["release"] == "@acme/lamp@1.0.0").collect();
        assert_eq!(of_bad.len(), 1, "{manifest}");
        assert!(of_bad[0]["reason"].as_str().unwrap().contains(cause), "{manifest}");
        let files: Vec<_> =
            manifest["files"].as_array().unwrap().iter().map(|file| &file["volume"]).collect();
        assert_eq!(files, ["lamp"], "the other crosses");
    });
}

#[test]
fn bundles_are_made_from_a_bucket_and_taken_into_one() {
    let (Some(near_bucket), Some(far_bucket)) = (Bucket::start(), Bucket::start()) else { return };
    let (luggage, upstream) = (Luggage::new(), Upstream::start());
    let releases = [
        lamp("1.0.0"),
        // Sent to a bucket in parts.
        lamp("1.1.0").adding(Entry::file("wick", noise(9, 9 << 20))),
        Release::new("bulb", "2.0.0"),
    ];
    releases.iter().for_each(|release| upstream.publish(release));
    let keys = "roots = [\"lamp\", \"bulb\"]\nversions = \"all\"\nclosure = \"none\"\ntrust = false";
    let setup = near_bucket.below(Setup::before(&upstream)).mirror("ci", keys);
    let run = |proxy: &Proxy, setup: &Setup, arguments: &[&str]| {
        let said = command(proxy, arguments).envs(setup.environment.clone()).output().unwrap();
        let [out, err] = [said.stdout, said.stderr].map(|text| String::from_utf8(text).unwrap());
        assert_eq!(said.status.code(), Some(0), "{out}\n{err}");
        serde_json::from_str::<Value>(&out).unwrap_or_default()
    };
    let near = setup.clone().start();
    run(&near, &setup, &["sync", "ci", "--json"]);
    let there = receiver(&upstream, &luggage.key("corp"));
    let there = far_bucket.below(there);
    let mut far = there.clone().start();
    let (to, key) = (luggage.at("bundle"), luggage.at("corp.key"));
    let made = run(&near, &setup, &["export", "ci", "--to", &to, "--key", &key, "--json"]);
    assert_eq!((made["files"].as_u64(), &made["missing"]), (Some(3), &json!([])), "{made}");
    upstream.down();

    let taken = run(&far, &there, &["import", &to, "--json"]);
    assert_eq!(
        (taken["outcome"].as_str(), taken["releases"].as_u64()),
        (Some("imported"), Some(3)),
        "{taken}"
    );
    for _ in 0..2 {
        for release in &releases {
            far.client().get(&release.index()).ok();
            far.client().get(&release.exact()).ok();
            assert!(far.client().get(&release.download()).ok().body == release.archive());
        }
        far.restart();
    }
    assert_eq!(far_bucket.keys("archives").len(), 3);
    // The proxy proves now and then that it can write.
    eventually("nothing staged", || far_bucket.keys("staging").is_empty().then_some(()));
    let again = run(&far, &there, &["import", &to, "--json"]);
    assert_eq!(again["outcome"], "unchanged", "{again}");
    let receipt = run(&far, &there, &["receipt"]);
    assert_eq!(receipt["files"].as_array().unwrap().len(), 3, "{receipt}");
    fs::write(luggage.path("receipt.json"), receipt.to_string()).unwrap();
    let (delta, receipt) = (luggage.at("delta"), luggage.at("receipt.json"));
    let made =
        run(&near, &setup, &["export", "ci", "--to", &delta, "--key", &key, "--for", &receipt, "--json"]);
    assert_eq!((made["kind"].as_str(), made["files"].as_u64()), (Some("delta"), Some(0)), "{made}");
}
