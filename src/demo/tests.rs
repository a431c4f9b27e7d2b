//! Every route over a real socket, and the sample's promises about itself.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::sync::Arc;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Empty};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use sha2::Digest;
use tokio::net::{TcpListener, TcpStream};

use super::{Catalogue, serve};

/// A running bibliotheca; dropping it ends the server.
struct Running {
    address: String,
    server: tokio::task::JoinHandle<()>,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl Running {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let catalogue = Arc::new(Catalogue::sample().unwrap());
        let server = tokio::spawn(async move {
            let _ = serve(listener, catalogue).await;
        });
        Self { address, server }
    }

    async fn ask(&self, method: &str, target: &str, condition: Option<&str>) -> Response<Bytes> {
        let stream = TcpStream::connect(&self.address).await.unwrap();
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        let path = target.strip_prefix(&format!("http://{}", self.address)).unwrap_or(target);
        let mut request = Request::builder().method(method).uri(path).header("host", &self.address);
        if let Some(etag) = condition {
            request = request.header("if-none-match", etag);
        }
        let response = sender.send_request(request.body(Empty::<Bytes>::new()).unwrap()).await.unwrap();
        let (head, body) = response.into_parts();
        Response::from_parts(head, body.collect().await.unwrap().to_bytes())
    }

    async fn get(&self, target: &str) -> Response<Bytes> {
        self.ask("GET", target, None).await
    }

    async fn json(&self, target: &str) -> Value {
        let response = self.get(target).await;
        assert_eq!(response.status(), StatusCode::OK, "{target}");
        assert_eq!(response.headers()["content-type"], "application/json", "{target}");
        serde_json::from_slice(response.body()).unwrap()
    }

    async fn problem(&self, target: &str) -> (u16, String) {
        let response = self.get(target).await;
        assert_eq!(response.headers()["content-type"], "application/problem+json", "{target}");
        let problem: Value = serde_json::from_slice(response.body()).unwrap();
        assert_eq!(problem["status"], response.status().as_u16(), "{target}");
        assert!(problem["title"].is_string() && problem["detail"].is_string(), "{target}");
        let slug =
            problem["type"].as_str().unwrap().strip_prefix("https://agentvolumes.org/problems/").unwrap();
        (response.status().as_u16(), slug.to_owned())
    }

    /// Every index row by volume, in the order of the search.
    async fn rows(&self) -> Vec<(String, Value)> {
        let mut rows = Vec::new();
        for item in self.json("/api/v1/search?limit=100").await["items"].as_array().unwrap() {
            let name = item["name"].as_str().unwrap().to_owned();
            let index = self.json(&format!("/api/v1/index/volumes/{name}")).await;
            rows.extend(index["items"].as_array().unwrap().iter().map(|row| (name.clone(), row.clone())));
        }
        rows
    }
}

/// The tree digest by the specification's words: sorted records, hashed once.
fn unpack(archive: &[u8]) -> (String, BTreeMap<String, (bool, Vec<u8>)>) {
    let mut files = BTreeMap::new();
    for entry in tar::Archive::new(flate2::read::GzDecoder::new(archive)).entries().unwrap() {
        let mut entry = entry.unwrap();
        let mut content = Vec::new();
        entry.read_to_end(&mut content).unwrap();
        let path = entry.path().unwrap().to_str().unwrap().to_owned();
        files.insert(path, (entry.header().mode().unwrap() & 0o111 != 0, content));
    }
    let mut stream = Vec::new();
    for (path, (executable, content)) in &files {
        stream.extend(format!("file {path} {} {}\n", u8::from(*executable), content.len()).into_bytes());
        stream.extend(content);
    }
    let digest = data_encoding::HEXLOWER.encode(&sha2::Sha256::digest(&stream));
    (format!("sha256:{digest}"), files)
}

