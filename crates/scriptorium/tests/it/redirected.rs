//! Links in a document begin where the document was found in the end, not where it was asked for.

use serde_json::json;

use crate::support::catalogue::Artifact;
use crate::support::{Release, Reply, Setup, Upstream};

fn lamp() -> Release {
    Release::new("@acme/lamp", "1.0.0")
}

/// A registry that moved a document from `target` to `/v2/meta/document`, where the links in it begin.
fn moved(upstream: &Upstream, target: &str, document: Reply) {
    upstream.reply(target, Reply::redirect(&format!("{}/v2/meta/document?signature=secret", upstream.url())));
    upstream.reply("/v2/meta/document", document);
}

#[test]
fn an_archive_is_where_redirected_metadata_says() {
    let (upstream, release) = (Upstream::start(), lamp());
    let mut metadata = release.metadata("");
    metadata["dist"]["url"] = "../files/lamp.tar.gz".into();
    moved(&upstream, &release.exact(), Reply::json(&metadata));
    upstream.reply("/v2/files/lamp.tar.gz", Reply::archive(release.archive()));
    let mut proxy = Setup::before(&upstream).start();
    assert_eq!(proxy.client().get(&release.exact()).ok().json()["dist"]["mediaType"], "application/gzip");
    proxy.crash_and_restart();
    assert_eq!(proxy.client().get(&release.download()).ok().body, release.archive(), "after a restart too");
    assert!(proxy.files_holding(b"secret").is_empty(), "a signature was stored");
}

#[test]
fn an_artifact_is_where_a_redirected_detail_says() {
    let (upstream, release) = (Upstream::start(), lamp());
    let artifact = Artifact::new("sbom", "application/json", "{}");
    upstream.publish(&release);
    let mut attachment = artifact.attachment("");
    attachment["locator"] = json!({ "url": "../files/sbom" });
    moved(&upstream, &release.trust("detail"), Reply::json(&release.attested(&[attachment])));
    upstream.reply("/v2/files/sbom", artifact.reply());
    let proxy = Setup::before(&upstream).start();
    assert_eq!(proxy.client().get(&artifact.download(&release)).ok().body, artifact.bytes);
}

#[test]
fn a_row_links_to_its_release_from_where_its_index_was_found() {
    let (upstream, release) = (Upstream::start(), lamp());
    upstream.publish(&release);
    for (link, leads_home) in [("../../api/v1/volumes/@acme/x/../lamp/1.0.0", true), ("1.0.0", false)] {
        let mut row = release.row("");
        row["release"]["url"] = link.into();
        moved(&upstream, &release.index(), Reply::json(&json!({ "items": [row] })));
        let proxy = Setup::before(&upstream).start();
        proxy.client().get(&release.index()).ok();
        let status = proxy.client().get(&release.exact()).status;
        assert_eq!(status, if leads_home { 200 } else { 409 }, "{link}");
    }
}

#[test]
fn a_redirect_to_a_stranger_makes_no_link_to_it_good() {
    let (upstream, stranger, release) = (Upstream::start(), Upstream::start(), lamp());
    let mut metadata = release.metadata("");
    metadata["dist"]["url"] = "lamp.tar.gz".into();
    upstream.reply(&release.exact(), Reply::redirect(&format!("{}/meta/document", stranger.url())));
    stranger.reply("/meta/document", Reply::json(&metadata));
    stranger.reply("/meta/lamp.tar.gz", Reply::archive(release.archive()));
    let proxy = Setup::before(&upstream).start();
    assert!(proxy.client().get(&release.download()).status >= 500);
    assert!(stranger.seen().is_empty(), "{:?}", stranger.seen());
}
