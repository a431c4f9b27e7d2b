//! What is believed of a document, and what is not.

use super::*;
use crate::domain::LifecycleState;

const DIGEST: &str = "sha256:f7e51421b3759bf543486409eed53c8eb4b3a06b840c21b1a72269c835c7f9d1";

fn key() -> DocumentKey {
    DocumentKey::Release("@acme/x".parse().unwrap(), "1.2.3".parse().unwrap())
}

fn exact_with(change: impl FnOnce(&mut serde_json::Value)) -> Bytes {
    let mut document = serde_json::json!({
        "name": "@acme/x", "version": "1.2.3", "purl": "pkg:volume/%40acme/x@1.2.3", "integrity": DIGEST,
        "status": {"state": "available"},
        "dist": {"source": "cdn", "mediaType": "application/gzip", "url": "https://cdn/x"},
        "later": {"b": 1, "a": 2}
    });
    change(&mut document);
    document.to_string().into()
}

#[test]
fn an_exact_release_links_to_this_proxy() {
    let checked = check(&key(), &exact_with(|_| {}), "https://up").unwrap();
    let rendered = String::from_utf8(checked.template.render("http://me").to_vec()).unwrap();
    assert!(rendered.contains(r#""url":"http://me/archives/@acme/x/1.2.3.tar.gz""#), "{rendered}");
    assert!(rendered.contains(r#""later":{"b":1,"a":2}"#), "{rendered}");
    let release = release(&checked);
    assert_eq!(release.mismatch, None);
    assert_eq!(release.dist, Some(Dist::Cdn { url: "https://cdn/x".into() }));
    assert_eq!(release.integrity.unwrap().to_string(), DIGEST);
}

#[test]
fn a_release_that_git_delivers_is_shown_as_it_came_or_as_an_archive() {
    let git =
        serde_json::json!({"source": "git", "repository": "https://git/x", "ref": "v1", "more": {"}": 1}});
    let body = exact_with(|document| document["dist"] = git);
    let checked = check(&key(), &body, "https://up").unwrap();
    assert_eq!(checked.template.render("http://me"), body);
    let (repository, reference) = ("https://git/x".to_owned(), "v1".to_owned());
    assert_eq!(release(&checked).dist, Some(Dist::Git { repository, reference }));
    let edits = release(&checked).as_cdn(&"@acme/x".parse().unwrap(), &"1.2.3".parse().unwrap()).unwrap();
    let shown = Template::with(body, edits).render("http://me");
    let cdn = exact_with(|document| {
        let url = "http://me/archives/@acme/x/1.2.3.tar.gz";
        document["dist"] = serde_json::json!({"source": "cdn", "mediaType": "application/gzip", "url": url});
    });
    assert_eq!(shown, cdn);
    let archive = check(&key(), &exact_with(|_| {}), "").unwrap();
    let name = "@acme/x".parse().unwrap();
    assert!(release(&archive).as_cdn(&name, &"1.2.3".parse().unwrap()).is_none());
}

fn release(checked: &Checked) -> &Release {
    match &checked.facts {
        Facts::Release(release) => release,
        facts => panic!("expected a release, got {facts:?}"),
    }
}

fn trust(key: &DocumentKey, body: &Bytes) -> Trust {
    match check(key, body, "").unwrap().facts {
        Facts::Trust(trust) => trust,
        facts => panic!("expected trust, got {facts:?}"),
    }
}

#[test]
fn another_identity_is_noticed() {
    for (field, value) in [
        ("name", "@acme/y"),
        ("name", "No Name"),
        ("version", "1.2.4"),
        ("version", "x"),
        ("purl", "pkg:volume/%40acme/x@1.2.4"),
    ] {
        let checked = check(&key(), &exact_with(|document| document[field] = value.into()), "").unwrap();
        let mismatch = release(&checked).mismatch.clone().unwrap();
        assert_eq!((mismatch.field, &*mismatch.found), (field, value));
    }
}

#[test]
fn malformed_documents_are_no_answer() {
    let changes: [fn(&mut serde_json::Value); 6] = [
        |document| document["integrity"] = "sha256:short".into(),
        |document| document["status"]["state"] = "wonderful".into(),
        |document| document["dist"]["url"] = 7.into(),
        |document| document["dist"] = serde_json::Value::Null,
        |document| document["dist"]["source"] = "carrier-pigeon".into(),
        |document| document["dist"]["mediaType"] = "application/zip".into(),
    ];
    for change in changes {
        assert!(check(&key(), &exact_with(change), "").is_err());
    }
    for body in ["", "[]", "null", "{}", "<html>", "{\"name\":\"@acme/x\",\"name\":\"@acme/x\"}"] {
        assert!(check(&key(), &Bytes::from(body), "").is_err(), "{body}");
    }
    assert!(check(&key(), &Bytes::from_static(b"\xff"), "").is_err());
}

#[test]
fn two_answers_in_one_document_are_none() {
    let body = exact_with(|_| {});
    let text = std::str::from_utf8(&body).unwrap();
    let doubled = text.replacen('{', &format!("{{\"integrity\":\"{DIGEST}\","), 1);
    assert!(check(&key(), &Bytes::from(doubled), "").is_err());
}

#[test]
fn a_withdrawn_release_needs_no_dist() {
    let body = exact_with(|document| {
        document["status"] = serde_json::json!({"state": "blocked", "reason": "malware"});
        document.as_object_mut().unwrap().remove("dist");
    });
    let checked = check(&key(), &body, "").unwrap();
    let release = release(&checked);
    assert_eq!(release.state(), LifecycleState::Blocked);
    assert!(!release.serves_bytes());
}

#[test]
fn a_release_that_gives_no_bytes_is_shown_without_dist() {
    let dists = [
        serde_json::json!({"source": "cdn", "mediaType": "application/gzip", "url": "https://cdn/x"}),
        serde_json::json!({"source": "later"}),
        serde_json::json!({}),
    ];
    for state in ["blocked", "tombstoned", "unavailable"] {
        for dist in &dists {
            let with = |document: &mut serde_json::Value| document["status"]["state"] = state.into();
            let body = exact_with(|document| {
                with(document);
                document["dist"] = dist.clone();
            });
            let checked = check(&key(), &body, "").unwrap();
            let bare = exact_with(|document| {
                with(document);
                document.as_object_mut().unwrap().shift_remove("dist");
            });
            assert_eq!(checked.template.render("http://me"), bare, "{state}");
            assert_eq!((release(&checked).dist.as_ref(), checked.template.original()), (None, &body));
        }
    }
}

fn index_of(rows: &str) -> Result<(Rows, String), Malformed> {
    let body = Bytes::from(format!(r#"{{ "items" : [{rows}] }}"#));
    let checked = check(&DocumentKey::Index("x".parse().unwrap()), &body, "https://up")?;
    let rendered = String::from_utf8(checked.template.render("http://me").to_vec()).unwrap();
    serde_json::from_str::<serde_json::Value>(&rendered).unwrap();
    match checked.facts {
        Facts::Index(rows) => Ok((rows, rendered)),
        facts => panic!("expected rows, got {facts:?}"),
    }
}

fn row(version: &str, change: impl FnOnce(&mut serde_json::Value)) -> String {
    let mut row = serde_json::json!({
        "version": version, "status": {"state": "available"}, "integrity": DIGEST,
        "release": {"url": format!("https://up/api/v1/volumes/x/{version}")},
    });
    change(&mut row);
    row.to_string()
}

#[test]
fn a_row_that_cannot_be_read_is_set_aside_and_the_others_stay() {
    let doubled = r#"{"version":"2.0.0","st\u0061tus":{"state":"available"},"status":{"state":"blocked"},"release":{"url":"/"}}"#;
    for bad in [
        row("2.0.0", |row| row["status"] = "available".into()),
        row("2.0.0", |row| row["status"] = serde_json::json!(["available"])),
        row("2.0.0", |row| row["status"] = serde_json::json!({"state": {"available": null}})),
        row("2.0.0", |row| row["status"]["state"] = "wonderful".into()),
        row("2.0.0", |row| row["Status"] = serde_json::json!({"state": "blocked"})),
        row("2.0.0", |row| row["status"]["State"] = "blocked".into()),
        row("2.0.0", |row| row["release"]["URL"] = "https://elsewhere".into()),
        row("2.0.0", |row| row["release"] = serde_json::json!(["https://up/api/v1/volumes/x/2.0.0"])),
        row("2.0.0", |row| row["integrity"] = "sha256:short".into()),
        row("2.0.0", |row| row["dependencies"] = serde_json::json!({"y": "^1.0"})),
        row("2.0.0", |row| row["dependencies"] = serde_json::json!({"No Name": "^1.0.0"})),
        row("2.0.0", |row| row["dependencies"] = serde_json::json!(["y"])),
        doubled.to_owned(),
        r#"{"version":"2.0.0"}"#.to_owned(),
    ] {
        let good = [row("1.0.0", |_| {}), row("3.0.0", |_| {})];
        let (rows, rendered) = index_of(&format!("{} ,{bad}, {}", good[0], good[1])).unwrap();
        assert_eq!(rows.by_version().map(|(_, rows)| rows.len()).sum::<usize>(), 2, "{bad}");
        let version = "2.0.0".parse().unwrap();
        assert!(rows.of(&version).is_empty(), "it says nothing: {bad}");
        let [shown] = rows.shown(&version).collect::<Vec<_>>()[..] else { panic!("{bad}") };
        assert_eq!(shown.status.state, LifecycleState::Unavailable);
        let [first, last] = good.map(|row| row.replace("https://up", "http://me"));
        let around = rendered.strip_prefix(r#"{ "items" : ["#).and_then(|rest| rest.strip_suffix("] }"));
        let between = around.and_then(|rest| rest.strip_prefix(&*first)?.strip_suffix(&*last));
        let stand_in = between.and_then(|rest| rest.strip_prefix(" ,")?.strip_suffix(", ")).unwrap();
        let stand_in: serde_json::Value = serde_json::from_str(stand_in).unwrap();
        assert_eq!(stand_in["version"], "2.0.0");
        assert_eq!(stand_in["release"]["url"], "http://me/api/v1/volumes/x/2.0.0");
        assert_eq!(stand_in["status"]["state"], "unavailable");
        assert!(stand_in["status"]["reason"].as_str().unwrap().starts_with("malformed: "), "{stand_in}");
        assert_eq!(stand_in.as_object().unwrap().len(), 3);
    }
}

#[test]
fn a_stand_ins_status_is_shown_as_another_like_any() {
    let body = Bytes::from(r#"{"items":[{"version":"2.0.0","status":7}]}"#);
    let checked = check(&DocumentKey::Index("x".parse().unwrap()), &body, "https://up").unwrap();
    let Facts::Index(rows) = checked.facts else { panic!("expected rows") };
    let at = rows.shown(&"2.0.0".parse().unwrap()).next().unwrap().status_at();
    let shown = checked.template.replacing([(at, r#"{"state":"blocked"}"#.to_owned())].into_iter());
    assert_eq!(
        shown.render("http://me"),
        r#"{"items":[{"version":"2.0.0","release":{"url":"http://me/api/v1/volumes/x/2.0.0"},"status":{"state":"blocked"}}]}"#
    );
}

#[test]
fn a_row_without_a_version_is_left_out_and_an_index_without_any_is_none() {
    let good = row("1.0.0", |_| {});
    for bad in [
        "7".to_owned(),
        "[]".to_owned(),
        "null".to_owned(),
        r#"["1.0.0"]"#.to_owned(),
        row("1.x", |_| {}),
        row("2.0.0", |row| row["version"] = 2.into()),
        row("2.0.0", |row| row["Version"] = "3.0.0".into()),
        r#"{"version":"2.0.0","v\u0065rsion":"3.0.0"}"#.to_owned(),
    ] {
        let shown = format!(r#"{{ "items" : [{}] }}"#, good.replace("https://up", "http://me"));
        for rows in [format!("{bad},{good}"), format!("{good},{bad}"), format!("{bad},{bad},{good},{bad}")] {
            let (rows, rendered) = index_of(&rows).unwrap();
            let count = rows.by_version().map(|(_, rows)| rows.len()).sum::<usize>();
            assert_eq!((count, &rendered), (1, &shown), "{bad}");
        }
        assert!(index_of(&bad).is_err(), "{bad}");
        assert!(index_of(&format!("{bad},{bad}")).is_err(), "{bad}");
    }
    assert!(index_of("").is_ok(), "an empty index is one");
}

#[test]
fn an_unreadable_row_beside_another_of_its_version_contradicts_it() {
    let bad = r#"{"version":"1.0.0","status":7}"#;
    for beside in [row("1.0.0", |_| {}), bad.to_owned()] {
        let (rows, _) = index_of(&format!("{bad},{beside}")).unwrap();
        assert_eq!(rows.of(&"1.0.0".parse().unwrap()).len(), 2);
    }
}

#[test]
fn a_search_result_that_cannot_be_read_is_left_out() {
    let key = DocumentKey::Search(crate::domain::SearchQuery::parse("").unwrap());
    let good = r#"{"name":"x","latestVersion":"1.0.0","later":[1.0]}"#;
    for bad in [
        r#"{"name":"x"}"#,
        r#"{"latestVersion":"1.0.0"}"#,
        r#"{"name":"No Name","latestVersion":"1.0.0"}"#,
        r#"{"name":"x","latestVersion":"1"}"#,
        r#"{"name":"x","Name":"y","latestVersion":"1.0.0"}"#,
        r#"["x","1.0.0"]"#,
    ] {
        let body = Bytes::from(format!(r#"{{"items":[{bad}, {good}],"total":2,"limit":20,"offset":0}}"#));
        let rendered = check(&key, &body, "https://up").unwrap().template.render("http://me");
        assert_eq!(rendered, format!(r#"{{"items":[{good}],"total":2,"limit":20,"offset":0}}"#), "{bad}");
    }
}

#[test]
fn every_row_of_an_index_is_linked() {
    let body = Bytes::from(
        r#"{"items":[{"version":"1.0.0","status":{"state":"available"},"release":{"url":"/x","more":1},"new":[1.10]},
            {"version":"2.0.0-rc.1","status":{"state":"yanked","reason":"bad"},"release":{"url":"https:\/\/up\/y"}}]}"#,
    );
    let checked = check(&DocumentKey::Index("x".parse().unwrap()), &body, "https://up").unwrap();
    let rendered = String::from_utf8(checked.template.render("http://me").to_vec()).unwrap();
    assert!(
        rendered.contains(r#""release":{"url":"http://me/api/v1/volumes/x/1.0.0","more":1},"new":[1.10]"#)
    );
    assert!(rendered.contains(r#""url":"http://me/api/v1/volumes/x/2.0.0-rc.1""#));
    let Facts::Index(rows) = checked.facts else { panic!("expected rows") };
    let version = "2.0.0-rc.1".parse().unwrap();
    let [row] = rows.of(&version) else { panic!("expected one row") };
    assert_eq!((row.status.state, row.elsewhere.as_deref()), (LifecycleState::Yanked, Some("https://up/y")));
    assert_eq!(&body[row.status_at()], br#"{"state":"yanked","reason":"bad"}"#);
    assert!(rows.of(&"3.0.0".parse().unwrap()).is_empty());
    assert_eq!(rows.by_version().count(), 2);
}

#[test]
fn uploads_are_not_advertised() {
    let body = Bytes::from(
        r#"{"schemaVersion":"1","apiVersion":"v1","apis":{"trustMetadata":true,"releaseUploads":true,"trustUploads":true},
            "uploadProfiles":{"releaseUploads":["http-put"],"trustUploads":["http-put"]},"extensions":{"x":{}}}"#,
    );
    let checked = check(&DocumentKey::Capabilities, &body, "").unwrap();
    let rendered: serde_json::Value = serde_json::from_slice(&checked.template.render("")).unwrap();
    assert_eq!(rendered["apis"]["releaseUploads"], false);
    assert_eq!(rendered["apis"]["trustUploads"], false);
    assert_eq!(rendered["apis"]["trustMetadata"], true);
    assert_eq!(rendered["uploadProfiles"]["releaseUploads"], serde_json::json!([]));
}

#[test]
fn a_trust_subject_of_another_release_is_noticed() {
    let key = DocumentKey::TrustSummary("x".parse().unwrap(), "1.0.0".parse().unwrap());
    let body =
        |purl: &str| Bytes::from(format!(r#"{{"subject":{{"purl":"{purl}","integrity":"{DIGEST}"}}}}"#));
    assert_eq!(trust(&key, &body("pkg:volume/x@1.0.0")).mismatch, None);
    let mismatch = trust(&key, &body("pkg:volume/y@1.0.0")).mismatch.unwrap();
    assert_eq!((mismatch.field, &*mismatch.found), ("subject.purl", "pkg:volume/y@1.0.0"));
}

fn detail(attachments: &serde_json::Value) -> (DocumentKey, Bytes) {
    let key = DocumentKey::TrustDetail("x".parse().unwrap(), "1.0.0".parse().unwrap());
    let body = serde_json::json!({
        "subject": {"purl": "pkg:volume/x@1.0.0", "integrity": DIGEST}, "attachments": attachments,
    });
    (key, body.to_string().into())
}

fn attachment(id: &str, locator: &serde_json::Value) -> serde_json::Value {
    serde_json::json!({
        "id": id, "category": "bom", "format": {"family": "f", "mediaType": "a/b"}, "artifactDigest": DIGEST,
        "locator": locator, "status": {"state": "active"},
    })
}

#[test]
fn trust_artifacts_at_urls_are_linked_here_and_embedded_ones_stay() {
    let (key, body) = detail(&serde_json::json!([
        attachment("a", &serde_json::json!({"url": "https://up/artifact"})),
        attachment("b", &serde_json::json!({"embedded": "text"})),
    ]));
    let said = trust(&key, &body);
    let locators: Vec<_> = said.attachments.iter().map(|attachment| &attachment.locator).collect();
    assert_eq!(locators, [&Locator::Url("https://up/artifact".into()), &Locator::Embedded]);
    let rendered = check(&key, &body, "").unwrap().template.render("http://me");
    let rendered: serde_json::Value = serde_json::from_slice(&rendered).unwrap();
    let hex = DIGEST.strip_prefix("sha256:").unwrap();
    assert_eq!(
        rendered["attachments"][0]["locator"]["url"],
        format!("http://me/trust-artifacts/x/1.0.0/{hex}")
    );
    assert_eq!(rendered["attachments"][1]["locator"]["embedded"], "text");
}

#[test]
fn a_detail_that_cannot_be_told_apart_is_no_answer() {
    let url = serde_json::json!({"url": "https://up/artifact"});
    for attachments in [
        serde_json::json!([attachment("a", &url), attachment("a", &url)]),
        serde_json::json!([attachment("a", &serde_json::json!({}))]),
        serde_json::json!([attachment("a", &serde_json::json!({"url": null, "embedded": null}))]),
        serde_json::json!([attachment("a", &serde_json::json!({"url": 7}))]),
        serde_json::json!([{"id": "a"}]),
        serde_json::json!({}),
    ] {
        let (key, body) = detail(&attachments);
        assert!(check(&key, &body, "").is_err(), "{attachments}");
    }
}

#[test]
fn search_results_that_link_into_the_registry_link_here() {
    let key = DocumentKey::Search(crate::domain::SearchQuery::parse("").unwrap());
    let body = Bytes::from(
        r#"{"items":[{"name":"x","latestVersion":"1.0.0","release":{"url":"https://up/api/v1/volumes/x/1.0.0"}},
            {"name":"y","latestVersion":"1.0.0","release":{"url":"https://other/api/v1/x"}},{"name":"z","latestVersion":"1.0.0"}]}"#,
    );
    let rendered = check(&key, &body, "https://up").unwrap().template.render("http://me");
    let rendered: serde_json::Value = serde_json::from_slice(&rendered).unwrap();
    assert_eq!(rendered["items"][0]["release"]["url"], "http://me/api/v1/volumes/x/1.0.0");
    assert_eq!(rendered["items"][1]["release"]["url"], "https://other/api/v1/x");
}
