//! What is stored, counted, freed and verified by the commands for it, beside a real proxy or after it.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::thread;

use serde_json::Value;

use crate::support::proxy::scriptorium;
use crate::support::tarball::Entry;
use crate::support::{Proxy, Release, Reply, Setup, Upstream, eventually, noise};

const PAGE: u64 = 4096;
const KIB: usize = 1024;

/// Archives of this many KiB each, and a little.
const SIZES: [usize; 4] = [300, 200, 400, 100];

fn lamp(number: usize) -> Release {
    let content = noise(number as u64 + 1, SIZES[number] * KIB);
    Release::new("@acme/lamp", &format!("1.{number}.0")).adding(Entry::file("data.bin", content))
}

/// A proxy that holds index, exact metadata, archive and pin of four releases.
fn warmed(upstream: &Upstream) -> Proxy {
    let releases = [0, 1, 2, 3].map(lamp);
    releases.iter().for_each(|release| upstream.publish(release));
    let proxy = Setup::before(upstream).set("storage.max_size", "64MiB").start();
    proxy.client().get(&lamp(0).index()).ok();
    for release in &releases {
        assert_eq!(proxy.client().get(&release.download()).ok().body, release.archive());
    }
    proxy
}

/// The same, stopped.
fn left(upstream: &Upstream) -> Proxy {
    let mut proxy = warmed(upstream);
    proxy.stop();
    proxy
}

#[track_caller]
fn store(code: i32, arguments: &[&str], data: &Path) -> (String, String) {
    let (command, rest) = arguments.split_first().unwrap();
    let output = scriptorium().args(["store", command, "--data"]).arg(data).args(rest).output().unwrap();
    let [out, err] = [output.stdout, output.stderr].map(|text| String::from_utf8(text).unwrap());
    assert_eq!(output.status.code(), Some(code), "{arguments:?}\n{out}\n{err}");
    (out, err)
}

/// The one JSON document that a command says.
#[track_caller]
fn json(code: i32, arguments: &[&str], data: &Path) -> Value {
    let (out, _) = store(code, &[arguments, &["--json"]].concat(), data);
    serde_json::from_str(&out).unwrap()
}

/// Every file below `folder`, and the pages it takes in bytes.
fn files(folder: &Path) -> BTreeMap<PathBuf, u64> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.path().is_dir() {
            found.extend(files(&entry.path()));
        } else {
            found.insert(entry.path(), entry.metadata().unwrap().len().div_ceil(PAGE) * PAGE);
        }
    }
    found
}

fn taken(folder: &Path) -> u64 {
    files(folder).values().sum()
}

/// Where the archive of a release lies inside the storage.
fn archive(release: &Release) -> String {
    let integrity = release.integrity();
    let hex = integrity.strip_prefix("sha256:").unwrap();
    format!("archives/{}/{hex}", &hex[..2])
}

/// The paths that a plan names, in its order.
fn paths(plan: &Value) -> Vec<&str> {
    plan["values"].as_array().unwrap().iter().map(|value| value["path"].as_str().unwrap()).collect()
}

fn flip(file: &Path, at: usize) {
    let mut bytes = fs::read(file).unwrap();
    bytes[at] ^= 1;
    fs::write(file, bytes).unwrap();
}

#[test]
fn the_statistics_add_up_to_what_the_disk_holds() {
    let upstream = Upstream::start();
    let proxy = left(&upstream);
    let data = proxy.data();
    fs::create_dir_all(data.join("staging/run-gone")).unwrap();
    fs::write(data.join("staging/run-gone/staged-1"), [0; 5000]).unwrap();
    fs::write(data.join("uses"), "2.0 archives\n").unwrap();
    let stats = json(0, &["stats", "--largest", "2"], &data);
    assert_eq!(stats["used"], taken(&data));
    let kinds = &stats["kinds"];
    let mut counts =
        vec![("index", 1), ("release", 4), ("archives", 4), ("pins", 4), ("abandoned", 1), ("uses", 1)];
    counts.push(("evidence", 1));
    for (kind, count) in counts.clone() {
        assert_eq!(kinds[kind]["count"], count, "{kind} in {stats:#}");
    }
    assert_eq!(kinds.as_object().unwrap().len(), counts.len(), "{stats:#}");
    assert_eq!(kinds["archives"]["bytes"], taken(&data.join("archives")));
    let largest = stats["largest"].as_array().unwrap();
    let named: Vec<_> = largest.iter().map(|archive| archive["release"].as_str().unwrap()).collect();
    assert_eq!(named, [lamp(2).purl(), lamp(0).purl()]);
    assert_eq!(largest[0]["path"], archive(&lamp(2)));

    let by_config = scriptorium().args(["store", "stats", "--config"]).arg(proxy.config()).output().unwrap();
    let told = String::from_utf8(by_config.stdout).unwrap();
    for part in [
        "archives                4  ",
        "max_size                   64.0 MiB",
        "largest archives",
        &archive(&lamp(3)),
    ] {
        assert!(told.contains(part), "no {part} in {told}");
    }
}

