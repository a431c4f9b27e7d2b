//! Every route over a real socket, and the sample's promises about itself.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Read;
use std::path::Path;
use std::process::Command;

use bibliotheca::{RegistryServer, hex_digest, sample};
use serde_json::{Value, json};

use crate::{Answer, send};

/// A registry with the sample.
struct Running(RegistryServer);

impl Running {
    fn start() -> Self {
        let server = RegistryServer::start();
        sample::publish(&server).unwrap();
        Self(server)
    }

    fn ask(&self, method: &str, target: &str, fields: &[(&str, &str)]) -> Answer {
        let target = target.strip_prefix(&self.0.url()).unwrap_or(target);
        send(&self.0.authority(), method, target, fields)
    }

    fn get(&self, target: &str) -> Answer {
        self.ask("GET", target, &[])
    }

    fn json(&self, target: &str) -> Value {
        let answer = self.get(target);
        assert_eq!(answer.status, 200, "{target}");
        assert_eq!(answer.header("content-type"), Some("application/json"), "{target}");
        serde_json::from_slice(&answer.body).unwrap()
    }

    fn problem(&self, target: &str) -> (u16, String) {
        let answer = self.get(target);
        assert_eq!(answer.header("content-type"), Some("application/problem+json"), "{target}");
        let problem: Value = serde_json::from_slice(&answer.body).unwrap();
        assert_eq!(problem["status"], answer.status, "{target}");
        assert!(problem["title"].is_string() && problem["detail"].is_string(), "{target}");
        let slug =
            problem["type"].as_str().unwrap().strip_prefix("https://agentvolumes.org/problems/").unwrap();
        (answer.status, slug.to_owned())
    }

