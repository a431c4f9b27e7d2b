//! What is believed of a document, and what is not.

use super::*;

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
    let release = checked.release.unwrap();
    assert_eq!(release.dist, Some(Dist::Cdn { url: "https://cdn/x".into() }));
    assert_eq!(release.integrity.unwrap().to_string(), DIGEST);
}

#[test]
fn another_identity_is_never_believed() {
    for (field, value) in [("name", "@acme/y"), ("version", "1.2.4"), ("purl", "pkg:volume/%40acme/x@1.2.4")]
    {
        let violation =
            check(&key(), &exact_with(|document| document[field] = value.into()), "").unwrap_err();
        assert!(matches!(violation, Violation::OtherIdentity { field: found, .. } if found == field));
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
        let violation = check(&key(), &exact_with(change), "").unwrap_err();
        assert!(matches!(violation, Violation::Malformed(_)), "{violation}");
    }
    for body in ["", "[]", "null", "{}", "<html>", "{\"name\":\"@acme/x\",\"name\":\"@acme/x\"}"] {
        assert!(matches!(check(&key(), &Bytes::from(body), ""), Err(Violation::Malformed(_))), "{body}");
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
    let release = check(&key(), &body, "").unwrap().release.unwrap();
    assert_eq!(release.state(), State::Blocked);
    assert!(!release.serves_bytes());
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
fn a_trust_subject_of_another_release_is_refused() {
    let key = DocumentKey::TrustSummary("x".parse().unwrap(), "1.0.0".parse().unwrap());
    let body =
        |purl: &str| Bytes::from(format!(r#"{{"subject":{{"purl":"{purl}","integrity":"{DIGEST}"}}}}"#));
    assert!(check(&key, &body("pkg:volume/x@1.0.0"), "").is_ok());
    assert!(matches!(check(&key, &body("pkg:volume/y@1.0.0"), ""), Err(Violation::OtherIdentity { .. })));
}

#[test]
fn search_results_that_link_into_the_registry_link_here() {
    let key = DocumentKey::Search(crate::domain::SearchQuery::parse("").unwrap());
    let body = Bytes::from(
        r#"{"items":[{"name":"x","release":{"url":"https://up/api/v1/volumes/x/1.0.0"}},{"release":{"url":"https://other/api/v1/x"}},{}]}"#,
    );
    let rendered = check(&key, &body, "https://up").unwrap().template.render("http://me");
    let rendered: serde_json::Value = serde_json::from_slice(&rendered).unwrap();
    assert_eq!(rendered["items"][0]["release"]["url"], "http://me/api/v1/volumes/x/1.0.0");
    assert_eq!(rendered["items"][1]["release"]["url"], "https://other/api/v1/x");
}
