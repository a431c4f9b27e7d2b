//! Tests of advisories: what is read of documents, and how they are found.

use std::sync::Arc;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

fn name(text: &str) -> VolumeName {
    text.parse().unwrap()
}

fn version(text: &str) -> Version {
    text.parse().unwrap()
}

fn registry(document: &Value) -> Result<Advisory, AdvisoryFault> {
    read_registry_advisory(document.to_string().as_bytes())
}

fn document() -> Value {
    json!({
        "id": { "local": "BIB-2026-1", "preferredExternal": "CVE-2026-1", "aliases": ["GHSA-aaaa-bbbb-cccc"] },
        "source": { "ecosystem": "bibliotheca" },
        "severity": "high",
        "published": "2026-01-01T00:00:00Z",
        "updated": "2026-01-01T00:00:00Z",
        "affected": {
            "volume": "@acme/lamp",
            "purl": "pkg:volume/%40acme/lamp",
            "ranges": [{ "type": "semver", "events": [{ "introduced": "0" }, { "fixed": "1.2.0" }] }],
        },
    })
}

fn with(change: impl FnOnce(&mut Value)) -> Value {
    let mut document = document();
    change(&mut document);
    document
}

#[test]
fn a_registry_says_what_is_affected() {
    let advisory = registry(&document()).unwrap();
    assert_eq!(advisory.id(), "BIB-2026-1");
    assert_eq!(advisory.ids().collect::<Vec<_>>(), ["BIB-2026-1", "CVE-2026-1", "GHSA-aaaa-bbbb-cccc"]);
    assert!(advisory.is_called("cve-2026-1") && !advisory.is_called("CVE-2026-2"));
    assert_eq!(advisory.affects(&name("@acme/lamp"), &version("1.1.0")), Some(AdvisorySeverity::High));
    assert_eq!(advisory.affects(&name("@acme/lamp"), &version("1.2.0")), None);
    assert_eq!(advisory.affects(&name("lamp"), &version("1.1.0")), None);
}

#[test]
fn a_withdrawn_advisory_affects_nothing() {
    let withdrawn = |value: Value| registry(&with(|document| document["withdrawn"] = value)).unwrap();
    let affects = |advisory: &Advisory| advisory.affects(&name("@acme/lamp"), &version("1.1.0")).is_some();
    assert!(!affects(&withdrawn(json!({ "at": "2026-02-01T00:00:00Z" }))));
    for nothing in
        [Value::Null, json!({}), json!({"at": ""}), json!({"at": {}}), json!([]), json!(false), json!("")]
    {
        assert!(affects(&withdrawn(nothing.clone())), "registry: {nothing}");
    }
    let withdrawn = |value: Value| {
        let mut document = osv();
        document["withdrawn"] = value;
        read_one(&document)
    };
    assert!(withdrawn(json!("2026-02-01T00:00:00Z")).is_withdrawn());
    for nothing in [Value::Null, json!({}), json!([]), json!(""), json!(" "), json!(true), json!(0)] {
        assert!(!withdrawn(nothing.clone()).is_withdrawn(), "OSV: {nothing}");
    }
}

#[test]
fn what_a_registry_leaves_out_counts_as_the_worst() {
    let affects =
        |document: Value| registry(&document).unwrap().affects(&name("@acme/lamp"), &version("9.0.0"));
    for severity in [Value::Null, json!("severe"), json!(7)] {
        let document = with(|document| {
            document["severity"] = severity;
            document["affected"]["ranges"] = json!([]);
        });
        assert_eq!(affects(document), Some(AdvisorySeverity::Critical));
    }
    let by_purl = with(|document| document["affected"] = json!({ "purl": "pkg:volume/%40acme/lamp@1.0.0" }));
    assert_eq!(affects(by_purl), Some(AdvisorySeverity::High));
    let several =
        with(|document| document["affected"] = json!([{ "volume": "saw" }, { "volume": "@acme/lamp" }]));
    assert_eq!(affects(several), Some(AdvisorySeverity::High));
}

