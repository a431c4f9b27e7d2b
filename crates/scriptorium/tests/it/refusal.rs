//! Archives that must not pass. For each: the right problem, not one byte of the archive on the wire or
//! on disk, and the good archive once the upstream has been mended and, where it was a verdict, somebody said so.

use serde_json::Value;
use tar::EntryType;

use crate::support::catalogue::manifest;
use crate::support::proxy::contains;
use crate::support::tarball::{Entry, bomb, gzip, tar};
use crate::support::{Answer, Proxy, Release, Reply, Setup, Upstream, eventually, noise};

const CONFLICT: (u16, &str) = (409, "inconsistent-registry-state");
const DAMAGE: (u16, &str) = (502, "about:blank");

/// A release with content that would be recognized anywhere.
fn lamp() -> Release {
    Release::new("lamp", "1.0.0").adding(Entry::file("data.bin", noise(7, 4096)))
}

/// A piece of an archive that occurs nowhere else: incompressible content stays as it is under gzip.
fn marker() -> Vec<u8> {
    noise(7, 4096)[1000..1064].to_vec()
}

/// Serves `reply` in place of lamp's archive, expects the refusal, mends the upstream, expects the archive.
fn refuses(reply: Reply, (status, slug): (u16, &str)) -> Value {
    refuses_under(|setup| setup, reply, (status, slug))
}

fn refuses_under(limits: impl Fn(Setup) -> Setup, reply: Reply, (status, slug): (u16, &str)) -> Value {
    let (upstream, release) = (Upstream::start(), lamp());
    upstream.publish(&release);
    upstream.reply(&release.source(), reply);
    let proxy = limits(Setup::before(&upstream).set("cache.negative_ttl", "1s")).start();
    let answer = proxy.client().get(&release.download());
    let problem = answer.problem(status, slug);
    assert_nothing_leaked(&proxy, &answer);

    upstream.publish(&release);
    // A verdict on what an integrity stands for is remembered until somebody says that it is worth another look.
    if status != DAMAGE.0 {
        proxy.invalidate(&serde_json::json!({ "volume": "lamp" }));
    }
    let good = eventually("the good archive after the upstream was mended", || {
        let answer = proxy.client().get(&release.download());
        if answer.status != 200 {
            answer.problem(status, slug);
        }
        (answer.status == 200).then_some(answer)
    });
    assert_eq!(good.body, release.archive());
    assert!(contains(&good.body, &marker()) && !proxy.files_holding(&marker()).is_empty(), "a blunt test");
    problem
}

fn assert_nothing_leaked(proxy: &Proxy, answer: &Answer) {
    assert!(!contains(&answer.body, &marker()));
    assert_eq!(answer.header("etag"), None);
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    eventually("an empty store", || proxy.files_holding(&marker()).is_empty().then_some(()));
}

/// Lamp's archive with one more entry.
fn with(entry: Entry) -> Reply {
    Reply::archive(lamp().adding(entry).archive())
}

#[test]
fn other_content_is_a_conflict() {
    let problem = refuses(with(Entry::file("extra.txt", "not in the tree")), CONFLICT);
    let detail = problem["detail"].as_str().unwrap();
    assert!(detail.contains(&lamp().integrity()), "what was expected: {detail}");
    assert!(
        detail.contains(&lamp().adding(Entry::file("extra.txt", "not in the tree")).integrity()),
        "{detail}"
    );
}

#[test]
fn one_flipped_bit_is_a_conflict() {
    let mut tar = tar(&lamp().entries);
    let at = tar.windows(8).position(|window| window == &marker()[..8]).unwrap();
    tar[at] ^= 1;
    refuses(Reply::archive(gzip(&tar)), CONFLICT);
}

#[test]
fn a_lost_execute_bit_is_a_conflict() {
    let mut release = lamp();
    release.entries.iter_mut().for_each(|entry| entry.executable = false);
    refuses(Reply::archive(release.archive()), CONFLICT);
}

#[test]
fn paths_that_leave_the_volume_are_refused() {
    for path in ["../escape", "a/../../escape", "/etc/passwd", "a/./b", "./a", ".", "a/..", "a//b"] {
        let problem = refuses(with(Entry::file(path, "x")), CONFLICT);
        assert!(problem["detail"].as_str().unwrap().contains(path), "{path} is not named in {problem}");
    }
}

