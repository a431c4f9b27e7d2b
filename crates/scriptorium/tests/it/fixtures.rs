//! Documents as the specification's fixtures have them, valid and invalid, in our own words: each is served, refused as no
//! answer, or served without what is wrong in it. Every way of writing one name twice is a fixture too.

use serde_json::{Value, json};

use crate::support::{Release, Reply, Setup, Upstream, each};

fn lamp() -> Release {
    Release::new("@acme/lamp", "1.0.0")
}

/// What becomes of a document.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Fate {
    /// It is served.
    Served,
    /// It counts as no answer.
    NoAnswer,
    /// It is refused for what it says of its release.
    Divergent,
    /// Its row is shown as unavailable.
    RowAside,
    /// What is wrong is left out.
    LeftOut,
}
use Fate::{Divergent, LeftOut, NoAnswer, RowAside, Served};

type Change = fn(&mut Value);
type Case = (&'static str, Change, Fate);

const RELEASES: &[Case] = &[
    ("available, by cdn", |_| {}, Served),
    (
        "available, by git",
        |it| it["dist"] = json!({"source": "git", "repository": "https://git/x", "ref": "v1"}),
        Served,
    ),
    ("yanked with a reason", |it| it["status"] = json!({"state": "yanked", "reason": "wrong"}), Divergent),
    (
        "git without a ref",
        |it| it["dist"] = json!({"source": "git", "repository": "https://git/x"}),
        NoAnswer,
    ),
    ("cdn of another media type", |it| it["dist"]["mediaType"] = "application/zip".into(), NoAnswer),
    ("cdn without a url", |it| drop(it["dist"].as_object_mut().unwrap().remove("url")), NoAnswer),
    ("another source", |it| it["dist"]["source"] = "oci".into(), NoAnswer),
    ("no dist", |it| drop(it.as_object_mut().unwrap().remove("dist")), NoAnswer),
    ("no integrity", |it| drop(it.as_object_mut().unwrap().remove("integrity")), NoAnswer),
    ("an integrity of another algorithm", |it| it["integrity"] = "sha512:00".into(), NoAnswer),
    (
        "an integrity in capitals",
        |it| it["integrity"] = it["integrity"].as_str().unwrap().to_uppercase().into(),
        NoAnswer,
    ),
    ("another state", |it| it["status"]["state"] = "deprecated".into(), NoAnswer),
    ("a state in capitals", |it| it["status"]["state"] = "Available".into(), NoAnswer),
    ("the purl of a scope, not encoded", |it| it["purl"] = "pkg:volume/@acme/lamp@1.0.0".into(), Divergent),
    ("the purl of a component", |it| it["purl"] = "pkg:volume/%40acme/lamp@1.0.0#tool/x".into(), Divergent),
    ("a purl with qualifiers", |it| it["purl"] = "pkg:volume/%40acme/lamp@1.0.0?os=linux".into(), Divergent),
    ("a purl of another type", |it| it["purl"] = "pkg:npm/%40acme/lamp@1.0.0".into(), Divergent),
    ("a purl with needless encoding", |it| it["purl"] = "pkg:volume/%40acme/l%61mp@1.0.0".into(), Divergent),
    (
        "a purl with slashes before its type",
        |it| it["purl"] = "pkg://volume/%40acme/lamp@1.0.0".into(),
        Divergent,
    ),
    ("a purl without a version", |it| it["purl"] = "pkg:volume/%40acme/lamp".into(), Divergent),
    ("an external dependency", |it| it["externalDependencies"] = external(), Served),
    (
        "an external dependency with a member of its own",
        |it| {
            it["externalDependencies"] = external();
            it["externalDependencies"][0]["later"] = true.into();
        },
        NoAnswer,
    ),
    (
        "an external dependency without a constraint",
        |it| {
            it["externalDependencies"] = external();
            it["externalDependencies"][0].as_object_mut().unwrap().remove("constraint");
        },
        NoAnswer,
    ),
    ("members of later versions", |it| it["later"] = json!({"Name": 1, "a": [1.0]}), Served),
    ("a status that is a list", |it| it["status"] = json!(["available", "why"]), NoAnswer),
    ("a state that is an object", |it| it["status"]["state"] = json!({"available": null}), NoAnswer),
    (
        "a dist that is a list",
        |it| it["dist"] = json!(["cdn", "https://cdn/x", "application/gzip"]),
        NoAnswer,
    ),
    ("Integrity beside integrity", |it| it["Integrity"] = "sha256:00".into(), NoAnswer),
    ("URL beside url", |it| it["dist"]["URL"] = "https://elsewhere/x".into(), NoAnswer),
    ("State beside state", |it| it["status"]["STATE"] = "blocked".into(), NoAnswer),
    ("a name that folds into status", |it| it["\u{17f}tatus"] = json!({"state": "blocked"}), NoAnswer),
];

fn external() -> Value {
    json!([{ "declarationKey": "av-extdep-v1:sha256:00", "purl": "pkg:npm/x", "constraint": "vers:npm/>=1.0.0",
        "purpose": "runtime", "components": ["guide"] }])
}

const ROWS: &[Case] = &[
    (
        "with dependencies",
        |it| it["dependencies"] = json!({"x": "^2.0.0", "@acme/y": ">=1.5.0, <3.0.0"}),
        Served,
    ),
    ("without an integrity", |it| drop(it.as_object_mut().unwrap().remove("integrity")), Served),
    ("with members of later versions", |it| it["later"] = json!([{"Status": 1}]), Served),
    ("with a link of its own host", |it| it["release"]["url"] = lamp().exact().into(), Served),
    ("with a partial range", |it| it["dependencies"] = json!({"x": "^2.0"}), RowAside),
    ("with an alternative range", |it| it["dependencies"] = json!({"x": "^1.0.0 || ^2.0.0"}), RowAside),
    ("with a tag", |it| it["dependencies"] = json!({"x": "latest"}), RowAside),
    ("with build metadata in a range", |it| it["dependencies"] = json!({"x": "1.0.0+b"}), RowAside),
    ("with a dependency that has no name", |it| it["dependencies"] = json!({"No Name": "1.0.0"}), RowAside),
    ("of another state", |it| it["status"]["state"] = "gone".into(), RowAside),
    ("without a status", |it| drop(it.as_object_mut().unwrap().remove("status")), RowAside),
    ("without a link", |it| it["release"] = json!({}), RowAside),
    ("whose integrity is cut", |it| it["integrity"] = "sha256:00".into(), RowAside),
    ("whose status is a list", |it| it["status"] = json!(["available"]), RowAside),
    ("with Status beside status", |it| it["Status"] = json!({"state": "blocked"}), RowAside),
    ("with URL beside url", |it| it["release"]["Url"] = "https://elsewhere/x".into(), RowAside),
    ("without a version", |it| drop(it.as_object_mut().unwrap().remove("version")), LeftOut),
    ("with a partial version", |it| it["version"] = "1.0".into(), LeftOut),
    ("with Version beside version", |it| it["Version"] = "2.0.0".into(), LeftOut),
    ("that is a list", |it| *it = json!(["1.0.0"]), LeftOut),
    ("that is null", |it| *it = Value::Null, LeftOut),
];

const SUMMARIES: &[Case] = &[
    ("without artifacts", |_| {}, Served),
    (
        "with artifacts",
        |it| it["artifacts"] = json!([{"category": "bom", "formatsPresent": ["f"], "present": true}]),
        Served,
    ),
    ("with judgments", |it| it["judgments"] = json!({"verifiedPublisher": true}), Served),
    (
        "about another content",
        |it| it["subject"]["integrity"] = format!("sha256:{}", "b".repeat(64)).into(),
        Divergent,
    ),
    (
        "about a purl that is not encoded",
        |it| it["subject"]["purl"] = "pkg:volume/@acme/lamp@1.0.0".into(),
        Divergent,
    ),
    ("without a subject", |it| drop(it.as_object_mut().unwrap().remove("subject")), NoAnswer),
    ("whose subject is a list", |it| it["subject"] = json!([lamp().purl(), lamp().integrity()]), NoAnswer),
    ("with Subject beside subject", |it| it["Subject"] = json!({}), NoAnswer),
];

const DETAILS: &[Case] = &[
    ("without attachments", |_| {}, Served),
    (
        "with one",
        |it| it["attachments"] = json!([attached(json!({"url": "https://up/a"}), "active")]),
        Served,
    ),
    (
        "with a revoked one",
        |it| it["attachments"] = json!([attached(json!({"url": "/a"}), "revoked")]),
        Served,
    ),
    (
        "with an embedded one",
        |it| it["attachments"] = json!([attached(json!({"embedded": "{}"}), "active")]),
        Served,
    ),
    (
        "with other bytes embedded",
        |it| it["attachments"] = json!([attached(json!({"embedded": "[]"}), "active")]),
        Divergent,
    ),
    ("without a locator", |it| it["attachments"] = json!([attached(json!({}), "active")]), NoAnswer),
    (
        "in another state",
        |it| it["attachments"] = json!([attached(json!({"url": "/a"}), "trusted")]),
        NoAnswer,
    ),
    (
        "whose locator is a list",
        |it| it["attachments"] = json!([attached(json!(["/a"]), "active")]),
        NoAnswer,
    ),
    (
        "with Url beside url",
        |it| it["attachments"] = json!([attached(json!({"url": "/a", "Url": "/b"}), "active")]),
        NoAnswer,
    ),
    ("whose attachments are an object", |it| it["attachments"] = json!({}), NoAnswer),
];

fn attached(locator: Value, state: &str) -> Value {
    json!({ "id": "a", "category": "bom", "format": {"family": "f", "mediaType": "a/b"}, "locator": locator,
        "artifactDigest": "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a",
        "status": {"state": state} })
}

const RESULTS: &[Case] = &[
    ("with everything", |it| it["items"] = json!([result()]), Served),
    ("without any", |it| it["items"] = json!([]), Served),
    ("without a name", |it| it["items"] = json!([{"latestVersion": "1.0.0"}]), LeftOut),
    ("with a partial version", |it| it["items"] = json!([{"name": "x", "latestVersion": "1"}]), LeftOut),
    (
        "with Name beside name",
        |it| {
            it["items"] = json!([result()]);
            it["items"][0]["Name"] = "y".into();
        },
        LeftOut,
    ),
    ("that is a list", |it| it["items"] = json!([["x", "1.0.0"]]), LeftOut),
    ("whose items are an object", |it| it["items"] = json!({}), NoAnswer),
];

fn result() -> Value {
    json!({ "name": "x", "latestVersion": "1.4.0", "description": "d", "role": "plugin", "providers": ["p"],
        "components": [{"type": "skill", "name": "s"}] })
}

const ADVISORIES: &[Case] = &[
    ("as it should be", |_| {}, Served),
    ("withdrawn", |it| it["withdrawn"] = json!({"at": "2026-05-10T00:00:00Z"}), Served),
    ("without an id", |it| drop(it.as_object_mut().unwrap().remove("id")), NoAnswer),
    ("whose id is a text", |it| it["id"] = "BIBSEC-1".into(), NoAnswer),
    ("whose range is a list", |it| it["affected"]["ranges"][0] = json!(["semver", []]), NoAnswer),
    (
        "with Fixed beside fixed",
        |it| it["affected"]["ranges"][0]["events"][1]["Fixed"] = "1.0.0".into(),
        NoAnswer,
    ),
    ("with Withdrawn for withdrawn", |it| it["Withdrawn"] = json!({"at": "2026-05-10T00:00:00Z"}), NoAnswer),
];

const CAPABILITIES: &[Case] = &[
    ("as they should be", |_| {}, Served),
    ("with what is not known yet", |it| it["cache"]["futureCacheHint"] = "ignore".into(), Served),
    ("of another API", |it| it["apiVersion"] = "1".into(), NoAnswer),
    ("of another schema", |it| it["schemaVersion"] = "2".into(), NoAnswer),
    ("compatible with a range", |it| it["compatibleSpecVersions"] = json!([">=0.1.0 <0.2.0"]), NoAnswer),
    ("compatible with a text", |it| it["compatibleSpecVersions"] = "0.1.0".into(), NoAnswer),
    ("compatible twice with one", |it| it["compatibleSpecVersions"] = json!(["0.1.0", "0.1.0"]), NoAnswer),
    ("with a reserved extension", |it| it["extensions"]["core"] = json!({}), NoAnswer),
    ("with an extension that is no slug", |it| it["extensions"]["My Own"] = json!({}), NoAnswer),
    ("whose apis are a list", |it| it["apis"] = json!([true]), NoAnswer),
    ("with APIs beside apis", |it| it["APIs"] = json!({}), NoAnswer),
];

/// A kind of document: what it is called, where it is asked for, as it should be, and what may be wrong with it.
type Kind = (&'static str, String, Value, &'static [Case]);

fn kinds() -> Vec<Kind> {
    let advisory = json!({ "id": {"local": "BIBSEC-1", "aliases": ["CVE-1"]}, "source": {"ecosystem": "ghsa"},
        "severity": "high", "published": "2026-05-01T00:00:00Z", "updated": "2026-05-06T00:00:00Z",
        "affected": {"volume": "x", "ranges": [{"type": "semver", "events": [{"introduced": "0"}, {"fixed": "2.1.0"}]}]} });
    let capabilities = json!({ "schemaVersion": "1", "specVersion": "0.1.0", "apiVersion": "v1",
        "compatibleSpecVersions": ["0.1.0", "0.1.0-rc.1"], "deliveryModes": ["cdn", "later"], "extensions": {"example": {}},
        "scopePolicy": {"scopesSupported": true, "scopelessSupported": true, "scopesRequired": false, "later": 1},
        "apis": {"trustMetadata": true, "versionIndex": true, "releaseUploads": false, "trustUploads": false,
            "advisories": true, "futureApi": true}, "cache": {"maxAgeSeconds": 300, "revalidate": true} });
    let results = json!({ "items": [], "total": 1, "limit": 20, "offset": 0 });
    vec![
        ("release", lamp().exact(), lamp().metadata(""), RELEASES),
        ("row", lamp().index(), lamp().row(""), ROWS),
        ("summary", lamp().trust("summary"), lamp().trust_summary(), SUMMARIES),
        ("detail", lamp().trust("detail"), lamp().trust_detail(), DETAILS),
        ("results", "/api/v1/search".to_owned(), results, RESULTS),
        ("advisory", "/api/v1/advisories/BIBSEC-1".to_owned(), advisory, ADVISORIES),
        ("capabilities", "/api/v1/capabilities".to_owned(), capabilities, CAPABILITIES),
    ]
}

#[test]
fn every_fixture_has_its_fate() {
    let cases = kinds().into_iter().flat_map(|(kind, target, document, cases)| {
        cases.iter().map(move |case| (kind, target.clone(), document.clone(), case))
    });
    each(cases, |(kind, target, document, (name, change, fate))| {
        let (upstream, mut said) = (Upstream::start(), document);
        upstream.publish(&lamp());
        change(&mut said);
        upstream.reply(
            &target,
            Reply::json(&match kind {
                "row" => json!({ "items": [other_of("0.1.0"), said.clone(), other_of("0.2.0")] }),
                _ => said.clone(),
            }),
        );
        let proxy = Setup::before(&upstream).start();
        let answer = proxy.client().get(&target);
        let expected = match fate {
            Served | RowAside | LeftOut => 200,
            NoAnswer => 502,
            Divergent => 409,
        };
        assert_eq!(answer.status, expected, "{kind} {name}: {}", answer.text());
        let shown = || answer.json()["items"].as_array().unwrap().clone();
        match (kind, fate) {
            ("row", Served) => assert_eq!(shown()[1]["status"], said["status"], "{name}"),
            ("row", RowAside) => {
                let [_, aside, _] = &shown()[..] else { panic!("{name}: {:?}", shown()) };
                assert_eq!(aside["version"], "1.0.0", "{name}");
                assert_eq!(aside["status"]["state"], "unavailable", "{name}");
                assert!(aside["status"]["reason"].as_str().unwrap().starts_with("malformed:"), "{name}");
            }
            ("row", LeftOut) => assert_eq!(shown().len(), 2, "{name}"),
            ("results", LeftOut) => assert!(shown().is_empty(), "{name}"),
            ("results", Served) => assert_eq!(shown(), *said["items"].as_array().unwrap(), "{name}"),
            _ => {}
        }
    });
}

fn other_of(version: &str) -> Value {
    Release::new("@acme/lamp", version).row("")
}

#[test]
fn a_release_that_gives_no_bytes_is_served_without_dist() {
    each(["blocked", "tombstoned", "unavailable"], |state| {
        let (upstream, release) = (Upstream::start(), lamp().state(state, "why"));
        upstream.publish(&release);
        let proxy = Setup::before(&upstream).start();
        let mut expected = release.metadata(&upstream.url());
        expected.as_object_mut().unwrap().remove("dist");
        assert_eq!(proxy.client().get(&release.exact()).ok().text(), expected.to_string());
        assert!([403, 404].contains(&proxy.client().get(&release.download()).status));
        assert_eq!(upstream.requests(&release.source()), 0);
    });
}

#[test]
fn a_row_that_cannot_be_read_costs_the_others_nothing() {
    let upstream = Upstream::start();
    upstream.publish(&lamp());
    let mut row = lamp().row(&upstream.url());
    row["status"] = json!(["blocked"]);
    upstream.reply(&lamp().index(), Reply::json(&json!({ "items": [other_of("0.1.0"), row] })));
    let proxy = Setup::before(&upstream).start();
    assert_eq!(proxy.client().get(&lamp().download()).ok().body, lamp().archive(), "it says nothing");
    let index = proxy.client().get(&lamp().index()).ok().json();
    assert_eq!(index["items"][0]["status"]["state"], "available");
    assert_eq!(index["items"][1]["status"]["state"], "unavailable");
}
