//! What holds for several registries, member by member.

use proptest::prelude::*;
use serde_json::json;

use super::*;

fn together(documents: &[Value]) -> Value {
    let texts: Vec<String> = documents.iter().map(Value::to_string).collect();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    serde_json::from_str(&merge_capabilities(&texts).unwrap()).unwrap()
}

fn full() -> Value {
    json!({
        "schemaVersion": "1", "specVersion": "0.2", "compatibleSpecVersions": ["0.1"], "apiVersion": "v1",
        "scopePolicy": {"scopesSupported": true, "scopelessSupported": true, "scopesRequired": false, "curatedScopelessModel": "open"},
        "deliveryModes": ["cdn", "git"],
        "apis": {"trustMetadata": true, "versionIndex": true, "releaseUploads": true, "trustUploads": false, "advisories": true},
        "uploadProfiles": {"releaseUploads": ["http-put"], "trustUploads": []},
        "extensions": {"acme": {"a": 1, "b": [2]}},
        "cache": {"maxAgeSeconds": 600, "revalidate": false},
    })
}

#[test]
fn one_document_holds_for_itself() {
    assert_eq!(together(&[full()]), full());
    assert_eq!(together(&[full(), full(), full()]), full());
}

#[test]
fn each_member_is_what_holds_merge_capabilities() {
    let other = json!({
        "apiVersion": "v1", "schemaVersion": "1", "specVersion": "0.1",
        "scopePolicy": {"scopesSupported": true, "scopelessSupported": false, "scopesRequired": true, "curatedScopelessModel": "closed"},
        "deliveryModes": ["git", "cdn", "ipfs"],
        "apis": {"trustMetadata": false, "versionIndex": true, "releaseUploads": false},
        "uploadProfiles": {"releaseUploads": []},
        "extensions": {"acme": {"b": [2], "a": 1}, "other": {}},
        "cache": {"maxAgeSeconds": 60, "revalidate": true}, "later": 1,
    });
    let expected = json!({
        "schemaVersion": "1", "specVersion": "0.1", "compatibleSpecVersions": [], "apiVersion": "v1",
        "scopePolicy": {"scopesSupported": true, "scopelessSupported": false, "scopesRequired": true},
        "deliveryModes": ["cdn", "git"],
        "apis": {"trustMetadata": false, "versionIndex": true, "releaseUploads": false, "trustUploads": false, "advisories": false},
        "uploadProfiles": {"releaseUploads": [], "trustUploads": []},
        "extensions": {"acme": {"a": 1, "b": [2]}},
        "cache": {"maxAgeSeconds": 60, "revalidate": true},
    });
    assert_eq!(together(&[full(), other]), expected);
}

#[test]
fn a_version_that_all_speak_is_named() {
    let says = |own: &str, list: &[&str]| json!({"specVersion": own, "compatibleSpecVersions": list});
    for (documents, own, list) in [
        (vec![says("2", &["1"]), says("2", &["1"])], "2", vec!["1"]),
        (vec![says("2", &["a", "b"]), says("2", &["b", "c"])], "2", vec!["b"]),
        (vec![says("2", &["2", "1"]), says("2", &["1", "2"])], "2", vec!["2", "1"]),
        (vec![says("2", &["1"]), says("1", &[])], "1", vec![]),
        (vec![says("1", &[]), says("2", &["1"])], "1", vec![]),
        (vec![says("2", &[]), says("1", &[])], "2", vec![]),
    ] {
        assert_eq!(together(&documents), says(own, &list), "{documents:?}");
    }
}

#[test]
fn what_is_equal_keeps_the_first_spelling() {
    let one = r#"{"extensions":{"x":{"n":1.10,"e":1e400}, "y":[1, 2]},"deliveryModes":["cdn"],"é\n":"a"}"#;
    let two =
        r#"{"deliveryModes":[ "cdn" ],"extensions":{"y":[1,2],"x":{"n":1.10,"e":1e400}},"é\n":"\u0061"}"#;
    let expected =
        r#"{"extensions":{"x":{"n":1.10,"e":1e400},"y":[1, 2]},"deliveryModes":["cdn"],"é\n":"a"}"#;
    assert_eq!(merge_capabilities(&[one, two]).unwrap(), expected);
}

#[test]
fn of_what_can_be_read_in_two_ways_nothing_is_said() {
    let odd = r#"{"apis":{"advisories":true,"Advisories":false,"versionIndex":true},"cache":7}"#;
    assert_eq!(merge_capabilities(&[odd, odd]).unwrap(), r#"{"apis":{"versionIndex":true},"cache":{}}"#);
    assert!(merge_capabilities(&["[]"]).is_err());
}

fn document() -> impl Strategy<Value = Value> {
    let list = prop::sample::subsequence(vec!["cdn", "git", "ipfs"], 0..=3);
    let flags = prop::collection::btree_map("[a-c]", any::<bool>(), 0..3);
    let policy = (any::<bool>(), any::<bool>(), any::<bool>());
    (list, flags, policy, 0..1000_u32).prop_map(|(list, flags, (scopes, scopeless, required), age)| {
        json!({"deliveryModes": list, "apis": flags, "cache": {"maxAgeSeconds": age},
            "scopePolicy": {"scopesSupported": scopes, "scopelessSupported": scopeless, "scopesRequired": required}})
    })
}

proptest! {
    #[test]
    fn nothing_is_claimed_that_one_of_them_does_not_keep(documents in prop::collection::vec(document(), 1..4)) {
        let claimed = together(&documents);
        for document in &documents {
            let modes = document["deliveryModes"].as_array().unwrap();
            prop_assert!(claimed["deliveryModes"].as_array().unwrap().iter().all(|mode| modes.contains(mode)));
            for (flag, on) in claimed["apis"].as_object().unwrap() {
                prop_assert!(*on == json!(false) || document["apis"][flag] == json!(true));
            }
            prop_assert!(claimed["cache"]["maxAgeSeconds"].as_u64() <= document["cache"]["maxAgeSeconds"].as_u64());
            let (policy, own) = (&claimed["scopePolicy"], &document["scopePolicy"]);
            prop_assert!(own["scopesRequired"] == json!(false) || policy["scopesRequired"] == json!(true));
            for supported in ["scopesSupported", "scopelessSupported"] {
                prop_assert!(policy[supported] == json!(false) || own[supported] == json!(true));
            }
        }
    }
}