#[test]
fn a_dry_run_removes_nothing_and_apply_gets_below() {
    let upstream = Upstream::start();
    let mut proxy = left(&upstream);
    let data = proxy.data();
    let (before, pins) = (files(&data), files(&data.join("pins")));
    let (told, err) = store(0, &["gc", "--to", "300KiB"], &data);
    assert!(told.ends_with("\nnothing was removed; add --apply\n") && err.is_empty(), "{told}{err}");
    for part in ["archives                3  ", &archive(&lamp(2)), &lamp(2).purl()] {
        assert!(told.contains(part), "no {part} in {told}");
    }
    assert!(!told.contains(&archive(&lamp(3))), "the smallest is worth most: {told}");
    let plan = json(0, &["gc", "--to", "300KiB"], &data);
    assert_eq!((&plan["before"], &plan["applied"]), (&taken(&data).into(), &false.into()));
    assert_eq!(files(&data), before);

    let (told, err) = store(0, &["gc", "--to", "300KiB", "--apply"], &data);
    assert!(told.ends_with(" freed\n") && err.is_empty(), "{told}{err}");
    assert_eq!(plan["after"], taken(&data), "what was planned is what was done");
    assert!(taken(&data) <= 300 * KIB as u64 && data.join(archive(&lamp(3))).exists());
    assert_eq!(files(&data.join("pins")), pins);
    let (told, _) = store(0, &["gc", "--to", "300KiB", "--apply"], &data);
    assert!(told.contains("nothing has to go"), "{told}");

    proxy.revive();
    for number in 0..4 {
        assert_eq!(proxy.client().get(&lamp(number).download()).ok().body, lamp(number).archive());
        let fetches = if number == 3 { 1 } else { 2 };
        assert_eq!(upstream.requests(&lamp(number).source()), fetches, "{number}");
    }
}

#[test]
fn what_is_used_goes_last_and_documents_after_all_archives() {
    let upstream = Upstream::start();
    let proxy = left(&upstream);
    let data = proxy.data();
    let least = json(0, &["gc"], &data)["least"].as_u64().unwrap();
    // Room for one document, and for what is known of the volume, which goes after all documents.
    let to = format!("{}B", least + 2 * PAGE);
    let by_size = [2, 0, 1, 3].map(|number| archive(&lamp(number)));
    let plan = json(0, &["gc", "--to", &to], &data);
    assert_eq!(paths(&plan)[..4], by_size, "each counts as used once, so the largest goes first");
    let rest = &paths(&plan)[4..];
    assert!(rest.len() == 4 && rest.iter().all(|path| path.starts_with("documents/")), "{plan:#}");
    assert_eq!(plan["kinds"]["archives"]["count"], 4);

    let uses = [(2, "500.0"), (0, "40.0"), (3, "3.0")];
    let line = |(number, uses)| format!("{uses} {}\n", archive(&lamp(number)));
    fs::write(data.join("uses"), uses.map(line).concat()).unwrap();
    let plan = json(0, &["gc", "--to", &to], &data);
    assert_eq!(paths(&plan)[..4], [1, 3, 0, 2].map(|number| archive(&lamp(number))));
}

#[test]
fn what_cannot_be_reached_is_said_and_nothing_goes() {
    let upstream = Upstream::start();
    let proxy = left(&upstream);
    let (data, before) = (proxy.data(), files(&proxy.data()));
    let (_, err) = store(1, &["gc", "--to", "1KiB", "--apply"], &data);
    let least = taken(&data.join("pins"));
    assert!(err.contains("1.0 KiB cannot be reached") && err.contains(&format!("{least}B")), "{err}");
    store(1, &["gc", "--to", "1KiB"], &data);
    let plan = json(1, &["gc", "--to", "1KiB", "--apply"], &data);
    assert_eq!((&plan["reached"], &plan["applied"]), (&false.into(), &false.into()));
    assert_eq!((&plan["least"], files(&data)), (&least.into(), before));

    for bad in ["lots", "0", "-1", "5 parsecs", "2EiB"] {
        let (out, err) = store(2, &["gc", &format!("--to={bad}")], &data);
        assert!(out.is_empty() && err.contains("expected a size") && err.contains("64MiB"), "{bad}: {err}");
    }
    store(0, &["gc", "--to", &format!("{least}B"), "--apply"], &data);
    assert_eq!(files(&data), files(&data.join("pins")));
}