#[tokio::test]
async fn rows_exact_metadata_and_archives_agree() {
    let demo = Running::start().await;
    let (mut states, mut sources, mut scripts) = (BTreeMap::<String, usize>::new(), BTreeSet::new(), 0);
    for (name, row) in demo.rows().await {
        let state = row["status"]["state"].as_str().unwrap();
        *states.entry(state.to_owned()).or_default() += 1;
        assert_eq!(row["status"]["reason"].is_string(), state != "available", "{name} {row}");
        let url = row["release"]["url"].as_str().unwrap();
        let expected =
            format!("http://{}/api/v1/volumes/{name}/{}", demo.address, row["version"].as_str().unwrap());
        assert_eq!(url, expected);
        match state {
            "available" | "yanked" => {}
            "tombstoned" => assert_eq!(demo.problem(url).await, (404, "not-found".into())),
            "blocked" => assert_eq!(demo.problem(url).await, (403, "authorization-failed".into())),
            "unavailable" => {
                let answers = [(404, "not-found".into()), (409, "inconsistent-registry-state".into())];
                assert!(answers.contains(&demo.problem(url).await), "{url}");
            }
            other => panic!("unknown state {other}"),
        }
        if !matches!(state, "available" | "yanked") {
            assert_eq!(demo.problem(&format!("{url}/trust/detail")).await, (404, "not-found".into()));
            let hex = row["integrity"].as_str().unwrap().strip_prefix("sha256:").unwrap();
            assert_eq!(demo.problem(&format!("/cdn/{hex}.tar.gz")).await, (404, "not-found".into()));
            continue;
        }
        let exact = demo.json(url).await;
        for key in ["version", "status", "integrity"] {
            assert_eq!(exact[key], row[key], "{url}");
        }
        assert_eq!(exact["name"], name);
        let purl: crate::domain::Purl = exact["purl"].as_str().unwrap().parse().unwrap();
        assert_eq!(json!([purl.name, purl.version]), json!([name, row["version"]]));
        sources.insert(exact["dist"]["source"].as_str().unwrap().to_owned());
        if exact["dist"]["source"] == "cdn" {
            let archive = demo.get(exact["dist"]["url"].as_str().unwrap()).await;
            assert_eq!(archive.headers()["content-type"], "application/gzip");
            let (integrity, files) = unpack(archive.body());
            assert_eq!(exact["integrity"], integrity, "{url}");
            scripts += files.values().filter(|(executable, _)| *executable).count();
            let manifest = std::str::from_utf8(&files["volume.toml"].1).unwrap();
            let manifest: toml::Table = manifest.parse().unwrap();
            assert_eq!(manifest["volume"]["schema"].as_integer(), Some(1));
            assert_eq!(manifest["volume"]["name"].as_str(), Some(&*name));
            assert_eq!(manifest["volume"]["version"].as_str(), row["version"].as_str());
            assert_eq!(json!(manifest["dependencies"]), row["dependencies"]);
            for component in manifest["components"].as_array().unwrap() {
                assert!(files.contains_key(component["entrypoint"].as_str().unwrap()), "{component}");
            }
        }
    }
    assert_eq!(
        states.keys().collect::<Vec<_>>(),
        ["available", "blocked", "tombstoned", "unavailable", "yanked"]
    );
    assert_eq!(states["unavailable"], 2);
    assert_eq!(sources.iter().collect::<Vec<_>>(), ["cdn", "git"]);
    assert!(scripts > 0);
}

#[tokio::test]
async fn dependencies_can_be_satisfied() {
    let rows = Running::start().await.rows().await;
    let mut checked = 0;
    for (name, row) in &rows {
        for (dependency, range) in row["dependencies"].as_object().unwrap() {
            let range = range.as_str().unwrap().replace(", ", " ").replace(' ', ", ");
            let range: semver::VersionReq = range.parse().unwrap();
            let satisfied = rows.iter().any(|(candidate, row)| {
                candidate == dependency
                    && row["status"]["state"] == "available"
                    && range.matches(&row["version"].as_str().unwrap().parse().unwrap())
            });
            assert!(satisfied, "{name} needs {dependency} {range}");
            checked += 1;
        }
    }
    assert!(checked > 5);
}