    /// Every index row by volume, in the order of the search.
    fn rows(&self) -> Vec<(String, Value)> {
        let mut rows = Vec::new();
        for item in self.json("/api/v1/search?limit=100")["items"].as_array().unwrap() {
            let name = item["name"].as_str().unwrap().to_owned();
            let index = self.json(&format!("/api/v1/index/volumes/{name}"));
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
    (format!("sha256:{}", hex_digest(&stream)), files)
}

#[test]
fn rows_exact_metadata_and_archives_agree() {
    let demo = Running::start();
    let (mut states, mut sources, mut scripts) = (BTreeMap::<String, usize>::new(), BTreeSet::new(), 0);
    for (name, row) in demo.rows() {
        let state = row["status"]["state"].as_str().unwrap();
        *states.entry(state.to_owned()).or_default() += 1;
        assert_eq!(row["status"]["reason"].is_string(), state != "available", "{name} {row}");
        let url = row["release"]["url"].as_str().unwrap();
        let expected = format!(
            "http://{}/api/v1/volumes/{name}/{}",
            demo.0.authority(),
            row["version"].as_str().unwrap()
        );
        assert_eq!(url, expected);
        match state {
            "available" | "yanked" => {}
            "tombstoned" => assert_eq!(demo.problem(url), (404, "not-found".into())),
            "blocked" => assert_eq!(demo.problem(url), (403, "authorization-failed".into())),
            "unavailable" => {
                let answers = [(404, "not-found".into()), (409, "inconsistent-registry-state".into())];
                assert!(answers.contains(&demo.problem(url)), "{url}");
            }
            other => panic!("unknown state {other}"),
        }
        if !matches!(state, "available" | "yanked") {
            assert_eq!(demo.problem(&format!("{url}/trust/detail")), (404, "not-found".into()));
            let archive = format!("/cdn/{name}/{}.tar.gz", row["version"].as_str().unwrap());
            assert_eq!(demo.problem(&archive), (404, "not-found".into()));
            continue;
        }
        let exact = demo.json(url);
        for key in ["version", "status", "integrity"] {
            assert_eq!(exact[key], row[key], "{url}");
        }
        assert_eq!(exact["name"], name);
        let version = row["version"].as_str().unwrap();
        assert_eq!(exact["purl"], format!("pkg:volume/{}@{version}", name.replace('@', "%40")));
        sources.insert(exact["dist"]["source"].as_str().unwrap().to_owned());
        if exact["dist"]["source"] == "cdn" {
            let archive = demo.get(exact["dist"]["url"].as_str().unwrap());
            assert_eq!(archive.header("content-type"), Some("application/gzip"));
            let (integrity, files) = unpack(&archive.body);
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

#[test]
fn dependencies_can_be_satisfied() {
    let rows = Running::start().rows();
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

#[test]
fn trust_is_bound_to_its_release_and_its_bytes() {
    let demo = Running::start();
    let path = "/api/v1/volumes/@acme/review-agent/2.0.0";
    let (exact, summary) = (demo.json(path), demo.json(&format!("{path}/trust/summary")));
    let detail = demo.json(&format!("{path}/trust/detail"));
    assert_eq!(detail["subject"], json!({"purl": exact["purl"], "integrity": exact["integrity"]}));
    assert_eq!((&summary["subject"], &summary["revision"]), (&detail["subject"], &detail["revision"]));
    assert_eq!(summary["artifacts"][0]["category"], "bom");
    let [embedded, linked] = detail["attachments"].as_array().unwrap().as_slice() else { panic!("{detail}") };
    let bom = embedded["locator"]["embedded"].as_str().unwrap().as_bytes().to_vec();
    let provenance = demo.get(linked["locator"]["url"].as_str().unwrap());
    assert_eq!(provenance.header("content-type"), linked["format"]["mediaType"].as_str());
    for (attachment, bytes) in [(embedded, bom), (linked, provenance.body)] {
        let digest = format!("sha256:{}", hex_digest(&bytes));
        assert_eq!(attachment["artifactDigest"], digest);
        assert_eq!(attachment["artifactSize"], bytes.len());
        let text = std::str::from_utf8(&bytes).unwrap();
        assert!(!text.contains('$') && serde_json::from_str::<Value>(text).is_ok(), "{text}");
    }
    let empty = demo.json("/api/v1/volumes/git-tools/1.2.0/trust/detail");
    assert_eq!(empty["attachments"], json!([]));
}

#[test]
fn search_filters_pages_and_validates() {
    let demo = Running::start();
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
        let page = demo.json(&format!("/api/v1/search?{query}"));
        let found: Vec<_> =
            page["items"].as_array().unwrap().iter().map(|item| item["name"].clone()).collect();
        assert_eq!(json!(found), json!(names), "{query}");
    }
    let page = demo.json("/api/v1/search");
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
        let problem = demo.problem(&format!("/api/v1/search?{query}"));
        assert_eq!(problem, (400, "validation-failed".into()), "{query}");
    }
}

#[test]
fn advisories_by_volume_and_id() {
    let demo = Running::start();
    let all = demo.json("/api/v1/advisories");
    assert_eq!(all["items"].as_array().unwrap().len(), 3);
    assert!(all["items"].as_array().unwrap().iter().any(|advisory| advisory["withdrawn"]["at"].is_string()));
    for (volume, expected) in [("%40acme%2Fincident-commander", 1), ("git-tools", 0), ("unknown", 0)] {
        let listed = demo.json(&format!("/api/v1/advisories?volume={volume}"));
        assert_eq!(listed["items"].as_array().unwrap().len(), expected, "{volume}");
    }
    for query in ["volume=Not_A_Name", "volume=", "volume=a&volume=b"] {
        let problem = demo.problem(&format!("/api/v1/advisories?{query}"));
        assert_eq!(problem, (400, "validation-failed".into()), "{query}");
    }
    for advisory in all["items"].as_array().unwrap() {
        let one = demo.json(&format!("/api/v1/advisories/{}", advisory["id"]["local"].as_str().unwrap()));
        assert_eq!(&one, advisory);
        demo.json(&format!("/api/v1/index/volumes/{}", advisory["affected"]["volume"].as_str().unwrap()));
    }
    assert_eq!(demo.problem("/api/v1/advisories/SAMPLE-0"), (404, "not-found".into()));
}

#[test]
fn special_releases_are_there() {
    let demo = Running::start();
    let capabilities = demo.json("/api/v1/capabilities");
    assert_eq!(capabilities["deliveryModes"], json!(["cdn", "git"]));
    let external = demo.json("/api/v1/volumes/postgres-mcp/1.1.0");
    assert_eq!(external["externalDependencies"][0]["purl"], "pkg:pypi/psycopg");
    let extended = demo.json("/api/v1/volumes/prompt-library/0.4.1");
    assert_eq!(extended["x-build"], json!({"pipeline": 4711, "reproducible": true}));
    let git = demo.json("/api/v1/volumes/git-tools/1.3.1");
    assert_eq!(git["dist"]["ref"].as_str().unwrap().len(), 40);
}

#[test]
fn git_clones_the_release_that_it_delivers() {
    let demo = Running::start();
    let exact = demo.json("/api/v1/volumes/git-tools/1.3.1");
    let repository = exact["dist"]["repository"].as_str().unwrap();
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("sample-clone");
    let _ = fs::remove_dir_all(&folder);
    let git = |arguments: &[&str]| {
        let mut git = Command::new("git");
        git.env("GIT_CONFIG_NOSYSTEM", "1").env("GIT_CONFIG_GLOBAL", "/dev/null").args(arguments);
        let output = git.output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    };
    let path = folder.to_str().unwrap();
    git(&["clone", "--quiet", "--branch", "v1.3.1", repository, path]);
    assert_eq!(exact["dist"]["ref"], git(&["-C", path, "rev-parse", "HEAD"]).as_str());
    git(&["-C", path, "fsck", "--strict"]);
    let mut records = BTreeMap::new();
    for listed in git(&["-C", path, "ls-files", "--stage"]).lines() {
        let (mode, name) = (&listed[..6], listed.split_once('\t').unwrap().1);
        let content = fs::read(folder.join(name)).unwrap();
        let head = format!("file {name} {} {}\n", u8::from(mode == "100755"), content.len());
        records.insert(name.to_owned(), [head.as_bytes(), &content].concat());
    }
    let digest = hex_digest(&records.into_values().collect::<Vec<_>>().concat());
    assert_eq!(exact["integrity"], format!("sha256:{digest}"));
}

#[test]
fn http_semantics() {
    let demo = Running::start();
    let plain = demo.get("/api/v1/volumes/@lattice/starter/1.1.0+docs.2");
    let encoded = demo.get("/api/v1/volumes/%40lattice/starter/1.1.0%2Bdocs.2");
    assert_eq!((plain.status, plain.body), (200, encoded.body));
    for unknown in [
        "/",
        "/api/v1/volumes/git-tools/9.9.9",
        "/api/v1/index/volumes/none",
        "/api/v1/index/volumes/git-tools/",
        "/api/v1/index/volumes/@acme%2Freview-agent",
        "/api/v1/index/volumes/%zz",
    ] {
        assert_eq!(demo.problem(unknown), (404, "not-found".into()), "{unknown}");
    }
    let archive = demo.json("/api/v1/volumes/git-tools/1.3.0")["dist"]["url"].as_str().unwrap().to_owned();
    for target in ["/api/v1/index/volumes/git-tools", "/api/v1/search?q=git", &*archive] {
        let get = demo.get(target);
        let head = demo.ask("HEAD", target, &[]);
        for header in ["etag", "content-length", "content-type"] {
            assert!(get.header(header).is_some(), "{target}: {header}");
            assert_eq!(get.header(header), head.header(header), "{target}");
        }
        assert!(head.body.is_empty() && !get.body.is_empty());
        let etag = get.header("etag").unwrap();
        for condition in [etag, "*", &format!("\"other\", W/{etag}")] {
            let unchanged = demo.ask("GET", target, &[("if-none-match", condition)]);
            assert_eq!((unchanged.status, unchanged.body.len()), (304, 0), "{condition}");
            assert_eq!(unchanged.header("etag"), Some(etag));
        }
        assert_eq!(demo.ask("GET", target, &[("if-none-match", "\"other\"")]).status, 200);
    }
    for method in ["POST", "DELETE", "OPTIONS"] {
        let refused = demo.ask(method, "/api/v1/volumes/git-tools", &[]);
        assert_eq!((refused.status, refused.header("allow")), (405, Some("GET, HEAD")));
    }
}

#[test]
fn the_same_sample_packs_to_the_same_bytes() {
    let archives = || {
        let demo = Running::start();
        let served = demo.rows().into_iter().map(|(name, row)| {
            demo.get(&format!("/cdn/{name}/{}.tar.gz", row["version"].as_str().unwrap())).body
        });
        served.collect::<Vec<_>>()
    };
    assert_eq!(archives(), archives());
}