#[test]
fn a_path_given_twice_is_refused() {
    refuses(with(Entry::file("data.bin", noise(7, 4096))), CONFLICT);
    refuses(with(Entry::special("data.bin/", EntryType::Directory, "")), CONFLICT);
}

#[test]
fn entries_that_are_not_files_are_refused() {
    for (kind, target) in [
        (EntryType::Symlink, "volume.toml"),
        (EntryType::Link, "volume.toml"),
        (EntryType::Char, ""),
        (EntryType::Block, ""),
        (EntryType::Fifo, ""),
    ] {
        refuses(with(Entry::special("special", kind, target)), CONFLICT);
    }
}

#[test]
fn a_path_that_is_not_utf8_is_refused() {
    let mut bytes = tar(&[Entry::file("xx", "x")]);
    bytes[..2].copy_from_slice(b"\xff\xfe");
    let sum: u32 = bytes[..512]
        .iter()
        .enumerate()
        .map(|(at, &byte)| u32::from(if (148..156).contains(&at) { b' ' } else { byte }))
        .sum();
    bytes[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    refuses(Reply::archive(gzip(&bytes)), CONFLICT);
}

#[test]
fn a_tar_that_ends_early_in_a_sound_gzip_is_refused() {
    let tar = tar(&lamp().entries);
    refuses(Reply::archive(gzip(&tar[..tar.len() - 1024 - 300])), CONFLICT);
}

#[test]
fn an_oversized_archive_is_refused() {
    let limited = |setup: Setup| setup.set("limits.max_archive", "64KiB");
    let release = lamp().adding(Entry::file("more.bin", noise(9, 128 << 10)));
    refuses_under(limited, Reply::archive(release.archive()), CONFLICT);
}

#[test]
fn too_much_content_is_refused() {
    let limited = |setup: Setup| setup.set("limits.max_unpacked", "1MiB");
    refuses_under(limited, with(Entry::file("zeros", vec![0; 2 << 20])), CONFLICT);
    refuses_under(limited, Reply::archive(bomb(4, 1)), CONFLICT);
}

#[test]
fn what_is_too_large_is_downloaded_once_until_the_limit_changes() {
    let upstream = Upstream::start();
    let release = lamp().adding(Entry::file("zeros", vec![0; 2 << 20]));
    upstream.publish(&release);
    let proxy = Setup::before(&upstream).set("limits.max_unpacked", "1MiB").start();
    for _ in 0..3 {
        assert_eq!(proxy.client().get(&release.download()).status, CONFLICT.0);
    }
    assert_eq!(upstream.requests(&release.source()), 1, "another download would only be refused again");
    proxy.reconfigure(|setup| setup.set("limits.max_unpacked", "8MiB"));
    assert_eq!(proxy.reload().status, 200);
    assert!(proxy.client().get(&release.download()).ok().body == release.archive());
}

#[test]
fn too_many_entries_are_refused() {
    let limited = |setup: Setup| setup.set("limits.max_entries", 10);
    let release =
        (0..10).fold(lamp(), |release, number| release.adding(Entry::file(&format!("f{number}"), "")));
    refuses_under(limited, Reply::archive(release.archive()), CONFLICT);
}

#[test]
fn transport_damage_is_a_bad_gateway() {
    let good = lamp().archive();
    let mut bad_crc = good.clone();
    let crc = good.len() - 8;
    bad_crc[crc] ^= 1;
    let damaged = [
        Reply::archive(good.clone()).cut_after(good.len() / 2),
        Reply::archive(good.clone()).claiming(good.len() + 100),
        Reply::archive(&good[..good.len() - 20]),
        Reply::archive(bad_crc),
        Reply::archive("<html>not an archive</html>"),
        Reply::archive(""),
        Reply::archive([&good[..], b"trailing garbage"].concat()),
        Reply::archive(good.clone()).chunked().cut_after(good.len() / 2),
        Reply::failure(500),
    ];
    for reply in damaged {
        refuses(reply, DAMAGE);
    }
}

#[test]
fn an_archive_that_stalls_is_given_up_on() {
    let (reply, _hold) = Reply::archive(lamp().archive()).pausing_after(2048);
    refuses_under(|setup| setup.set("upstream.read_timeout", "1s"), reply, (504, "about:blank"));
}

#[test]
fn an_archive_without_an_announced_length_is_served() {
    let (upstream, release) = (Upstream::start(), lamp());
    upstream.publish(&release);
    upstream.reply(&release.source(), Reply::archive(release.archive()).chunked());
    let proxy = Setup::before(&upstream).start();
    let answer = proxy.client().get(&release.download()).ok();
    assert_eq!(answer.body, release.archive());
    assert_eq!(answer.header("content-length"), Some(answer.body.len().to_string().as_str()));
}

#[test]
fn transport_damage_is_retried_before_it_is_admitted() {
    let (upstream, release) = (Upstream::start(), lamp());
    upstream.publish(&release);
    let archive = release.archive();
    upstream.reply(&release.source(), Reply::archive(archive.clone()).cut_after(archive.len() / 2));
    let proxy = Setup::before(&upstream).set("upstream.retries", 2).start();
    proxy.client().get(&release.download()).could_not_ask();
    assert_eq!(upstream.requests(&release.source()), 3);
}

/// A release that is just as its integrity says and must still not be served; the next one is.
fn refuses_release(bad: &Release, (status, slug): (u16, &str)) -> Value {
    let (upstream, good) = (Upstream::start(), Release::new("lamp", "1.0.1"));
    let bad = bad.clone().adding(Entry::file("data.bin", noise(7, 4096)));
    upstream.publish(&bad);
    upstream.publish(&good);
    let proxy = Setup::before(&upstream).start();
    let answer = proxy.client().get(&bad.download());
    let problem = answer.problem(status, slug);
    assert_nothing_leaked(&proxy, &answer);
    assert_eq!(proxy.client().get(&good.download()).ok().body, good.archive());
    problem
}

#[test]
fn a_manifest_of_another_volume_is_a_conflict() {
    for (name, version) in [("lantern", "1.0.0"), ("@acme/lamp", "1.0.0"), ("lamp", "1.0.1")] {
        let bad = Release::new("lamp", "1.0.0").manifest(&manifest(name, version));
        let problem = refuses_release(&bad, (409, "identity-mismatch"));
        let detail = problem["detail"].as_str().unwrap();
        let purl = format!("pkg:volume/{}@{version}", name.replace('@', "%40"));
        assert!(detail.contains(&purl), "{purl} is not named in: {detail}");
    }
}

#[test]
fn a_manifest_that_is_missing_or_broken_is_a_conflict() {
    refuses_release(&Release::new("lamp", "1.0.0").manifest("[volume\nname ="), CONFLICT);
    refuses_release(&Release::new("lamp", "1.0.0").manifest("[volume]\nschema = 1\n"), CONFLICT);
    let mut without = Release::new("lamp", "1.0.0");
    without.entries.retain(|entry| entry.path != "volume.toml");
    refuses_release(&without, CONFLICT);
}

#[test]
fn a_component_that_takes_more_than_its_volume_may_is_refused() {
    for (permission, level) in
        [("filesystem", "write"), ("network", "read"), ("browser", "read-write"), ("shell", "allow")]
    {
        let escalating = format!(
            "{}\n[[components]]\ntype = \"tool\"\nname = \"grasping\"\nentrypoint = \"scripts/run.sh\"\n\
             permissions = {{ {permission} = \"{level}\" }}\n",
            manifest("lamp", "1.0.0")
        );
        let problem = refuses_release(
            &Release::new("lamp", "1.0.0").manifest(&escalating),
            (403, "authorization-failed"),
        );
        let detail = problem["detail"].as_str().unwrap();
        assert!(detail.contains("grasping") && detail.contains(permission), "{detail}");
    }
}

#[test]
fn an_archive_in_any_order_passes_and_goes_out_as_it_came() {
    let (upstream, mut release) = (Upstream::start(), lamp());
    release.entries.reverse();
    upstream.publish(&release);
    let proxy = Setup::before(&upstream).start();
    assert_eq!(proxy.client().get(&release.download()).ok().body, release.archive());
}