#[tokio::test]
async fn trust_is_bound_to_its_release_and_its_bytes() {
    let demo = Running::start().await;
    let path = "/api/v1/volumes/@acme/review-agent/2.0.0";
    let (exact, summary) = (demo.json(path).await, demo.json(&format!("{path}/trust/summary")).await);
    let detail = demo.json(&format!("{path}/trust/detail")).await;
    assert_eq!(detail["subject"], json!({"purl": exact["purl"], "integrity": exact["integrity"]}));
    assert_eq!((&summary["subject"], &summary["revision"]), (&detail["subject"], &detail["revision"]));
    assert_eq!(summary["artifacts"][0]["category"], "bom");
    let [embedded, linked] = detail["attachments"].as_array().unwrap().as_slice() else { panic!("{detail}") };
    let bom = embedded["locator"]["embedded"].as_str().unwrap().as_bytes().to_vec();
    let provenance = demo.get(linked["locator"]["url"].as_str().unwrap()).await;
    assert_eq!(provenance.headers()["content-type"], linked["format"]["mediaType"].as_str().unwrap());
    for (attachment, bytes) in [(embedded, bom), (linked, provenance.into_body().to_vec())] {
        let digest = format!("sha256:{}", data_encoding::HEXLOWER.encode(&sha2::Sha256::digest(&bytes)));
        assert_eq!(attachment["artifactDigest"], digest);
        assert_eq!(attachment["artifactSize"], bytes.len());
        let text = std::str::from_utf8(&bytes).unwrap();
        assert!(!text.contains('$') && serde_json::from_str::<Value>(text).is_ok(), "{text}");
    }
    let empty = demo.json("/api/v1/volumes/git-tools/1.2.0/trust/detail").await;
    assert_eq!(empty["attachments"], json!([]));
}

#[tokio::test]
async fn search_filters_pages_and_validates() {
    let demo = Running::start().await;
    for (query, names) in [
        ("q=REVIEW", &["@acme/review-agent"][..]),
        ("type=skill", &["prompt-library", "@acme/incident-commander"]),
        ("runtime=lattice-runtime&keyword=git", &["@acme/review-agent", "git-tools"]),
        ("provider=mistral", &["prompt-library"]),
        ("publisher=lattice-tools", &["@lattice/rust-lsp", "@lattice/starter"]),
        ("limit=2&offset=1", &["git-tools", "prompt-library"]),
        ("q=nothing-is-called-this", &[]),
        ("offset=99", &[]),
    ] {
        let page = demo.json(&format!("/api/v1/search?{query}")).await;
        let found: Vec<_> =
            page["items"].as_array().unwrap().iter().map(|item| item["name"].clone()).collect();
        assert_eq!(json!(found), json!(names), "{query}");
    }
    let page = demo.json("/api/v1/search").await;
    assert_eq!((&page["total"], &page["limit"], &page["offset"]), (&json!(8), &json!(20), &json!(0)));
    assert_eq!(page["items"][0]["latestVersion"], "2.0.0");
    for query in [
        "limit=0",
        "limit=101",
        "limit=%2B5",
        "limit=x",
        "limit=",
        "offset=-1",
        "offset=1e3",
        "type=robot",
        "q=a&q=b",
    ] {
        let problem = demo.problem(&format!("/api/v1/search?{query}")).await;
        assert_eq!(problem, (400, "validation-failed".into()), "{query}");
    }
}

#[tokio::test]
async fn advisories_by_volume_and_id() {
    let demo = Running::start().await;
    let all = demo.json("/api/v1/advisories").await;
    assert_eq!(all["items"].as_array().unwrap().len(), 3);
    assert!(all["items"].as_array().unwrap().iter().any(|advisory| advisory["withdrawn"]["at"].is_string()));
    for (volume, expected) in [("%40acme%2Fincident-commander", 1), ("git-tools", 0), ("unknown", 0)] {
        let listed = demo.json(&format!("/api/v1/advisories?volume={volume}")).await;
        assert_eq!(listed["items"].as_array().unwrap().len(), expected, "{volume}");
    }
    for query in ["volume=Not_A_Name", "volume=", "volume=a&volume=b"] {
        let problem = demo.problem(&format!("/api/v1/advisories?{query}")).await;
        assert_eq!(problem, (400, "validation-failed".into()), "{query}");
    }
    for advisory in all["items"].as_array().unwrap() {
        let one =
            demo.json(&format!("/api/v1/advisories/{}", advisory["id"]["local"].as_str().unwrap())).await;
        assert_eq!(&one, advisory);
        demo.json(&format!("/api/v1/index/volumes/{}", advisory["affected"]["volume"].as_str().unwrap()))
            .await;
    }
    assert_eq!(demo.problem("/api/v1/advisories/SAMPLE-0").await, (404, "not-found".into()));
}

