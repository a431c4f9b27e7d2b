//! Pins carried from one proxy to another, and held against what the registry says now.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Output, Stdio};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::proxy::scriptorium;
use crate::support::tarball::Entry;
use crate::support::{Proxy, Release, Reply, Setup, Upstream};

/// Runs `scriptorium pins` and gives `input` to it.
fn pins(arguments: &[&str], at: (&str, &Path), input: &str) -> Output {
    let mut child = scriptorium()
        .arg("pins")
        .args(arguments)
        .arg(at.0)
        .arg(at.1)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // One that refuses to read is judged by what it says.
    child.stdin.take().unwrap().write_all(input.as_bytes()).ok();
    child.wait_with_output().unwrap()
}

fn of(proxy: &Proxy) -> (&'static str, std::path::PathBuf) {
    ("--data", proxy.data())
}

#[track_caller]
fn run(code: i32, arguments: &[&str], at: (&str, &Path), input: &str) -> (String, String) {
    let output = pins(arguments, at, input);
    let [out, err] = [output.stdout, output.stderr].map(|text| String::from_utf8(text).unwrap());
    assert_eq!(output.status.code(), Some(code), "{arguments:?}\n{out}\n{err}");
    (out, err)
}

fn replaced(release: &Release) -> Release {
    release.clone().adding(Entry::file("late.txt", "not there at first"))
}

fn line(release: &Release) -> String {
    let (volume, version) = (&release.name, &release.version);
    json!({ "volume": volume, "version": version, "integrity": release.integrity() }).to_string()
}

/// A proxy that has seen `releases`.
fn seen(upstream: &Upstream, releases: &[&Release]) -> Proxy {
    let proxy = Setup::before(upstream).start();
    for release in releases {
        upstream.publish(release);
        proxy.client().get(&release.exact()).ok();
    }
    proxy
}

#[test]
fn what_one_proxy_saw_another_holds_its_registry_to() {
    let upstream = Upstream::start();
    let releases = [("@acme/lamp", "10.0.0"), ("@acme/lamp", "9.0.0"), ("@acme/bulb", "1.0.0")];
    let releases = releases.map(|(name, version)| Release::new(name, version));
    let first = seen(&upstream, &releases.each_ref());
    let (flag, data) = of(&first);
    let (exported, _) = run(0, &["export"], (flag, &data), "");
    let listed: Vec<Value> = exported.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let order: Vec<_> = listed.iter().map(|pin| (pin["volume"].as_str(), pin["version"].as_str())).collect();
    let (lamp, bulb) = (Some("@acme/lamp"), Some("@acme/bulb"));
    assert_eq!(order, [(bulb, Some("1.0.0")), (lamp, Some("9.0.0")), (lamp, Some("10.0.0"))]);
    assert_eq!(listed[0]["integrity"], releases[2].integrity());
    assert_eq!(listed[0]["upstream"], "public");
    let (by_config, _) = run(0, &["export"], ("--config", &first.config()), "");
    assert_eq!(by_config, exported);

    let second = Setup::before(&upstream).start();
    let (flag, data) = of(&second);
    let (_, told) = run(0, &["import"], (flag, &data), &exported);
    assert_eq!(told, "3 imported, 0 already there, 0 in conflict\n");
    let (_, told) = run(0, &["import", "-"], (flag, &data), &exported);
    assert_eq!(told, "0 imported, 3 already there, 0 in conflict\n");
    assert_eq!(run(0, &["export"], (flag, &data), "").0, exported, "pins are carried whole");

    upstream.publish(&replaced(&releases[0]));
    second.client().get(&releases[0].exact()).problem(409, "inconsistent-registry-state");
    second.client().get(&releases[1].exact()).ok();
}

#[test]
fn a_contradiction_is_told_with_both_values_and_never_overwrites() {
    let (upstream, known) = (Upstream::start(), Release::new("lamp", "1.0.0"));
    let proxy = seen(&upstream, &[&known]);
    let (flag, data) = of(&proxy);
    let (before, _) = run(0, &["export"], (flag, &data), "");
    let (other, new) = (replaced(&known), Release::new("lamp", "2.0.0"));
    let disputed = Release::new("lamp", "3.0.0");
    let input = [&other, &new, &disputed, &replaced(&disputed)].map(line).join("\n");
    let (_, told) = run(1, &["import"], (flag, &data), &input);
    for value in [&known, &other, &disputed, &replaced(&disputed)].map(Release::integrity) {
        assert!(told.contains(&value), "{told}");
    }
    assert!(told.ends_with("1 imported, 0 already there, 3 in conflict\n"), "{told}");
    let (after, _) = run(0, &["export"], (flag, &data), "");
    assert!(after.starts_with(&before), "a pin was overwritten: {after}");
    let imported: Value = serde_json::from_str(after.lines().nth(1).unwrap()).unwrap();
    assert_eq!((after.lines().count(), &imported["upstream"]), (2, &json!("import")));
}

#[test]
fn one_bad_line_and_nothing_is_written() {
    let folder = TempDir::new().unwrap();
    let good = line(&Release::new("lamp", "1.0.0"));
    let mut raw: Value = serde_json::from_str(&good).unwrap();
    raw["commit"] = json!({ "commit": "\u{1b}[2J", "tree": "0f".repeat(20) });
    let input = format!("{good}\n{{}}\n{good}\nnonsense\n{raw}\n");
    let (_, told) = run(2, &["import"], ("--data", folder.path()), &input);
    for number in ["line 2: expected", "line 4: expected", "line 5: expected"] {
        assert!(told.contains(number), "{told}");
    }
    assert!(!told.contains('\u{1b}'), "{told:?}");
    assert!(fs::read_dir(folder.path()).unwrap().next().is_none(), "something was written");
}