#[test]
fn what_is_staged_by_a_process_that_lives_stays_and_what_is_nobodys_goes() {
    let upstream = Upstream::start();
    let proxy = warmed(&upstream);
    let (data, coming) = (proxy.data(), Release::new("coming", "1.0.0"));
    let coming = coming.adding(Entry::file("data.bin", noise(9, 300 * KIB)));
    upstream.publish(&coming);
    let (reply, hold) = Reply::archive(coming.archive()).pausing_after(200 * KIB);
    upstream.reply(&coming.source(), reply);
    let gone = data.join("staging/run-gone");
    fs::create_dir_all(&gone).unwrap();
    fs::write(gone.join("staged-1"), [0; 5000]).unwrap();
    thread::scope(|scope| {
        let client = proxy.client();
        let target = coming.download();
        let bringing = scope.spawn(move || client.get(&target).ok().body);
        eventually("a staged file", || (taken(&data.join("staging")) > 100 * KIB as u64).then_some(()));
        let stats = json(0, &["stats"], &data);
        assert_eq!(stats["kinds"]["staged"]["count"], 1, "{stats:#}");
        let (told, _) = store(0, &["gc"], &data);
        assert!(told.contains("staging/run-gone") && gone.exists(), "{told}");
        let (told, _) = store(0, &["gc", "--apply"], &data);
        assert!(told.ends_with("\n8.0 KiB freed\n") && !gone.exists(), "{told}");
        hold.release();
        assert_eq!(bringing.join().unwrap(), coming.archive());
    });
}

#[test]
fn a_running_proxy_fetches_anew_what_went() {
    let upstream = Upstream::start();
    let proxy = warmed(&upstream);
    store(0, &["gc", "--to", "100KiB", "--apply"], &proxy.data());
    assert_eq!(files(&proxy.data().join("archives")).len(), 0);
    for number in 0..4 {
        let healed = eventually("the archive, fetched anew", || {
            let answer = proxy.client().get(&lamp(number).download());
            (answer.status == 200 && answer.whole).then_some(answer.body)
        });
        assert_eq!(healed, lamp(number).archive());
    }
    store(0, &["verify"], &proxy.data());
}

#[test]
fn damage_is_verified_repaired_and_its_remains_are_freed() {
    let upstream = Upstream::start();
    let proxy = left(&upstream);
    let data = proxy.data();
    let (told, err) = store(0, &["verify"], &data);
    let counts = [["documents", "5"], ["archives", "4"], ["pins", "4"], ["wrong", "0"]];
    let lines = told.lines().map(|line| line.split_whitespace().take(2).collect::<Vec<_>>());
    assert_eq!((lines.collect::<Vec<_>>(), &*err), (counts.map(Vec::from).to_vec(), ""), "{told}");

    flip(&data.join(archive(&lamp(1))), 150 * KIB);
    let damaged = files(&data);
    let (told, _) = store(1, &["verify"], &data);
    assert!(
        told.contains(&format!("archive  {}", archive(&lamp(1)))) && told.contains(&lamp(1).purl()),
        "{told}"
    );
    assert_eq!(files(&data), damaged, "without --repair nothing is moved");
    let report = json(0, &["verify", "--repair"], &data);
    assert_eq!((&report["wrong"], &report["repaired"]), (&1.into(), &1.into()));
    assert_eq!(json(0, &["verify"], &data)["wrong"], 0);

    let aside = data.join("quarantine");
    assert_eq!(files(&aside).len(), 2, "the archive and a note");
    let plan = json(0, &["gc"], &data);
    assert_eq!(paths(&plan), Vec::<&str>::new(), "what was set aside is for a person");
    let plan = json(0, &["gc", "--quarantine", "--apply"], &data);
    assert_eq!((&plan["kinds"]["quarantine"]["count"], files(&aside).len()), (&2.into(), 0));
    assert_eq!(plan["after"], taken(&data));
}

#[test]
fn a_damaged_pin_stays_wrong_after_a_repair() {
    let upstream = Upstream::start();
    let proxy = left(&upstream);
    let pins = files(&proxy.data().join("pins"));
    let pin = pins.keys().next().unwrap();
    fs::write(pin, "garbage").unwrap();
    let report = json(1, &["verify", "--repair"], &proxy.data());
    assert_eq!((&report["wrong"], &report["repaired"]), (&1.into(), &0.into()));
    assert_eq!(fs::read(pin).unwrap(), b"garbage");
}