#[tokio::test]
async fn special_releases_are_there() {
    let demo = Running::start().await;
    let capabilities = demo.json("/api/v1/capabilities").await;
    assert_eq!(capabilities["deliveryModes"], json!(["cdn", "git"]));
    let external = demo.json("/api/v1/volumes/postgres-mcp/1.1.0").await;
    assert_eq!(external["externalDependencies"][0]["purl"], "pkg:pypi/psycopg");
    let extended = demo.json("/api/v1/volumes/prompt-library/0.4.1").await;
    assert_eq!(extended["x-build"], json!({"pipeline": 4711, "reproducible": true}));
    let git = demo.json("/api/v1/volumes/git-tools/1.3.1").await;
    assert_eq!(git["dist"]["ref"].as_str().unwrap().len(), 40);
}

#[tokio::test]
async fn http_semantics() {
    let demo = Running::start().await;
    let plain = demo.get("/api/v1/volumes/@lattice/starter/1.1.0+docs.2").await;
    let encoded = demo.get("/api/v1/volumes/%40lattice/starter/1.1.0%2Bdocs.2").await;
    assert_eq!((plain.status(), plain.body()), (StatusCode::OK, encoded.body()));
    for unknown in [
        "/",
        "/api/v1/volumes/git-tools/9.9.9",
        "/api/v1/index/volumes/none",
        "/api/v1/index/volumes/git-tools/",
        "/api/v1/index/volumes/@acme%2Freview-agent",
        "/api/v1/index/volumes/%zz",
    ] {
        assert_eq!(demo.problem(unknown).await, (404, "not-found".into()), "{unknown}");
    }
    let archive =
        demo.json("/api/v1/volumes/git-tools/1.3.0").await["dist"]["url"].as_str().unwrap().to_owned();
    for target in ["/api/v1/index/volumes/git-tools", "/api/v1/search?q=git", &*archive] {
        let get = demo.get(target).await;
        let head = demo.ask("HEAD", target, None).await;
        for header in ["etag", "content-length", "content-type"] {
            assert_eq!(get.headers()[header], head.headers()[header], "{target}");
        }
        assert!(head.body().is_empty() && !get.body().is_empty());
        let etag = get.headers()["etag"].to_str().unwrap();
        for condition in [etag, "*", &format!("\"other\", W/{etag}")] {
            let unchanged = demo.ask("GET", target, Some(condition)).await;
            assert_eq!(
                (unchanged.status(), unchanged.body().len()),
                (StatusCode::NOT_MODIFIED, 0),
                "{condition}"
            );
            assert_eq!(unchanged.headers()["etag"], etag);
        }
        assert_eq!(demo.ask("GET", target, Some("\"other\"")).await.status(), StatusCode::OK);
    }
    for method in ["POST", "DELETE", "OPTIONS"] {
        let refused = demo.ask(method, "/api/v1/volumes/git-tools", None).await;
        assert_eq!(
            (refused.status().as_u16(), &refused.headers()["allow"]),
            (405, &"GET, HEAD".parse().unwrap())
        );
    }
}

#[test]
fn the_same_sample_packs_to_the_same_bytes() {
    let archives = || -> Vec<Bytes> {
        let catalogue = Catalogue::sample().unwrap();
        catalogue
            .volumes
            .into_iter()
            .flat_map(|volume| volume.releases)
            .map(|release| release.archive)
            .collect()
    };
    assert_eq!(archives(), archives());
}