#[test]
fn a_damaged_pin_is_told_and_the_others_are_exported() {
    let (upstream, releases) = (Upstream::start(), ["1.0.0", "2.0.0"].map(|v| Release::new("lamp", v)));
    let proxy = seen(&upstream, &releases.each_ref());
    let holding = |needle: String| -> Vec<_> {
        let files = proxy.files_holding(needle.as_bytes()).into_iter();
        files.filter(|file| file.starts_with(proxy.data().join("pins"))).collect()
    };
    let files = holding(releases[0].integrity());
    fs::write(&files[0], "garbage").unwrap();
    let (flag, data) = of(&proxy);
    let (exported, told) = run(1, &["export"], (flag, &data), "");
    assert!(exported.lines().count() == 1 && exported.contains("2.0.0"), "{exported}");
    assert!(told.contains(files[0].file_name().unwrap().to_str().unwrap()), "{told}");
}

#[test]
fn a_check_finds_what_was_replaced_and_nothing_else() {
    let upstream = Upstream::start();
    let releases = ["1.0.0", "2.0.0", "3.0.0"].map(|version| Release::new("@acme/lamp", version));
    let proxy = seen(&upstream, &releases.each_ref());
    let config = proxy.config();
    let (out, _) = run(0, &["check"], ("--config", &config), "");
    assert_eq!(out, "3 same, 0 different, 0 withheld, 0 could not be asked about\n");
    let (out, _) = run(0, &["check", "--verbose"], ("--config", &config), "");
    assert_eq!(out.lines().filter(|line| line.starts_with("same ")).count(), 3, "{out}");

    upstream.reply(&releases[1].exact(), Reply::not_found());
    let (out, _) = run(0, &["check"], ("--config", &config), "");
    assert!(out.contains("withheld   @acme/lamp 2.0.0: ") && out.contains("404"), "{out}");

    let other = replaced(&releases[0]);
    upstream.publish(&other);
    let (out, _) = run(1, &["check"], ("--config", &config), "");
    assert!(out.contains("different  @acme/lamp 1.0.0: ") && !out.contains("3.0.0"), "{out}");
    assert!(out.contains(&releases[0].integrity()) && out.contains(&other.integrity()), "{out}");
    assert!(out.ends_with("1 same, 1 different, 1 withheld, 0 could not be asked about\n"), "{out}");

    let (out, _) = run(1, &["check", "--json"], ("--config", &config), "");
    let lines: Vec<Value> = out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let different = lines.iter().find(|line| line["verdict"] == "different").unwrap();
    assert_eq!(different["version"], "1.0.0");
    assert_eq!(different["found"], other.integrity());
    assert_eq!(lines.last().unwrap()["summary"]["different"], 1);
}

#[test]
fn a_registry_that_cannot_be_asked_is_no_clean_check() {
    let (upstream, release) = (Upstream::start(), Release::new("lamp", "1.0.0"));
    let proxy = seen(&upstream, &[&release]);
    upstream.down();
    let (out, _) = run(1, &["check"], ("--config", &proxy.config()), "");
    assert!(out.contains("not asked  lamp 1.0.0: no connection"), "{out}");
}

#[test]
fn a_check_can_be_of_one_upstream() {
    let (public, internal) = (Upstream::start(), Upstream::start());
    let (lamp, desk) = (Release::new("lamp", "1.0.0"), Release::new("@corp/desk", "1.0.0"));
    public.publish(&lamp);
    internal.publish(&desk);
    let setup = Setup::before(&internal).set("upstream.volumes", vec!["@corp/*"]);
    let proxy = setup.upstream("rest", &public.url()).set("upstream.retries", 0).start();
    for release in [&lamp, &desk] {
        proxy.client().get(&release.exact()).ok();
    }
    public.publish(&replaced(&lamp));
    let config = proxy.config();
    let (out, _) = run(0, &["check", "--upstream", "public"], ("--config", &config), "");
    assert!(out.starts_with("1 same, 0 different"), "{out}");
    let (out, _) = run(1, &["check", "--upstream", "rest"], ("--config", &config), "");
    assert!(out.contains("0 same, 1 different"), "{out}");
    let (_, told) = run(2, &["check", "--upstream", "nobody"], ("--config", &config), "");
    assert!(told.contains("public") && told.contains("rest"), "{told}");
}

#[test]
fn a_store_without_a_past_has_no_pins_to_speak_of() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("scriptorium.toml");
    let upstream = "[[upstreams]]\nname = \"public\"\nurl = \"https://registry.example.com\"\n";
    for (url, code) in [("memory:///", 2), ("s3://bucket/prefix", 1)] {
        fs::write(&file, format!("{upstream}[storage]\nurl = \"{url}\"\n")).unwrap();
        for command in ["export", "import", "check"] {
            let (_, told) = run(code, &[command], ("--config", &file), "");
            assert!(told.contains("storage.url"), "{told}");
        }
        let audit = scriptorium().args(["audit", "--config"]).arg(&file).output().unwrap();
        assert_eq!(audit.status.code(), Some(code));
    }
}