#[test]
fn an_advisory_without_id_or_volume_is_refused() {
    let refusal = |change: fn(&mut Value)| registry(&with(change)).unwrap_err();
    assert_eq!(
        refusal(|document| document["affected"] = json!({ "volume": "Not A Name" })),
        AdvisoryFault::Volume
    );
    assert_eq!(refusal(|document| document["affected"] = json!([])), AdvisoryFault::Volume);
    assert_eq!(refusal(|document| document["id"] = json!({ "local": "" })), AdvisoryFault::Id);
    assert_eq!(refusal(|document| document["id"]["aliases"] = json!(vec!["x"; 300])), AdvisoryFault::Ids);
    assert!(matches!(refusal(|document| document["id"] = json!("x")), AdvisoryFault::Json { .. }));
}

fn osv() -> Value {
    json!({
        "id": "OSV-2026-1",
        "aliases": ["CVE-2026-1"],
        "modified": "2026-01-01T00:00:00Z",
        "affected": [{
            "package": { "ecosystem": "Agent Volumes", "name": "@acme/lamp", "purl": "pkg:volume/%40acme/lamp" },
            "ranges": [{ "type": "SEMVER", "events": [{ "introduced": "1.0.0" }, { "last_affected": "1.4.0" }] }],
            "versions": ["0.9.0"],
        }],
        "severity": [{ "type": "CVSS_V3", "score": "CVSS:3.1/AV:L/AC:H/PR:H/UI:R/S:U/C:L/I:N/A:N" }],
    })
}

fn read_one(document: &Value) -> Advisory {
    let (mut read, refused) = read_osv(document.to_string().as_bytes()).unwrap();
    assert!(refused.is_empty(), "{refused:?}");
    read.remove(0)
}

#[test]
fn an_osv_file_says_what_is_affected() {
    let advisory = read_one(&osv());
    let affects = |text: &str| advisory.affects(&name("@acme/lamp"), &version(text));
    assert_eq!(advisory.ids().collect::<Vec<_>>(), ["OSV-2026-1", "CVE-2026-1"]);
    for text in ["0.9.0", "1.0.0", "1.4.0"] {
        assert_eq!(affects(text), Some(AdvisorySeverity::Low), "{text}");
    }
    for text in ["0.9.1", "1.4.1"] {
        assert_eq!(affects(text), None, "{text}");
    }
}

#[test]
fn the_worst_severity_of_an_osv_file_counts() {
    let severity = |change: fn(&mut Value)| {
        let mut document = osv();
        change(&mut document);
        read_one(&document).affects(&name("@acme/lamp"), &version("1.0.0")).unwrap()
    };
    assert_eq!(
        severity(|document| document["database_specific"] = json!({ "severity": "MODERATE" })),
        AdvisorySeverity::Medium
    );
    assert_eq!(
        severity(|document| document["affected"][0]["ecosystem_specific"] = json!({ "severity": "HIGH" })),
        AdvisorySeverity::High
    );
    assert_eq!(
        severity(|document| document["affected"][0]["severity"] =
            json!([{ "type": "CVSS_V3", "score": "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H" }])),
        AdvisorySeverity::Critical
    );
    assert_eq!(
        severity(|document| document["severity"] = json!([])),
        AdvisorySeverity::Critical,
        "nobody says"
    );
    assert_eq!(severity(|document| document["severity"] = json!("a text")), AdvisorySeverity::Critical);
    assert_eq!(
        severity(|document| document["severity"][0]["score"] = json!("CVSS:9.9/AV:N")),
        AdvisorySeverity::Critical
    );
}

