//! Capabilities of several registries: what holds for all of them.

use serde_json::{Value, json};

use super::{CAPABILITIES, Registries, is_partial};
use crate::support::{Reply, Upstream};

fn full() -> Value {
    json!({
        "schemaVersion": "1", "specVersion": "0.1.0", "compatibleSpecVersions": ["0.0.9", "0.0.8"], "apiVersion": "v1",
        "scopePolicy": {"scopesSupported": true, "scopelessSupported": true, "scopesRequired": false},
        "deliveryModes": ["cdn", "git"],
        "apis": {"trustMetadata": true, "versionIndex": true, "releaseUploads": true, "trustUploads": true, "advisories": true},
        "uploadProfiles": {"releaseUploads": ["tus", "http-put"], "trustUploads": ["tus"]},
        "extensions": {"acme": {"level": 1}},
        "cache": {"maxAgeSeconds": 600, "revalidate": true},
    })
}

fn say(upstream: &Upstream, capabilities: &Value) {
    upstream.reply(CAPABILITIES, Reply::json(capabilities));
}

#[test]
fn only_what_holds_for_all_is_claimed() {
    let registries = Registries::start();
    let [a, b, c] = &registries.0;
    say(a, &full());
    let mut other = full();
    other["deliveryModes"] = json!(["cdn"]);
    other["compatibleSpecVersions"] = json!(["0.0.9"]);
    other["apis"]["advisories"] = json!(false);
    other["extensions"] = json!({ "acme": { "level": 2 }, "other": true });
    other["cache"]["maxAgeSeconds"] = json!(30);
    say(b, &other);
    let mut strict = full();
    strict["scopePolicy"] =
        json!({"scopesSupported": true, "scopelessSupported": false, "scopesRequired": true});
    say(c, &strict);
    let proxy = registries.setup().start();
    let expected = json!({
        "schemaVersion": "1", "specVersion": "0.1.0", "compatibleSpecVersions": ["0.0.9"], "apiVersion": "v1",
        "scopePolicy": {"scopesSupported": true, "scopelessSupported": false, "scopesRequired": true},
        "deliveryModes": ["cdn"],
        "apis": {"trustMetadata": true, "versionIndex": true, "releaseUploads": false, "trustUploads": false, "advisories": false},
        "uploadProfiles": {"releaseUploads": [], "trustUploads": []},
        "extensions": {},
        "cache": {"maxAgeSeconds": 30, "revalidate": true},
    });
    assert_eq!(proxy.client().get(CAPABILITIES).ok().json(), expected);
    assert!(proxy.client().get(CAPABILITIES).ok().is_hit());
}

#[test]
fn uploads_are_advertised_where_every_registry_takes_them_by_a_profile_that_is_carried() {
    let registries = Registries::start();
    registries.0.iter().for_each(|upstream| say(upstream, &full()));
    let writes = |on: [bool; 3]| {
        let mut setup = registries.setup();
        for (upstream, on) in setup.table["upstreams"].as_array_mut().unwrap().iter_mut().zip(on) {
            upstream.as_table_mut().unwrap().insert("writes".into(), on.into());
        }
        setup
    };
    for (on, offered) in [([true, true, true], true), ([true, false, true], false)] {
        let proxy = writes(on).start();
        let said = proxy.client().get(CAPABILITIES).ok().json();
        assert_eq!(said["apis"]["releaseUploads"], offered, "{said}");
        assert_eq!(said["apis"]["trustUploads"], false, "tus is not carried: {said}");
        let profiles = if offered { json!(["http-put"]) } else { json!([]) };
        assert_eq!(said["uploadProfiles"], json!({ "releaseUploads": profiles, "trustUploads": [] }));
    }
}

#[test]
fn one_that_cannot_be_asked_is_missing() {
    let registries = Registries::start();
    let [a, b, c] = &registries.0;
    say(a, &full());
    say(b, &full());
    c.down();
    let proxy = registries.setup().start();
    let answer = proxy.client().get(CAPABILITIES).ok();
    assert!(is_partial(&answer), "{}", answer.cache());
    assert_eq!(answer.json()["deliveryModes"], json!(["cdn", "git"]));
}
