//! A commit that comes late, or finds no room: what is known by then decides, and nothing half stays.

use serde_json::json;

use super::host::GitHost;
use super::lamp;
use crate::support::divergence::refusal;
use crate::support::tarball::Entry;
use crate::support::{Conversation, Disk, Proxy, Upstream, eventually, noise};

#[test]
fn a_release_that_is_blocked_while_its_commit_is_fetched_gives_no_byte() {
    let (host, registry) = (GitHost::start(), Upstream::start());
    let release = host.deliver(lamp("1.0.0"));
    registry.publish(&release);
    let proxy = host.before(&registry).start();
    let question = "/-acme-lamp/.git/info/refs?service=git-upload-pack";
    let hold = host.server.hold(question);
    let mut waiting = Conversation::open(proxy.client().0).unwrap();
    waiting.ask("GET", &release.download(), &[]).unwrap();
    eventually("the fetch", || (host.server.requests(question) > 0).then_some(()));
    let row = release.clone().state("blocked", "malware").row(&registry.url());
    registry.say(&release, [row], refusal(403));
    proxy.invalidate(&json!({ "volume": release.name })).ok();
    assert_eq!(proxy.client().get(&release.exact()).status, 403);
    hold.release();
    waiting.answer().unwrap().problem(403, "authorization-failed");
}

#[test]
fn a_commit_that_finds_no_room_leaves_nothing_and_comes_once_there_is_some() {
    let Some(disk) = Disk::of(64 << 20) else { return };
    let (host, registry) = (GitHost::start(), Upstream::start());
    let big = lamp("1.0.0").adding(Entry::file("big", noise(3, 2 << 20)));
    let release = host.deliver(big);
    registry.publish(&release);
    let proxy = Proxy::start_on(&disk, host.before(&registry));
    proxy.client().get(&release.exact()).ok();
    disk.fill();
    let answer = proxy.client().get(&release.download());
    assert!(matches!(answer.status, 503 | 507), "{}: {}", answer.status, answer.text());
    disk.free();
    proxy.client().get(&release.download()).ok();
}