#[test]
fn an_osv_file_about_other_ecosystems_is_left_out() {
    for (package, ours) in [
        (json!({ "ecosystem": "npm", "name": "@acme/lamp" }), false),
        (json!({ "ecosystem": "npm", "name": "x", "purl": "pkg:npm/x" }), false),
        (json!({ "name": "x" }), false),
        (json!({ "ecosystem": "agent-volumes", "name": "@acme/lamp" }), true),
        (json!({ "ecosystem": "AgentVolumes:registry.example", "name": "@acme/lamp" }), true),
        (
            json!({ "ecosystem": "OSS-Fuzz", "name": "whatever it is", "purl": "pkg:volume/%40acme/lamp" }),
            true,
        ),
    ] {
        let mut document = osv();
        document["affected"][0]["package"] = package.clone();
        let (read, refused) = read_osv(document.to_string().as_bytes()).unwrap();
        assert_eq!((read.len(), refused.len()), (usize::from(ours), 0), "{package}");
    }
    assert_eq!(read_osv(br#"{"id": "X"}"#).unwrap(), (vec![], vec![]));
}

#[test]
fn commits_say_nothing_about_versions() {
    let mut document = osv();
    document["affected"][0]["ranges"][0]["type"] = json!("GIT");
    assert_eq!(
        read_one(&document).affects(&name("@acme/lamp"), &version("1.0.0")),
        None,
        "versions are listed"
    );
    document["affected"][0]["versions"] = json!([]);
    assert!(
        read_one(&document).affects(&name("@acme/lamp"), &version("1.0.0")).is_some(),
        "nothing else is said"
    );
}

#[test]
fn a_file_is_one_advisory_or_a_list() {
    let mut nameless = osv();
    nameless["affected"][0]["package"] = json!({ "ecosystem": "volume", "name": "No Name" });
    let list = json!([osv(), nameless, { "id": [] }]).to_string();
    let (read, unread) = read_osv(list.as_bytes()).unwrap();
    let places: Vec<_> = unread.iter().map(UnreadAdvisory::place).collect();
    assert_eq!((read.len(), places), (1, vec!["[1]", "[2]"]));
    for bad in ["", "null x", "[", "{"] {
        assert!(read_osv(bad.as_bytes()).is_err(), "{bad}");
    }
}

#[test]
fn advisories_are_found_by_volume() {
    let mut withdrawn = osv();
    withdrawn["withdrawn"] = json!("2026-02-01T00:00:00Z");
    let mut twice = osv();
    twice["affected"] = json!([osv()["affected"][0], osv()["affected"][0]]);
    let all = [osv(), withdrawn, twice].iter().map(read_one).collect::<Vec<_>>();
    let index = Advisories::of(all).unwrap();
    assert_eq!((index.len(), index.is_empty()), (2, false));
    assert_eq!(index.about(&name("@acme/lamp")).len(), 2);
    assert!(index.about(&name("lamp")).is_empty());
}

#[test]
fn an_index_is_bounded() {
    let one = read_one(&osv());
    assert!(Advisories::of(std::iter::repeat_n(one.clone(), 200_000)).is_ok());
    assert_eq!(Advisories::of(std::iter::repeat_n(one.clone(), 200_001)).unwrap_err(), TooManyAdvisories);
    // What cannot be read counts too, whether it names a volume or not.
    let full = Advisories::of(std::iter::repeat_n(one, 199_999)).unwrap();
    for text in ["7", r#"{"volume":"lamp"}"#] {
        let unread = Arc::new(UnreadAdvisory::new(text, "[0]".to_owned(), "x"));
        assert!(full.clone().with_unread([Arc::clone(&unread)]).is_ok());
        assert_eq!(full.clone().with_unread([Arc::clone(&unread), unread]).unwrap_err(), TooManyAdvisories);
    }
}

#[test]
fn what_cannot_be_read_is_found_by_each_volume_that_it_names() {
    let unread = |text: &str| Arc::new(UnreadAdvisory::new(text, "[0]".to_owned(), "x"));
    let two = unread(r#"{"affected":[{"volume":"lamp"},{"volume":"saw"},{"volume":"lamp"}]}"#);
    let index = Advisories::default().with_unread([two, unread("7"), unread("[]")]).unwrap();
    let counts = ["lamp", "saw", "pen"].map(|volume| index.unread_about(&name(volume)).len());
    assert_eq!((counts, index.unread_about_any()), ([1, 1, 0], 2));
}

proptest! {
    #[test]
    fn no_document_panics(
        member in prop::sample::select(vec!["id", "severity", "withdrawn", "affected", "aliases", "database_specific"]),
        value in any_json(),
    ) {
        for mut document in [document(), osv()] {
            document[member] = value.clone();
            let _ = (registry(&document), read_osv(document.to_string().as_bytes()));
            if document["affected"][0].is_object() {
                document["affected"][0][member] = value.clone();
                let _ = read_osv(document.to_string().as_bytes());
            }
        }
    }
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        "\\PC{0,9}|CVSS:3.1/AV:N|[0-9.]{0,6}".prop_map(Value::from),
    ];
    let keys = prop::sample::select(vec![
        "package",
        "ranges",
        "events",
        "introduced",
        "fixed",
        "limit",
        "score",
        "severity",
        "purl",
        "name",
        "ecosystem",
    ]);
    leaf.prop_recursive(4, 32, 4, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((keys.clone(), inner), 0..4).prop_map(|members| {
                Value::Object(members.into_iter().map(|(key, value)| (key.to_owned(), value)).collect())
            }),
        ]
    })
}
